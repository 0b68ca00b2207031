"""Every way to extend the harness: seven hooks. Each gives a ``register`` to call with a component class.

Registering is a callback, rather than a returned list, so that a mistake's traceback shows the
author's own line.
"""

from __future__ import annotations

from collections.abc import Callable

import pluggy

from harness.api import Component

PROJECT = "harness"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

Register = Callable[[type[Component]], None]


@hookspec
def register_tasks(register: Register) -> None:
    """Register tasks: labelled texts in splits, and how a model is scored on them."""


@hookspec
def register_teachers(register: Register) -> None:
    """Register teachers: anything that gives outputs for texts."""


@hookspec
def register_students(register: Register) -> None:
    """Register students: small models that learn a transfer set."""


@hookspec
def register_augmenters(register: Register) -> None:
    """Register augmenters: makers of new texts from the training texts."""


@hookspec
def register_losses(register: Register) -> None:
    """Register losses: how far a student's outputs are from what it should learn."""


@hookspec
def register_task_types(register: Register) -> None:
    """Register types of task: what their data, training, scores, exports and tables are."""


@hookspec
def register_trackers(register: Register) -> None:
    """Register trackers: what follows a run from outside, and changes nothing of it."""


DISTRIBUTION = "distil-harness"  # ours, whose components come first
