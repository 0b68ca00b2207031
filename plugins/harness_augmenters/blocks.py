"""Process a corpus block by block, after its statistics are collected.

Texts are read and split into words, and random numbers are drawn, for a whole block at once. Words that do
not change cost neither a call of the generator nor a Python object. This is fast, and memory use does not
depend on the number of texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated

import harness

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Types of task for augmenters that keep each word in its place, so that its tag still fits, or that bring
# texts from elsewhere.
KEEPS_WORDS = frozenset({"classification", "regression", "tagging"})

BLOCK = 4096  # texts; a different size gives different random texts

Copies = Annotated[int, harness.Gt(0)]
Probability = Annotated[float, harness.Interval(ge=0, le=1)]

# The signature of Augmenter.__call__: texts and a generator to (row, new text). So augmenters are Transforms.
Transform = Callable[[Sequence[str], "np.random.Generator"], Iterable[tuple[int, str]]]


@dataclass(frozen=True)
class Prepared(harness.Augmenter):
    """An augmenter that reads the corpus once, and then works on one block of texts at a time.

    So a combination can prepare it on the corpus, and then apply it to other texts too.
    """

    @property
    def streams(self) -> bool:
        """Return whether it works block by block; False if it needs all texts at once."""
        return True

    @property
    def draws(self) -> bool:
        """Return whether :meth:`draw` yields texts that are not made from training texts."""
        return False

    def prepare(self, corpus: Sequence[str]) -> Transform:
        """Return a function that makes new texts, after it has learnt what it needs from the corpus."""
        raise NotImplementedError

    def prepare_on(self, corpus: Sequence[str], device: str) -> Transform:
        """Do the same as :meth:`prepare`, for a device such as "cpu" or "cuda"."""
        return self.prepare(corpus)

    def __call__(self, texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
        """Yield (row, new text), block by block."""
        yield from self.prepare(texts)(texts, generator)

    def draw(
        self, train: harness.Examples, unlabelled: Sequence[str], context: harness.Context
    ) -> Iterator[tuple[int, str]]:
        """Yield what a call yields, computed on the context's device."""
        import numpy as np

        transform = self.prepare_on(train.texts, context.device)
        yield from transform(train.texts, np.random.default_rng(context.seed))


def prepare(member: harness.Augmenter, corpus: Sequence[str], device: str) -> Transform:
    """Return a member of a combination, prepared on the corpus if it can be, as a function of any texts."""
    return member.prepare_on(corpus, device) if isinstance(member, Prepared) else member


def draws(member: harness.Augmenter) -> bool:
    """Return whether a member yields texts that are not made from training texts."""
    if isinstance(member, Prepared):
        return member.draws
    return type(member).draw is not harness.Augmenter.draw


def base_of(members: Iterable[harness.Component]) -> str:
    """Return what the members of a combination start from, one line each, or "" if none needs anything."""
    found = [member.base() for member in members]
    return "\n".join(found) if any(found) else ""


def streams(members: Iterable[harness.Augmenter]) -> bool:
    """Return whether all of these augmenters work block by block.

    An augmenter of another package may need the whole corpus, or be slow to start, so it gets all texts at
    once.
    """
    return all(isinstance(member, Prepared) and member.streams for member in members)


def blocks(texts: Sequence[str], size: int = BLOCK) -> Iterator[tuple[int, Sequence[str]]]:
    """Yield (first row, texts) of each block, a slice, since lazy sequences read slices faster than texts."""
    for start in range(0, len(texts), max(size, 1)):
        yield start, texts[start : start + size]


def by_block(
    work: Callable[[Words, np.random.Generator], Iterable[tuple[NDArray[np.intp], list[str]]]],
) -> Transform:
    """Return a transform that applies a function to the words of each block."""

    def transform(texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
        for start, block in blocks(texts):
            for rows, new in work(Words(block), generator):
                yield from zip((rows + start).tolist(), new, strict=True)

    return transform


class Words:
    """The W words of N texts, as positions in one long string; words become objects only when needed.

    White space between words is kept, except that line ends become spaces.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        import numpy as np

        text = "\n".join(texts)
        if text.count("\n") >= len(texts):
            text = "\n".join(each.replace("\n", " ") for each in texts)
        characters = (
            np.frombuffer(text.encode("ascii"), dtype=np.uint8)
            if text.isascii()
            else np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        )
        table = _white_space()
        solid = np.zeros(len(characters) + 2, dtype=np.bool_)  # padded with white space at both ends
        solid[1:-1] = (
            ~table[np.minimum(characters, len(table) - 1)] if characters.itemsize > 1 else ~table[characters]
        )
        edges = np.flatnonzero(solid[1:] != solid[:-1])
        self.text = text
        self.starts: NDArray[np.intp] = edges[::2]  # (W,) positions in `text`
        self.ends: NDArray[np.intp] = edges[1::2]  # (W,)
        line_ends = np.flatnonzero(characters == ord("\n"))
        firsts = np.searchsorted(self.starts, line_ends)
        # (N + 1,) the first word of each text, then W
        self.firsts: NDArray[np.intp] = np.concatenate([[0], firsts, [len(self.starts)]]).astype(np.intp)
        self.lengths: NDArray[np.intp] = np.diff(self.firsts)  # (N,) number of words of each text

    def __len__(self) -> int:
        return len(self.starts)

    def rows(self, words: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the row of the text that contains each of these words."""
        import numpy as np

        return np.searchsorted(self.firsts, words, side="right") - 1

    def cut(self, starts: NDArray[np.intp], ends: NDArray[np.intp]) -> list[str]:
        """Return the strings between pairs of positions."""
        text = self.text
        return [text[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]

    def of(self, words: NDArray[np.intp]) -> list[str]:
        """Return these words as strings."""
        return self.cut(self.starts[words], self.ends[words])

    def splice(self, starts: NDArray[np.intp], ends: NDArray[np.intp], new: Sequence[str]) -> list[str]:
        """Return all texts, with the strings between pairs of positions, in rising order, replaced."""
        import numpy as np

        pieces = [""] * (2 * len(new) + 1)
        pieces[::2] = self.cut(np.append(0, ends), np.append(starts, len(self.text)))
        pieces[1::2] = new
        return "".join(pieces).split("\n")


@cache
def _white_space() -> NDArray[np.bool_]:
    """Return whether each character is white space for str.split(), up to the last one that is."""
    import numpy as np

    return np.array([chr(code).isspace() for code in range(0x3002)])
