"""Featuriser of words for taggers: the form, if it is known, and the spelling."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any
from zlib import crc32

import numpy as np

from harness import Gt, Interval
from harness.api import Examples, Teacher, Tokeniser
from harness.featurise.checks import check_numbers, check_vocabulary, limit_of
from harness.featurise.featuriser import PADDING, UNKNOWN, MarksWords
from harness.featurise.words import CHARACTERS as CUT_TO
from harness.featurise.words import cut

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORM, PREFIX, SUFFIX, SHAPE, CHARACTERS = range(5)  # positions of a word's ids; all characters come last
_AFFIX = 3  # characters
_RUN = 4  # longest run of one kind in a shape, as in spaCy
_MOST = 1000  # characters of a word; more cannot be meant
_REMEMBERED = 200_000  # size of the cache of words' ids
_BLOCK = 4096  # texts whose ids are copied together


class WordFeatures(MarksWords):
    """Ids of each word's form, first and last three characters, shape and characters.

    A word has 4 + `characters` ids. Forms are a lower-cased vocabulary. Affixes, shapes and single characters
    are hashed into separate rows (CRC-32 of UTF-8, which is the same in every process), so that unseen words
    have features too, as in spaCy's MultiHashEmbed. Only the first and last `characters` / 2 characters of a
    longer word are read; a shorter word is padded. The first id of each word, that of its form, is marked.
    Words longer than `cut_to` lose their middle before all this; None: none, as in earlier versions.
    """

    type = "word-features"

    def __init__(
        self,
        vocabulary: Sequence[str],
        affixes: int,
        shapes: int,
        letters: int,
        characters: int,
        longest: int,
        cut_to: int | None = CUT_TO,
    ) -> None:
        self.vocabulary = list(vocabulary)
        self.affixes = affixes
        self.shapes = shapes
        self.letters = letters
        self.characters = characters
        self.longest = longest
        self.cut_to = cut_to
        self._forms = {word: number for number, word in enumerate(self.vocabulary, start=2)}
        rows = (2 + len(self.vocabulary), affixes, affixes, shapes, letters)
        self._starts = [sum(rows[:at]) for at in range(len(rows))]
        self.size = sum(rows)
        self._ids: dict[str, list[int]] = {}

    @property
    def each(self) -> int:
        """Return the number of ids per word."""
        return CHARACTERS + self.characters

    @classmethod
    def fit(cls, texts: Iterable[str], size: int, **options: int) -> WordFeatures:
        """Return a featuriser with the most frequent forms that occur at least twice, `size` - 2 at most."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(_cut(text.lower().split(" "), CUT_TO))
        ranked = sorted((word for word, count in counts.items() if count > 1), key=lambda w: (-counts[w], w))
        return cls(ranked[: size - 2], **options)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """See :class:`Featuriser`."""
        known, found = self._ids.get, []
        for text in texts:
            each = (known(word) or self._remember(word) for word in self._words(text))
            found.append([*chain.from_iterable(each)])
        return found

    def blocks(self, texts: Sequence[str]) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int64]]]:
        """See :meth:`Featuriser.blocks`."""
        for start in range(0, len(texts), _BLOCK):
            found = [self._words(text) for text in texts[start : start + _BLOCK]]
            places: dict[str, int] = {}
            numbers = np.array([places.setdefault(w, len(places)) for words in found for w in words])
            rows = np.array([self._ids.get(word) or self._remember(word) for word in places], dtype=np.int32)
            yield rows[numbers].ravel(), self.each * np.array([len(words) for words in found])

    def _words(self, text: str) -> list[str]:
        """Return the words of a text that are read, without their middle if they are long."""
        return _cut(text.split(" ", self.longest)[: self.longest], self.cut_to)

    def _remember(self, word: str) -> list[int]:
        if len(self._ids) > _REMEMBERED:
            self._ids.clear()
        form, half = word.lower(), self.characters // 2
        read = word if len(word) <= self.characters else word[: self.characters - half] + word[-half:]
        ids = [
            self._forms.get(form, UNKNOWN) + self.size,
            self._row(PREFIX, form[:_AFFIX], self.affixes),
            self._row(SUFFIX, form[-_AFFIX:], self.affixes),
            self._row(SHAPE, shape(word), self.shapes),
            *(self._row(CHARACTERS, letter, self.letters) for letter in read[: self.characters]),
        ]
        ids += [PADDING] * (self.each - len(ids))
        self._ids[word] = ids
        return ids

    def _row(self, feature: int, value: str, rows: int) -> int:
        return self._starts[feature] + crc32(value.encode()) % rows

    def state(self) -> dict[str, Any]:
        """See :class:`Featuriser`."""
        names = ("vocabulary", "affixes", "shapes", "letters", "characters", "longest", "cut_to")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> WordFeatures:
        """See :class:`Featuriser`."""
        check_vocabulary(state)
        least = {"affixes": 1, "shapes": 1, "letters": 1, "characters": 1, "longest": 1}
        check_numbers(state, **least, **limit_of(state, "cut_to"))
        if state["characters"] > _MOST:
            raise ValueError(f"expected at most {_MOST} 'characters', got {state['characters']}")
        return cls(**{"cut_to": None} | {name: value for name, value in state.items() if name != "type"})


