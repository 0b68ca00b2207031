"""Check teachers and students: what they declare, what they learn from, and the models that they fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial

import numpy as np

from harness.api import RECORDED, Examples, Loss, Model, Operations, Speed, Student, TaskType, Teacher
from harness.featurise.stored import Stored, write
from harness.testing.models import Fitted, Named, model_checks
from harness.testing.rules import NEEDS, Rules, known, listed
from harness.testing.shared import Shared
from harness.testing.tiny import (
    Case,
    CheckContext,
    FromLabels,
    FromLogits,
    FromStates,
    cases_of,
    prior_of,
)

_STATES = {"hidden": "hidden states"}  # how names of checks call them, if not by name


def teacher_checks(teacher: Teacher, types: Sequence[TaskType], shared: Shared) -> Iterator[Named]:
    """Yield the checks of a teacher: it fits gold labels, or hidden tokens, and its models keep all rules."""
    yield "speed", partial(_check_speed, teacher)
    yield "base", partial(_check_base, teacher)
    yield "gives", partial(_check_gives, teacher)
    yield from model_checks(FittedTeacher(teacher, shared), types)


def student_checks(
    student: Student, types: Sequence[TaskType], shared: Shared, teacher: Teacher | None
) -> Iterator[Named]:
    """Yield the checks of a student: it fits what it learns from, and its models keep all rules."""
    yield "speed", partial(_check_speed, student)
    yield "learns from", partial(_check_learns_from, student)
    yield "borrows", partial(_check_borrows, student, teacher)
    fitted = FittedStudent(student, shared, teacher)
    learns = student.learns_from
    if learns & {"labels", "logits"}:
        yield from model_checks(fitted, types)
    if student.tokeniser(teacher) is not None:
        stored = FittedStudent(student, shared, teacher, stored=True)
        for task_type in types:
            yield (
                f"trains on stored ids ({task_type.name})",
                partial(_check_stored, fitted, stored, task_type),
            )
    others: list[tuple[str, Loss | None]] = []
    if {"labels", "logits"} <= learns:
        others.append(("labels", None))
    states = sorted(learns & {"hidden"} | fitted.in_step)
    others += [(_STATES.get(name, name), FromStates(frozenset({name}))) for name in states]
    for what, loss in others:
        for task_type in types:
            by = loss or FromLabels(task_type)
            yield f"learns from {what} ({task_type.name})", partial(_check_learns, fitted, task_type, by)


# -- what they declare ---------------------------------------------------------------------------------------


def _check_speed(learner: Teacher | Student) -> None:
    speed = learner.speed
    sound = isinstance(speed, Speed) and min(speed) > 0
    must = Rules(learner)
    must(f"speed must be a Speed of two numbers above 0, got {speed!r}", sound)
    counted = learner.operations(20.0)
    sound = isinstance(counted, Operations) and all(number is None or number >= 0 for number in counted)
    must(f"operations must return Operations of numbers of at least 0 or None, got {counted!r}", sound)


def _check_base(teacher: Teacher) -> None:
    must, base = Rules(teacher), teacher.base()
    must(f"base must return a string, got {base!r}", isinstance(base, str))
    must("base must return the same string every time", teacher.base() == base)
    must(f"note must return a string, got {teacher.note()!r}", isinstance(teacher.note(), str))


def _check_gives(teacher: Teacher) -> None:
    gives = teacher.gives
    Rules(teacher)(f"gives must be some of {listed(NEEDS)}, got {listed(gives)}", known(gives))


def _check_learns_from(student: Student) -> None:
    learns = student.learns_from
    Rules(student)(f"learns_from must be some of {listed(NEEDS)}, got {listed(learns)}", known(learns))


def _check_borrows(student: Student, teacher: Teacher | None) -> None:
    rule = "it borrows parts of a teacher: give the checks a `teacher`"
    Rules(student)(rule, teacher is not None or not student.borrows)


def _check_learns(fitted: FittedStudent, task_type: TaskType, loss: Loss) -> None:
    """Fit by a loss, and predict with the right shape."""
    fitted.first(cases_of(task_type)[0], loss)


def _check_stored(fitted: FittedStudent, stored: FittedStudent, task_type: TaskType) -> None:
    """Train on ids that a step has made as on those of its own featuriser."""
    case = cases_of(task_type)[0]
    equal = np.array_equal(fitted.first(case)[1], stored.first(case)[1])
    fitted.must("its predictions must be the same, to the bit, if the ids of its tokeniser are given", equal)


# -- how they are fitted -------------------------------------------------------------------------------------


class FittedTeacher(Fitted):
    """The models of a teacher."""

    component: Teacher

    def fit(self, case: Case, loss: Loss | None) -> Model:
        """See :class:`Fitted`: from gold labels, or texts alone."""
        return _taught(self.component, case, self.shared)


class FittedStudent(Fitted):
    """The models of a student, which may borrow from a teacher or read its tokens."""

    component: Student

    def __init__(
        self, student: Student, shared: Shared, teacher: Teacher | None, stored: bool = False
    ) -> None:
        super().__init__(student, shared)
        self.teacher = teacher
        self.stored = stored  # whether the ids of the texts are made before it is fitted

    @cached_property
    def aligned(self) -> bool:
        """Return whether the student reads the tokens of the teacher."""
        return self.teacher is not None and self.component.aligned(self.teacher)

    @property
    def in_step(self) -> frozenset[str]:
        """Return the teacher's states that the student needs during training, because no step stores them."""
        if self.teacher is None or not self.aligned:
            return frozenset()
        return (self.component.learns_from - RECORDED) & self.teacher.gives

    def by(self, task_type: TaskType, loss: Loss | None) -> Loss:
        """Return the loss to fit by: by gold labels if the teacher's outputs cannot be had."""
        mostly = FromLogits() if "logits" in self.component.learns_from else FromLabels(task_type)
        chosen = loss or mostly
        return chosen if self.aligned or chosen.needs <= task_type.recorded else FromLabels(task_type)

    def key(self, case: Case, loss: Loss | None) -> str:
        """See :class:`Fitted`."""
        return f"{case.what} by {self.by(case.task_type, loss)!r}{' on stored ids' if self.stored else ''}"

    def fit(self, case: Case, loss: Loss | None) -> Model:
        """See :class:`Fitted`."""
        own, transfer, task_type = self.by(case.task_type, loss), case.train, case.task_type
        if "logits" not in own.needs:  # as for a baseline: there is no teacher
            transfer = replace(transfer, logits=None)
        if "hidden" in own.needs & task_type.recorded:
            shape = int(task_type.rows_before(transfer.texts)[-1]), 8
            hidden = np.random.default_rng(0).standard_normal(shape).astype(np.float16)
            transfer = replace(transfer, hidden=hidden)
        context = _context(self.component, self.shared, case)
        if self.component.borrows or own.needs - task_type.recorded:
            context = replace(context, teacher=self._lent(case))
        if self.stored:
            context = replace(context, tokens=self._stored(transfer, case.validation))
        return self.component.fit(transfer, case.validation, own, context)

    def _stored(self, transfer: Examples, validation: Examples) -> Stored:
        """Return the ids of the texts, as a step makes them."""
        tokeniser, folder = self.component.tokeniser(self.teacher), self.shared.empty("ids")
        assert tokeniser is not None
        texts = {"transfer": transfer.texts, "validation": validation.texts}
        write(folder, tokeniser.fit(transfer), texts)
        return Stored(folder, tokeniser.load(folder), transfer, texts)

    def _lent(self, case: Case) -> Model:
        """Return the teacher, fitted on the same examples."""
        teacher = self.teacher
        assert teacher is not None
        return self.shared.once(f"teacher {case.what}", lambda: _taught(teacher, case, self.shared))


def _taught(teacher: Teacher, case: Case, shared: Shared) -> Model:
    context = _context(teacher, shared, case)
    return teacher.fit(replace(case.train, logits=None), case.validation, context)


def _context(component: Teacher | Student, shared: Shared, case: Case) -> CheckContext:
    """Return a context with the model that the component starts from, if any."""
    context = shared.context()
    if (recipe := component.prior) is None:
        return context
    key = f"prior {component!r}{case.what if recipe.task is None else ''}"
    examples = case.train, case.validation
    return replace(context, prior=shared.once(key, lambda: prior_of(component, context, examples)))
