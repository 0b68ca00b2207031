"""What goes with what: a combination that cannot run is a row with the reason, never an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from harness.api import (
    RECORDED,
    Augmenter,
    Component,
    HarnessError,
    Loss,
    Source,
    Student,
    Task,
    Teacher,
    Unavailable,
)

Status = Literal["ok", "failed", "unavailable", "incompatible"]


def obstacle(
    task: Task,
    source: Source | HarnessError,
    teacher: Teacher | None,
    student: Student | None,
    augmenter: Augmenter | None,
    loss: Loss | None,
    base_of: Callable[[Component], str | HarnessError],
) -> tuple[Status, str]:
    """Why a cell of these cannot run, as its status and reason; "ok" where nothing stands in the way."""
    for component in filter(None, (teacher, student, augmenter, loss)):
        if task.task_type not in component.task_types:
            return "incompatible", (
                f"{component.kind} '{component.name}' is for {_listed(component.task_types)}, "
                f"and task '{task.name}' is {task.task_type}"
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
        if teacher is not None and in_step(loss, task) and not student.aligned(teacher):
            return "incompatible", (
                f"loss '{loss.name}' compares token by token, but student '{student.name}' "
                f"does not read the tokens of teacher '{teacher.name}'"
            )
    for component in filter(None, (teacher, student, augmenter)):
        base = base_of(component)
        if isinstance(base, HarnessError):
            return ("unavailable" if isinstance(base, Unavailable) else "failed"), str(base)
    return "ok", ""


def in_step(loss: Loss, task: Task) -> frozenset[str]:
    """What a loss asks of the teacher in step with the student, by kind of task: what is not recorded."""
    return loss.needs - ({"labels"} if task.task_type == "language-modelling" else RECORDED)


def _listed(names: frozenset[str]) -> str:
    *before, last = sorted(names)
    return f"{', '.join(before)} and {last}" if before else last
