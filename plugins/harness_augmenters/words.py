"""Augmenters that change words in place. A word is what white space separates.

What separates the two texts of a pair is none: it stays where it is, and each text keeps a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Annotated, ClassVar, Protocol, overload

import harness
from harness.api import PAIR_SEPARATOR
from harness_augmenters.blocks import KEEPS_WORDS, Copies, Prepared, Probability, Transform, Words, by_block
from harness_augmenters.lexicon import Lexicon, count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Substitutes(Protocol):
    """What can stand in place of words."""

    def encode(self, block: Words, words: NDArray[np.intp]) -> NDArray[np.intp]:
        """A code for each of these words of a block; -1 for one that nothing can replace."""

    def draw(self, codes: NDArray[np.intp], generator: np.random.Generator) -> list[str]:
        """A word, other than the coded one, for each code."""


@dataclass(frozen=True)
class Substitution(Prepared):
    """Each word becomes another with a probability. A new text always differs from its source."""

    task_types: ClassVar[frozenset[str]] = KEEPS_WORDS

    probability: Probability = 0.1  # for each word
    copies: Copies = 1  # new texts a text
    force: bool = True  # change one word, at random, where the draw changes none; else no text is made of it

    def substitutes(self, corpus: Sequence[str]) -> Substitutes:
        """What can stand in place of the words of this corpus."""
        raise NotImplementedError

    def prepare(self, corpus: Sequence[str]) -> Transform:
        """The substitution of words."""
        import numpy as np

        substitutes = self.substitutes(Unpaired(corpus))

        def work(
            block: Words, generator: np.random.Generator
        ) -> Iterator[tuple[NDArray[np.intp], list[str]]]:
            for _ in range(self.copies):
                words = drawn(block, self.probability, generator)
                codes = substitutes.encode(block, words)
                words, codes = words[codes >= 0], codes[codes >= 0]
                if self.force:
                    # All words of the texts that the draw leaves as they are: one of each text is taken.
                    all_words = untouched(block, words)
                    all_codes = substitutes.encode(block, all_words)
                    taken = np.flatnonzero(all_codes >= 0)
                    taken = taken[one_of_each(block.rows(all_words[taken]), generator)]
                    words = np.append(words, all_words[taken])
                    codes = np.append(codes, all_codes[taken])
                    order = np.argsort(words)
                    words, codes = words[order], codes[order]
                new = substitutes.draw(codes, generator)
                texts = block.splice(block.starts[words], block.ends[words], new)
                rows = np.unique(block.rows(words))
                yield rows, [texts[row] for row in rows.tolist()]

        return by_block(work)


@dataclass(frozen=True)
class Mask(Substitution):
    """Words become a mask token (Tang et al., 2019): what a text says without them, the teacher tells."""

    name = "mask"

    token: Annotated[str, harness.MinLen(1)] = (
        harness.api.MASK
    )  # one word; this one is each tokenizer's own mask

    def check(self) -> None:
        """The token is one word."""
        if self.token.split() != [self.token]:
            raise ValueError(f"the mask token must be one word without white space, not {self.token!r}")

    def substitutes(self, corpus: Sequence[str]) -> Substitutes:
        """The token, for all words but itself."""
        return _Token(self.token)


@dataclass(frozen=True)
class _Token:
    token: str

    def encode(self, block: Words, words: NDArray[np.intp]) -> NDArray[np.intp]:
        import numpy as np

        codes = np.zeros(len(words), dtype=np.intp)
        if self.token in block.text:
            codes[[word == self.token for word in block.of(words)]] = -1
        return codes

    def draw(self, codes: NDArray[np.intp], generator: np.random.Generator) -> list[str]:
        return [self.token] * len(codes)


@dataclass(frozen=True)
class Replace(Substitution):
    """Words become other words of the corpus, drawn by their frequency (Xie et al., 2017).

    Words that the corpus does not have, such as a mask that a chain put there before, stay.
    """

    name = "replace"

    def substitutes(self, corpus: Sequence[str]) -> Substitutes:
        """All words of the corpus."""
        counts = count(corpus)
        words = list(counts)
        lexicon = Lexicon(words, list(counts.values()), [0] * len(words))
        return WordClasses(lexicon, dict(zip(words, lexicon.codes, strict=True)))


@dataclass(frozen=True)
class WordClasses:
    """Substitutes from a lexicon in which a word has the same code wherever it stands."""

    lexicon: Lexicon
    codes: dict[str, int]

    def encode(self, block: Words, words: NDArray[np.intp]) -> NDArray[np.intp]:
        """The words' codes; -1 for words that the lexicon does not have."""
        import numpy as np

        return np.fromiter(map(self.codes.get, block.of(words), repeat(-1)), dtype=np.intp, count=len(words))

    def draw(self, codes: NDArray[np.intp], generator: np.random.Generator) -> list[str]:
        """Other words of the codes' classes."""
        return self.lexicon.others(codes, generator)


