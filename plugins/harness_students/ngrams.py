"""Featuriser of hashed words and n-grams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar
from zlib import crc32

import numpy as np

from harness.api import Examples, Tokeniser
from harness.featurise.checks import check_numbers, limit_of, rule_of
from harness.featurise.featuriser import UNKNOWN, Featuriser
from harness.featurise.splitting import Split, splits, with_unknown
from harness.featurise.words import CHARACTERS, RULE, words_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WORD, _CHARACTERS = 1, 0  # initial values of hashes: the word "in" and the n-gram "in" differ
_STEP = 116_049_371  # factor from one word's hash to the next, as in fastText
_MOST = 1000  # words or characters in an n-gram; more cannot be meant
_REMEMBERED = 200_000  # size of the cache of words' ids
_USUAL = 20  # characters; the words of ordinary texts are shorter on average, so that they lose nothing


@dataclass(frozen=True, kw_only=True)
class HashedWords(Tokeniser):
    """Hashed words and n-grams, for :class:`HashedNgrams`; nothing is fitted."""

    name = "hashed-words"
    version: ClassVar[int] = 2

    buckets: int
    words: int  # longest word n-gram
    min_characters: int
    max_characters: int
    longest: int

    def fit(self, transfer: Examples) -> HashedNgrams:
        """See :class:`harness.api.Tokeniser`."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return HashedNgrams(**own)


class HashedNgrams(Featuriser):
    """Lower-cased words, word n-grams and character n-grams, hashed into buckets.

    Nothing is fitted, and no word is unknown. Words are written in brackets, as ``<word>``, before character
    n-grams are taken, so that beginnings differ from ends (Bojanowski et al., 2017). The hash is CRC-32 of
    UTF-8, which is the same in every process. The hash of several words is a polynomial of their hashes.

    Of words longer than `characters`, the beginning and the end are read; None: all, as earlier versions did.
    A text has at most as many ids as `longest` words of _USUAL characters; later words have no character
    n-grams.
    """

    type = "hashed-ngrams"

    def __init__(
        self,
        buckets: int,
        words: int,
        min_characters: int,
        max_characters: int,
        longest: int,
        characters: int | None = CHARACTERS,
        rule: int = RULE,
    ) -> None:
        self.buckets = buckets
        self.words = words
        self.min_characters = min_characters
        self.max_characters = max_characters
        self.longest = longest
        self.characters = characters
        self.rule = rule
        each = 1 + _USUAL * max(0, max_characters - min_characters + 1)
        self._most = None if characters is None else longest * each  # ids, without those of word n-grams
        self.size = buckets + 2
        self._pieces: dict[str, tuple[int, tuple[int, ...]]] = {}  # word → its hash and ids

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """See :class:`Featuriser`."""
        limits = (self.longest, self.characters, self.rule)
        return [self._encode(words_of(text, *limits)) or [UNKNOWN] for text in texts]

    def _encode(self, words: list[str]) -> list[int]:
        buckets, most = self.buckets, self._most
        ids: list[int] = []
        single: list[int] = []  # the words' hashes
        for number, pieces in self._remembered(words):
            single.append(number)
            ids += pieces if most is None or len(ids) + len(pieces) <= most else pieces[:1]
        # The hash of n words is computed from that of the first n - 1.
        hashes = single
        for count in range(1, self.words):
            pairs = zip(hashes, single[count:], strict=False)
            hashes = [(before * _STEP + word) & 0xFFFFFFFF for before, word in pairs]
            ids += [number % buckets + 2 for number in hashes]
        return ids

    def blocks(self, texts: Sequence[str]) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int64]]]:
        """See :meth:`Featuriser.blocks`."""
        for split in splits(texts, self.longest, self.characters, self.rule):
            yield with_unknown(*self._joined(split))

    def _joined(self, split: Split) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return the ids of texts, copied in runs from those of the different words and of all n-grams."""
        found = self._remembered(split.words)
        sources = [np.fromiter(chain.from_iterable(pieces for _, pieces in found), np.int32)]
        sizes = np.array([len(pieces) for _, pieces in found], dtype=np.int64)
        starts = (np.cumsum(sizes) - sizes)[split.numbers]
        runs = self._limited(sizes[split.numbers], split.offsets)
        # The runs of a text are one for each word, then one for each length of word n-grams.
        single = np.array([number for number, _ in found], dtype=np.uint32)[split.numbers]
        hashes, held = single, len(sources[0])
        more: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        for count in range(1, self.words):
            hashes = hashes[:-1] * np.uint32(_STEP) + single[count:]  # modulo 2³², as in `_encode`
            more.append((held + split.offsets[:-1], np.maximum(split.lengths - count, 0)))
            sources.append((hashes % np.uint32(self.buckets) + 2).astype(np.int32))
            held += len(hashes)
        if more:
            ends = np.repeat(split.offsets[1:], len(more))
            starts = np.insert(starts, ends, np.stack([start for start, _ in more], axis=1).ravel())
            runs = np.insert(runs, ends, np.stack([run for _, run in more], axis=1).ravel())
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(runs)])
        places = np.repeat(starts - before[:-1], runs) + np.arange(before[-1])
        texts = split.offsets + len(more) * np.arange(len(split.offsets))
        return np.concatenate(sources)[places], np.diff(before[texts])

    def _limited(self, sizes: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many ids each word has, given those of its pieces: later words have no pieces."""
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        most = before[-1] if self._most is None else self._most
        for text in np.flatnonzero(np.diff(before[offsets]) > most).tolist():
            held = 0
            for word in range(offsets[text], offsets[text + 1]):
                if held + sizes[word] > most:
                    sizes[word] = 1
                held += sizes[word]
        return sizes

    def _remembered(self, words: list[str]) -> list[tuple[int, tuple[int, ...]]]:
        """Return the hash of each word, and the ids of its pieces."""
        known = self._pieces
        if len(known) > _REMEMBERED:
            known.clear()
        for word in words:
            if word not in known:
                known[word] = crc32(word.encode(), _WORD), self._pieces_of(word)
        return [known[word] for word in words]

    def _pieces_of(self, word: str) -> tuple[int, ...]:
        """Return the ids of a word and of its character n-grams."""
        if word == "[mask]":  # replaces a word that must stay unknown
            return (UNKNOWN,)
        ids = [self._bucket(crc32(word.encode(), _WORD))]
        if word == "[sep]":  # the separator of a pair is not a word
            return tuple(ids)
        bracketed = f"<{word}>"
        for length in range(self.min_characters, self.max_characters + 1):
            for start in range(len(bracketed) - length + 1):
                piece = bracketed[start : start + length]
                if piece not in "<>":  # skip single brackets
                    ids.append(self._bucket(crc32(piece.encode(), _CHARACTERS)))
        return tuple(ids)

    def _bucket(self, number: int) -> int:
        return number % self.buckets + 2  # after padding and unknown

    def state(self) -> dict[str, Any]:
        """See :class:`Featuriser`."""
        names = ("buckets", "words", "min_characters", "max_characters", "longest", "characters", "rule")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> HashedNgrams:
        """See :class:`Featuriser`."""
        least = {"buckets": 1, "words": 1, "min_characters": 1, "max_characters": 0, "longest": 1}
        check_numbers(state, **least, **limit_of(state, "characters"))
        if max(state["words"], state["max_characters"]) > _MOST:
            raise ValueError(f"expected n-grams of at most {_MOST} words or characters")
        own = {name: value for name, value in state.items() if name != "type"}
        return cls(**{"characters": None} | own | {"rule": rule_of(state)})
