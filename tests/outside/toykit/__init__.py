"""An outside plugin without torch: components that learn at once, and go wrong when they are told to.

The tests put it on ``sys.path`` with a dist-info folder beside it, as an installed package has one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import harness
from toykit.executors import ToyExecutor
from toykit.models import Strict, Toy, ToyTeacher
from toykit.recipes import Hidden, Labels, Plain, Shuffle, Soft
from toykit.tasks import ToyTask
from toykit.trackers import ToyTracker

if TYPE_CHECKING:
    from harness.hookspecs import Register


@harness.hookimpl
def register_tasks(register: Register) -> None:
    register(ToyTask)


@harness.hookimpl
def register_teachers(register: Register) -> None:
    register(ToyTeacher)


@harness.hookimpl
def register_students(register: Register) -> None:
    register(Toy)
    register(Strict)


@harness.hookimpl
def register_augmenters(register: Register) -> None:
    register(Plain)
    register(Shuffle)


@harness.hookimpl
def register_losses(register: Register) -> None:
    register(Labels)
    register(Soft)
    register(Hidden)


@harness.hookimpl
def register_executors(register: Register) -> None:
    register(ToyExecutor)


@harness.hookimpl
def register_trackers(register: Register) -> None:
    register(ToyTracker)
