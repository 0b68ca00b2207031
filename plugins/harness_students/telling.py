"""Vocabularies of words: the most frequent ones, or those that are most informative of a text's class."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import compress
from typing import TYPE_CHECKING, ClassVar

import numpy as np

import harness
from harness.api import Tokeniser
from harness.featurise.featuriser import Words
from harness.featurise.splitting import splits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

_READ = 1 << 20  # texts whose words are counted: of more, that many at even distances
_FREQUENT = 10  # a tenth of the vocabulary are the most frequent words, as context for the others


@dataclass(frozen=True, kw_only=True)
class FrequentWords(Tokeniser):
    """The most frequent words of the transfer set."""

    name = "frequent-words"
    version: ClassVar[int] = 2

    vocabulary: int  # ids, including padding and unknown words
    longest: int  # maximum number of words read from a text

    def fit(self, transfer: harness.Examples) -> Words:
        """See :class:`harness.api.Tokeniser`."""
        return Words.fit(transfer.texts, self.vocabulary, self.longest)


@dataclass(frozen=True, kw_only=True)
class TellingWords(FrequentWords):
    """The words that are most informative of the teacher's logits or, without them, of the gold labels."""

    name = "telling-words"
    needs: ClassVar[frozenset[str]] = frozenset({"logits"})

    def fit(self, transfer: harness.Examples) -> Words:
        """See :class:`harness.api.Tokeniser`."""
        return telling(transfer, self.vocabulary, self.longest)


def telling(transfer: harness.Examples, size: int, longest: int) -> Words:
    """Return a vocabulary of at most `size` ids: the most frequent words, a tenth, and the most informative.

    The information of a word, in nats, is the gain in log-likelihood if the texts with the word have their
    own distribution of classes instead of that of all texts. For N such texts, it is N times the divergence
    of their mean distribution from that of all texts. (Dunning's log-likelihood ratio, 1993, is twice this
    plus the same for the texts without the word, which for most words is almost 0.) The distribution of a
    text is the teacher's, or its gold label. For regression, scores have two normal distributions with the
    same standard deviation instead. Of more than 2²⁰ texts, that many at even distances are read. Raise
    HarnessError if there are neither logits nor labels.
    """
    transfer = _some(transfer)
    known, targets = _targets(transfer)
    words, counts = _counted(compress(transfer.texts, known))  # (V,), (N, V)
    if not words:
        return Words([], longest)
    often = np.asarray(counts.sum(0)).ravel()
    holds = counts.sign()
    told = _told(np.asarray(holds.sum(0)).ravel(), holds.T @ targets, targets)
    count = min(size - 2, len(words))
    frequent = np.argsort(-often, kind="stable")[: count // _FREQUENT]
    rest = np.argsort(-told.round(6), kind="stable")
    chosen = np.concatenate([frequent, rest[~np.isin(rest, frequent)]])[:count]
    return Words([words[place] for place in chosen.tolist()], longest)


def _counted(texts: Iterable[str]) -> tuple[list[str], csr_matrix]:
    """Return the words of texts without masks, in alphabetical order, and their counts in each, (N, V)."""
    from scipy.sparse import csr_matrix

    places: dict[str, int] = {}
    columns: list[NDArray[np.int64]] = []
    ends = [np.zeros(1, dtype=np.int64)]
    for split in splits(texts):
        own = np.array([places.setdefault(word, len(places)) for word in split.words], dtype=np.int64)
        columns.append(own[split.numbers])
        ends.append(ends[-1][-1] + split.offsets[1:])
    indices = np.concatenate([np.zeros(0, dtype=np.int64), *columns])
    before = np.concatenate(ends)
    counts = csr_matrix((np.ones_like(indices), indices, before), (len(before) - 1, len(places)))
    counts.sum_duplicates()
    words = sorted(places.keys() - {"[mask]"})
    return words, counts[:, [places[word] for word in words]]


def _some(transfer: harness.Examples) -> harness.Examples:
    """Return as many of the examples as are read."""
    if len(transfer) <= _READ:
        return transfer
    rows = np.linspace(0, len(transfer) - 1, _READ).astype(np.int64)
    labels, logits = (None if each is None else each[rows] for each in (transfer.labels, transfer.logits))
    texts = [transfer.texts[row] for row in rows.tolist()]
    return replace(transfer, texts=texts, labels=labels, logits=logits, hidden=None)


def _targets(transfer: harness.Examples) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return which texts have a target, (N,), and the targets, (M, C): probabilities, or one score."""
    found = transfer.task_type.targets(transfer)
    if found is None:
        raise harness.HarnessError(
            'cannot choose words = "telling": there are neither logits nor gold labels'
        )
    return found


def _told(
    texts: NDArray[np.int64], sums: NDArray[np.float64], targets: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the information of V words, (V,), from their counts of texts and summed targets (V, C)."""
    from scipy.special import rel_entr

    means = sums / texts[:, None]
    if targets.shape[1] == 1:
        spread = max(float(targets.var()), 1e-12)
        return np.asarray(texts * (means[:, 0] - targets.mean()) ** 2 / (2 * spread))
    return np.asarray(texts * rel_entr(means, targets.mean(0)).sum(1))
