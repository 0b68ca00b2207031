"""Combinations of augmenters: none, several in a row, or one of several for each text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Annotated, ClassVar

import harness
from harness.storage.hashes import Hashes, fresh, hashes_of
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
        """Return a function that makes no texts."""
        return _nothing


def _nothing(texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
    return iter(())


@dataclass(frozen=True)
class Combination(Prepared):
    """Base class of combinations, whose properties follow from those of their members."""

    of: Members  # the augmenters to combine, in order

    @property
    def task_types(self) -> frozenset[str]:  # type: ignore[override]
        """Return the types of task that every member supports."""
        return frozenset.intersection(*(member.task_types for member in self.of))

    @property
    def draws(self) -> bool:
        """Return whether a member yields texts that are not made from training texts."""
        return any(map(draws, self.of))

    @property
    def accelerated(self) -> bool:  # type: ignore[override]
        """Return whether a GPU speeds up a member."""
        return any(member.accelerated for member in self.of)

    def base(self) -> str:
        """Return what the members start from."""
        return base_of(self.of)

    def prepare(self, corpus: Sequence[str]) -> Transform:
        """Return a function that applies the members to texts, on the CPU."""
        return self.prepare_on(corpus, "cpu")


@dataclass(frozen=True)
class Chain(Combination):
    """Several augmenters, applied to each text one after another.

    For example, the recipe of Tang et al. (2019) is::

        use = "chain"
        copies = 20
        of = [
            { use = "mask", probability = 0.1, force = false },
            { use = "pos-replace", probability = 0.1, force = false },
            { use = "ngram", probability = 0.25 },
        ]

    If a member makes no text from a text, the next member gets that text unchanged. If it makes several, the
    next member gets all of them. A result that is equal to its source is left out.

    Members collect their statistics on the original corpus, not on the output of earlier members. A member
    from another package sees only that output, all of it at once, in memory.
    """

    name = "chain"

    of: Members  # the augmenters, in the order in which they are applied
    copies: Copies = 1  # number of times that the chain is applied to each text

    def check(self) -> None:
        """Raise ValueError if there are no members, or one that brings its own texts is not the first."""
        if not self.of:
            raise ValueError("chain has no augmenters in `of`; give at least one")
        for member in filter(draws, self.of[1:]):
            raise ValueError(
                f"{member.name} brings its own texts, so it cannot follow another augmenter in a chain; "
                "put it first"
            )

    @property
    def streams(self) -> bool:
        """Return whether all members work block by block."""
        return streams(self.of)

    def prepare_on(self, corpus: Sequence[str], device: str) -> Transform:
        """Return a function that applies the members one after another."""
        if self.draws:  # the first member brings its own texts, which only draw() has
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
        """Yield what a call yields; if the first member brings its own texts, apply the others to these."""
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
    """Apply members to a block of texts one after another, and yield each result with its row."""
    rows: Sequence[int] = range(len(block))
    texts = block
    for member in members:
        rows, texts = _step(member, rows, texts, generator)
    return zip(rows, texts, strict=True)


def _step(
    member: Transform, rows: Sequence[int], texts: Sequence[str], generator: np.random.Generator
) -> tuple[list[int], list[str]]:
    """Return the rows and texts that a member makes, followed by the texts from which it makes nothing."""
    made = [*member(texts, generator)]
    sources = [index for index, _ in made]
    done = set(sources)
    sources += [index for index in range(len(texts)) if index not in done]
    new = [text for _, text in made] + [texts[index] for index in sources[len(made) :]]
    return [rows[index] for index in sources], new


@dataclass(frozen=True)
class Mix(Combination):
    """One of several augmenters for each new text, chosen at random.

    Give either `copies` or `size`. With `copies`, there are that many draws for each text; a draw is lost if
    its member makes no text. With `size`, draws continue, evenly over all texts, until there are that many
    new texts. These differ from each other and from the corpus in more than case and white space. Draws stop
    early if 20 draws per text, plus 1,000, made no new text.

    A draw makes at most one text, so the `copies` of members must be 1.

    A member that brings its own texts contributes its share of all new texts. If it has too few different
    ones, there is a warning and, with `size`, the other members make up for the rest. Members that draw from
    the same pool of texts draw the same texts, so one can give texts and another what a rule makes from them.
    For example, unlabelled texts, with rules for the rest, are::

        use = "mix"
        size = 200_000
        of = [{ use = "unlabelled" }, { use = "mask" }, { use = "ngram" }]
        weights = [8, 1, 1]
    """

    name = "mix"

    weights: tuple[float, ...] = ()  # one per member, at least 0, in any unit; default: equal weights
    copies: Annotated[int, harness.Gt(0)] | None = None  # draws per text; excludes `size`
    size: Annotated[int, harness.Gt(0)] | None = None  # total number of new texts; excludes `copies`

    def check(self) -> None:
        """Raise ValueError for impossible weights, or unless exactly one of `copies` and `size` is given."""
        if not self.of:
            raise ValueError("mix has no augmenters in `of`; give at least one")
        if (self.copies is None) == (self.size is None):
            got = "neither" if self.size is None else "both"
            raise ValueError(f"expected either copies or size for mix, got {got}")
        if self.weights and len(self.weights) != len(self.of):
            raise ValueError(
                f"mix has {len(self.of)} augmenters but {len(self.weights)} weights; give one for each"
            )
        if not all(0 <= weight < float("inf") for weight in self.weights):
            raise ValueError(f"expected weights of mix to be finite and at least 0, got {list(self.weights)}")
        if self.weights and not any(self.weights):
            raise ValueError("all weights of mix are 0; set at least one above 0")
        for member in self.of:
            if (copies := getattr(member, "copies", None)) not in (None, 1):
                raise ValueError(
                    f"{member.name} has copies = {copies} in a mix; set copies or size of the mix instead"
                )

    @property
    def streams(self) -> bool:
        """Return whether all members work block by block, and no total `size` is given."""
        return self.size is None and streams(self.of)

    def draw(
        self, train: harness.Examples, unlabelled: Sequence[str], context: harness.Context
    ) -> Iterator[tuple[int, str]]:
        """Yield first the texts that members bring, then those made from training texts."""
        made = 0
        for each in self._drawn(train, unlabelled, context):
            made += 1
            yield each
        if made < (self.size or 0):
            context.warn(
                f"mix made only {made:,} of {self.size:,} new texts: its members found no more different ones"
            )

    def _drawn(
        self, train: harness.Examples, unlabelled: Sequence[str], context: harness.Context
    ) -> Iterator[tuple[int, str]]:
        import numpy as np

        if not self.draws:
            yield from super().draw(train, unlabelled, context)
            return
        seen = Hashes(text for _, block in blocks(train.texts) for text in block)
        total = self.size or len(train) * (self.copies or 1)
        missing = self.size or 0
        for member, share in zip(self.of, self._shares().tolist(), strict=True):
            if draws(member) and share:
                asked, given = round(total * share), 0
                for made in fresh(member.draw(train, unlabelled, context), seen, asked):
                    given += 1
                    yield made
                missing -= given
                if given < asked:
                    context.warn(
                        f"mix: {_named(member)} has only {given:,} of the {asked:,} texts of its share"
                    )
        rest = self._rest(missing)
        if rest is not None:
            transform = rest._prepare(train.texts, context.device, seen)
            yield from transform(train.texts, np.random.default_rng(context.seed))

    def _rest(self, missing: int) -> Mix | None:
        """Return a mix of the members that use training texts, for the `missing` texts, or None."""
        if self.size is None:  # draws of the other members make nothing here
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
        """Return each member's share of the draws."""
        import numpy as np

        weights = np.asarray(self.weights or (1.0,) * len(self.of))
        return np.asarray(weights / weights.sum())

    def prepare_on(self, corpus: Sequence[str], device: str) -> Transform:
        """Return a function that draws texts from the members."""
        return self._prepare(corpus, device, Hashes())

    def _prepare(self, corpus: Sequence[str], device: str, seen: Hashes) -> Transform:
        """Return a function that draws texts from the members; with `size`, texts that were not seen."""
        import numpy as np

        members = [prepare(member, corpus, device) for member in self.of]
        shares = self._shares()

        def draw(texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
            """Make one draw for each text."""
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
            known = seen.copy()
            for _, block in blocks(texts):
                known.add(hashes_of(block))
            while missing and len(texts) and barren < 20 * len(texts) + 1000:
                # Whole rounds over the texts, then a sample of them: the numbers of draws per text differ
                # by at most one, except for draws that made nothing.
                for rows, block in _round(texts, missing, BLOCK if small else len(texts), generator):
                    made = [(int(rows[row]), text) for row, text in draw(block, generator)]
                    keys = hashes_of(text for _, text in made)
                    places = np.flatnonzero(known.unseen(keys))
                    if len(places) > missing:
                        places = places[generator.choice(len(places), missing, replace=False)]
                    known.add(keys[places])
                    missing -= len(places)
                    barren = 0 if len(places) else barren + len(block)
                    yield from (made[place] for place in places.tolist())

        return copies if self.size is None else size


def _named(member: harness.Augmenter) -> str:
    """Return a member's name, for combinations with the names of their members."""
    parts = getattr(member, "of", ())
    return f"{member.name} ({', '.join(part.name for part in parts)})" if parts else member.name


def _first(made: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Yield only the first text of each row."""
    seen: set[int] = set()
    for row, text in made:
        if row not in seen:
            seen.add(row)
            yield row, text


def _round(
    texts: Sequence[str], missing: int, size: int, generator: np.random.Generator
) -> Iterator[tuple[Sequence[int] | NDArray[np.int64], Sequence[str]]]:
    """Yield rows and texts in blocks: all texts, or as many as are missing, drawn without replacement."""
    import numpy as np

    if missing >= len(texts):
        for start, block in blocks(texts, size):
            yield range(start, start + len(block)), block
        return
    # Draw at least 256: if most draws make nothing, the last texts would otherwise come one by one.
    count = min(len(texts), max(missing, 256))
    rows = np.sort(generator.choice(len(texts), count, replace=False))
    for start in range(0, count, size):
        some = rows[start : start + size]
        yield some, [texts[row] for row in some.tolist()]
