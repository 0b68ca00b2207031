"""The core's task types: classification, regression, tagging and masked language modelling."""

from __future__ import annotations

import harness
from harness.task_types.classification import Classification
from harness.task_types.masked_lm import MaskedLanguageModelling
from harness.task_types.regression import Regression
from harness.task_types.tagging import Tagging


@harness.hookimpl
def register_task_types(register: harness.hookspecs.Register) -> None:
    """Register the core's types of task."""
    for task_type in (Classification, Regression, Tagging, MaskedLanguageModelling):
        register(task_type)
