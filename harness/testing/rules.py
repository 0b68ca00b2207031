"""State rules of components, and find the types of task that a component is checked with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from traceback import walk_tb
from typing import TYPE_CHECKING

from harness.api import Component, HarnessError, Task, TaskType, Unavailable
from harness.task_types.base import DEFAULT
from harness.wording import choices

if TYPE_CHECKING:
    from harness.catalog import Catalog

# What a loss may ask for.
NEEDS = frozenset({"labels", "logits", "hidden", "layers", "attention", "relations"})
NOISE = 1e-4  # what another batch's shape may change in a number, relative to the largest


class Rules:
    """``must(rule, holds)`` raises AssertionError with the component and the rule unless the rule holds."""

    def __init__(self, component: Component) -> None:
        self.who = f"{component.kind} '{component.name}'"

    def __call__(self, rule: str, holds: bool) -> None:
        """Raise unless the rule holds."""
        if not holds:
            raise AssertionError(f"{self.who}: {rule}")

    @contextmanager
    def manage(self, rule: str) -> Iterator[None]:
        """Turn any exception within into a broken rule; let Unavailable through."""
        try:
            yield
        except (AssertionError, Unavailable):
            raise
        except Exception as error:
            raise AssertionError(f"{self.who}: {rule}, but: {_why(error)}") from error


def _why(error: Exception) -> str:
    """Return the first line of what an exception says; of a method that is not implemented, its name."""
    if isinstance(error, NotImplementedError):
        *_, (frame, _) = walk_tb(error.__traceback__)
        return f"{frame.f_code.co_name} is not implemented"
    why = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
    return why.strip().splitlines()[0]


def known(needs: frozenset[str]) -> bool:
    """Return whether these are names of what a loss may ask for, at least one."""
    return bool(needs) and needs <= NEEDS


def listed(names: frozenset[str]) -> str:
    """Return names for people."""
    return ", ".join(sorted(names)) or "nothing"


# -- types of task -------------------------------------------------------------------------------------------


def known_types(catalog: Catalog | None = None) -> dict[str, TaskType]:
    """Return the types of task by name: the core's, those that were imported, and those of a catalog.

    The default type is the first; what is checked for one type only is checked for that.
    """
    import_module("harness.task_types.former")  # which imports the core's
    found = {name: made() for name, made in TaskType.known.items()}
    if catalog is not None:
        found |= {name: catalog.task_type(name) for name in catalog.names("task type")}
    return dict(sorted(found.items(), key=lambda each: (each[0] != DEFAULT, each[0])))


def types_of(component: Component, catalog: Catalog | None = None) -> list[TaskType]:
    """Return the known types of task that a teacher, student, augmenter or loss is for."""
    from harness.catalog import installed_type

    found = known_types(catalog)
    names: frozenset[str] = getattr(component, "task_types", frozenset())
    installed = map(installed_type, sorted(names - found.keys()))  # of plugins that were not imported yet
    return [each for each in (*found.values(), *installed) if each is not None and each.accepts(component)]


def type_of(task: Task, catalog: Catalog | None = None) -> TaskType:
    """Return the type of a task with its options. Raise HarnessError, with the nearest match, if unknown."""
    from harness.catalog import installed_type

    if catalog is not None:
        return catalog.task_type_of(task)
    found = known_types()
    made = found.get(task.task_type) or installed_type(task.task_type)
    if made is None:
        raise HarnessError(f"unknown task type '{task.task_type}'{choices(task.task_type, found)}")
    return type(made)(**task.type_options)


def default_type() -> TaskType:
    """Return the type of a task that names none."""
    return known_types()[DEFAULT]
