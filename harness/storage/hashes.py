"""Remember which texts a set contains, by a hash of 8 bytes for each, so that sets of 10⁷ texts need 80 MB.

Two different texts among n have the same hash with a probability of about n² / 2⁶⁵: 3 in a million for 10⁷.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 4096  # texts that are looked up together
_LONGEST = 1 << 22  # hashes in a sorted run; merging two runs needs as much memory again


class Hashes:
    """A set of hashes, in sorted runs of doubling lengths, each of at most 2²² hashes."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._runs: list[NDArray[np.uint64]] = []  # the longest first
        texts = iter(texts)
        while block := list(islice(texts, BLOCK)):
            self.add(hashes_of(block))

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def copy(self) -> Hashes:
        """Return a set that can grow on its own; the hashes so far are shared."""
        other = Hashes()
        other._runs = list(self._runs)
        return other

    def unseen(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Return which of some hashes (N,) are not in the set; of equal ones, only the first is unseen."""
        distinct, firsts = np.unique(keys, return_index=True)
        found = np.zeros(len(keys), dtype=np.bool_)
        found[firsts[self.missing(distinct)]] = True
        return found

    def missing(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Return which of some hashes (N,) are not in the set."""
        new = np.ones(len(keys), dtype=np.bool_)
        for run in self._runs:
            places = np.minimum(np.searchsorted(run, keys), len(run) - 1)
            new &= run[places] != keys
        return new

    def add(self, keys: NDArray[np.uint64]) -> None:
        """Add hashes to the set."""
        new = np.sort(keys[self.unseen(keys)])
        if not len(new):
            return
        while self._runs and (last := len(self._runs[-1])) <= 2 * len(new) and last + len(new) <= _LONGEST:
            new = np.sort(np.concatenate([self._runs.pop(), new]), kind="stable")  # merges sorted runs
        self._runs.append(new)


def hashes_of(texts: Iterable[str]) -> NDArray[np.uint64]:
    """Return a hash (N,) of each text, without its case and white space."""
    folded = (" ".join(text.lower().split()).encode("utf-8", "surrogatepass") for text in texts)
    return np.frombuffer(b"".join(blake2b(text, digest_size=8).digest() for text in folded), dtype=np.uint64)


def fresh(
    made: Iterable[tuple[int, str]], seen: Hashes, most: int | None = None
) -> Iterator[tuple[int, str]]:
    """Yield (row, text) of at most `most` texts that were not seen before, and add these to `seen`."""
    made = iter(made)
    left = most
    while left != 0 and (block := list(islice(made, BLOCK if left is None else min(BLOCK, left)))):
        keys = hashes_of(text for _, text in block)
        places = np.flatnonzero(seen.unseen(keys))
        seen.add(keys[places])
        if left is not None:
            left -= len(places)
        yield from (block[place] for place in places.tolist())
