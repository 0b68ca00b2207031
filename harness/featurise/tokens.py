"""Tables of the ids of texts, without torch, and the training batches drawn from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from harness.featurise.arrays import IN_MEMORY
from harness.values import Masked, Unsupported

if TYPE_CHECKING:
    from numpy.typing import NDArray

PADDING = 0
HIDDEN, MASKED, RANDOM = 0.15, 0.8, 0.1  # shares of tokens, and of the hidden ones (Devlin et al., 2019)
_PART = 1 << 22  # ids that are processed together

_BATCHES = 16  # whose outputs are in memory at the same time

Rename = Callable[["NDArray[Any]"], "NDArray[Any]"]  # ids to the same ids under other numbers
Run = Callable[["NDArray[np.int64]"], "NDArray[np.float32]"]  # ids (B, L) → a model's outputs
Call = Callable[[list[Callable[[], "NDArray[np.float32]"]]], list["NDArray[np.float32]"]]
# Ids (B, L) → the logits (R, V) of the marked ones, text by text.
Told = Callable[["NDArray[np.int64]"], "NDArray[np.float32]"]
# The same ids, and the hidden ids (R,) → the most likely ids (R,), and the hidden ones' log-likelihoods (R,).
Judged = Callable[
    ["NDArray[np.int64]", "NDArray[np.int64]"], tuple["NDArray[np.int64]", "NDArray[np.float32]"]
]


class Drawn(NamedTuple):
    """A batch of training. Its R rows are texts, words to tag, or hidden tokens."""

    ids: NDArray[np.int64]  # (B, L), padded
    picked: (
        NDArray[np.bool_] | None
    )  # (B, L): the R ids with outputs; None: use all rows of the module's output
    places: NDArray[np.int64] | None  # (R,): rows of labels and stored outputs; None: there are none
    gold: NDArray[np.int64] | None  # (R,): the labels, if they are part of the batch
    counts: NDArray[np.int64] | None  # (B,): number of rows of each text; None: one each

    @property
    def rows(self) -> int:
        """Return the number of rows, R."""
        found = self.gold if self.places is None else self.places
        assert found is not None
        return len(found)


class Tokens:
    """The ids of N texts, concatenated in one array, so that 10⁷ texts can be memory-mapped.

    Each text has one row of outputs; in subclasses, words or hidden tokens have rows.
    """

    # Whether the module selects the marked ids: its method ``outputs`` returns logits (R, V) for those.
    selects: ClassVar[bool] = False
    # Whether each batch hides other tokens: reports then ignore epochs, and every id is needed.
    redrawn: ClassVar[bool] = False

    def __init__(
        self,
        ids: NDArray[np.int32],
        offsets: NDArray[np.int64],
        padding: int = PADDING,
        renamed: Rename | None = None,
    ) -> None:
        self.ids = ids  # (sum of lengths,), before they are renamed
        self.offsets = offsets  # (N + 1,)
        self.padding = padding
        self._rename = renamed  # ids of a table on disk are renamed when they are read

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Return the number of ids of each text, (N,); at least 1."""
        return np.diff(self.offsets)

    def lengths_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of ids of some texts, (B,)."""
        return np.asarray(self.offsets[rows + 1] - self.offsets[rows])

    @property
    def outputs(self) -> int:
        """Return the number of rows of outputs: one for each text."""
        return len(self)

    def targets(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows of labels and logits for the outputs of some texts, in order."""
        return rows

    def picked(self, ids: NDArray[np.int64]) -> NDArray[np.bool_] | None:
        """Return which ids of a batch (B, L) have their own outputs; None if each text has one."""
        return None

    def counts(self, rows: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Return the number of outputs of each of some texts, (B,); None if each has one."""
        return None

    def taught(self, logits: NDArray[np.float32]) -> Tokens:
        """Return the table without the rows that the teacher did not read."""
        return self

    def learnable(self) -> bool:
        """Return whether the texts have anything to learn from."""
        return True

    def at_hidden(self, judged: Judged, budget: int, rows: NDArray[np.int64] | None = None) -> Masked:
        """Return the predictions of `judged` for hidden tokens, which are the same in every call.

        Raise Unsupported if no token can be hidden.
        """
        raise Unsupported("this model cannot predict hidden tokens: it is not a masked language model")

    def draw(self, rows: NDArray[np.int64], seed: int, step: int, part: int) -> Drawn:
        """Return a batch of some texts; only `seed`, `step` and `part` determine its randomness."""
        ids = self.batch(rows)
        return Drawn(ids, self.picked(ids), self.targets(rows), None, self.counts(rows))

    def used(self) -> NDArray[np.int32]:
        """Return the distinct ids in order, without marks."""
        return np.unique(np.concatenate([np.unique(self.unmarked(part)) for _, part in self._parts()]))

    def unmarked(self, ids: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the ids without marks."""
        return np.asarray(ids)

    def _parts(self) -> Iterator[tuple[int, NDArray[np.int32]]]:
        """Yield the ids in parts, with their offsets, so that a table on disk need not fit into memory."""
        for start in range(0, max(1, len(self.ids)), _PART):
            yield start, self._read(self.ids[start : start + _PART])

    def _read(self, ids: NDArray[Any]) -> NDArray[Any]:
        """Return ids of the table as they are named now."""
        return ids if self._rename is None else self._rename(ids)

    def _renamed(self, rename: Rename) -> tuple[NDArray[np.int32], Rename | None]:
        """Return the renamed ids, or those of a table that is long, with what renames them later."""
        if self.ids.nbytes <= IN_MEMORY:
            return rename(self._read(np.asarray(self.ids))), None
        before = self._rename
        return self.ids, rename if before is None else lambda ids: rename(before(ids))

    def renamed(self, names: NDArray[np.int32], size: int) -> Tokens:
        """Return the texts with id `names[i]`, below `size`, instead of i; padding is unchanged."""
        ids, later = self._renamed(lambda ids: names[ids])
        return Tokens(ids, self.offsets, self.padding, later)

    def batch(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the ids of some rows, (B, L), padded to the longest of them."""
        starts = self.offsets[rows]
        lengths = self.offsets[rows + 1] - starts
        width = int(lengths.max())
        columns = np.arange(width)
        found = self._read(np.take(self.ids, starts[:, None] + columns, mode="clip"))
        padded = found.astype(np.int64)  # (B, L)
        np.copyto(padded, self.padding, where=columns >= lengths[:, None])
        return padded


class WordTokens(Tokens):
    """The ids of texts for tagging: the first id of each word is marked, and has an output.

    A marked id is at least `mark`. A text that was cut off has fewer marks than words: the outputs of the
    remaining words are zeros, and they are ignored in training.
    """

    def __init__(
        self,
        ids: NDArray[np.int32],
        offsets: NDArray[np.int64],
        padding: int,
        mark: int,
        words: NDArray[np.int64],
        renamed: Rename | None = None,
    ) -> None:
        super().__init__(ids, offsets, padding, renamed)
        self.mark = mark
        self.words = words  # (N + 1,), words before each text

    @property
    def outputs(self) -> int:
        """Return the number of words."""
        return int(self.words[-1])

    @cached_property
    def reached(self) -> NDArray[np.int64]:
        """Return the number of marked words of each text, (N,)."""
        found = np.zeros(len(self), dtype=np.int64)
        for start, part in self._parts():
            marked = start + np.flatnonzero(part >= self.mark)
            texts = np.searchsorted(self.offsets, marked, side="right") - 1
            found += np.bincount(texts, minlength=len(self))
        return found

    def taught(self, logits: NDArray[np.float32]) -> WordTokens:
        """Return the table without the words at the end of a text that the teacher did not read.

        The teacher's logits (T, C) of those are zeros, which would otherwise count as equal probabilities of
        all tags. The first word of a text always remains.
        """
        told = np.flatnonzero(logits.any(axis=1))
        last = np.array(self.words[:-1])  # (N,): the last word of each text that the teacher read
        np.maximum.at(last, np.searchsorted(self.words, told, side="right") - 1, told)
        read = np.arange(self.outputs) <= np.repeat(last, np.diff(self.words))
        if read.all():
            return self
        ids = np.array(self.ids)
        ids[np.flatnonzero(ids >= self.mark)[~read[self.targets(np.arange(len(self)))]]] -= self.mark
        return WordTokens(ids, self.offsets, self.padding, self.mark, self.words, self._rename)

    def targets(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows of labels and logits for the marked words of some texts, in order."""
        counts = self.reached[rows]
        firsts = np.cumsum(counts) - counts
        within = np.arange(int(counts.sum())) - np.repeat(firsts, counts)
        return np.asarray(np.repeat(self.words[rows], counts) + within)

    def picked(self, ids: NDArray[np.int64]) -> NDArray[np.bool_] | None:
        """Return which ids of a batch (B, L) are marked."""
        return np.asarray(ids >= self.mark)

    def counts(self, rows: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Return the number of marked words of some texts, (B,)."""
        return self.reached[rows]

    def unmarked(self, ids: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the ids without marks."""
        return np.asarray(ids % self.mark)

    def renamed(self, names: NDArray[np.int32], size: int) -> Tokens:
        """Return the texts with id `names[i]`, below `size`, instead of i, with the same marks."""

        def rename(ids: NDArray[Any]) -> NDArray[Any]:
            return np.asarray(names[ids % self.mark] + size * (ids >= self.mark).astype(np.int32))

        found, later = self._renamed(rename)
        return WordTokens(found, self.offsets, self.padding, size, self.words, later)


class MaskedTokens(Tokens):
    """The ids of texts for a masked language model: a few tokens are hidden, and are to be predicted.

    In a batch, `size` is added to the id at a hidden position, whatever id replaces the token.
    """

    selects = True
    redrawn = True

    def __init__(
        self,
        ids: NDArray[np.int32],
        offsets: NDArray[np.int64],
        padding: int,
        size: int,
        mask: int,
        special: Sequence[int],
    ) -> None:
        super().__init__(ids, offsets, padding)
        self.size = size
        self.mask = mask
        self.special = np.zeros(size, dtype=bool)  # (V,): those that are never hidden
        self.special[list(special)] = True
        self.ordinary = np.flatnonzero(~self.special)

    def learnable(self) -> bool:
        """Return whether any token can be hidden."""
        return not all(self.special[part].all() for _, part in self._parts())

    def draw(self, rows: NDArray[np.int64], seed: int, step: int, part: int) -> Drawn:
        """Return a batch with other hidden tokens in each step (dynamic masking; Liu et al., 2019).

        15 % of a text's tokens are hidden, rounded, but at least one; 80 % of these become the mask, 10 % a
        random token, and 10 % stay as they are (Devlin et al., 2019).
        """
        generator = np.random.default_rng((seed, step, part))
        ids = self.batch(rows)
        hidden = self._hidden(ids, generator.random(ids.shape))
        gold = ids[hidden]  # (R,)
        shown = gold.copy()
        fate = generator.random(len(gold))
        shown[fate < MASKED] = self.mask
        other = (fate >= MASKED) & (fate < MASKED + RANDOM)
        if len(self.ordinary):
            shown[other] = self.ordinary[generator.integers(len(self.ordinary), size=int(other.sum()))]
        ids[hidden] = shown + self.size
        return Drawn(ids, None, None, gold, None)

    def fixed(self, rows: NDArray[np.int64]) -> Drawn:
        """Return a batch for scoring: the text's ids determine which tokens are hidden, all by the mask."""
        ids = self.batch(rows)
        columns = np.arange(ids.shape[1], dtype=np.uint64)
        mixed = _mixed(ids.astype(np.uint64) + (columns << np.uint64(32)))
        text = np.where(ids != self.padding, mixed, np.uint64(0)).sum(1, dtype=np.uint64)  # (B,)
        hidden = self._hidden(ids, _mixed(text[:, None] + columns) / 2.0**64)
        gold = ids[hidden]
        ids[hidden] = self.mask + self.size
        return Drawn(ids, None, None, gold, hidden.sum(1))

    def masks(self, rows: NDArray[np.int64]) -> Drawn:
        """Return the texts as a batch, with a mark at each mask."""
        ids = self.batch(rows)
        hidden = ids == self.mask
        gold = ids[hidden]
        ids[hidden] += self.size
        return Drawn(ids, None, None, gold, hidden.sum(1))

    def at_masks(self, counts: NDArray[np.int64], told: Told, budget: int) -> NDArray[np.float32]:
        """Return the logits for each mask in the texts, in order, (M, V).

        `told` computes the logits of marked ids; `counts` (N,) is the number of masks in each text. Masks
        that were cut off have zeros.
        """
        before = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])
        table = np.zeros((int(before[-1]), self.size), dtype=np.float32)
        for rows in batches_by_length(self, budget):
            drawn = self.masks(rows)
            if drawn.rows:
                assert drawn.counts is not None
                firsts = np.cumsum(drawn.counts) - drawn.counts
                within = np.arange(drawn.rows) - np.repeat(firsts, drawn.counts)
                table[np.repeat(before[rows], drawn.counts) + within] = told(drawn.ids)
        return table

    def at_hidden(self, judged: Judged, budget: int, rows: NDArray[np.int64] | None = None) -> Masked:
        """Return the predictions of `judged` for the tokens that :meth:`fixed` hides.

        The result is in the order of the texts, and of the tokens in each. `rows` selects some of the texts.
        """
        found: list[Masked] = []
        rows = np.arange(len(self)) if rows is None else rows
        for places in batches_of(self.lengths[rows], budget):
            batch = rows[places]
            drawn = self.fixed(batch)
            assert drawn.gold is not None and drawn.counts is not None
            if drawn.rows:
                predicted, likelihood = judged(drawn.ids, drawn.gold)
                found.append(Masked(np.repeat(batch, drawn.counts), drawn.gold, predicted, likelihood))
        if not found:
            empty = np.zeros(0, dtype=np.int64)
            return Masked(empty, empty, empty, np.zeros(0, dtype=np.float32))
        order = np.argsort(np.concatenate([each.rows for each in found]), kind="stable")
        return Masked._make(np.concatenate(parts)[order] for parts in zip(*found, strict=True))

    def _hidden(self, ids: NDArray[np.int64], chances: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which tokens to hide, (B, L): those of each text with the smallest `chances` in [0, 1)."""
        free = ~self.special[ids]
        counts = free.sum(1)  # (B,)
        wanted = np.where(counts > 0, np.maximum(1, np.rint(HIDDEN * counts)), 0).astype(np.int64)
        order = np.argsort(np.where(free, chances, 2.0), axis=1, kind="stable")
        ranks = np.empty_like(order)
        np.put_along_axis(ranks, order, np.arange(ids.shape[1])[None], axis=1)
        return np.asarray(ranks < wanted[:, None])


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a pseudo-random number for each number (SplitMix64; Steele et al., 2014)."""
    z = numbers + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def ids_at_once(device: str) -> int:
    """Return how many ids, including padding, a model scores at once.

    On a CPU, the states of a transformer must fit into the caches: 16,384 ids take up to twice the time.
    """
    return 2_048 if device == "cpu" else 16_384


def batches_by_length(tokens: Tokens, budget: int) -> Iterator[NDArray[np.int64]]:
    """Yield rows, longest first, in batches of at most `budget` ids including padding."""
    return batches_of(tokens.lengths, budget)


def batches_of(lengths: NDArray[np.int64], budget: int) -> Iterator[NDArray[np.int64]]:
    """Yield batches as :func:`batches_by_length`, for the lengths (N,) of texts."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        count = max(1, budget // int(lengths[order[start]]))
        yield order[start : start + count]
        start += count


def one_after_the_other(parts: list[Callable[[], NDArray[np.float32]]]) -> list[NDArray[np.float32]]:
    """Call functions in order, and return their results."""
    return [part() for part in parts]


def run_all(
    tokens: Tokens, run: Run, width: int | None, at_once: int, call: Call = one_after_the_other
) -> NDArray[np.float32]:
    """Return the outputs (R, C) of all rows of the texts, in order; rows that were cut off are zeros.

    C is `width` or, by default, the width of the outputs. `call` calls several functions, perhaps at the same
    time.
    """
    table = None if width is None else np.zeros((tokens.outputs, width), dtype=np.float32)

    def block(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        ids = tokens.batch(rows)
        picked, found = tokens.picked(ids), run(ids)
        return found if picked is None else found[picked]

    batches = batches_by_length(tokens, at_once)
    while some := list(islice(batches, _BATCHES)):
        for rows, found in zip(some, call([partial(block, rows) for rows in some]), strict=True):
            if table is None:
                table = np.zeros((tokens.outputs, found.shape[1]), dtype=np.float32)
            table[tokens.targets(rows)] = found
    return table if table is not None else np.empty((0, 0), dtype=np.float32)
