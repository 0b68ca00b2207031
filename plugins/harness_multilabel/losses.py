"""Losses that treat each label alone: does a text have it or not?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import harness
from harness import Ge, Gt, Interval, Lt
from harness_losses.tensors import present, row_mean, wide
from harness_multilabel.task_type import MultiLabel, binary_cross_entropy

if TYPE_CHECKING:
    from torch import Tensor

ONLY = frozenset({MultiLabel.name})


@dataclass(frozen=True)
class BinaryCrossEntropy(harness.Loss):
    """Binary cross-entropy with the gold labels, mean over labels: training without a teacher.

    The mean is over the texts that have gold labels; a batch with none gives 0.
    """

    name = "binary-cross-entropy"
    task_types: ClassVar[frozenset[str]] = ONLY
    baseline_for: ClassVar[frozenset[str]] = ONLY

    positive_weight: Annotated[float, Gt(0), Lt(math.inf)] = (
        1.0  # of a label that a text has; above 1: recall
    )
    label_smoothing: Annotated[float, Interval(ge=0, lt=1)] = 0.0  # moves targets towards one half

    @property
    def needs(self) -> frozenset[str]:
        """Gold labels, and no teacher."""
        return frozenset({"labels"})

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """Return the mean, (), of logits (B, C) and the batch's labels (B, C)."""
        if batch.labels is None:
            raise ValueError("this loss needs gold labels")
        return binary_cross_entropy(wide(student), batch, self.positive_weight, self.label_smoothing)


@dataclass(frozen=True)
class BinarySoftTargets(harness.Loss):
    """KL(teacher || student) of each label's tempered probability, by the logistic function.

    The soft targets of Hinton et al. (2015) for labels that do not exclude each other, mean over texts and
    labels, in nats, times the squared temperature.
    """

    name = "binary-kl"
    task_types: ClassVar[frozenset[str]] = ONLY
    preferred_for: ClassVar[frozenset[str]] = ONLY

    temperature: Annotated[float, Interval(gt=0, lt=math.inf)] = 1.0  # divides both models' logits
    gold: Annotated[float, Ge(0), Interval(le=1)] = (
        0.0  # weight of gold labels in the targets, if a text has some
    )

    @property
    def needs(self) -> frozenset[str]:
        """The teacher's logits, and gold labels if they have a weight."""
        return frozenset({"logits", "labels"} if self.gold else {"logits"})

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """Return the batch mean, (), of logits (B, C) and (B, C)."""
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
