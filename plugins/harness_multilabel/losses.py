"""Losses that treat each label as a separate binary decision."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import harness
from harness import Ge, Gt, Interval, Lt
from harness_losses.tensors import present, row_mean, wide
from harness_multilabel.outputs import binary_cross_entropy
from harness_multilabel.task_type import MultiLabel

if TYPE_CHECKING:
    from torch import Tensor

ONLY = frozenset({MultiLabel.name})


@dataclass(frozen=True)
class BinaryCrossEntropy(harness.Loss):
    """Binary cross-entropy with the gold labels, averaged over labels: training without a teacher.

    The mean is over the texts with gold labels; a batch without any gives 0.
    """

    name = "binary-cross-entropy"
    separable: ClassVar[bool] = True
    task_types: ClassVar[frozenset[str]] = ONLY
    baseline_for: ClassVar[frozenset[str]] = ONLY

    positive_weight: Annotated[float, Gt(0), Lt(math.inf)] = (
        1.0  # weight of positive labels; above 1 favours recall
    )
    label_smoothing: Annotated[float, Interval(ge=0, lt=1)] = 0.0  # moves targets towards 0.5

    @property
    def needs(self) -> frozenset[str]:
        """Return the names of the inputs: gold labels."""
        return frozenset({"labels"})

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """Return the mean loss, (), of logits (B, C) and the batch's labels (B, C)."""
        if batch.labels is None:
            raise ValueError("loss 'binary-cross-entropy' needs gold labels, but the batch has none")
        return binary_cross_entropy(wide(student), batch, self.positive_weight, self.label_smoothing)


@dataclass(frozen=True)
class BinarySoftTargets(harness.Loss):
    """KL(teacher || student) of each label's probability, with a temperature.

    These are the soft targets of Hinton et al. (2015), with the logistic function in place of the softmax,
    because labels do not exclude each other. The loss is the mean over texts and labels, in nats, times the
    squared temperature.
    """

    name = "binary-kl"
    separable: ClassVar[bool] = True
    task_types: ClassVar[frozenset[str]] = ONLY
    preferred_for: ClassVar[frozenset[str]] = ONLY

    temperature: Annotated[float, Interval(gt=0, lt=math.inf)] = 1.0  # divides both models' logits
    gold: Annotated[float, Ge(0), Interval(le=1)] = (
        0.0  # weight of the cross-entropy with gold labels, for texts that have them
    )

    @property
    def needs(self) -> frozenset[str]:
        """Return the names of the inputs: the teacher's logits, and gold labels if they have a weight."""
        return frozenset({"logits", "labels"} if self.gold else {"logits"})

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """Return the mean loss, (), of the student's and the teacher's logits, (B, C) each."""
        from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

        told = present(teacher).clamp(-1e4, 1e4) / self.temperature
        own = wide(student).clamp(-1e4, 1e4) / self.temperature
        target = told.sigmoid()
        entropy = -(target * logsigmoid(told) + (1 - target) * logsigmoid(-told))
        losses = binary_cross_entropy_with_logits(own, target, reduction="none") - entropy
        value = row_mean(losses, batch) * self.temperature**2
        if not self.gold:
            return value
        return (1 - self.gold) * value + self.gold * binary_cross_entropy(wide(student), batch)
