"""Augmenters that keep a part of a text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import harness
from harness_augmenters.blocks import Copies, Prepared, Probability, Transform, Words, blocks, by_block

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# A stop that is not behind a single letter, as in "J. Smith" or "z. B.", with closing quotes and
# brackets, before white space; or a line's end.
_SENTENCE_END = re.compile(r"""(?:(?<!\b\w)\.|[!?…])["'”’»)\]]*\s+|\n""")


@dataclass(frozen=True)
class NGram(Prepared):
    """Keep n words in a row, n uniform in [minimum, maximum] (Tang et al., 2019).

    In a text of L words n is at most L - 1, and a text of at most `minimum` words gives nothing.
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
            long_enough = np.flatnonzero(block.lengths > self.minimum)
            for _ in range(self.copies):
                rows = long_enough
                if self.probability < 1:
                    rows = rows[generator.random(len(rows)) < self.probability]
                lengths = block.lengths[rows]
                sizes = generator.integers(self.minimum, np.minimum(lengths - 1, self.maximum), endpoint=True)
                first = block.firsts[rows] + generator.integers(0, lengths - sizes, endpoint=True)
                yield rows, block.cut(block.starts[first], block.ends[first + sizes - 1])

        return by_block(work)


@dataclass(frozen=True)
class Sentence(Prepared):
    """Keep one random sentence of a text of several; a text of one gives nothing.

    Sentences end at ``.``, ``!``, ``?`` or ``…`` before white space, except behind a single letter, and
    at line ends. Copies of a text are different sentences of it, so there may be fewer than `copies`.
    """

    name = "sentence"

    copies: Copies = 1  # at most, new texts a text

    def prepare(self, corpus: Sequence[str]) -> Transform:
        """The choice of sentences."""
        import numpy as np

        def transform(texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
            for start, block in blocks(texts):
                split = [sentences(text) for text in block]
                counts = [len(parts) if len(parts) > 1 else 0 for parts in split]
                rows = np.repeat(np.arange(len(split)), counts)
                flat = [part for parts in split if len(parts) > 1 for part in parts]
                # In random order within each text, of which the first `copies` are taken.
                order = np.lexsort((generator.random(len(flat)), rows))
                rank = np.arange(len(flat)) - np.searchsorted(rows, rows)
                for index in order[rank < self.copies].tolist():
                    yield start + int(rows[index]), flat[index]

        return transform


def sentences(text: str) -> list[str]:
    """The sentences of a text, in order, each once."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    parts = (text[start:end].strip() for start, end in zip([0, *ends], [*ends, None], strict=True))
    return list(dict.fromkeys(filter(None, parts)))
