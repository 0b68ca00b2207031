"""Split many texts into words at once: the words are those of :func:`harness.featurise.words.words_of`.

The texts of a block are joined and seen as an array of characters. A table, made with the regular expression
of words, gives the kind of each one, and array operations find where words start and end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import chain, pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from harness.featurise.words import CHARACTERS, RULE, UNKNOWN, combining, words_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BLOCK = 1 << 19  # characters that are split at once, so that most arrays fit into the caches
_FEW, _LITTLE = 32, 1 << 16  # texts, and characters, for which arrays and Arrow are not worth their start
_CODEC, _CODE = "utf-32-le", np.dtype("<u4")
_SPACE, _MARK, _WORD, _APOSTROPHE, _COMBINING = range(5)  # kinds of characters
WHOLE = ("[mask]", "[sep]")  # several marks and letters that are one word


class Split(NamedTuple):
    """The words of N texts; T is their number, and V that of different ones."""

    words: list[str]  # (V,): in the order of their first occurrence
    numbers: NDArray[np.int32]  # (T,): the place in `words` of each word, text by text
    offsets: NDArray[np.int64]  # (N + 1,): the number of words before each text, and of all

    @property
    def counts(self) -> NDArray[np.int64]:
        """Return how often each of the different words occurs, (V,)."""
        return np.bincount(self.numbers, minlength=len(self.words))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Return the number of words of each text, (N,)."""
        return np.diff(self.offsets)


def splits(
    texts: Iterable[str], most: int | None = None, characters: int | None = CHARACTERS, rule: int = RULE
) -> Iterator[Split]:
    """Yield the words of any number of texts, in blocks; see :func:`words_of` for the limits and the rule."""
    return (_split(block, most, characters, rule) for block in in_blocks(texts))


def in_blocks(texts: Iterable[str], most: int = _BLOCK) -> Iterator[list[str]]:
    """Yield texts in lists of about `most` characters, or of one longer text."""
    block: list[str] = []
    held = 0
    for text in texts:
        if block and held + len(text) > most:
            yield block
            block, held = [], 0
        block.append(text)
        held += len(text) + 1
    if block:
        yield block


def with_unknown(
    ids: NDArray[np.int32], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the ids of texts, and the number of each text's, with UNKNOWN for each text without any."""
    if lengths.all():
        return ids, lengths
    return np.insert(ids, np.cumsum(lengths)[lengths == 0], UNKNOWN), np.maximum(lengths, 1)


def _split(texts: Sequence[str], most: int | None, characters: int | None, rule: int) -> Split:
    if len(texts) < _FEW or sum(map(len, texts)) < _LITTLE:
        known: dict[str, int] = {}
        found = [
            [known.setdefault(w, len(known)) for w in words_of(t, most, characters, rule)] for t in texts
        ]
        numbers = np.array([*chain.from_iterable(found)], dtype=np.int32)
        return Split([*known], numbers, before([len(each) for each in found]))
    lowered = [text.lower() for text in texts]
    joined = "\n".join(["", *lowered, ""])  # so that every character has neighbours
    codes = np.frombuffer(joined.encode(_CODEC, "surrogatepass"), _CODE)
    kinds = kinds_of_characters(rule).take(codes)
    solid = kinds != _SPACE
    inner = kinds == _WORD
    marks = np.flatnonzero(kinds == _COMBINING)
    if marks.size:  # they belong to a word if the character before them and their like does
        base = np.maximum.accumulate(np.where(kinds == _COMBINING, 0, np.arange(len(kinds))))
        inner[marks] = inner[base[marks]]
    apostrophes = np.flatnonzero(kinds == _APOSTROPHE)
    inner[apostrophes] = inner[apostrophes - 1] & (kinds[apostrophes + 1] == _WORD)
    first = solid.copy()  # whether a word starts here
    first[1:] &= ~(inner[1:] & inner[:-1])
    opening = np.flatnonzero(codes == ord("["))
    for word in WHOLE if len(opening) else ():
        at = opening[opening < len(codes) - len(word)]
        for place, character in enumerate(word):
            at = at[codes[at + place] == ord(character)]
        first[at + 1] = first[at + len(word) - 1] = False
    starts = np.flatnonzero(first)
    lengths = np.flatnonzero(solid[:-1] & (first | ~solid)[1:]) + 1 - starts
    begins = 1 + before([len(text) + 1 for text in lowered])
    offsets = np.searchsorted(starts, begins)
    counts = np.diff(offsets)
    if most is not None and (counts > most).any():
        for text in np.flatnonzero(counts > most).tolist():
            solid[starts[offsets[text] + most] : begins[text + 1]] = False
        read = np.arange(len(starts)) - np.repeat(offsets[:-1], counts) < most
        starts, lengths = starts[read], lengths[read]
        offsets = before(np.minimum(counts, most))
    if characters is not None and (long := np.flatnonzero(lengths > characters)).size:
        half = characters // 2
        for start, length in zip(starts[long].tolist(), lengths[long].tolist(), strict=True):
            solid[start + characters - half : start + length - half] = False
        lengths[long] = characters
    return Split(*_numbered(np.compress(solid, codes), lengths), offsets)


def _numbered(codes: NDArray[np.uint32], lengths: NDArray[np.int64]) -> tuple[list[str], NDArray[np.int32]]:
    """Return the different words, and the number of each word, which have these lengths in `codes`."""
    import pyarrow as pa

    if not len(lengths):
        return [], np.zeros(0, dtype=np.int32)
    ends = (before(lengths) * _CODE.itemsize).astype(np.int32)
    data = [None, pa.py_buffer(ends), pa.py_buffer(codes)]
    encoded = pa.Array.from_buffers(pa.binary(), len(lengths), data).dictionary_encode()
    _, bounds, every = encoded.dictionary.buffers()
    places = (np.frombuffer(bounds, np.int32, len(encoded.dictionary) + 1) // _CODE.itemsize).tolist()
    text = np.frombuffer(every, _CODE, places[-1]).tobytes().decode(_CODEC, "surrogatepass")
    numbers = np.asarray(np.from_dlpack(encoded.indices), np.int32)  # Arrow's own method would import pandas
    return [text[start:end] for start, end in pairwise(places)], numbers


def before(lengths: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sum of the lengths (N,) before each one, and of all, (N + 1,)."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


@cache
def kinds_of_characters(rule: int) -> NDArray[np.uint8]:
    """Return the kind of each character, as the regular expression of words sees it."""
    every = np.arange(0x110000, dtype=_CODE).tobytes().decode(_CODEC, "surrogatepass")
    kinds = np.full(len(every), _WORD, dtype=np.uint8)
    for found in re.finditer(r"(\s+)|[^\w\s]+", every):
        kinds[found.start() : found.end()] = _SPACE if found[1] else _MARK
    kinds[[ord("'"), ord("’")]] = _APOSTROPHE
    if rule > 1:
        kinds[[*map(ord, combining())]] = _COMBINING
    return kinds
