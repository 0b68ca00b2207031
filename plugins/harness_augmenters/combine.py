"""No augmenter, and several: one after another, or one of them for each text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import harness
from harness_augmenters.blocks import (
    BLOCK,
    Copies,
    Prepared,
    Transform,
    blocks,
    prepare,
    streams,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Members = Annotated[tuple[harness.Augmenter, ...], harness.MinLen(1)]


@dataclass(frozen=True)
class Nothing(harness.Augmenter):
    """No new texts: the transfer set is the training texts."""

    name = "none"

    def __call__(self, texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
        """Yield nothing."""
        return iter(())


@dataclass(frozen=True)
class Chain(Prepared):
    """Several augmenters, one after another, on the same text.

    The recipe of Tang et al. (2019)::

        use = "chain"
        copies = 20
        of = [
            { use = "mask", probability = 0.1, force = false },
            { use = "pos-replace", probability = 0.1, force = false },
            { use = "ngram", probability = 0.25 },
        ]

    A text of which a member makes nothing goes on to the next member as it is. Where members make several
    texts of one, all of them go on. What is the same as its source at the end is left out.

    Statistics of the corpus are those of the texts given, not of what former members made of them. Only a
    member from another package sees just the latter, and then all of it at once, in memory.
    """

    name = "chain"

    of: Members  # in order
    copies: Copies = 1  # times that the chain is run on each text

    def check(self) -> None:
        """There are members."""
        if not self.of:
            raise ValueError("chain needs at least one augmenter in `of`")

    @property
    def streams(self) -> bool:
        """Whether all members can work in small blocks."""
        return streams(self.of)

    def prepare(self, corpus: Sequence[str]) -> Transform:
        """The members' work on a block, one after another."""
        members = [prepare(member, corpus) for member in self.of]

        def transform(texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
            for start, block in blocks(texts, BLOCK if self.streams else len(texts)):
                for _ in range(self.copies):
                    rows: Sequence[int] = range(len(block))
                    current = block
                    for member in members:
                        rows, current = _step(member, rows, current, generator)
                    for row, text in zip(rows, current, strict=True):
                        if text and text != block[row]:
                            yield start + row, text

        return transform


def _step(
    member: Transform, rows: Sequence[int], texts: Sequence[str], generator: np.random.Generator
) -> tuple[list[int], list[str]]:
    """What a member makes of texts, and behind it the texts that it makes nothing of, each with its row."""
    made = [*member(texts, generator)]
    sources = [index for index, _ in made]
    done = set(sources)
    sources += [index for index in range(len(texts)) if index not in done]
    new = [text for _, text in made] + [texts[index] for index in sources[len(made) :]]
    return [rows[index] for index in sources], new


@dataclass(frozen=True)
class Mix(Prepared):
    """Each new text is made by one of several augmenters, picked with a probability.

    Just one of `copies` and `size` is given. With `copies`, each text has that many draws; a draw of which
    its member makes nothing is lost. With `size`, draws go on, over all texts alike, until there are that
    many new texts, different from each other and from the corpus in more than case and white space; or
    until 20 draws a text, and 1,000 more, made none.

    A draw takes one text: a member's own `copies` have no effect, and must be 1.
    """

    name = "mix"

    of: Members
    weights: tuple[float, ...] = ()  # one for each member, >= 0, in any unit; none given: all alike
    copies: Annotated[int, harness.Gt(0)] | None = None  # draws a text
    size: Annotated[int, harness.Gt(0)] | None = None  # new texts in all

    def check(self) -> None:
        """Members and weights agree, and one of `copies` and `size` is given."""
        if not self.of:
            raise ValueError("mix needs at least one augmenter in `of`")
        if (self.copies is None) == (self.size is None):
            raise ValueError("mix needs either copies or size")
        if self.weights and len(self.weights) != len(self.of):
            raise ValueError(f"mix has {len(self.of)} augmenters but {len(self.weights)} weights")
        if not all(0 <= weight < float("inf") for weight in self.weights):
            raise ValueError("the weights of mix must be finite and at least 0")
        if self.weights and not any(self.weights):
            raise ValueError("the weights of mix must not all be 0")
        for member in self.of:
            if getattr(member, "copies", None) not in (None, 1):
                raise ValueError(f"copies of {member.name} have no effect in a mix; give them to the mix")

    @property
    def streams(self) -> bool:
        """Whether all members can work in small blocks, and no size counts over all of them."""
        return self.size is None and streams(self.of)

    def prepare(self, corpus: Sequence[str]) -> Transform:
        """Draws from the members, for a block."""
        import numpy as np

        members = [prepare(member, corpus) for member in self.of]
        weights = np.asarray(self.weights or (1.0,) * len(members))
        shares = weights / weights.sum()

        def draw(texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
            """One draw for each text."""
            picks = generator.choice(len(members), size=len(texts), p=shares)
            for pick, member in enumerate(members):
                rows = np.flatnonzero(picks == pick).tolist()
                if rows:
                    own = [texts[row] for row in rows]
                    for index, text in _first(member(own, generator)):
                        if text and text != own[index]:
                            yield rows[index], text

        small = streams(self.of)

        def copies(texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
            for start, block in blocks(texts, BLOCK if small else len(texts)):
                for _ in range(self.copies or 1):
                    for row, text in draw(block, generator):
                        yield start + row, text

        def size(texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
            missing, barren = self.size or 0, 0
            seen = {_fold(text) for _, block in blocks(texts) for text in block}
            while missing and len(texts) and barren < 20 * len(texts) + 1000:
                # Whole rounds over the texts, then a sample of them: no text has two draws more than
                # another, but for draws that came to nothing.
                for rows, block in _round(texts, missing, BLOCK if small else len(texts), generator):
                    fresh: dict[int, tuple[int, str]] = {}
                    for row, text in draw(block, generator):
                        if (key := _fold(text)) not in seen:
                            fresh.setdefault(key, (int(rows[row]), text))
                    keys = list(fresh)
                    if len(keys) > missing:
                        keys = [keys[i] for i in generator.choice(len(keys), missing, replace=False)]
                    seen.update(keys)
                    missing -= len(keys)
                    barren = 0 if keys else barren + len(block)
                    yield from map(fresh.__getitem__, keys)

        return copies if self.size is None else size


def _first(made: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Only the first text made of each row."""
    seen: set[int] = set()
    for row, text in made:
        if row not in seen:
            seen.add(row)
            yield row, text


def _fold(text: str) -> int:
    """A digest of all but case and white space, which no student should see twice; 8 bytes, for memory."""
    return hash(" ".join(text.lower().split()))


def _round(
    texts: Sequence[str], missing: int, size: int, generator: np.random.Generator
) -> Iterator[tuple[Sequence[int] | NDArray[np.int64], Sequence[str]]]:
    """Rows and texts of blocks: all texts, or as many as are missing, drawn without replacement."""
    import numpy as np

    if missing >= len(texts):
        for start, block in blocks(texts, size):
            yield range(start, start + len(block)), block
        return
    # A few more than are missing, or the last texts would come one by one where most draws make nothing.
    count = min(len(texts), max(missing, 256))
    rows = np.sort(generator.choice(len(texts), count, replace=False))
    for start in range(0, count, size):
        some = rows[start : start + size]
        yield some, [texts[row] for row in some.tolist()]
