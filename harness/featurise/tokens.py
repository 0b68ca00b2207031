"""Tables of ids, without torch: what texts are to a model, and what a batch of training draws from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from harness.values import Masked, Unsupported

if TYPE_CHECKING:
    from numpy.typing import NDArray

PADDING = 0
HIDDEN, MASKED, RANDOM = 0.15, 0.8, 0.1  # shares of tokens, and of the hidden ones (Devlin et al., 2019)
_PART = 1 << 22  # ids that are looked at together

# Marked ids (B, L) → logits (R, V) of those that are marked, text by text.
Told = Callable[["NDArray[np.int64]"], "NDArray[np.float32]"]
# The same ids, and what is hidden (R,) → the likeliest ids (R,), and log-likelihoods (R,) of what is hidden.
Judged = Callable[
    ["NDArray[np.int64]", "NDArray[np.int64]"], tuple["NDArray[np.int64]", "NDArray[np.float32]"]
]


class Drawn(NamedTuple):
    """What one batch of training is made of. Its R rows are texts, tagged words, or hidden tokens."""

    ids: NDArray[np.int64]  # (B, L), padded
    picked: NDArray[np.bool_] | None  # (B, L): the R ids whose outputs count; None: the module's rows do
    places: NDArray[np.int64] | None  # (R,): rows of what is recorded, such as labels; None: nothing is
    gold: NDArray[np.int64] | None  # (R,): the labels, where the draw itself says what they are
    counts: NDArray[np.int64] | None  # (B,): how many rows each text has; None: one each

    @property
    def rows(self) -> int:
        """R."""
        found = self.gold if self.places is None else self.places
        assert found is not None
        return len(found)


class Tokens:
    """The ids of N texts, end to end in one array, so that 10⁷ texts can be memory-mapped.

    Each text has one row of outputs; subclasses have other rows.
    """

    # The module selects the ids that have outputs: its method ``outputs`` gives logits (R, V) for those.
    selects: ClassVar[bool] = False
    # What is to be predicted is drawn anew in each batch: an epoch is no unit, and every id is needed.
    redrawn: ClassVar[bool] = False

    def __init__(self, ids: NDArray[np.int32], offsets: NDArray[np.int64], padding: int = PADDING) -> None:
        self.ids = ids  # (sum of lengths,)
        self.offsets = offsets  # (N + 1,)
        self.padding = padding

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """(N,): how many ids each text has; at least 1."""
        return np.diff(self.offsets)

    @property
    def outputs(self) -> int:
        """How many rows of outputs the texts have: one each."""
        return len(self)

    def targets(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of labels and logits that some texts' outputs belong to, in order."""
        return rows

    def picked(self, ids: NDArray[np.int64]) -> NDArray[np.bool_] | None:
        """Of a batch's ids (B, L), those that have outputs of their own; None: a text has one."""
        return None

    def counts(self, rows: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """(B,): how many outputs each of some texts has; None: one each."""
        return None

    def taught(self, logits: NDArray[np.float32]) -> Tokens:
        """Return the same, without the rows that the teacher did not read."""
        return self

    def learnable(self) -> bool:
        """Return whether there is anything to learn from."""
        return True

    def at_hidden(self, judged: Judged, budget: int, rows: NDArray[np.int64] | None = None) -> Masked:
        """Return what `judged` predicts for tokens that are hidden, the same ones every time.

        Raises Unsupported if no token can be hidden.
        """
        raise Unsupported("this model is not a language model: it predicts no hidden tokens")

    def draw(self, rows: NDArray[np.int64], seed: int, step: int, part: int) -> Drawn:
        """What a batch is made of; what is random of it comes of `seed`, step and part of the step alone."""
        ids = self.batch(rows)
        return Drawn(ids, self.picked(ids), self.targets(rows), None, self.counts(rows))

    def used(self) -> NDArray[np.int32]:
        """The distinct ids, unmarked, in order."""
        return np.unique(np.concatenate([np.unique(self.unmarked(part)) for _, part in self._parts()]))

    def unmarked(self, ids: NDArray[np.int32]) -> NDArray[np.int32]:
        """Ids without what says that they have an output."""
        return np.asarray(ids)

    def _parts(self) -> Iterator[tuple[int, NDArray[np.int32]]]:
        """The ids in parts, each with its place: a table on disk need not fit into memory several times."""
        for start in range(0, max(1, len(self.ids)), _PART):
            yield start, self.ids[start : start + _PART]

    def renamed(self, names: NDArray[np.int32], size: int) -> Tokens:
        """The same texts with id `names[i]`, below `size`, in place of i; padding keeps its own."""
        return Tokens(names[np.asarray(self.ids)], self.offsets, self.padding)

    def batch(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The ids of some rows, (B, L), padded to the longest of them."""
        starts, lengths = self.offsets[rows], self.lengths[rows]
        width = int(lengths.max())
        columns = np.arange(width)
        positions = np.minimum(starts[:, None] + columns, len(self.ids) - 1)
        padded = self.ids[positions].astype(np.int64)
        padded[columns >= lengths[:, None]] = self.padding
        return np.asarray(padded)  # (B, L)


class WordTokens(Tokens):
    """The ids of texts whose words are tagged: the first id of each word is marked, and has an output.

    An id is marked by being `mark` or above. A text that is cut has fewer marks than words: the words behind
    the cut keep outputs of zeros, and nothing is learned from them.
    """

    def __init__(
        self,
        ids: NDArray[np.int32],
        offsets: NDArray[np.int64],
        padding: int,
        mark: int,
        words: NDArray[np.int64],
    ) -> None:
        super().__init__(ids, offsets, padding)
        self.mark = mark
        self.words = words  # (N + 1,), words before each text

    @property
    def outputs(self) -> int:
        """How many words there are."""
        return int(self.words[-1])

    @cached_property
    def reached(self) -> NDArray[np.int64]:
        """(N,): how many words of each text are marked."""
        found = np.zeros(len(self), dtype=np.int64)
        for start, part in self._parts():
            marked = start + np.flatnonzero(part >= self.mark)
            texts = np.searchsorted(self.offsets, marked, side="right") - 1
            found += np.bincount(texts, minlength=len(self))
        return found

    def taught(self, logits: NDArray[np.float32]) -> WordTokens:
        """The same, without the words that the teacher did not read: a text's last ones, but never its first.

        Of those its logits (T, C) are zeros, which before another word say that any tag is as likely.
        """
        told = np.flatnonzero(logits.any(axis=1))
        last = np.array(self.words[:-1])  # (N,): of the words of each text the last that the teacher read
        np.maximum.at(last, np.searchsorted(self.words, told, side="right") - 1, told)
        read = np.arange(self.outputs) <= np.repeat(last, np.diff(self.words))
        if read.all():
            return self
        ids = np.array(self.ids)
        ids[np.flatnonzero(ids >= self.mark)[~read[self.targets(np.arange(len(self)))]]] -= self.mark
        return WordTokens(ids, self.offsets, self.padding, self.mark, self.words)

    def targets(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """See :class:`Tokens`."""
        counts = self.reached[rows]
        firsts = np.cumsum(counts) - counts
        within = np.arange(int(counts.sum())) - np.repeat(firsts, counts)
        return np.asarray(np.repeat(self.words[rows], counts) + within)

    def picked(self, ids: NDArray[np.int64]) -> NDArray[np.bool_] | None:
        """See :class:`Tokens`."""
        return np.asarray(ids >= self.mark)

    def counts(self, rows: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """See :class:`Tokens`."""
        return self.reached[rows]

    def unmarked(self, ids: NDArray[np.int32]) -> NDArray[np.int32]:
        """See :class:`Tokens`."""
        return np.asarray(ids % self.mark)

    def renamed(self, names: NDArray[np.int32], size: int) -> Tokens:
        """See :class:`Tokens`; marks stay where they are."""
        ids = np.asarray(self.ids)
        found = names[ids % self.mark] + size * (ids >= self.mark).astype(np.int32)
        return WordTokens(found, self.offsets, self.padding, size, self.words)


class MaskedTokens(Tokens):
    """The ids of texts for a masked language model: a few are hidden, and those are to be told.

    A hidden token is marked in a batch by being raised by `size`, whatever stands in its place.
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
        """See :class:`Tokens`: some token could be hidden."""
        return not self.special[self.ids].all()

    def draw(self, rows: NDArray[np.int64], seed: int, step: int, part: int) -> Drawn:
        """See :class:`Tokens`; hidden ids anew for each step (Liu et al., 2019, dynamic masking).

        Of a text's tokens 15 %, at least one, rounded; of those 80 % become the mask, 10 % any token, and
        10 % stay (Devlin et al., 2019).
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
        """Like :meth:`draw`, for scoring: a text's own ids say which are hidden, all of them by the mask."""
        ids = self.batch(rows)
        columns = np.arange(ids.shape[1], dtype=np.uint64)
        mixed = _mixed(ids.astype(np.uint64) + (columns << np.uint64(32)))
        text = np.where(ids != self.padding, mixed, np.uint64(0)).sum(1, dtype=np.uint64)  # (B,)
        hidden = self._hidden(ids, _mixed(text[:, None] + columns) / 2.0**64)
        gold = ids[hidden]
        ids[hidden] = self.mask + self.size
        return Drawn(ids, None, None, gold, hidden.sum(1))

    def masks(self, rows: NDArray[np.int64]) -> Drawn:
        """The texts as they are, with a mark wherever they hold the mask."""
        ids = self.batch(rows)
        hidden = ids == self.mask
        gold = ids[hidden]
        ids[hidden] += self.size
        return Drawn(ids, None, None, gold, hidden.sum(1))

    def at_masks(self, counts: NDArray[np.int64], told: Told, budget: int) -> NDArray[np.float32]:
        """Logits (M, V) for each mask in the texts, in order, by what `told` makes of marked ids.

        `counts` (N,) says how many masks each text has; those that were cut off have zeros.
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
        """What `judged` makes of the tokens that :meth:`fixed` hides, of some texts or of all.

        In the order of the texts, and of the tokens in each.
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
        """(B, L): of each text's tokens the share with the smallest of some numbers from 0 to below 1."""
        free = ~self.special[ids]
        counts = free.sum(1)  # (B,)
        wanted = np.where(counts > 0, np.maximum(1, np.rint(HIDDEN * counts)), 0).astype(np.int64)
        order = np.argsort(np.where(free, chances, 2.0), axis=1, kind="stable")
        ranks = np.empty_like(order)
        np.put_along_axis(ranks, order, np.arange(ids.shape[1])[None], axis=1)
        return np.asarray(ranks < wanted[:, None])


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Numbers that look random, one for each (SplitMix64: Steele et al., 2014)."""
    z = numbers + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def ids_at_once(device: str) -> int:
    """How many ids, padding among them, a model scores at once.

    On a CPU so few that the states of a transformer stay in its caches: 16,384 take it up to twice the time.
    """
    return 2_048 if device == "cpu" else 16_384


def batches_by_length(tokens: Tokens, budget: int) -> Iterator[NDArray[np.int64]]:
    """Rows, longest first, in batches of at most `budget` ids with their padding: for scoring."""
    return batches_of(tokens.lengths, budget)


def batches_of(lengths: NDArray[np.int64], budget: int) -> Iterator[NDArray[np.int64]]:
    """Like :func:`batches_by_length`, of texts' lengths (N,)."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        count = max(1, budget // int(lengths[order[start]]))
        yield order[start : start + count]
        start += count
