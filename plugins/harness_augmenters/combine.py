"""No augmenter, and several: one after another, or one of them for each text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Annotated, ClassVar

import harness
from harness_augmenters.blocks import (
    BLOCK,
    KEEPS_WORDS,
    Copies,
    Prepared,
    Transform,
    base_of,
    blocks,
    draws,
    prepare,
    streams,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Members = Annotated[tuple[harness.Augmenter, ...], harness.MinLen(1)]


@dataclass(frozen=True)
class Nothing(Prepared):
    """No new texts: the transfer set is the training texts."""

    name = "none"
    adds: ClassVar[bool] = False
    task_types: ClassVar[frozenset[str]] = KEEPS_WORDS | {"language-modelling"}

    def prepare(self, corpus: Sequence[str]) -> Transform:
        """What makes nothing."""
        return _nothing


def _nothing(texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
    return iter(())


@dataclass(frozen=True)
class Combination(Prepared):
    """What combinations share: they are what their members are."""

    of: Members  # in order

    @property
    def task_types(self) -> frozenset[str]:  # type: ignore[override]
        """What every member is for."""
        return frozenset.intersection(*(member.task_types for member in self.of))

    @property
    def draws(self) -> bool:
        """Whether a member gives texts from elsewhere."""
        return any(map(draws, self.of))

    @property
    def accelerated(self) -> bool:  # type: ignore[override]
        """Whether a GPU speeds up a member."""
        return any(member.accelerated for member in self.of)

    def base(self) -> str:
        """What the members start from."""
        return base_of(self.of)

    def prepare(self, corpus: Sequence[str]) -> Transform:
        """The members' work on a block, without a GPU."""
        return self.prepare_on(corpus, "cpu")


