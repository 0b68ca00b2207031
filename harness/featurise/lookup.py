"""Look up the ids of the words of many texts at once, for ASCII with arrays in place of strings.

The bytes of a word of up to 16 characters are two numbers of 64 bits, which are sought in a hash table with
linear probing. The ids are those of :func:`harness.featurise.words.words_of` and a dictionary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import compress
from typing import TYPE_CHECKING

import numpy as np

from harness.featurise.splitting import WHOLE, before, in_blocks, kinds_of_characters, splits
from harness.featurise.words import RULE, UNKNOWN, cut

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Found = tuple[NDArray[np.int32], NDArray[np.int64]]

_SPACE, _WORD, _APOSTROPHE = 0, 2, 3  # kinds of characters
_AT_ONCE = 1 << 17  # characters of texts that are looked up at once, so that arrays stay in the caches
_LITTLE = 2_048  # characters for which arrays are not worth their start
_MOST = 16  # bytes of a word in the table
_KEEP = np.array([(1 << 8 * count) - 1 for count in range(9)], dtype=np.uint64)  # the first bytes of a number
_MIX, _MIX_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)


class Lookup:
    """The ids of a vocabulary, and how texts are cut: see :class:`harness.featurise.featuriser.Words`."""

    def __init__(self, ids: Mapping[str, int], longest: int, characters: int | None, rule: int) -> None:
        self.ids, self.longest, self.characters, self.rule = ids, longest, characters, rule
        self.others = {word: number for word, number in ids.items() if word.isascii() and len(word) > _MOST}
        short = {word: number for word, number in ids.items() if word.isascii() and 0 < len(word) <= _MOST}
        self.bits = max(4, len(short).bit_length() + 2)
        self.last = (1 << self.bits) - 1
        self.first = np.zeros(self.last + 1, dtype=np.uint64)
        self.second = np.zeros(self.last + 1, dtype=np.uint64)
        self.numbers = np.zeros(self.last + 1, dtype=np.int32)  # 0: nothing is there
        lengths = np.fromiter(map(len, short), np.int64, len(short))
        keys = _keys("".join(short).encode("ascii"), before(lengths)[:-1], lengths)
        self._fill(*keys, np.fromiter(short.values(), np.int32, len(short)))

    def _fill(self, first: NDArray[np.uint64], second: NDArray[np.uint64], ids: NDArray[np.int32]) -> None:
        slots = self._slots(first, second)
        pending = np.arange(len(ids))
        while pending.size:
            free = pending[self.numbers[slots[pending]] == 0]
            placed = free[np.unique(slots[free], return_index=True)[1]]
            at = slots[placed]
            self.first[at], self.second[at], self.numbers[at] = first[placed], second[placed], ids[placed]
            pending = np.setdiff1d(pending, placed, assume_unique=True)
            slots[pending] = (slots[pending] + 1) & self.last

    def _slots(self, first: NDArray[np.uint64], second: NDArray[np.uint64]) -> NDArray[np.int64]:
        mixed = (first * _MIX) ^ (second * _MIX_2)
        mixed *= _MIX
        mixed >>= np.uint64(64 - self.bits)
        return mixed.view(np.int64)

    def find(self, first: NDArray[np.uint64], second: NDArray[np.uint64]) -> NDArray[np.int32]:
        """Return the ids of words, (T,), given the two numbers of each."""
        slots = self._slots(first, second)
        ids = self.numbers.take(slots)
        wrong = self.first.take(slots) != first
        wrong |= self.second.take(slots) != second
        pending = np.flatnonzero(wrong)
        ids[pending] = UNKNOWN
        while pending.size:
            pending = pending[self.numbers[slots[pending]] > 0]  # an empty slot: there is no such word
            slots[pending] = at = (slots[pending] + 1) & self.last
            found = (self.first[at] == first[pending]) & (self.second[at] == second[pending])
            ids[pending[found]] = self.numbers[at[found]]
            pending = pending[~found]
        return np.maximum(ids, UNKNOWN, out=ids)

    def blocks(self, texts: Sequence[str]) -> Iterator[Found]:
        """Yield the ids of the words of texts, text by text, and the number of each text's; 0 for none."""
        for block in in_blocks(texts, _AT_ONCE):
            plain = [text.isascii() for text in block]
            if sum(map(len, block)) < _LITTLE or not any(plain):
                yield self._split(block)
            elif all(plain):
                yield self.of_ascii(block)
            else:
                others = self._split([text for text in block if not text.isascii()])
                yield _merged(np.array(plain), self.of_ascii([*compress(block, plain)]), others)

    def _split(self, texts: Sequence[str]) -> Found:
        """Return the ids of texts in any script, and the number of each text's."""
        known = self.ids.__getitem__
        ids, lengths = [np.zeros(0, dtype=np.int32)], [np.zeros(0, dtype=np.int64)]
        for found in splits(texts, self.longest, self.characters, self.rule):
            ids.append(np.array([*map(known, found.words)], dtype=np.int32)[found.numbers])
            lengths.append(found.lengths)
        return np.concatenate(ids), np.concatenate(lengths)

    def of_ascii(self, texts: Sequence[str]) -> Found:
        """Return the ids of the words of ASCII texts, text by text, and the number of each text's."""
        joined = "\n".join(["", *texts, ""]).lower().encode("ascii")  # every character has neighbours
        kinds = np.frombuffer(joined.translate(_kinds()), np.uint8)
        solid = kinds != _SPACE
        inner = kinds == _WORD
        apostrophes = np.flatnonzero(kinds == _APOSTROPHE)
        inner[apostrophes] = inner[apostrophes - 1] & inner[apostrophes + 1]
        first = solid.copy()  # whether a word starts here
        first[1:] &= ~(inner[1:] & inner[:-1])
        for whole in WHOLE:
            at = joined.find(whole.encode("ascii"))
            while at >= 0:
                first[at + 1] = first[at + len(whole) - 1] = False
                at = joined.find(whole.encode("ascii"), at + 1)
        starts = np.flatnonzero(first)
        lengths = np.flatnonzero(solid[:-1] & (first | ~solid)[1:]) + 1 - starts
        begins = 1 + before(np.fromiter(map(len, texts), np.int64, len(texts)) + 1)
        offsets = np.searchsorted(starts, begins)
        counts = np.diff(offsets)
        if (counts > self.longest).any():
            read = np.arange(len(starts)) - np.repeat(offsets[:-1], counts) < self.longest
            starts, lengths = starts[read], lengths[read]
            counts = np.minimum(counts, self.longest)
        ids = self.find(*_keys(joined, starts, lengths))
        for place in np.flatnonzero(lengths > _MOST).tolist():
            start = int(starts[place])
            word = joined[start : start + int(lengths[place])].decode("ascii")
            ids[place] = self.others.get(cut(word, self.characters), UNKNOWN)
        if self.characters is not None and self.characters < _MOST:  # even short words are cut
            self._cut(joined, starts, lengths, ids)
        return ids, counts

    def _cut(
        self, joined: bytes, starts: NDArray[np.int64], lengths: NDArray[np.int64], ids: NDArray[np.int32]
    ) -> None:
        """Set the ids of words that are longer than `characters`, and fit into the table when cut."""
        assert self.characters is not None
        places = np.flatnonzero(lengths > self.characters)
        spans = zip(starts[places].tolist(), lengths[places].tolist(), strict=True)
        words = [cut(joined[at : at + count].decode("ascii"), self.characters) for at, count in spans]
        sizes = np.fromiter(map(len, words), np.int64, len(words))
        ids[places] = self.find(*_keys("".join(words).encode("ascii"), before(sizes)[:-1], sizes))


