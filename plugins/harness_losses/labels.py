"""Losses with one correct class per text or word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import harness
from harness_losses.tensors import OF_CLASSES, present, row_mean, wide

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class CrossEntropy(harness.Loss):
    """Cross-entropy with the gold labels, without a teacher (label smoothing: Szegedy et al., 2016).

    The mean is over the rows with a label. For a batch without labels it is 0, with zero gradients.
    """

    name = "cross-entropy"
    separable: ClassVar[bool] = True
    task_types: ClassVar[frozenset[str]] = OF_CLASSES
    baseline_for: ClassVar[frozenset[str]] = OF_CLASSES

    label_smoothing: Annotated[float, harness.Interval(ge=0, lt=1)] = (
        0.0  # share of the target probability that is spread over all classes
    )

    @property
    def needs(self) -> frozenset[str]:
        """Return that the loss needs gold labels, and not the teacher."""
        return frozenset({"labels"})

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """Return the mean, (), for logits (B, C) and the batch's labels."""
        import torch.nn.functional as F

        if batch.labels is None:
            raise ValueError("loss 'cross-entropy' needs gold labels, but the batch has none")
        total = F.cross_entropy(
            wide(student),
            batch.labels,
            ignore_index=-1,
            reduction="sum" if batch.weights is None else "none",
            label_smoothing=self.label_smoothing,
        )
        if batch.weights is not None:
            total = (total * batch.weights).sum()
        return total / (batch.labels >= 0).sum().clamp_min(1)


@dataclass(frozen=True)
class HardCrossEntropy(harness.Loss):
    """Cross-entropy with the teacher's most probable class as the label (pseudo-labels: Lee, 2013)."""

    name = "hard-cross-entropy"
    separable: ClassVar[bool] = True
    task_types: ClassVar[frozenset[str]] = OF_CLASSES

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """Return the batch mean, (), for logits (B, C) of both models."""
        import torch.nn.functional as F

        reduction = "mean" if batch.weights is None else "none"
        return row_mean(
            F.cross_entropy(wide(student), present(teacher).argmax(-1), reduction=reduction), batch
        )