@dataclass(frozen=True)
class Chain(Combination):
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
        """There are members, and texts from elsewhere come first."""
        if not self.of:
            raise ValueError("chain needs at least one augmenter in `of`")
        for member in filter(draws, self.of[1:]):
            raise ValueError(f"{member.name} brings texts of its own, so it must be the first of its chain")

    @property
    def streams(self) -> bool:
        """Whether all members can work in small blocks."""
        return streams(self.of)

    def prepare_on(self, corpus: Sequence[str], device: str) -> Transform:
        """The members' work on a block, one after another."""
        if self.draws:  # texts of its first member: there are none without a pool
            return _nothing
        members = [prepare(member, corpus, device) for member in self.of]

        def transform(texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
            for start, block in blocks(texts, BLOCK if self.streams else len(texts)):
                for _ in range(self.copies):
                    for row, text in _steps(members, block, generator):
                        if text and text != block[row]:
                            yield start + row, text

        return transform

    def draw(
        self, train: harness.Examples, unlabelled: Sequence[str], context: harness.Context
    ) -> Iterator[tuple[int, str]]:
        """The same; where the first member brings texts, the work of the others on these."""
        import numpy as np

        if not self.draws:
            yield from super().draw(train, unlabelled, context)
            return
        generator = np.random.default_rng(context.seed)
        members = [prepare(member, train.texts, context.device) for member in self.of[1:]]
        drawn = self.of[0].draw(train, unlabelled, context)
        while block := list(islice(drawn, BLOCK if streams(self.of[1:]) else None)):
            for _ in range(self.copies):
                for index, text in _steps(members, [text for _, text in block], generator):
                    row = block[index][0]
                    if text and (row < 0 or text != train.texts[row]):
                        yield row, text


def _steps(
    members: Iterable[Transform], block: Sequence[str], generator: np.random.Generator
) -> Iterator[tuple[int, str]]:
    """What members make of a block of texts, one after another, each text with its row."""
    rows: Sequence[int] = range(len(block))
    texts = block
    for member in members:
        rows, texts = _step(member, rows, texts, generator)
    return zip(rows, texts, strict=True)


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
class Mix(Combination):
    """Each new text is made by one of several augmenters, picked with a probability.

    Just one of `copies` and `size` is given. With `copies`, each text has that many draws; a draw of which
    its member makes nothing is lost. With `size`, draws go on, over all texts alike, until there are that
    many new texts, different from each other and from the corpus in more than case and white space; or
    until 20 draws a text, and 1,000 more, made none.

    A draw takes one text: a member's own `copies` have no effect, and must be 1.

    A member that brings texts of its own gives its share of all new texts, or as many different ones as it
    has, and then this is said; with `size`, the others make up for what it lacks. Several that bring texts of
    one pool draw the same of them, such as texts and what a rule makes of these. Unlabelled texts, and rules
    for the rest::

        use = "mix"
        size = 200_000
        of = [{ use = "unlabelled" }, { use = "mask" }, { use = "ngram" }]
        weights = [8, 1, 1]
    """

    name = "mix"

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

    def draw(
        self, train: harness.Examples, unlabelled: Sequence[str], context: harness.Context
    ) -> Iterator[tuple[int, str]]:
        """The same, with the texts that members bring, before what is made of the training texts."""
        made = 0
        for each in self._drawn(train, unlabelled, context):
            made += 1
            yield each
        if made < (self.size or 0):
            context.warn(f"mix: {made:,} new texts of the {self.size:,} asked for: there are no others")

    def _drawn(
        self, train: harness.Examples, unlabelled: Sequence[str], context: harness.Context
    ) -> Iterator[tuple[int, str]]:
        import numpy as np

        if not self.draws:
            yield from super().draw(train, unlabelled, context)
            return
        seen = {_fold(text) for _, block in blocks(train.texts) for text in block}
        total = self.size or len(train) * (self.copies or 1)
        missing = self.size or 0
        for member, share in zip(self.of, self._shares().tolist(), strict=True):
            if draws(member) and share:
                asked, given = round(total * share), 0
                fresh = _fresh(member.draw(train, unlabelled, context), seen)
                for made in islice(fresh, asked):
                    given += 1
                    yield made
                missing -= given
                if given < asked:
                    context.warn(f"mix: {_named(member)} has {given:,} of the {asked:,} texts of its share")
        rest = self._rest(missing)
        if rest is not None:
            transform = rest._prepare(train.texts, context.device, seen)
            yield from transform(train.texts, np.random.default_rng(context.seed))

    def _rest(self, missing: int) -> Mix | None:
        """The members that make texts of training texts, and how much is left to them."""
        if self.size is None:  # draws that fell to the other members make nothing here
            return replace(self, of=tuple(Nothing() if draws(member) else member for member in self.of))
        kept = [
            (member, share)
            for member, share in zip(self.of, self._shares().tolist(), strict=True)
            if share and not draws(member)
        ]
        if not kept or missing < 1:
            return None
        members, weights = zip(*kept, strict=True)
        return replace(self, of=members, weights=weights, size=missing)

    def _shares(self) -> NDArray[np.float64]:
        """Each member's share of the draws."""
        import numpy as np

        weights = np.asarray(self.weights or (1.0,) * len(self.of))
        return np.asarray(weights / weights.sum())

    def prepare_on(self, corpus: Sequence[str], device: str) -> Transform:
        """Draws from the members, for a block."""
        return self._prepare(corpus, device, set())

    def _prepare(self, corpus: Sequence[str], device: str, seen: set[int]) -> Transform:
        """Draws from the members; with `size`, of texts that differ from those seen."""
        import numpy as np

        members = [prepare(member, corpus, device) for member in self.of]
        shares = self._shares()

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
            known = seen.union(_fold(text) for _, block in blocks(texts) for text in block)
            while missing and len(texts) and barren < 20 * len(texts) + 1000:
                # Whole rounds over the texts, then a sample of them: no text has two draws more than
                # another, but for draws that came to nothing.
                for rows, block in _round(texts, missing, BLOCK if small else len(texts), generator):
                    fresh: dict[int, tuple[int, str]] = {}
                    for row, text in draw(block, generator):
                        if (key := _fold(text)) not in known:
                            fresh.setdefault(key, (int(rows[row]), text))
                    keys = list(fresh)
                    if len(keys) > missing:
                        keys = [keys[i] for i in generator.choice(len(keys), missing, replace=False)]
                    known.update(keys)
                    missing -= len(keys)
                    barren = 0 if keys else barren + len(block)
                    yield from map(fresh.__getitem__, keys)

        return copies if self.size is None else size


def _named(member: harness.Augmenter) -> str:
    """A member's name; of a chain with those of its own."""
    parts = getattr(member, "of", ())
    return f"{member.name} ({', '.join(part.name for part in parts)})" if parts else member.name


def _first(made: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Only the first text made of each row."""
    seen: set[int] = set()
    for row, text in made:
        if row not in seen:
            seen.add(row)
            yield row, text


def _fresh(made: Iterable[tuple[int, str]], seen: set[int]) -> Iterator[tuple[int, str]]:
    """The texts that differ from all seen before, which are kept in mind."""
    for row, text in made:
        if (key := _fold(text)) not in seen:
            seen.add(key)
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
