"""Identify components by their settings in a suite, their code, and the model that they start from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Protocol, TypeVar

from harness.api import (
    Component,
    HarnessError,
    Student,
    Task,
    TaskType,
    Teacher,
    Tokeniser,
    parameters_of,
)
from harness.hookspecs import DISTRIBUTION
from harness.isolation.global_state import guarded
from harness.plan.fingerprint import class_digest
from harness.values import digest

A = TypeVar("A")


class Packages(Protocol):
    """The part of the catalog that a plan uses."""

    def package_of(self, component: Component) -> str:
        """Return the distribution and version that a component comes from."""

    def task_type_of(self, task: Task) -> TaskType:
        """Return the type of a task, with the options that the task sets."""


class Identities:
    """Digests of components, remembered by object; the components must exist as long as this object."""

    def __init__(self, packages: Packages, base_of: Callable[[Component], str | HarnessError]) -> None:
        self.packages = packages
        self._base_of = base_of
        self._identities: dict[int, str] = {}
        self._configurations: dict[int, str] = {}
        self._foreign: dict[int, bool] = {}
        self._tokenisers: dict[tuple[int, int], Tokeniser | None] = {}

    def of(self, component: Component) -> str:
        """Return the digest of everything that can change what a component does.

        It is remembered by object, because hashing a component's fields for each of 10,000 cells would take
        longer than all the rest.
        """
        known = self._identities.get(id(component))
        if known is None:
            classes = sorted({class_digest(type(c)) for c in with_parts(component)})
            sources = sorted({self.packages.package_of(c) for c in with_parts(component)})
            base = self._base_of(component)
            known = self._identities[id(component)] = digest(
                self.configured(component), str(base), *classes, *sources
            )
        return known

    def foreign(self, component: Component) -> bool:
        """Return whether a component, or one in its fields, is from another package than this project's."""
        known = self._foreign.get(id(component))
        if known is None:
            packages = {self.packages.package_of(c).partition(" ")[0] for c in with_parts(component)}
            known = self._foreign[id(component)] = packages != {DISTRIBUTION}
        return known

    def configured(self, component: Component) -> str:
        """Return the digest of a component's names, versions and parameters, without its code."""
        known = self._configurations.get(id(component))
        if known is None:
            known = self._configurations[id(component)] = digest(
                component.kind,
                *(f"{c.name}={c.version}" for c in with_parts(component)),
                json.dumps(parameters_of(component), sort_keys=True, default=str),
            )
        return known

    def tokeniser(self, student: Student, teacher: Teacher | None) -> Tokeniser | None:
        """Return a student's tokeniser, always the same object; None if the student does not tell."""
        memo = id(student), id(teacher)
        if memo not in self._tokenisers:
            found = answer_of(student, lambda: student.tokeniser(teacher))
            self._tokenisers[memo] = found if isinstance(found, Tokeniser) else None
        return self._tokenisers[memo]


def with_parts(component: Component) -> Iterator[Component]:
    """Yield the component and all components in its fields."""
    yield component
    for each in fields(component):
        value = getattr(component, each.name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Component):
                yield from with_parts(part)


def answer_of(component: Component, question: Callable[[], A]) -> A | HarnessError:
    """Return a component's answer, or its error: that affects only the component's cells, not the plan.

    What the question changes in the global state of this process is undone.
    """
    try:
        with guarded(lambda changes: None):
            return question()
    except HarnessError as error:
        return error
    except Exception as error:
        return HarnessError(f"{component.kind} '{component.name}' raised {type(error).__name__}: {error}")
