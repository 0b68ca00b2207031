"""Losses that fit the teacher's numbers one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import harness
from harness_losses.tensors import present, wide

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class MeanSquaredError(harness.Loss):
    """Squared distance of the logits (Ba & Caruana, 2014; Tang et al., 2019), mean over rows and classes."""

    name = "mse"

    center: bool = False  # compare logits less their row's mean: a constant added to a row changes no answer

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """Logits (B, C), (B, C) to the mean, ()."""
        # Centring the difference is centring both.
        difference = wide(student) - present(teacher)
        if self.center:
            difference = difference - difference.mean(-1, keepdim=True)
        return difference.square().mean()


@dataclass(frozen=True)
class MeanSquaredErrorOfProbabilities(harness.Loss):
    """Squared distance of the probabilities (Brier, 1950, with soft targets), mean over rows and classes.

    In [0, 2/C]. Unlike the logits' distance it needs no calibrated scale, so it suits a teacher that
    gives probabilities only.
    """

    name = "mse-probabilities"

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: harness.Batch) -> Tensor:
        """Logits (B, C), (B, C) to the mean, ()."""
        return (wide(student).softmax(-1) - present(teacher).softmax(-1)).square().mean()
