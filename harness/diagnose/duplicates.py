"""Texts that stand more than once: exactly, but for case and spacing, or nearly.

Near duplicates have a Jaccard similarity of 0.7 or more of their pairs of neighbouring words. Candidates come
from MinHash signatures in bands (Broder, 1997; Leskovec et al., 2014, ch. 3) and are then compared in full,
each with a few others at most, so that the cost grows with the number of texts only.
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
MOST = 20_000  # texts of a split that are searched for near duplicates; of more, as many at even distances
_BANDS, _ROWS = 16, 4  # a pair at 0.7 is found with probability 0.99, one at 0.3 is looked at with 0.12
_FELLOWS = 8  # texts of a bucket that another is compared with
_SHINGLES = 256  # pairs of words of a text, at most: those of the smallest hashes, a fair sample of all
_PRIME = (1 << 31) - 1


class Repeats(NamedTuple):
    """How many texts of a list stand elsewhere; each counts once, under the first that fits."""

    exact: int
    folded: int  # differ in case or spacing alone
    near: int


def fold(text: str) -> str:
    """A text without what duplicates may differ in: case and spacing."""
    return " ".join(text.split()).casefold()


def within(texts: Sequence[str]) -> Repeats:
    """The texts of a list that repeat an earlier one."""
    return _repeats(texts, None)


def between(reference: Sequence[str], texts: Sequence[str]) -> Repeats:
    """The texts of a list that stand in another."""
    return _repeats(texts, reference)


def sample(texts: Sequence[str], most: int = MOST) -> list[str]:
    """At most so many of the texts, at even distances."""
    return list(texts) if len(texts) <= most else [texts[i * len(texts) // most] for i in range(most)]


def conflicts(rows: Iterable[tuple[str, str]]) -> tuple[int, int, int]:
    """Of (text, label), up to case and spacing: how many texts have two labels or more; how many rows repeat
    a text; and how many rows no model can get right, since most of their text's rows say otherwise.
    """
    labels: defaultdict[str, Counter[str]] = defaultdict(Counter)
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
    """Jaccard's: what two sets share of what they have together."""
    return len(a & b) / (len(a | b) or 1)


def shingled(plain: str) -> frozenset[int]:
    """Hashes of a text's pairs of neighbouring words; of a text of one word, of that word."""
    words = plain.split()
    pairs = [f"{a} {b}" for a, b in pairwise(words)] or words or [""]
    hashes = {crc32(pair.encode("utf-8", "replace")) for pair in pairs}
    return frozenset(hashes if len(hashes) <= _SHINGLES else sorted(hashes)[:_SHINGLES])


def _keyed(texts: Sequence[str]) -> list[tuple[frozenset[int], list[tuple[int, bytes]]]]:
    """Each text's shingles, and the buckets that it falls into."""
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
