"""Featuriser of hashed words and n-grams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zlib import crc32

from harness.featurise.checks import check_numbers, limit_of
from harness.featurise.featuriser import UNKNOWN, Featuriser
from harness.featurise.words import CHARACTERS, words_of

_WORD, _CHARACTERS = 1, 0  # initial values of hashes: the word "in" and the n-gram "in" differ
_STEP = 116_049_371  # factor from one word's hash to the next, as in fastText
_MOST = 1000  # words or characters in an n-gram; more cannot be meant
_REMEMBERED = 200_000  # size of the cache of words' ids
_USUAL = 20  # characters; the words of ordinary texts are shorter on average, so that they lose nothing


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
    ) -> None:
        self.buckets = buckets
        self.words = words
        self.min_characters = min_characters
        self.max_characters = max_characters
        self.longest = longest
        self.characters = characters
        each = 1 + _USUAL * max(0, max_characters - min_characters + 1)
        self._most = None if characters is None else longest * each  # ids, without those of word n-grams
        self.size = buckets + 2
        self._pieces: dict[str, tuple[int, tuple[int, ...]]] = {}  # word → its hash and ids

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """See :class:`Featuriser`."""
        return [self._encode(words_of(text, self.longest, self.characters)) or [UNKNOWN] for text in texts]

    def _encode(self, words: list[str]) -> list[int]:
        known, buckets, most = self._pieces, self.buckets, self._most
        if len(known) > _REMEMBERED:
            known.clear()
        ids: list[int] = []
        single: list[int] = []  # the words' hashes
        for word in words:
            found = known.get(word)
            if found is None:
                found = known[word] = crc32(word.encode(), _WORD), self._pieces_of(word)
            single.append(found[0])
            ids += found[1] if most is None or len(ids) + len(found[1]) <= most else found[1][:1]
        # The hash of n words is computed from that of the first n - 1.
        hashes = single
        for count in range(1, self.words):
            pairs = zip(hashes, single[count:], strict=False)
            hashes = [(before * _STEP + word) & 0xFFFFFFFF for before, word in pairs]
            ids += [number % buckets + 2 for number in hashes]
        return ids

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
        names = ("buckets", "words", "min_characters", "max_characters", "longest", "characters")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> HashedNgrams:
        """See :class:`Featuriser`."""
        least = {"buckets": 1, "words": 1, "min_characters": 1, "max_characters": 0, "longest": 1}
        check_numbers(state, **least, **limit_of(state, "characters"))
        if max(state["words"], state["max_characters"]) > _MOST:
            raise ValueError(f"expected n-grams of at most {_MOST} words or characters")
        return cls(**{"characters": None} | {name: value for name, value in state.items() if name != "type"})
