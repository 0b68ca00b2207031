"""Losses with one right class a text, or a word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import harness
from harness_losses.tensors import OF_CLASSES, present, row_mean, wide

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class CrossEntropy(harness.Loss):
    """Cross-entropy with the gold labels: training without a teacher (smoothing: Szegedy et al., 2016).

    The mean is over the rows that have a label. A batch with none gives 0, which still backpropagates.
    """

    name = "cross-entropy"
    task_types: ClassVar[frozenset[str]] = OF_CLASSES
    baseline_for: ClassVar[frozenset[str]] = OF_CLASSES

    label_smoothing: Annotated[float, harness.Interval(ge=0, lt=1)] = 0.0  # spread evenly over all classes

    @property
    def needs(self) -> frozenset[str]:
        """Gold labels, and no teacher."""
        return frozenset({"labels"})

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """Logits (B, C) and the batch's labels to the mean, ()."""
        import torch.nn.functional as F

        if batch.labels is None:
            raise ValueError("this loss needs gold labels")
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
    """Cross-entropy with the teacher's most probable class as label (pseudo-labels: Lee, 2013)."""

    name = "hard-cross-entropy"
    task_types: ClassVar[frozenset[str]] = OF_CLASSES

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """Logits (B, C), (B, C) to the batch mean, ()."""
        import torch.nn.functional as F

        reduction = "mean" if batch.weights is None else "none"
        return row_mean(
            F.cross_entropy(wide(student), present(teacher).argmax(-1), reduction=reduction), batch
        )
