"""Sums of losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import harness

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Weighted(harness.Loss):
    """A weighted sum of losses, such as Hinton et al.'s (2015) of soft targets and gold labels.

    Weights are taken as they are, not made to sum to 1. Members may be sums themselves.
    """

    name = "weighted"

    of: Annotated[tuple[harness.Loss, ...], harness.MinLen(1)]
    weights: tuple[float, ...] = ()  # one for each member, >= 0; none given: the plain average

    def check(self) -> None:
        """Members and weights agree."""
        if not self.of:
            raise ValueError("weighted needs at least one loss in `of`")
        if self.weights and len(self.weights) != len(self.of):
            raise ValueError(f"weighted has {len(self.of)} losses but {len(self.weights)} weights")
        if not all(0 <= weight < float("inf") for weight in self.weights):
            raise ValueError("the weights of weighted must be finite and at least 0")
        if self.weights and not any(self.weights):
            raise ValueError("the weights of weighted must not all be 0")
        if not self.task_types:
            listed = ", ".join(f"'{loss.name}'" for loss in self.of)
            raise ValueError(f"there is no kind of task that all of these losses are for: {listed}")

    @property
    def needs(self) -> frozenset[str]:
        """What any member needs."""
        return frozenset[str]().union(*(loss.needs for loss in self.of))

    @property
    def task_types(self) -> frozenset[str]:  # type: ignore[override]
        """What every member is for."""
        first, *others = (loss.task_types for loss in self.of)
        return first.intersection(*others)

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """Logits (B, C), (B, C) to the sum of the members' values, ()."""
        weights = self.weights or (1 / len(self.of),) * len(self.of)
        # A member of weight 0 is not asked: its overflow would make the sum NaN.
        total: Tensor | None = None
        for place, (loss, weight) in enumerate(zip(self.of, weights, strict=True), start=1):
            if not weight:
                continue
            value = loss(student, teacher, batch)
            batch.parts[loss.name if loss.name not in batch.parts else f"{loss.name}-{place}"] = (
                value.detach()
            )
            total = weight * value if total is None else total + weight * value
        assert total is not None
        return total
