"""Losses on self-attention: its maps, and the relations within its queries, keys and values."""

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
    """Distance of attention maps, between tokens that are no padding; mean over heads, then over texts.

    "mse" is the squared distance of probabilities over the mapped layers, mean over pairs of tokens (Jiao et
    al., 2020, TinyBERT, who take the scores before the softmax). "kl" is KL(teacher || student) of the last
    layers, mean over tokens, in nats (Wang et al., 2020, MiniLM). Where the models have different numbers of
    heads, the heads' averages are compared.
    """

    name = "attention"
    task_types: ClassVar[frozenset[str]] = OF_TEXTS

    form: Literal["mse", "kl"] = "mse"
    map: Map = "uniform"  # of "mse": which of the teacher's layers for which of the student's

    def check(self) -> None:
        """The map fits, and is given where it matters."""
        check_map(self.map)
        if self.form == "kl" and self.map != "uniform":
            raise ValueError("attention compares the last layers alone with form = 'kl', and takes no map")

    @property
    def needs(self) -> frozenset[str]:
        """Attention probabilities."""
        return frozenset({"attention"})

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """The batch's attention maps to the mean, ()."""
        ours, theirs = batch.student["attention"], batch.teacher["attention"]
        assert batch.mask is not None
        compared = pairs(len(ours), len(theirs), "final" if self.form == "kl" else self.map)
        values = [self._distance(wide(ours[m - 1]), wide(theirs[n - 1]), batch.mask) for m, n in compared]
        return row_mean(sum(values[1:], start=values[0]) / len(values), batch)

    def _distance(self, ours: Tensor, theirs: Tensor, real: Tensor) -> Tensor:
        """Maps (B, heads, L, L) of both and the mask (B, L) to (B,)."""
        if ours.shape[1] != theirs.shape[1]:
            ours, theirs = ours.mean(1, keepdim=True), theirs.mean(1, keepdim=True)
        count = real.sum(1).clamp_min(1)  # (B,)
        between = (real[:, None, :, None] & real[:, None, None, :]).expand_as(ours)  # (B, heads, L, L)
        if self.form == "kl":
            # Attention of 0 has no logarithm. The smallest normal number in its place changes no sum.
            logs = [each.clamp_min(1e-30).log() for each in (theirs, ours)]
            found = theirs * (logs[0] - logs[1])
            pairs_of = count
        else:
            found = (ours - theirs).square()
            pairs_of = count.square()
        return found.masked_fill(~between, 0.0).sum((2, 3)).mean(1) / pairs_of


@dataclass(frozen=True)
class Relations(harness.Loss):
    """KL of the last layers' self-attention relations (Wang et al., 2021, MiniLMv2), in nats.

    Queries, keys and values are each divided into `heads` relation heads; a relation is the softmax over
    tokens of their scaled dot products with one another. The sum over the three, mean over heads and tokens
    that are no padding, then over texts. The two models' widths and heads may differ.
    """

    name = "relations"
    task_types: ClassVar[frozenset[str]] = OF_TEXTS

    heads: Annotated[int, harness.Gt(0)] = 12  # relation heads; both models' widths are divisible by it

    @property
    def needs(self) -> frozenset[str]:
        """Queries, keys and values."""
        return frozenset({"relations"})

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """The batch's queries, keys and values to the sum of the three means, ()."""
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
        """States (B, L, H) to the log-probabilities (B, heads, L, L) of tokens for each token."""
        rows, length, width = states.shape
        if width % self.heads:
            raise harness.HarnessError(
                f"loss 'relations' with {self.heads} heads needs widths that are divisible by it, not {width}"
            )
        split = states.view(rows, length, self.heads, -1).transpose(1, 2)  # (B, heads, L, H / heads)
        scores = split @ split.transpose(2, 3) / split.shape[-1] ** 0.5
        logs: Tensor = scores.masked_fill(~real[:, None, None], -1e30).log_softmax(-1)
        return logs
