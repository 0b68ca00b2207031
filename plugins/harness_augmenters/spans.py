"""Augmenters that keep a part of a text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import harness
from harness.api import PAIR_SEPARATOR
from harness_augmenters.blocks import Copies, Prepared, Probability, Transform, Words, blocks, by_block
from harness_augmenters.words import separators

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# A stop that is not behind a single letter, as in "J. Smith" or "z. B.", with closing quotes and
# brackets, before white space; or a line's end.
_SENTENCE_END = re.compile(r"""(?:(?<!\b\w)\.|[!?…])["'”’»)\]]*\s+|\n""")


@dataclass(frozen=True)
class NGram(Prepared):
    """Keep n words in a row, n uniform in [minimum, maximum] (Tang et al., 2019).

    In a text of L words n is at most L - 1, and a text of at most `minimum` words gives nothing. Of a pair
    each text is cut so, and one that is too short stays as it is.
    """

    name = "ngram"

    minimum: Annotated[int, harness.Gt(0)] = 1  # words
    maximum: Annotated[int, harness.Gt(0)] = 5  # words
    probability: Probability = 1.0  # of cutting a text, for each copy; a text that is not cut gives nothing
    copies: Copies = 1  # new texts a text

    def check(self) -> None:
        """The bounds are in order."""
        if self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} is above maximum {self.maximum}")

    def prepare(self, corpus: Sequence[str]) -> Transform:
        """The cutting of texts."""
        import numpy as np

        def work(
            block: Words, generator: np.random.Generator
        ) -> Iterator[tuple[NDArray[np.intp], list[str]]]:
            firsts, lengths, rows = _texts(block)
            long_enough = np.unique(rows[lengths > self.minimum])
            for _ in range(self.copies):
                chosen = long_enough
                if self.probability < 1:
                    chosen = chosen[generator.random(len(chosen)) < self.probability]
                taken = np.flatnonzero(np.isin(rows, chosen))
                start, length = firsts[taken], lengths[taken]
                most = np.maximum(np.minimum(length - 1, self.maximum), self.minimum)
                sizes = np.minimum(generator.integers(self.minimum, most, endpoint=True), length)
                sizes = np.where(length > self.minimum, sizes, length)
                start = start + generator.integers(0, length - sizes, endpoint=True)
                yield chosen, _joined(rows[taken], _cut(block, start, sizes))

        return by_block(work)


@dataclass(frozen=True)
class Sentence(Prepared):
    """Keep one random sentence of a text of several; a text of one gives nothing.

    Sentences end at ``.``, ``!``, ``?`` or ``…`` before white space, except behind a single letter, and
    at line ends. Copies of a text are different sentences of it, so there may be fewer than `copies`. Of a
    pair one text is so shortened, and the other kept.
    """

    name = "sentence"

    copies: Copies = 1  # at most, new texts a text

    def prepare(self, corpus: Sequence[str]) -> Transform:
        """The choice of sentences."""
        import numpy as np

        def transform(texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
            for start, block in blocks(texts):
                split = [choices(text) for text in block]
                counts = [len(parts) if len(parts) > 1 else 0 for parts in split]
                rows = np.repeat(np.arange(len(split)), counts)
                flat = [part for parts in split if len(parts) > 1 for part in parts]
                # In random order within each text, of which the first `copies` are taken.
                order = np.lexsort((generator.random(len(flat)), rows))
                rank = np.arange(len(flat)) - np.searchsorted(rows, rows)
                for index in order[rank < self.copies].tolist():
                    yield start + int(rows[index]), flat[index]

        return transform


def _texts(block: Words) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Of each text, and of both texts of a pair: the first word, the number of words, and the row."""
    import numpy as np

    marks = separators(block)
    paired = block.rows(marks)
    ends = block.firsts[1:].copy()
    ends[paired] = marks
    rows = np.concatenate([np.arange(len(ends)), paired])
    firsts = np.concatenate([block.firsts[:-1], marks + 1])
    lengths = np.concatenate([ends, block.firsts[1:][paired]]) - firsts
    order = np.argsort(rows, kind="stable")
    return firsts[order], lengths[order], rows[order]


def _cut(block: Words, firsts: NDArray[np.intp], sizes: NDArray[np.intp]) -> list[str]:
    """Runs of words."""
    import numpy as np

    texts = np.full(len(sizes), "", dtype=object)
    some = np.flatnonzero(sizes)
    texts[some] = block.cut(block.starts[firsts[some]], block.ends[(firsts + sizes)[some] - 1])
    return texts.tolist()


def _joined(rows: NDArray[np.intp], texts: Sequence[str]) -> list[str]:
    """One text a row: of the two of a pair, the pair."""
    made: dict[int, str] = {}
    for row, text in zip(rows.tolist(), texts, strict=True):
        made[row] = f"{made[row]}{PAIR_SEPARATOR}{text}" if row in made else text
    return list(made.values())


def choices(text: str) -> list[str]:
    """What can be kept of a text: each of its sentences; of a pair, each of one text's beside the other."""
    first, separator, second = text.partition(PAIR_SEPARATOR)
    if not separator:
        return sentences(text)
    of_first, of_second = sentences(first), sentences(second)
    kept = [f"{one}{separator}{second}" for one in of_first if len(of_first) > 1]
    return kept + [f"{first}{separator}{one}" for one in of_second if len(of_second) > 1]


def sentences(text: str) -> list[str]:
    """The sentences of a text, in order, each once."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    parts = (text[start:end].strip() for start, end in zip([0, *ends], [*ends, None], strict=True))
    return list(dict.fromkeys(filter(None, parts)))
