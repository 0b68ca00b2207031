"""Define the hooks that extend the harness. Each passes a ``register`` to call with a component class.

Components are registered by a callback, not by a returned list, so that the traceback of a mistake
shows the author's own line.
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
    """Register tasks: labelled texts in splits, and the rules for scoring a model on them."""


@hookspec
def register_teachers(register: Register) -> None:
    """Register teachers: anything that returns outputs for texts."""


@hookspec
def register_students(register: Register) -> None:
    """Register students: small models that learn from a transfer set."""


@hookspec
def register_augmenters(register: Register) -> None:
    """Register augmenters: components that make new texts from the training texts."""


@hookspec
def register_losses(register: Register) -> None:
    """Register losses: measures of the distance between a student's outputs and its targets."""


@hookspec
def register_task_types(register: Register) -> None:
    """Register types of task: the rules for their data, training, scores, exports and tables."""


@hookspec
def register_trackers(register: Register) -> None:
    """Register trackers: components that follow a run and cannot change it."""


DISTRIBUTION = "distil-harness"  # this project's; its components come first