@dataclass(frozen=True)
class Drop(Prepared):
    """Words are left out (word dropout: Iyyer et al., 2015; Wei & Zou, 2019).

    At least one word goes and at least one stays; a text of one word gives nothing.
    """

    name = "drop"

    probability: Probability = 0.1  # for each word
    copies: Copies = 1  # new texts a text
    force: bool = True  # drop one word, at random, where the draw drops none; else no text is made of it

    def prepare(self, corpus: Sequence[str]) -> Transform:
        """The deletion of words."""
        import numpy as np

        def work(
            block: Words, generator: np.random.Generator
        ) -> Iterator[tuple[NDArray[np.intp], list[str]]]:
            marks = separators(block)
            sizes = np.bincount(parts(block, np.arange(len(block)), marks), minlength=len(block.lengths))
            sizes[parts(block, marks, marks)] -= 1  # words of each text, or of each text of a pair
            # A word goes with the white space behind it. (W,)
            behind = np.append(block.starts[1:], len(block.text))
            last = block.firsts[1:][block.lengths > 0] - 1
            behind[last] = block.ends[last]
            for _ in range(self.copies):
                words = drawn(block, self.probability, generator)
                if self.force:
                    rest = untouched(block, words)
                    if len(marks):  # a text's only word would be spared
                        rest = rest[sizes[parts(block, rest, marks)] > 1]
                    taken = one_of_each(block.rows(rest), generator)
                    words = np.sort(np.append(words, rest[taken]))
                of = parts(block, words, marks)
                whole = np.bincount(of, minlength=len(sizes)) == sizes
                candidates = np.flatnonzero(whole[of])
                spared = candidates[one_of_each(of[candidates], generator)]
                words = np.delete(words, spared)
                texts = block.splice(block.starts[words], behind[words], [""] * len(words))
                rows = np.unique(block.rows(words))
                yield rows, [texts[row].strip() for row in rows.tolist()]

        return by_block(work)


def drawn(block: Words, probability: float, generator: np.random.Generator) -> NDArray[np.intp]:
    """Each word of a block with this probability, in rising order."""
    import numpy as np

    words = np.flatnonzero(generator.random(len(block), dtype=np.float32) < probability)
    return without(words, separators(block))


def untouched(block: Words, words: NDArray[np.intp]) -> NDArray[np.intp]:
    """All words of the texts that none of these words stands in."""
    import numpy as np

    free = np.ones(len(block.lengths), dtype=np.bool_)
    free[block.rows(words)] = False
    return without(np.flatnonzero(np.repeat(free, block.lengths)), separators(block))


def without(words: NDArray[np.intp], others: NDArray[np.intp]) -> NDArray[np.intp]:
    """The words, but for the others."""
    import numpy as np

    return words[np.isin(words, others, invert=True)] if len(others) else words


def separators(block: Words) -> NDArray[np.intp]:
    """Of each text that is a pair, the word that separates its two texts; in rising order."""
    import numpy as np

    if PAIR_SEPARATOR not in block.text:
        return np.empty(0, dtype=np.intp)
    behind = len(PAIR_SEPARATOR) - len(PAIR_SEPARATOR.lstrip())
    places = [found.start() + behind for found in re.finditer(re.escape(PAIR_SEPARATOR), block.text)]
    words = np.searchsorted(block.starts, places)
    return words[np.unique(block.rows(words), return_index=True)[1]]


def parts(block: Words, words: NDArray[np.intp], marks: NDArray[np.intp]) -> NDArray[np.intp]:
    """The number of the text that each word stands in, where the two of a pair count as two.

    `marks` are the block's separators; each is taken for a word of the second text.
    """
    import numpy as np

    return np.asarray(block.rows(words) + np.searchsorted(marks, words, side="right"))


class Unpaired(Sequence[str]):
    """A corpus with white space in place of what separates pairs, which is no word to learn or to draw."""

    def __init__(self, corpus: Sequence[str]) -> None:
        self.corpus = corpus

    def __len__(self) -> int:
        return len(self.corpus)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [text.replace(PAIR_SEPARATOR, " ") for text in self.corpus[index]]
        return self.corpus[index].replace(PAIR_SEPARATOR, " ")


def one_of_each(rows: NDArray[np.intp], generator: np.random.Generator) -> NDArray[np.intp]:
    """Of rows in rising order, an index of each different one, all its indices being as likely."""
    import numpy as np

    _, first, sizes = np.unique(rows, return_index=True, return_counts=True)
    return first + (generator.random(len(first)) * sizes).astype(np.intp)
