"""Losses on self-attention: on its maps, and on the relations within its queries, keys and values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import harness
from harness_losses.layers import Map, check_map, pairs
from harness_losses.tensors import OF_TEXTS, row_mean, wide

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Attention(harness.Loss):
    """Distance of attention maps, squared (Jiao et al., 2020, TinyBERT) or KL (Wang et al., 2020, MiniLM).

    "mse" is the squared distance of attention probabilities in the mapped layers, averaged over pairs of
    tokens; TinyBERT uses the scores before the softmax. "kl" is KL(teacher || student) in the last layers,
    averaged over tokens, in nats. Both are averaged over heads, then over texts, without padding. If the two
    models have different numbers of heads, the averages over heads are compared.
    """

    name = "attention"
    task_types: ClassVar[frozenset[str]] = OF_TEXTS

    form: Literal["mse", "kl"] = "mse"  # the distance: squared, or KL divergence
    map: Map = "uniform"  # for "mse": the teacher's layer for each of the student's

    def check(self) -> None:
        """Raise ValueError for an impossible map, or one that "kl" would ignore."""
        check_map(self.map)
        if self.form == "kl" and self.map != "uniform":
            raise ValueError(
                f"attention with form = 'kl' compares only the last layers, but map is {self.map!r}; "
                "leave map out, or use form = 'mse'"
            )

    @property
    def needs(self) -> frozenset[str]:
        """Return that the loss needs attention probabilities."""
        return frozenset({"attention"})

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """Return the mean distance, (), of the batch's attention maps."""
        ours, theirs = batch.student["attention"], batch.teacher["attention"]
        assert batch.mask is not None
        compared = pairs(len(ours), len(theirs), "final" if self.form == "kl" else self.map)
        values = [self._distance(wide(ours[m - 1]), wide(theirs[n - 1]), batch.mask) for m, n in compared]
        return row_mean(sum(values[1:], start=values[0]) / len(values), batch)

    def _distance(self, ours: Tensor, theirs: Tensor, real: Tensor) -> Tensor:
        """Return the distance of each text, (B,), for maps (B, heads, L, L) and the mask `real` (B, L)."""
        if ours.shape[1] != theirs.shape[1]:
            ours, theirs = ours.mean(1, keepdim=True), theirs.mean(1, keepdim=True)
        count = real.sum(1).clamp_min(1)  # (B,)
        between = (real[:, None, :, None] & real[:, None, None, :]).expand_as(ours)  # (B, heads, L, L)
        if self.form == "kl":
            # The logarithm of 0 is -inf. A tiny number instead of 0 does not change the sum.
            logs = [each.clamp_min(1e-30).log() for each in (theirs, ours)]
            found = theirs * (logs[0] - logs[1])
            pairs_of = count
        else:
            found = (ours - theirs).square()
            pairs_of = count.square()
        return found.masked_fill(~between, 0.0).sum((2, 3)).mean(1) / pairs_of


@dataclass(frozen=True)
class Relations(harness.Loss):
    """KL divergence of self-attention relations in the last layers (Wang et al., 2021, MiniLMv2), in nats.

    Queries, keys and values are each divided into `heads` relation heads. A relation is the softmax over
    tokens of the scaled dot products of queries with queries, keys with keys, or values with values. The
    loss is the sum over the three, averaged over heads and tokens without padding, then over texts. The two
    models may have different widths and numbers of heads.
    """

    name = "relations"
    task_types: ClassVar[frozenset[str]] = OF_TEXTS

    heads: Annotated[int, harness.Gt(0)] = (
        12  # number of relation heads; must divide the width of both models
    )

    @property
    def needs(self) -> frozenset[str]:
        """Return that the loss needs queries, keys and values."""
        return frozenset({"relations"})

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """Return the sum, (), of the means for the batch's queries, keys and values."""
        assert batch.mask is not None
        real = batch.mask
        total: Tensor | None = None
        for ours, theirs in zip(batch.student["relations"], batch.teacher["relations"], strict=True):
            p, q = self._relation(wide(theirs), real), self._relation(wide(ours), real)
            found = (p.exp() * (p - q)).sum(-1).masked_fill(~real[:, None], 0.0)  # (B, heads, L)
            rows = found.sum(2).mean(1) / real.sum(1).clamp_min(1)  # (B,)
            total = rows if total is None else total + rows
        assert total is not None
        return row_mean(total, batch)

    def _relation(self, states: Tensor, real: Tensor) -> Tensor:
        """Return each token's log-probabilities over tokens, (B, heads, L, L), from states (B, L, H)."""
        rows, length, width = states.shape
        if width % self.heads:
            raise harness.HarnessError(
                f"loss 'relations' expected a width that is divisible by {self.heads} heads, got {width}; "
                "change heads"
            )
        split = states.view(rows, length, self.heads, -1).transpose(1, 2)  # (B, heads, L, H / heads)
        scores = split @ split.transpose(2, 3) / split.shape[-1] ** 0.5
        logs: Tensor = scores.masked_fill(~real[:, None, None], -1e30).log_softmax(-1)
        return logs
