"""The combinations of a suite, and the one that makes a model which a component starts from. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

from harness.api import Augmenter, Component, HarnessError, Loss, Recipe, Student, Task, Teacher

if TYPE_CHECKING:
    from harness.suite.reader import Suite

Role = Literal["teacher", "baseline", "distilled"]


class Combination(NamedTuple):
    """What makes a cell: one component of each kind, and a seed."""

    role: Role
    task: Task
    teacher: Teacher | None
    student: Student | None
    augmenter: Augmenter | None
    loss: Loss | None
    seed: int


def combinations(suite: Suite) -> Iterator[Combination]:
    """Every cell of a suite, whether or not it can run: its role, parts and seed."""
    for task in suite.tasks:
        baseline = suite.baselines.get(task.task_type)
        for fitted in suite.teachers:
            for seed in suite.seeds if suite.teacher_seeds == "each" else suite.seeds[:1]:
                yield Combination("teacher", task, fitted, None, None, None, seed)
        for student in suite.students:
            starts: tuple[Teacher | None, ...] = (student.borrows and suite.teachers) or (None,)
            for teacher in starts:
                for seed in suite.seeds if baseline is not None else ():
                    yield Combination("baseline", task, teacher, student, None, baseline, seed)
            for augmenter in suite.augmenters:
                for loss in suite.losses:
                    alone = loss.needs <= {"labels"}  # it asks nothing of a teacher
                    for each in starts if alone else suite.teachers:
                        role: Role = "baseline" if alone else "distilled"
                        for seed in suite.seeds:
                            yield Combination(role, task, each, student, augmenter, loss, seed)


def seed_of_teachers(suite: Suite, seed: int) -> int:
    """The seed that teachers are fitted with, for students of this seed."""
    return seed if suite.teacher_seeds == "each" else suite.seeds[0]


def parts_of(recipe: Recipe, owner: Component, suite: Suite, seed: int) -> Combination | HarnessError:
    """The combination that makes what a component with this seed starts from, or why there is none."""
    task, teacher, student, loss = recipe.task, recipe.teacher, recipe.student, recipe.loss
    starts = f"{owner.kind} '{owner.name}' starts from"
    if owner in (teacher, student):
        return HarnessError(f"{starts} itself")
    if student is None:
        if teacher is None:
            return HarnessError(f"{starts} neither a teacher nor a student")
        return Combination("teacher", task, teacher, None, None, None, seed_of_teachers(suite, seed))
    if loss is None and (loss := suite.baselines.get(task.task_type)) is None:
        return HarnessError(f"{starts} student '{student.name}' without a loss")
    if loss.needs <= {"labels"}:
        lender = teacher if student.borrows else None
        return Combination("baseline", task, lender, student, None, loss, seed)
    if teacher is None:
        return HarnessError(f"{starts} student '{student.name}' by loss '{loss.name}' without a teacher")
    return Combination("distilled", task, teacher, student, None, loss, seed)
