"""How the augmenters of this package go over a corpus: statistics first, then block by block.

Texts are read, cut into words, and random numbers drawn for them, a block at a time: no generator is
called, and no object made, for a word that stays. That is fast, and takes the same memory for 10⁷ texts
as for 10⁴.
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

# Tags belong to words: what keeps words in their places, or brings texts of its own, serves tagging too.
KEEPS_WORDS = frozenset({"classification", "regression", "tagging"})

BLOCK = 4096  # texts; with another number the texts drawn are others, and as random

Copies = Annotated[int, harness.Gt(0)]
Probability = Annotated[float, harness.Interval(ge=0, le=1)]

# What Augmenter.__call__ is: texts and a generator to (row, new text). Any augmenter is one itself.
Transform = Callable[[Sequence[str], "np.random.Generator"], Iterable[tuple[int, str]]]


@dataclass(frozen=True)
class Prepared(harness.Augmenter):
    """An augmenter that looks at the corpus once, and then needs no more than a block of texts at a time.

    A combination can so prepare it on the corpus and hand it any texts, not only those of the corpus.
    """

    @property
    def streams(self) -> bool:
        """Whether it works block by block; False where it needs all texts at once."""
        return True

    @property
    def draws(self) -> bool:
        """Whether it gives texts from elsewhere than the training texts, in :meth:`draw`."""
        return False

    def prepare(self, corpus: Sequence[str]) -> Transform:
        """What makes new texts, with what it needs to know of the corpus."""
        raise NotImplementedError

    def prepare_on(self, corpus: Sequence[str], device: str) -> Transform:
        """The same, for one that can work on a GPU."""
        return self.prepare(corpus)

    def __call__(self, texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
        """Yield (row, new text), all of one block before any of the next."""
        yield from self.prepare(texts)(texts, generator)

    def draw(
        self, train: harness.Examples, unlabelled: Sequence[str], context: harness.Context
    ) -> Iterator[tuple[int, str]]:
        """Like calling it, on the context's device."""
        import numpy as np

        transform = self.prepare_on(train.texts, context.device)
        yield from transform(train.texts, np.random.default_rng(context.seed))


def prepare(member: harness.Augmenter, corpus: Sequence[str], device: str) -> Transform:
    """A member of a combination, ready for any texts; one from elsewhere takes those as its corpus."""
    return member.prepare_on(corpus, device) if isinstance(member, Prepared) else member


def draws(member: harness.Augmenter) -> bool:
    """Whether a member gives texts from elsewhere than the training texts."""
    if isinstance(member, Prepared):
        return member.draws
    return type(member).draw is not harness.Augmenter.draw


def base_of(members: Iterable[harness.Component]) -> str:
    """What the members of a combination start from, or nothing where none starts from anything."""
    found = [member.base() for member in members]
    return "\n".join(found) if any(found) else ""


def streams(members: Iterable[harness.Augmenter]) -> bool:
    """Whether all of these work block by block.

    What an augmenter from elsewhere wants to see of the corpus, and what starting it costs, is unknown.
    So it is given all texts at once.
    """
    return all(isinstance(member, Prepared) and member.streams for member in members)


def blocks(texts: Sequence[str], size: int = BLOCK) -> Iterator[tuple[int, Sequence[str]]]:
    """(First row, texts) of each block: slices, which a lazy sequence reads faster than single texts."""
    for start in range(0, len(texts), max(size, 1)):
        yield start, texts[start : start + size]


def by_block(
    work: Callable[[Words, np.random.Generator], Iterable[tuple[NDArray[np.intp], list[str]]]],
) -> Transform:
    """The transform that does this work on the words of each block."""

    def transform(texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
        for start, block in blocks(texts):
            for rows, new in work(Words(block), generator):
                yield from zip((rows + start).tolist(), new, strict=True)

    return transform


class Words:
    """The W words of N texts, as places in one long string: only words that are asked for become objects.

    White space between words stays as it is, but for line ends, which become spaces.
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
        solid = np.zeros(len(characters) + 2, dtype=np.bool_)  # with white space on both sides
        solid[1:-1] = (
            ~table[np.minimum(characters, len(table) - 1)] if characters.itemsize > 1 else ~table[characters]
        )
        edges = np.flatnonzero(solid[1:] != solid[:-1])
        self.text = text
        self.starts: NDArray[np.intp] = edges[::2]  # (W,) places in `text`
        self.ends: NDArray[np.intp] = edges[1::2]  # (W,)
        line_ends = np.flatnonzero(characters == ord("\n"))
        firsts = np.searchsorted(self.starts, line_ends)
        # (N + 1,) the first word of each text, and W
        self.firsts: NDArray[np.intp] = np.concatenate([[0], firsts, [len(self.starts)]]).astype(np.intp)
        self.lengths: NDArray[np.intp] = np.diff(self.firsts)  # (N,) words of each text

    def __len__(self) -> int:
        return len(self.starts)

    def rows(self, words: NDArray[np.intp]) -> NDArray[np.intp]:
        """The row of the text that each of these words stands in."""
        import numpy as np

        return np.searchsorted(self.firsts, words, side="right") - 1

    def cut(self, starts: NDArray[np.intp], ends: NDArray[np.intp]) -> list[str]:
        """What stands between pairs of places."""
        text = self.text
        return [text[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]

    def of(self, words: NDArray[np.intp]) -> list[str]:
        """These words as strings."""
        return self.cut(self.starts[words], self.ends[words])

    def splice(self, starts: NDArray[np.intp], ends: NDArray[np.intp], new: Sequence[str]) -> list[str]:
        """All texts, with what stands between pairs of places, in rising order, replaced."""
        import numpy as np

        pieces = [""] * (2 * len(new) + 1)
        pieces[::2] = self.cut(np.append(0, ends), np.append(starts, len(self.text)))
        pieces[1::2] = new
        return "".join(pieces).split("\n")


@cache
def _white_space() -> NDArray[np.bool_]:
    """Whether each character, up to the last that is, is white space to str.split()."""
    import numpy as np

    return np.array([chr(code).isspace() for code in range(0x3002)])
