"""The loss that teachers are fine-tuned with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from harness import Batch, Loss, TaskType

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class GoldLabels(Loss):
    """The loss on gold labels that belongs to a task type, such as cross-entropy for classification.

    The loss is the mean over the rows that have a label, and 0 for a batch without labels.
    """

    separable: ClassVar[bool] = True

    task_type: TaskType

    @property
    def task_types(self) -> frozenset[str]:  # type: ignore[override]
        """Return the types of task that it is for."""
        return frozenset({self.task_type.name})

    @property
    def needs(self) -> frozenset[str]:
        """Return what the loss needs: gold labels only."""
        return frozenset({"labels"})

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: Batch) -> Tensor:
        """See :class:`harness.Loss`."""
        return self.task_type.gold_loss(student, batch)
