"""Words as what taggers see of them: the form where it is known, and how it is written where it is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from zlib import crc32

from harness import Gt, Interval
from harness.api import Examples
from harness.featurise.featuriser import PADDING, UNKNOWN, MarksWords

FORM, PREFIX, SUFFIX, SHAPE, CHARACTERS = range(5)  # places of a word's ids; all characters come last
_AFFIX = 3  # characters
_RUN = 4  # as many of a kind in a row are told apart in shapes, and no more: spaCy's number
_REMEMBERED = 200_000  # words whose ids are kept; a text's words repeat


class WordFeatures(MarksWords):
    """Each word's form, first and last three characters, shape, and characters: 4 + `characters` ids.

    The forms are a vocabulary, lower-cased; affixes, shapes and single characters are hashed into rows of
    their own (CRC-32 of UTF-8, the same in every process), so that unseen words say something too, as in
    spaCy's MultiHashEmbed. Of a longer word, the first and the last half of `characters` are read; a shorter
    one is filled by padding. The first id of each word, its form's, is marked.
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
    ) -> None:
        self.vocabulary = list(vocabulary)
        self.affixes = affixes
        self.shapes = shapes
        self.letters = letters
        self.characters = characters
        self.longest = longest
        self._forms = {word: number for number, word in enumerate(self.vocabulary, start=2)}
        rows = (2 + len(self.vocabulary), affixes, affixes, shapes, letters)
        self._starts = [sum(rows[:at]) for at in range(len(rows))]
        self.size = sum(rows)
        self._ids: dict[str, list[int]] = {}

    @property
    def each(self) -> int:
        """Ids a word."""
        return CHARACTERS + self.characters

    @classmethod
    def fit(cls, texts: Iterable[str], size: int, **options: int) -> WordFeatures:
        """The forms that occur twice or more, the most frequent first, at most `size` with two other ids."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(text.lower().split(" "))
        ranked = sorted((word for word, count in counts.items() if count > 1), key=lambda w: (-counts[w], w))
        return cls(ranked[: size - 2], **options)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """See :class:`Featuriser`."""
        found = []
        for text in texts:
            ids: list[int] = []
            for word in text.split(" ")[: self.longest]:
                known = self._ids.get(word)
                ids += self._remember(word) if known is None else known
            found.append(ids)
        return found

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
        names = ("vocabulary", "affixes", "shapes", "letters", "characters", "longest")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> WordFeatures:
        """See :class:`Featuriser`."""
        return cls(**{name: value for name, value in state.items() if name != "type"})


def shape(word: str) -> str:
    """How a word is written: X for capitals, x for other letters, d for digits, runs cut at four."""
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
class ReadsWords:
    """The parameters of students and teachers that see words so."""

    vocabulary: Annotated[int, Gt(2)] = 4000  # rows of forms, padding and unknown ones among them
    affixes: Annotated[int, Gt(0)] = 1000  # rows of beginnings, and as many of endings
    shapes: Annotated[int, Gt(0)] = 250  # rows
    letters: Annotated[int, Gt(0)] = 250  # rows of single characters
    characters: Annotated[int, Gt(1)] = 12  # that are read of a word: its first and last ones
    width: Annotated[int, Gt(0)] = 24  # of each row
    word_dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.1  # of forms, which are then unknown
    dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.3  # of words, and of what the last layer sees
    longest: Annotated[int, Gt(0)] = 256  # words; those behind have no tag but the first class
    layers: Annotated[int, Interval(ge=1, le=8)] = 1

    def featuriser(self, transfer: Examples) -> WordFeatures:
        """What turns texts into ids, fitted on texts to learn from."""
        return WordFeatures.fit(
            transfer.texts,
            self.vocabulary,
            affixes=self.affixes,
            shapes=self.shapes,
            letters=self.letters,
            characters=self.characters,
            longest=self.longest,
        )
