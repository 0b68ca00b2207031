"""List the combinations of a suite, and find the one whose model a component starts from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

from harness.api import Augmenter, Component, HarnessError, Loss, Recipe, Student, Task, Teacher

if TYPE_CHECKING:
    from harness.suite.reader import Suite

Role = Literal["teacher", "baseline", "distilled"]


class Combination(NamedTuple):
    """The parts of a cell: one component of each kind, and a seed."""

    role: Role
    task: Task
    teacher: Teacher | None
    student: Student | None
    augmenter: Augmenter | None
    loss: Loss | None
    seed: int


def combinations(suite: Suite) -> Iterator[Combination]:
    """Yield every cell of a suite, whether or not it can run: its role, parts and seed."""
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
                    alone = loss.needs <= {"labels"}  # it needs no teacher
                    if loss == baseline and not augmenter.adds:
                        continue  # the baseline above, trained on the same texts
                    for each in starts if alone else suite.teachers:
                        role: Role = "baseline" if alone else "distilled"
                        for seed in suite.seeds:
                            yield Combination(role, task, each, student, augmenter, loss, seed)


def seed_of_teachers(suite: Suite, seed: int) -> int:
    """Return the seed with which teachers are fitted, for students with this seed."""
    return seed if suite.teacher_seeds == "each" else suite.seeds[0]


def parts_of(
    recipe: Recipe, owner: Component, task: Task, suite: Suite, seed: int
) -> Combination | HarnessError:
    """Return the combination whose model a component with this seed starts from, or the error why not.

    `task` is the component's own, for a recipe without a task.
    """
    task = recipe.task or task
    teacher, student, loss, augmenter = recipe.teacher, recipe.student, recipe.loss, recipe.augmenter
    starts = f"{owner.kind} '{owner.name}' cannot start from"
    if owner in (teacher, student):
        return HarnessError(f"{starts} itself; give its recipe another model")
    if student is None:
        if teacher is None:
            return HarnessError(f"{starts} a recipe without a teacher or student; give it one of them")
        return Combination("teacher", task, teacher, None, None, None, seed_of_teachers(suite, seed))
    if loss is None and (loss := suite.baselines.get(task.task_type)) is None:
        return HarnessError(f"{starts} student '{student.name}' without a loss; give the recipe a loss")
    if loss.needs <= {"labels"}:
        lender = teacher if student.borrows else None
        return Combination("baseline", task, lender, student, augmenter, loss, seed)
    if teacher is None:
        return HarnessError(
            f"{starts} student '{student.name}' with loss '{loss.name}' without a teacher; "
            "give the recipe a teacher"
        )
    return Combination("distilled", task, teacher, student, augmenter, loss, seed)
