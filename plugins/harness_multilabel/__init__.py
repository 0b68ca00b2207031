"""Multi-label classification as a plugin: a task type, its tasks and its losses."""

from __future__ import annotations

import harness
from harness_multilabel.files import FileMultiLabel
from harness_multilabel.go_emotions import GoEmotions
from harness_multilabel.losses import BinaryCrossEntropy, BinarySoftTargets
from harness_multilabel.task_type import MultiLabel


@harness.hookimpl
def register_task_types(register: harness.hookspecs.Register) -> None:
    """Register multi-label classification."""
    register(MultiLabel)


@harness.hookimpl
def register_tasks(register: harness.hookspecs.Register) -> None:
    """Register the tasks with several labels for each text."""
    register(GoEmotions)
    register(FileMultiLabel)


@harness.hookimpl
def register_losses(register: harness.hookspecs.Register) -> None:
    """Register the losses that treat each label separately."""
    register(BinaryCrossEntropy)
    register(BinarySoftTargets)
