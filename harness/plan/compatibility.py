"""Decide which combinations can run. One that cannot run becomes a row with the reason, not an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from harness.api import Component, HarnessError, Loss, Source, Unavailable
from harness.plan.matrix import Combination
from harness.task_types.base import TaskType

Status = Literal["ok", "failed", "unavailable", "incompatible"]


def obstacle(
    parts: Combination,
    task_type: TaskType,
    source: Source | HarnessError,
    base_of: Callable[[Component], str | HarnessError],
) -> tuple[Status, str]:
    """Return the status of a combination and the reason; ("ok", "") if it can run.

    `base_of` returns what a component starts from, or the error why that is not available.
    """
    task, teacher, student = parts.task, parts.teacher, parts.student
    augmenter, loss = parts.augmenter, parts.loss
    every: tuple[Any, ...] = (teacher, student, augmenter, loss)
    for component in filter(None, every):
        if not task_type.accepts(component):
            return "incompatible", (
                f"{component.kind} '{component.name}' is for {_listed(component.task_types)}, "
                f"and task '{task.name}' is {task_type.name}"
            )
    if isinstance(source, HarnessError):
        return ("unavailable" if isinstance(source, Unavailable) else "failed"), str(source)
    if loss is not None and student is not None:
        if lacking := loss.needs - student.learns_from:
            return "incompatible", (
                f"loss '{loss.name}' needs {_listed(loss.needs)}, "
                f"but student '{student.name}' cannot learn from {_listed(lacking)}"
            )
        if teacher is not None and (lacking := loss.needs - {"labels"} - teacher.gives):
            return "incompatible", (
                f"loss '{loss.name}' needs {_listed(lacking)}, which teacher '{teacher.name}' does not give"
            )
        if teacher is None and student.borrows:
            return "incompatible", (
                f"student '{student.name}' takes parts of its teacher, and the suite has no teacher"
            )
        if teacher is not None and student.borrows and (why := student.refuses(teacher)):
            return "incompatible", why
        if teacher is not None and in_step(loss, task_type) and not student.aligned(teacher):
            return "incompatible", (
                f"loss '{loss.name}' compares token by token, but student '{student.name}' "
                f"does not read the tokens of teacher '{teacher.name}'"
            )
    for component in filter(None, (teacher, student, augmenter)):
        base = base_of(component)
        if isinstance(base, HarnessError):
            return ("unavailable" if isinstance(base, Unavailable) else "failed"), str(base)
    return "ok", ""


def in_step(loss: Loss, task_type: TaskType) -> frozenset[str]:
    """Return the teacher's outputs for a loss that are not stored, but computed while the student trains."""
    return loss.needs - task_type.recorded


def _listed(names: frozenset[str]) -> str:
    *before, last = sorted(names)
    return f"{', '.join(before)} and {last}" if before else last
