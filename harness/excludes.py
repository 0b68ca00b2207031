"""Cells that a suite leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from harness.api import Augmenter, Component, Loss, Student, Task, Teacher
from harness.parameters import types_of


class Configuration(Protocol):
    """What an exclude looks at: a cell of the plan."""

    @property
    def task(self) -> Task | None: ...  # noqa: D102
    @property
    def teacher(self) -> Teacher | None: ...  # noqa: D102
    @property
    def student(self) -> Student | None: ...  # noqa: D102
    @property
    def augmenter(self) -> Augmenter | None: ...  # noqa: D102
    @property
    def loss(self) -> Loss | None: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102


@dataclass(frozen=True)
class Exclude:
    """Cells to leave out: those that have, for each kind given, one of its components."""

    task: frozenset[Task] | None = None
    teacher: frozenset[Teacher] | None = None
    student: frozenset[Student] | None = None
    augmenter: frozenset[Augmenter] | None = None
    loss: frozenset[Loss] | None = None
    seed: frozenset[int] | None = None

    def matches(self, cell: Configuration) -> bool:
        """Whether the cell is to be left out."""
        return (
            (self.seed is None or cell.seed in self.seed)
            and (self.task is None or cell.task in self.task)
            and (self.teacher is None or cell.teacher in self.teacher)
            and (self.student is None or cell.student in self.student)
            and (self.augmenter is None or cell.augmenter in self.augmenter)
            and (self.loss is None or cell.loss in self.loss)
        )


def agrees(pattern: Any, value: Any) -> bool:
    """Whether a component, or a parameter's value, is what a table in a suite says of it.

    Parameters that the table leaves out, and a component's name where it has no `use`, may be any.
    """
    if isinstance(value, Component):
        known = types_of(type(value))
        return isinstance(pattern, Mapping) and all(
            wanted == value.name if key == "use" else key in known and agrees(wanted, getattr(value, key))
            for key, wanted in pattern.items()
        )
    if isinstance(value, tuple | frozenset):
        if not isinstance(pattern, list) or len(pattern) != len(value):
            return False
        if isinstance(value, tuple):
            return all(map(agrees, pattern, value))
        return all(any(agrees(wanted, item) for item in value) for wanted in pattern)
    if isinstance(value, Path):
        return isinstance(pattern, str) and Path(pattern) == value
    return bool(pattern == value) and isinstance(pattern, bool) == isinstance(value, bool)
