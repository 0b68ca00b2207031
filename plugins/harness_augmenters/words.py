"""Augmenters that change or drop single words, which are separated by white space.

The separator between the two texts of a pair is not a word: it is kept, and each text keeps at least a word.
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
    """Words that can replace other words."""

    def encode(self, block: Words, words: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return a code for each of these words of a block; -1 for a word that cannot be replaced."""

    def draw(self, codes: NDArray[np.intp], generator: np.random.Generator) -> list[str]:
        """Return another word for each code."""


@dataclass(frozen=True)
class Substitution(Prepared):
    """Base class of augmenters that replace words at random; a new text always differs from its source."""

    task_types: ClassVar[frozenset[str]] = KEEPS_WORDS

    probability: Probability = 0.1  # probability to replace a word
    copies: Copies = 1  # number of new texts per text
    force: bool = True  # if no word is drawn, change a random one; false: then make no new text

    def substitutes(self, corpus: Sequence[str]) -> Substitutes:
        """Return the words that can replace words of this corpus."""
        raise NotImplementedError

    def prepare(self, corpus: Sequence[str]) -> Transform:
        """Return a function that replaces words."""
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
                    # Texts without a drawn word: take one random word of each.
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
    """Replace words by a mask token (Tang et al., 2019)."""

    name = "mask"

    token: Annotated[str, harness.MinLen(1)] = (
        harness.api.MASK
    )  # the mask, one word; the default becomes the mask token of each model's tokenizer

    def check(self) -> None:
        """Raise ValueError unless the token is one word."""
        if self.token.split() != [self.token]:
            raise ValueError(f"expected token to be one word without white space, got {self.token!r}")

    def substitutes(self, corpus: Sequence[str]) -> Substitutes:
        """Return the token, which replaces all words but itself."""
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
    """Replace words by other words of the corpus, drawn by frequency (Xie et al., 2017).

    Words that are not in the corpus, such as masks that a chain inserted before, are not replaced.
    """

    name = "replace"

    def substitutes(self, corpus: Sequence[str]) -> Substitutes:
        """Return all words of the corpus."""
        counts = count(corpus)
        words = list(counts)
        lexicon = Lexicon(words, list(counts.values()), [0] * len(words))
        return WordClasses(lexicon, dict(zip(words, lexicon.codes, strict=True)))


@dataclass(frozen=True)
class WordClasses:
    """Substitutes from a lexicon in which each word has one code."""

    lexicon: Lexicon
    codes: dict[str, int]

    def encode(self, block: Words, words: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the words' codes; -1 for words that are not in the lexicon."""
        import numpy as np

        return np.fromiter(map(self.codes.get, block.of(words), repeat(-1)), dtype=np.intp, count=len(words))

    def draw(self, codes: NDArray[np.intp], generator: np.random.Generator) -> list[str]:
        """Return other words of the codes' classes."""
        return self.lexicon.others(codes, generator)


@dataclass(frozen=True)
class Drop(Prepared):
    """Drop words (word dropout: Iyyer et al., 2015; Wei & Zou, 2019).

    At least one word is dropped and at least one is kept, so a text of one word gives no new text.
    """

    name = "drop"

    probability: Probability = 0.1  # probability to drop a word
    copies: Copies = 1  # number of new texts per text
    force: bool = True  # if no word is drawn, drop a random one; false: then make no new text

    def prepare(self, corpus: Sequence[str]) -> Transform:
        """Return a function that drops words."""
        import numpy as np

        def work(
            block: Words, generator: np.random.Generator
        ) -> Iterator[tuple[NDArray[np.intp], list[str]]]:
            marks = separators(block)
            sizes = np.bincount(parts(block, np.arange(len(block)), marks), minlength=len(block.lengths))
            sizes[parts(block, marks, marks)] -= 1  # number of words of each text; a pair counts as two
            # A word is dropped with the white space after it. (W,)
            behind = np.append(block.starts[1:], len(block.text))
            last = block.firsts[1:][block.lengths > 0] - 1
            behind[last] = block.ends[last]
            for _ in range(self.copies):
                words = drawn(block, self.probability, generator)
                if self.force:
                    rest = untouched(block, words)
                    if len(marks):  # the only word of a text must stay
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
    """Return each word of a block with this probability, in rising order."""
    import numpy as np

    words = np.flatnonzero(generator.random(len(block), dtype=np.float32) < probability)
    return without(words, separators(block))


def untouched(block: Words, words: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return all words of the texts that contain none of these words."""
    import numpy as np

    free = np.ones(len(block.lengths), dtype=np.bool_)
    free[block.rows(words)] = False
    return without(np.flatnonzero(np.repeat(free, block.lengths)), separators(block))


def without(words: NDArray[np.intp], others: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the words that are not among the others."""
    import numpy as np

    return words[np.isin(words, others, invert=True)] if len(others) else words


def separators(block: Words) -> NDArray[np.intp]:
    """Return the word that separates the two texts of each pair, in rising order."""
    import numpy as np

    if PAIR_SEPARATOR not in block.text:
        return np.empty(0, dtype=np.intp)
    behind = len(PAIR_SEPARATOR) - len(PAIR_SEPARATOR.lstrip())
    places = [found.start() + behind for found in re.finditer(re.escape(PAIR_SEPARATOR), block.text)]
    words = np.searchsorted(block.starts, places)
    return words[np.unique(block.rows(words), return_index=True)[1]]


def parts(block: Words, words: NDArray[np.intp], marks: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the number of the text that contains each word; a pair counts as two texts.

    `marks` are the block's separators; each counts as a word of the second text.
    """
    import numpy as np

    return np.asarray(block.rows(words) + np.searchsorted(marks, words, side="right"))


class Unpaired(Sequence[str]):
    """A corpus with spaces instead of the separators of pairs, which must not be learnt or drawn as words."""

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
    """Return one random index of each different row; `rows` are in rising order."""
    import numpy as np

    _, first, sizes = np.unique(rows, return_index=True, return_counts=True)
    return first + (generator.random(len(first)) * sizes).astype(np.intp)
