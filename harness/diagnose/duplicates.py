"""Find exact and near duplicates among texts.

Near duplicates have a Jaccard similarity of 0.7 or more between their sets of pairs of neighbouring words.
Candidates come from MinHash signatures in bands (Broder, 1997; Leskovec et al., 2014, ch. 3). Each candidate
is compared in full with a few others at most, so the cost is linear in the number of texts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ALIKE = 0.7  # similarity of near duplicates
MOST = 20_000  # maximum number of texts per split that are searched for near duplicates, evenly spaced
_BANDS, _ROWS = 16, 4  # probability to compare a pair: 0.99 at a similarity of 0.7, and 0.12 at 0.3
_FELLOWS = 8  # maximum number of texts of a bucket that are compared with another text
_SHINGLES = 256  # maximum number of pairs of words per text: those with the smallest hashes, a fair sample
_PRIME = (1 << 31) - 1


class Repeats(NamedTuple):
    """The number of duplicate texts by kind; each text counts once, for the first kind that fits."""

    exact: int
    folded: int  # differ only in case or spacing
    near: int


def fold(text: str) -> str:
    """Return a text in one case and with single spaces, for comparison."""
    return " ".join(text.split()).casefold()


def within(texts: Sequence[str]) -> Repeats:
    """Count the texts of a list that duplicate an earlier one."""
    return _repeats(texts, None)


def between(reference: Sequence[str], texts: Sequence[str]) -> Repeats:
    """Count the texts of a list that are duplicates of texts in `reference`."""
    return _repeats(texts, reference)


def sample(texts: Sequence[str], most: int = MOST) -> list[str]:
    """Return at most `most` of the texts, evenly spaced."""
    return list(texts) if len(texts) <= most else [texts[i * len(texts) // most] for i in range(most)]


def conflicts(rows: Iterable[tuple[str, tuple[str, ...]]]) -> tuple[int, int, int]:
    """Count contradictory labels among rows (text, names of its labels).

    Texts that differ only in case or spacing are equal. Return the number of texts with two or more labels,
    the number of rows whose text occurs more than once, and the number of rows whose label differs from the
    most frequent one of their text. No model can get the latter right.
    """
    labels: defaultdict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
    for text, label in rows:
        labels[fold(text)][label] += 1
    repeated = [counts for counts in labels.values() if counts.total() > 1]
    wrong = sum(counts.total() - max(counts.values()) for counts in repeated)
    return (
        sum(len(counts) > 1 for counts in repeated),
        sum(counts.total() for counts in repeated),
        wrong,
    )


def _repeats(texts: Sequence[str], reference: Sequence[str] | None) -> Repeats:
    exact, folded = set(reference or ()), {fold(text) for text in reference or ()}
    buckets: dict[tuple[int, bytes], list[frozenset[int]]] = defaultdict(list)
    if reference is not None:
        for shingles, keys in _keyed(sample(list(dict.fromkeys(map(fold, reference))))):
            _enter(buckets, shingles, keys)
    found: Counter[str] = Counter()
    fresh: list[str] = []
    for text in texts:
        plain = fold(text)
        if text in exact:
            found["exact"] += 1
        elif plain in folded:
            found["folded"] += 1
        else:
            fresh.append(plain)
        if reference is None:
            exact.add(text)
            folded.add(plain)
    for shingles, keys in _keyed(sample(fresh)):
        found["near"] += _has_twin(buckets, shingles, keys)
        if reference is None:
            _enter(buckets, shingles, keys)
    return Repeats(found["exact"], found["folded"], found["near"])


def _enter(
    buckets: Mapping[tuple[int, bytes], list[frozenset[int]]],
    shingles: frozenset[int],
    keys: list[tuple[int, bytes]],
) -> None:
    for key in keys:
        if len(buckets[key]) < _FELLOWS:
            buckets[key].append(shingles)


def _has_twin(
    buckets: Mapping[tuple[int, bytes], list[frozenset[int]]],
    shingles: frozenset[int],
    keys: list[tuple[int, bytes]],
) -> bool:
    return any(similarity(shingles, other) >= ALIKE for key in keys for other in buckets.get(key, ()))


def similarity(a: frozenset[int], b: frozenset[int]) -> float:
    """Return the Jaccard similarity: the size of the intersection divided by that of the union."""
    return len(a & b) / (len(a | b) or 1)


def shingled(plain: str) -> frozenset[int]:
    """Return hashes of a text's pairs of neighbouring words, or of its word if it has only one."""
    words = plain.split()
    pairs = [f"{a} {b}" for a, b in pairwise(words)] or words or [""]
    hashes = {crc32(pair.encode("utf-8", "replace")) for pair in pairs}
    return frozenset(hashes if len(hashes) <= _SHINGLES else sorted(hashes)[:_SHINGLES])


def _keyed(texts: Sequence[str]) -> list[tuple[frozenset[int], list[tuple[int, bytes]]]]:
    """Return the shingles of each text, and the keys of its buckets."""
    if not texts:
        return []
    every = [shingled(text) for text in texts]
    signatures = _signatures(every)  # (N, bands × rows)
    return [
        (
            shingles,
            [(band, row[band * _ROWS : (band + 1) * _ROWS].tobytes()) for band in range(_BANDS)],
        )
        for shingles, row in zip(every, signatures, strict=True)
    ]


def _signatures(every: Sequence[frozenset[int]]) -> NDArray[np.uint32]:
    import numpy as np

    generator = np.random.default_rng(0)
    a, b = generator.integers(1, _PRIME, (2, _BANDS * _ROWS), dtype=np.uint64)
    sizes = np.array([len(shingles) for shingles in every])
    flat = np.fromiter((hashed for shingles in every for hashed in shingles), np.uint64, int(sizes.sum()))
    flat %= np.uint64(_PRIME)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    signatures = np.empty((len(every), _BANDS * _ROWS), np.uint32)
    for column, (factor, shift) in enumerate(zip(a, b, strict=True)):
        hashed = (flat * factor + shift) % np.uint64(_PRIME)
        signatures[:, column] = np.minimum.reduceat(hashed, starts)
    return signatures
