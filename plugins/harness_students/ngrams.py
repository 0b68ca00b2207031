"""Texts → hashed words and n-grams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zlib import crc32

from harness.featurise.featuriser import UNKNOWN, Featuriser, Words

_WORD, _CHARACTERS = 1, 0  # where the hash starts: the word "in" is not the piece "in" of "thing"
_STEP = 116_049_371  # from a word to the next; the number is fastText's
_REMEMBERED = 200_000  # words whose ids are kept; a text's words repeat


class HashedNgrams(Featuriser):
    """Lower-cased words, n-grams of words, and n-grams of a word's characters, hashed into buckets.

    Nothing is fitted: no word is unknown. Words are bracketed before their characters are taken, as
    ``<word>``, so that a beginning differs from an end (Bojanowski et al., 2017). Hashes are CRC-32 of
    UTF-8, the same in every process; those of several words are polynomials in their words'.
    """

    type = "hashed-ngrams"

    def __init__(
        self, buckets: int, words: int, min_characters: int, max_characters: int, longest: int
    ) -> None:
        self.buckets = buckets
        self.words = words
        self.min_characters = min_characters
        self.max_characters = max_characters
        self.longest = longest
        self.size = buckets + 2
        self._pieces: dict[str, tuple[int, tuple[int, ...]]] = {}  # a word's hash and ids

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """See :class:`Featuriser`."""
        return [self._encode(Words._split(text.lower())[: self.longest]) or [UNKNOWN] for text in texts]

    def _encode(self, words: list[str]) -> list[int]:
        known, buckets = self._pieces, self.buckets
        if len(known) > _REMEMBERED:
            known.clear()
        ids: list[int] = []
        single: list[int] = []  # the words' hashes
        for word in words:
            found = known.get(word)
            if found is None:
                found = known[word] = crc32(word.encode(), _WORD), self._pieces_of(word)
            single.append(found[0])
            ids += found[1]
        # The hash of n words goes on from that of the first n - 1 of them.
        hashes = single
        for count in range(1, self.words):
            pairs = zip(hashes, single[count:], strict=False)
            hashes = [(before * _STEP + word) & 0xFFFFFFFF for before, word in pairs]
            ids += [number % buckets + 2 for number in hashes]
        return ids

    def _pieces_of(self, word: str) -> tuple[int, ...]:
        """The ids of a word and of its characters' n-grams."""
        if word == "[mask]":  # it stands for a word that must not be known
            return (UNKNOWN,)
        ids = [self._bucket(crc32(word.encode(), _WORD))]
        if word == "[sep]":  # what separates the texts of a pair is no word
            return tuple(ids)
        bracketed = f"<{word}>"
        for length in range(self.min_characters, self.max_characters + 1):
            for start in range(len(bracketed) - length + 1):
                piece = bracketed[start : start + length]
                if piece not in "<>":  # a bracket alone says nothing
                    ids.append(self._bucket(crc32(piece.encode(), _CHARACTERS)))
        return tuple(ids)

    def _bucket(self, number: int) -> int:
        return number % self.buckets + 2  # after padding and unknown

    def state(self) -> dict[str, Any]:
        """See :class:`Featuriser`."""
        names = ("buckets", "words", "min_characters", "max_characters", "longest")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> HashedNgrams:
        """See :class:`Featuriser`."""
        return cls(**{name: value for name, value in state.items() if name != "type"})
