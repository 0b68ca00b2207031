"""Weighted sums of losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import harness

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Weighted(harness.Loss):
    """Weighted sum of losses, such as soft targets and gold labels (Hinton et al., 2015).

    Weights are not scaled to sum to 1. Members may be weighted sums too.
    """

    name = "weighted"

    of: Annotated[tuple[harness.Loss, ...], harness.MinLen(1)]  # the losses to add
    weights: tuple[float, ...] = ()  # one per member, at least 0; default: 1 / number of members each

    def check(self) -> None:
        """Raise ValueError for impossible weights, or members that have no type of task in common."""
        if not self.of:
            raise ValueError("weighted has no losses in `of`; give at least one")
        if self.weights and len(self.weights) != len(self.of):
            raise ValueError(
                f"weighted has {len(self.of)} losses but {len(self.weights)} weights; give one for each loss"
            )
        if not all(0 <= weight < float("inf") for weight in self.weights):
            raise ValueError(
                f"expected weights of weighted to be finite and at least 0, got {list(self.weights)}"
            )
        if self.weights and not any(self.weights):
            raise ValueError("all weights of weighted are 0; set at least one above 0")
        if not self.task_types:
            listed = ", ".join(f"'{loss.name}'" for loss in self.of)
            raise ValueError(
                f"cannot combine the losses {listed}: no type of task supports all of them; remove one"
            )

    @property
    def needs(self) -> frozenset[str]:
        """Return everything that a member needs."""
        return frozenset[str]().union(*(loss.needs for loss in self.of))

    @property
    def separable(self) -> bool:  # type: ignore[override]
        """Return whether every member is a mean over rows."""
        return all(loss.separable for loss in self.of)

    @property
    def task_types(self) -> frozenset[str]:  # type: ignore[override]
        """Return the types of task that every member supports."""
        return harness.api.types_of_all(self.of)

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """Return the weighted sum, (), of the members' values; put them in `batch.parts`."""
        weights = self.weights or (1 / len(self.of),) * len(self.of)
        # A member with weight 0 is not computed: if its value is infinite, the sum would be NaN.
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
