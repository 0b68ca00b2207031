"""Featuriser of words for taggers: the form, if it is known, and the spelling."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from zlib import crc32

from harness import Gt, Interval
from harness.api import Examples
from harness.featurise.checks import check_numbers, check_vocabulary, limit_of
from harness.featurise.featuriser import PADDING, UNKNOWN, MarksWords
from harness.featurise.words import CHARACTERS as CUT_TO
from harness.featurise.words import cut

FORM, PREFIX, SUFFIX, SHAPE, CHARACTERS = range(5)  # positions of a word's ids; all characters come last
_AFFIX = 3  # characters
_RUN = 4  # longest run of one kind in a shape, as in spaCy
_MOST = 1000  # characters of a word; more cannot be meant
_REMEMBERED = 200_000  # size of the cache of words' ids


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
            counts.update(cut(word) for word in text.lower().split(" "))
        ranked = sorted((word for word, count in counts.items() if count > 1), key=lambda w: (-counts[w], w))
        return cls(ranked[: size - 2], **options)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """See :class:`Featuriser`."""
        found = []
        for text in texts:
            ids: list[int] = []
            for word in text.split(" ", self.longest)[: self.longest]:
                word = cut(word, self.cut_to)
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

    def featuriser(self, transfer: Examples) -> WordFeatures:
        """Return a featuriser, fitted on the texts to learn from."""
        return WordFeatures.fit(
            transfer.texts,
            self.vocabulary,
            affixes=self.affixes,
            shapes=self.shapes,
            letters=self.letters,
            characters=self.characters,
            longest=self.longest,
        )
