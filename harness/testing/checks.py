"""Check that components keep the rules of their kind: named checks, one by one or all together.

A check raises AssertionError with one sentence that names the rule broken. It needs no test framework, fits
nothing larger than some dozens of texts, and lets Unavailable through, so that a test may skip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from harness.api import (
    Augmenter,
    Component,
    Loss,
    Student,
    Task,
    TaskType,
    Teacher,
    Unavailable,
    parameters_of,
)
from harness.executors.base import Executor
from harness.testing.augmenters import augmenter_checks
from harness.testing.basics import check_basics, check_imports
from harness.testing.learners import student_checks, teacher_checks
from harness.testing.losses import loss_checks
from harness.testing.models import Named
from harness.testing.rules import types_of
from harness.testing.shared import Shared
from harness.testing.task_types import task_type_checks
from harness.testing.tasks import task_checks
from harness.tracking import Tracker

if TYPE_CHECKING:
    from harness.catalog import Catalog


@dataclass(frozen=True)
class Check:
    """A check of one component: call it. Checks of one generator share what is expensive to make."""

    component: Component
    name: str  # "saves and loads (tagging)"
    run: Callable[[], None] = field(repr=False, compare=False)
    shared: Shared = field(repr=False, compare=False)

    def __call__(self) -> None:
        """Raise AssertionError if a rule is broken, and Unavailable if something it needs is absent here."""
        self.run()

    def __str__(self) -> str:
        return f"{self.component.name}: {self.name}"


def checks_of(
    component: Component,
    catalog: Catalog | None = None,
    teacher: Teacher | None = None,
    device: str = "cpu",
) -> Iterator[Check]:
    """Yield the checks of a component, by names that stay the same; those that are quick come first.

    With a catalog, also check that suites can build the component and that importing it is quick; the catalog
    adds its types of task to the known ones, and a component is checked with each type that accepts it. The
    teacher is for students, which may borrow from it or read its tokens. Teachers and students are fitted on
    the device, "cpu" or "cuda:0".

    >>> for check in checks_of(MyStudent(width=8)):
    ...     print(check.name)
    ...     check()
    """
    if not isinstance(component, Component):
        raise AssertionError(f"{component!r} is not a component")
    shared = Shared(device)
    yield Check(component, "basics", partial(check_basics, component, catalog), shared)
    if catalog is not None:
        yield Check(component, "imports", partial(check_imports, component), shared)
    for name, run in _named(component, catalog, teacher, shared):
        yield Check(component, name, run, shared)


def _named(
    component: Component,
    catalog: Catalog | None,
    teacher: Teacher | None,
    shared: Shared,
    source: str = "auto",
) -> Iterator[Named]:
    """Return the checks that are asked of a kind of component."""
    types = types_of(component, catalog)
    match component:
        case Task():
            return task_checks(component, shared, catalog, source)
        case Teacher():
            return teacher_checks(component, types, shared)
        case Student():
            return student_checks(component, types, shared, teacher)
        case Augmenter():
            return augmenter_checks(component, types, shared)
        case Loss():
            return loss_checks(component, types)
        case TaskType():
            return task_type_checks(component, shared)
        case Tracker() | Executor():
            return iter(())  # what else they do depends on other programs
    raise AssertionError(f"{component!r} is not a component of a known kind")


# -- with pytest ---------------------------------------------------------------------------------------------


def parametrize_with_checks(
    components: Sequence[Component],
    catalog: Catalog | None = None,
    teacher: Teacher | None = None,
    device: str = "cpu",
) -> Any:
    """Return a decorator for pytest: a test takes `check`, and runs once for each check of each component.

    A case is named like "mlp: saves and loads (classification)"; what is absent here is skipped. The other
    parameters are those of :func:`checks_of`.

    >>> @parametrize_with_checks([MyStudent(width=8), MyLoss()], catalog=catalog.load())
    ... def test_my_components(check):
    ...     check()
    """
    import pytest

    cases = []
    for component, label in zip(components, _labels(components), strict=True):
        checks = list(checks_of(component, catalog, teacher, device))
        for check in checks:
            run = partial(_or_skip, check, check is checks[-1])
            case = Check(component, check.name, run, check.shared)
            cases.append(pytest.param(case, id=f"{label}: {check.name}"))
    return pytest.mark.parametrize("check", cases)


def _or_skip(check: Check, last: bool) -> None:
    import pytest

    try:
        check()
    except Unavailable as error:
        pytest.skip(str(error))
    finally:
        if last:  # of its component: the models are not needed any more
            check.shared.clear()


def _labels(components: Sequence[Component]) -> list[str]:
    """Return names that tell components apart: with their kind and parameters if they share a name."""
    from harness.naming import labeller

    described: list[dict[str, Any]] = [
        {"name": component.name, "params": parameters_of(component)} for component in components
    ]
    label = labeller([{each.kind: one} for each, one in zip(components, described, strict=True)])
    kinds: dict[str, set[str]] = {}
    for each in components:
        kinds.setdefault(each.name, set()).add(each.kind)
    return [
        f"{f'{each.kind} ' if len(kinds[each.name]) > 1 else ''}{_label(label, each, one)}"
        for each, one in zip(components, described, strict=True)
    ]


def _label(label: Callable[[str, Any], str], component: Component, described: Mapping[str, Any]) -> str:
    try:
        return label(component.kind, described)
    except KeyError:  # of a kind that rows of tables are not named by
        return component.name


# -- all together --------------------------------------------------------------------------------------------


def check_component(
    component: Component,
    catalog: Catalog | None = None,
    teacher: Teacher | None = None,
    device: str = "cpu",
) -> None:
    """Run all checks of a component, and raise AssertionError at the first rule that is broken.

    See :func:`checks_of`, which yields them one by one, and :func:`parametrize_with_checks` for pytest.

    >>> check_component(MyStudent(width=8))
    """
    for check in checks_of(component, catalog, teacher, device):
        check()


def check_task(task: Task, source: str = "auto") -> None:
    """Check that a task reads its splits from a source, twice the same, in the form of its type."""
    check_basics(task)
    for _, run in task_checks(task, Shared(), None, source):
        run()


def check_teacher(teacher: Teacher, device: str = "cpu") -> None:
    """Check that a teacher fits gold labels, or hidden tokens, and that its models keep all rules."""
    check_component(teacher, device=device)


def check_student(student: Student, teacher: Teacher | None = None, device: str = "cpu") -> None:
    """Check that a student fits what it learns from, and that its models keep all rules.

    A student that borrows needs a teacher to borrow from. With a teacher whose tokens it reads, it must also
    learn from the inner states of both.
    """
    check_component(student, teacher=teacher, device=device)


def check_augmenter(augmenter: Augmenter) -> None:
    """Check that an augmenter makes texts of rows that exist, and the same ones from the same generator."""
    check_component(augmenter)


def check_loss(loss: Loss) -> None:
    """Check that a loss is a finite scalar whose gradient reaches the student, for any logits and batch."""
    check_component(loss)


def check_task_type(task_type: TaskType) -> None:
    """Check that a type of task keeps its contract, on its own tiny examples.

    >>> check_task_type(MyTaskType())
    """
    check_component(task_type)
