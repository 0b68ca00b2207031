"""The loss for fine-tuning teachers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from harness import Batch, Loss


@dataclass(frozen=True)
class GoldLabels(Loss):
    """Cross-entropy with gold labels, or the squared error from gold scores.

    The loss is the mean over the rows that have a label, and 0 for a batch without labels.
    """

    task_types: ClassVar[frozenset[str]] = frozenset(
        {"classification", "regression", "tagging", "language-modelling"}
    )

    @property
    def needs(self) -> frozenset[str]:
        """Return what the loss needs: gold labels only."""
        return frozenset({"labels"})

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: Batch) -> Tensor:
        """See :class:`harness.Loss`."""
        assert batch.labels is not None
        weights = 1.0 if batch.weights is None else batch.weights
        if batch.labels.is_floating_point():
            known = batch.labels.isfinite()
            errors = student[:, 0] * known - batch.labels.nan_to_num()
            return (errors.square() * weights).sum() / known.sum().clamp_min(1)
        reduction = "sum" if batch.weights is None else "none"
        losses = nn.functional.cross_entropy(student, batch.labels, ignore_index=-1, reduction=reduction)
        return (losses * weights).sum() / (batch.labels >= 0).sum().clamp_min(1)
