"""Squared errors: of logits, of probabilities, and of gold scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import harness
from harness_losses.tensors import OF_CLASSES, present, row_mean, wide

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class MeanSquaredError(harness.Loss):
    """Squared distance of the logits (Ba & Caruana, 2014; Tang et al., 2019), mean over rows and classes.

    For regression, it is the squared distance of the predicted scores. Use `center` if the teacher gives
    log-probabilities, as an ensemble or a file of probabilities does. Their mean depends only on how certain
    the teacher is, and carries no further information.
    """

    name = "mse"
    separable: ClassVar[bool] = True

    center: bool = False  # subtract each row's mean first, which does not change the probabilities

    @property
    def task_types(self) -> frozenset[str]:  # type: ignore[override]
        """Return the types of task; centred, the single score of a regression would always be 0."""
        return OF_CLASSES if self.center else OF_CLASSES | {"regression"}

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """Return the mean, (), for logits (B, C) of both models."""
        # To centre the difference is to centre both.
        difference = wide(student) - present(teacher)
        if self.center:
            difference = difference - difference.mean(-1, keepdim=True)
        return row_mean(difference.square(), batch)


@dataclass(frozen=True)
class MeanSquaredErrorOfProbabilities(harness.Loss):
    """Squared distance of the probabilities (Brier, 1950, with soft targets), mean over rows and classes.

    It is in [0, 2/C]. Unlike the distance of logits it does not depend on their scale, so it suits a teacher
    that gives only probabilities.
    """

    name = "mse-probabilities"
    separable: ClassVar[bool] = True
    task_types: ClassVar[frozenset[str]] = OF_CLASSES

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """Return the mean, (), for logits (B, C) of both models."""
        return row_mean((wide(student).softmax(-1) - present(teacher).softmax(-1)).square(), batch)


@dataclass(frozen=True)
class SquaredError(harness.Loss):
    """Squared distance from the gold scores of a regression, without a teacher.

    The mean is over the rows with a score. For a batch without scores it is 0, with zero gradients.
    """

    name = "squared-error"
    separable: ClassVar[bool] = True
    task_types: ClassVar[frozenset[str]] = frozenset({"regression"})
    baseline_for: ClassVar[frozenset[str]] = frozenset({"regression"})

    @property
    def needs(self) -> frozenset[str]:
        """Return that the loss needs gold labels, and not the teacher."""
        return frozenset({"labels"})

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """Return the mean, (), for predicted scores (B, 1) and the batch's labels (B,)."""
        if batch.labels is None:
            raise ValueError("loss 'squared-error' needs gold labels, but the batch has none")
        known = batch.labels.isfinite()
        # Mask before the subtraction: the gradient of NaN times 0 is NaN.
        errors = wide(student)[:, 0] * known - batch.labels.nan_to_num()
        squares = errors.square() if batch.weights is None else errors.square() * batch.weights
        return squares.sum() / known.sum().clamp_min(1)
