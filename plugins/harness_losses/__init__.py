"""Losses on gold labels, on a teacher's logits, and on its inner states."""

from __future__ import annotations

from collections.abc import Callable

import harness
from harness_losses.attention import Attention, Relations
from harness_losses.labels import CrossEntropy, HardCrossEntropy
from harness_losses.regression import MeanSquaredError, MeanSquaredErrorOfProbabilities, SquaredError
from harness_losses.soft import Decoupled, JensenShannon, SoftCrossEntropy, SoftTargets
from harness_losses.states import HiddenCosine, HiddenMse
from harness_losses.triple import Triple
from harness_losses.weighted import Weighted


@harness.hookimpl
def register_losses(register: Callable[[type[harness.Component]], None]) -> None:
    """Register this package's losses."""
    register(CrossEntropy)
    register(HardCrossEntropy)
    register(SoftTargets)
    register(SoftCrossEntropy)
    register(Decoupled)
    register(JensenShannon)
    register(MeanSquaredError)
    register(MeanSquaredErrorOfProbabilities)
    register(SquaredError)
    register(HiddenCosine)
    register(HiddenMse)
    register(Attention)
    register(Relations)
    register(Weighted)
    register(Triple)
