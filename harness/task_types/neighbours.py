"""Find each word's nearest words in a language model, by the cosine similarity of their vectors.

A student should have the same similar words as its teacher. The share of nearest neighbours that two models
have in common measures this, whatever their widths and vocabularies.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from harness.values import Model, Unsupported

if TYPE_CHECKING:
    from numpy.typing import NDArray

Kind = Literal["embeddings", "hidden"]
Neighbours = dict[str, dict[str, list[str]]]  # kind of vector → word → its nearest words, nearest first

KINDS: tuple[Kind, ...] = ("embeddings", "hidden")
NEAREST = 10
ASKED = 200  # words to find neighbours for
AMONG = 2000  # candidates
_WORD = re.compile(r"[^\W\d_]{3,}")
# Stop words: their neighbours tell little about a model.
_STOP = frozenset(
    _WORD.findall("""
    about after again all also and any are because been before being both but can could did does doing don
    down during each few for from further had has have having her here hers herself him himself his how
    into its itself just more most myself nor not now off once only other our ours ourselves out over own
    same she should some such than that the their theirs them themselves then there these they this those
    through too under until very was were what when where which while who whom why will with would you
    your yours yourself yourselves
""")
)


class Words(NamedTuple):
    """The words to find neighbours for, and the candidates."""

    asked: tuple[str, ...]
    among: tuple[str, ...]  # begins with `asked`


def words_of(texts: Iterable[str]) -> Words:
    """Return the most frequent words of at least three letters, in lower case, without stop words."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(_WORD.findall(text.lower()))
    known = sorted((-count, word) for word, count in counts.items() if word not in _STOP)
    among = tuple(word for _, word in known[:AMONG])
    return Words(among[:ASKED], among)


def neighbours_of(model: Model, words: Words) -> Neighbours:
    """Return the nearest words of each word, for each kind of vector that the model has."""
    found: Neighbours = {}
    for kind in KINDS if len(words.among) > 1 else ():
        try:
            vectors = model.vectors(words.among, kind)
        except Unsupported:
            continue
        near = nearest(vectors, len(words.asked))
        found[kind] = {
            word: [words.among[place] for place in places]
            for word, places in zip(words.asked, near.tolist(), strict=True)
        }
    return found


def nearest(vectors: NDArray[np.floating], asked: int, count: int = NEAREST) -> NDArray[np.int64]:
    """Return the K vectors nearest to each of the first A of N vectors (N, H), as indices (A, K).

    The similarity is the cosine; a vector is not its own neighbour. Ties go to the smaller index. A vector of
    length 0 has the similarity 0 to all others.
    """
    vectors = vectors.astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    alike = np.round(directions[:asked] @ directions.T, 9)  # (A, N); rounded, so that ties stay ties
    alike[np.arange(len(alike)), np.arange(len(alike))] = -np.inf
    order = np.argsort(-alike, axis=1, kind="stable")
    return order[:, : min(count, len(vectors) - 1)]


def shared(one: Mapping[str, Sequence[str]], other: Mapping[str, Sequence[str]]) -> float | None:
    """Return the mean share of common neighbours over the words of both models; None without common words."""
    shares = [
        len(set(near) & set(other[word])) / max(len(near), 1) for word, near in one.items() if word in other
    ]
    return sum(shares) / len(shares) if shares else None


def scores(own: Neighbours, other: Neighbours, suffix: str = "") -> dict[str, float]:
    """Return the shares by kind of vector, as metrics: "neighbours_embeddings", "neighbours_hidden"."""
    found = {kind: shared(own[kind], other[kind]) for kind in own if kind in other}
    return {f"neighbours_{kind}{suffix}": share for kind, share in found.items() if share is not None}
