"""Losses that fit numbers one by one: the teacher's, or gold scores."""

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

    In a regression, of the predicted scores. `center` is for teachers that give log-probabilities, as an
    average or a file of probabilities does: how far these lie below 0 grows with the teacher's certainty,
    and says nothing else.
    """

    name = "mse"

    center: bool = False  # compare logits less their row's mean: a constant added to a row changes no answer

    @property
    def task_types(self) -> frozenset[str]:  # type: ignore[override]
        """Centred, the one score of a regression would always be 0."""
        return OF_CLASSES if self.center else OF_CLASSES | {"regression"}

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """Logits (B, C), (B, C) to the mean, ()."""
        # Centring the difference is centring both.
        difference = wide(student) - present(teacher)
        if self.center:
            difference = difference - difference.mean(-1, keepdim=True)
        return row_mean(difference.square(), batch)


@dataclass(frozen=True)
class MeanSquaredErrorOfProbabilities(harness.Loss):
    """Squared distance of the probabilities (Brier, 1950, with soft targets), mean over rows and classes.

    In [0, 2/C]. Unlike the logits' distance it needs no calibrated scale, so it suits a teacher that
    gives probabilities only.
    """

    name = "mse-probabilities"
    task_types: ClassVar[frozenset[str]] = OF_CLASSES

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """Logits (B, C), (B, C) to the mean, ()."""
        return row_mean((wide(student).softmax(-1) - present(teacher).softmax(-1)).square(), batch)


@dataclass(frozen=True)
class SquaredError(harness.Loss):
    """Squared distance from the gold scores of a regression: training without a teacher.

    The mean is over the rows that have a score. A batch with none gives 0, which still backpropagates.
    """

    name = "squared-error"
    task_types: ClassVar[frozenset[str]] = frozenset({"regression"})
    baseline_for: ClassVar[frozenset[str]] = frozenset({"regression"})

    @property
    def needs(self) -> frozenset[str]:
        """Gold labels, and no teacher."""
        return frozenset({"labels"})

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """Predicted scores (B, 1) and the batch's labels (B,) to the mean, ()."""
        if batch.labels is None:
            raise ValueError("this loss needs gold labels")
        known = batch.labels.isfinite()
        # Not masked afterwards: the gradient of a NaN times 0 is NaN.
        errors = wide(student)[:, 0] * known - batch.labels.nan_to_num()
        squares = errors.square() if batch.weights is None else errors.square() * batch.weights
        return squares.sum() / known.sum().clamp_min(1)
