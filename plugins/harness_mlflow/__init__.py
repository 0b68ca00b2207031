"""Tracker that logs a run to MLflow (extra ``mlflow``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import harness
from harness_mlflow.runs import MLflow

if TYPE_CHECKING:
    from harness.hookspecs import Register


@harness.hookimpl
def register_trackers(register: Register) -> None:
    """Register this package's tracker."""
    register(MLflow)
