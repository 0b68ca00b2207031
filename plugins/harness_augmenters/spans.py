"""Augmenters that keep only a part of a text, or join parts of two texts."""

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

# A full stop or similar mark before white space, with closing quotes and brackets; or a line end. A full stop
# after a single letter, as in "J. Smith", does not count.
_SENTENCE_END = re.compile(r"""(?:(?<!\b\w)\.|[!?…])["'”’»)\]]*\s+|\n""")


@dataclass(frozen=True)
class NGram(Prepared):
    """Keep n consecutive words, with n uniform in [minimum, maximum] (Tang et al., 2019).

    For a text of L words n is at most L - 1, and a text of at most `minimum` words gives no new text. For a
    pair both texts are cut, except one that is too short.
    """

    name = "ngram"

    minimum: Annotated[int, harness.Gt(0)] = 1  # minimum number of words to keep
    maximum: Annotated[int, harness.Gt(0)] = 5  # maximum number of words to keep
    probability: Probability = 1.0  # probability to cut a text, for each copy; else there is no new text
    copies: Copies = 1  # number of new texts per text

    def check(self) -> None:
        """Raise ValueError if the minimum is above the maximum."""
        if self.minimum > self.maximum:
            raise ValueError(f"expected minimum to be at most maximum, got {self.minimum} and {self.maximum}")

    def prepare(self, corpus: Sequence[str]) -> Transform:
        """Return a function that cuts texts."""
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
    """Keep one random sentence of a text that has several.

    A text of one sentence gives no new text. Sentences end at ``.``, ``!``, ``?`` or ``…`` before white
    space, except for ``.`` after a single letter, and at line ends. Copies of a text are different sentences,
    so there can be fewer than `copies`. For a pair one text is cut, and the other is kept.
    """

    name = "sentence"

    copies: Copies = 1  # maximum number of new texts per text

    def prepare(self, corpus: Sequence[str]) -> Transform:
        """Return a function that selects sentences."""
        import numpy as np

        def transform(texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
            for start, block in blocks(texts):
                split = [choices(text) for text in block]
                counts = [len(parts) if len(parts) > 1 else 0 for parts in split]
                rows = np.repeat(np.arange(len(split)), counts)
                flat = [part for parts in split if len(parts) > 1 for part in parts]
                # Shuffle the sentences of each text, and take the first `copies`.
                order = np.lexsort((generator.random(len(flat)), rows))
                rank = np.arange(len(flat)) - np.searchsorted(rows, rows)
                for index in order[rank < self.copies].tolist():
                    yield start + int(rows[index]), flat[index]

        return transform


@dataclass(frozen=True)
class Crossover(Prepared):
    """Join the first words of a text and the last words of another one (Luque, 2019).

    The place of the cut is uniform, and at the same share of both texts. In the paper both texts have the
    same class, and give one half each. Here the teacher labels the new text, so that the classes may differ.
    Pairs and texts of one word give no new text.
    """

    name = "crossover"

    probability: Probability = 1.0  # probability to join a text with another, for each copy
    copies: Copies = 1  # number of new texts per text

    def prepare(self, corpus: Sequence[str]) -> Transform:
        """Return a function that joins texts of one block."""
        import numpy as np

        def work(
            block: Words, generator: np.random.Generator
        ) -> Iterator[tuple[NDArray[np.intp], list[str]]]:
            lengths, firsts = block.lengths, block.firsts[:-1]
            usable = np.setdiff1d(np.flatnonzero(lengths > 1), block.rows(separators(block)))
            for _ in range(self.copies):
                rows = generator.permutation(usable)
                others, cuts = np.roll(rows, 1), generator.random(len(rows))
                taken = (generator.random(len(rows)) < self.probability) & (rows != others)
                rows, others, cuts = rows[taken], others[taken], cuts[taken]
                kept, left = (
                    np.clip(np.rint(cuts * lengths[of]).astype(np.intp), 1, lengths[of] - 1)
                    for of in (rows, others)
                )
                heads = _cut(block, firsts[rows], kept)
                tails = _cut(block, firsts[others] + left, lengths[others] - left)
                yield rows, [f"{head} {tail}" for head, tail in zip(heads, tails, strict=True)]

        return by_block(work)


def _texts(block: Words) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Return the first word, the number of words and the row of each text; a pair counts as two texts."""
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
    """Return runs of words as strings."""
    import numpy as np

    texts = np.full(len(sizes), "", dtype=object)
    some = np.flatnonzero(sizes)
    texts[some] = block.cut(block.starts[firsts[some]], block.ends[(firsts + sizes)[some] - 1])
    return texts.tolist()


def _joined(rows: NDArray[np.intp], texts: Sequence[str]) -> list[str]:
    """Return one text per row, with the two texts of a pair joined."""
    made: dict[int, str] = {}
    for row, text in zip(rows.tolist(), texts, strict=True):
        made[row] = f"{made[row]}{PAIR_SEPARATOR}{text}" if row in made else text
    return list(made.values())


def choices(text: str) -> list[str]:
    """Return the possible results: each sentence; for a pair, each sentence of one text with the other."""
    first, separator, second = text.partition(PAIR_SEPARATOR)
    if not separator:
        return sentences(text)
    of_first, of_second = sentences(first), sentences(second)
    kept = [f"{one}{separator}{second}" for one in of_first if len(of_first) > 1]
    return kept + [f"{first}{separator}{one}" for one in of_second if len(of_second) > 1]


def sentences(text: str) -> list[str]:
    """Return the different sentences of a text, in order."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    parts = (text[start:end].strip() for start, end in zip([0, *ends], [*ends, None], strict=True))
    return list(dict.fromkeys(filter(None, parts)))