def _merged(chosen: NDArray[np.bool_], first: Found, second: Found) -> Found:
    """Return the ids and lengths of all texts, (N,), given those of the chosen ones and of the others."""
    lengths = np.empty(len(chosen), dtype=np.int64)
    lengths[chosen], lengths[~chosen] = first[1], second[1]
    ids = np.empty(int(lengths.sum()), dtype=np.int32)
    of_chosen = np.repeat(chosen, lengths)
    ids[of_chosen], ids[~of_chosen] = first[0], second[0]
    return ids, lengths


def _keys(
    text: bytes, starts: NDArray[np.int64], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return the first and the second 8 bytes of words as numbers, (T,) each, with zeros after a word."""
    data = text + bytes(_MOST)
    every = np.ndarray((len(data) - 7,), "<u8", data, strides=(1,))  # the number that starts at each byte
    first = every[starts] & _KEEP.take(np.minimum(lengths, 8))
    second = np.zeros_like(first)
    longer = np.flatnonzero(lengths > 8)
    rest = np.minimum(lengths[longer] - 8, 8)
    second[longer] = every[starts[longer] + 8] & _KEEP.take(rest)
    return first, second


def _kinds() -> bytes:
    """Return the kind of each byte, for ``bytes.translate``; of ASCII, all rules see the same."""
    return kinds_of_characters(RULE)[:128].tobytes() + bytes(128)