def _cut(words: list[str], most: int | None) -> list[str]:
    """Return words without their middle, if they are longer than `most` characters; None: unchanged."""
    long = most is not None and len(max(words, key=len)) > most
    return [cut(word, most) for word in words] if long else words


def shape(word: str) -> str:
    """Return a word with X for capitals, x for other letters, d for digits, and runs cut at four."""
    kinds: list[str] = []
    for character in word:
        if character.isalpha():
            kind = "X" if character.isupper() else "x"
        else:
            kind = "d" if character.isdigit() else character
        if kinds[-_RUN:] != [kind] * _RUN:
            kinds.append(kind)
    return "".join(kinds)


@dataclass(frozen=True, kw_only=True)
class FrequentForms(Tokeniser):
    """The most frequent forms of the texts, and the spelling of all words; see :class:`WordFeatures`."""

    name = "frequent-forms"

    vocabulary: int
    affixes: int
    shapes: int
    letters: int
    characters: int
    longest: int

    def fit(self, transfer: Examples) -> WordFeatures:
        """See :class:`harness.api.Tokeniser`."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return WordFeatures.fit(transfer.texts, own.pop("vocabulary"), **own)


@dataclass(frozen=True, kw_only=True)
class ReadsWords:
    """The parameters of students and teachers that use :class:`WordFeatures`."""

    vocabulary: Annotated[int, Gt(2)] = 4000  # rows for word forms, including padding and unknown forms
    affixes: Annotated[int, Gt(0)] = 1000  # rows for prefixes, and the same number for suffixes
    shapes: Annotated[int, Gt(0)] = 250  # rows for shapes
    letters: Annotated[int, Gt(0)] = 250  # rows for single characters
    characters: Annotated[int, Gt(1)] = 12  # characters read from a word: the first and the last ones
    width: Annotated[int, Gt(0)] = 24  # of each row
    word_dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.1  # of forms, which become unknown
    dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.3  # of words, and before the last layer
    longest: Annotated[int, Gt(0)] = 256  # maximum number of words read from a text; others get the first tag
    layers: Annotated[int, Interval(ge=1, le=8)] = 1

    def tokeniser(self, teacher: Teacher | None = None) -> FrequentForms:
        """Return how texts become ids."""
        return FrequentForms(**{field.name: getattr(self, field.name) for field in fields(FrequentForms)})

    def featuriser(self, transfer: Examples) -> WordFeatures:
        """Return a featuriser, fitted on the texts to learn from."""
        return self.tokeniser().fit(transfer)
