"""Suite → Plan: every cell of the matrix, and the graph of steps that cells share. Pure; no torch.

A step's key is a digest of all that can change its result: the kind of step and the code behind it,
its components with their parameters and code, the seed, the precision, the data's fingerprint and
the keys of the steps that it needs. Two cells that need the same work so share one step.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol

from harness.api import (
    Augmenter,
    Component,
    HarnessError,
    Loss,
    Precision,
    Source,
    Student,
    Task,
    Teacher,
    Unavailable,
    parameters_of,
)
from harness.devices import machine
from harness.fingerprint import class_digest, code_digest, digest

if TYPE_CHECKING:
    from harness.suite import Suite

Role = Literal["teacher", "baseline", "distilled"]
Status = Literal["ok", "failed", "unavailable", "incompatible"]

# In the order of the flow; each is the module of harness.steps that performs it.
STEP_KINDS = ("data", "teacher", "transfer", "targets", "student", "evaluation", "export", "latency")


@dataclass(frozen=True)
class Step:
    """A unit of work that cells share. `needs` maps a role to the key of the step that fills it."""

    kind: str
    key: str
    label: str
    components: Mapping[str, Component]
    settings: Mapping[str, Any]  # seed, precision, source …: plain values
    notes: Mapping[str, Any]  # what the step is told that does not change its result: a folder's path
    needs: Mapping[str, str]
    work: str  # equal for steps that differ in nothing but their seed: for estimates
    family: str  # equal for steps of one kind and component name: for rougher estimates
    gpu: bool = False  # whether a GPU speeds it up
    exclusive: bool = False  # whether nothing else of ours may run beside it


@dataclass(frozen=True)
class Cell:
    """One configuration of the leaderboard, and the steps that make its record."""

    key: str
    role: Role
    task: Task
    source: Source | None
    teacher: Teacher | None
    student: Student | None
    augmenter: Augmenter | None
    loss: Loss | None
    seed: int
    steps: Mapping[str, str] = field(default_factory=dict)  # step kind → key
    status: Status = "ok"  # other than "ok": it cannot run, and why
    reason: str = ""

    @property
    def goals(self) -> tuple[str, ...]:
        """The keys of the steps whose results stand in the record."""
        return tuple(self.steps[kind] for kind in ("evaluation", "export", "latency") if kind in self.steps)

    @cached_property
    def label(self) -> str:
        """What a person would call it."""
        parts = [c.name for c in (self.teacher, self.student, self.augmenter, self.loss) if c is not None]
        return f"{self.task.name}: {' → '.join(parts)} (seed {self.seed})"


@dataclass(frozen=True)
class Plan:
    """The cells of a suite and their steps, each step after those it needs."""

    suite: Suite
    cells: tuple[Cell, ...]
    steps: Mapping[str, Step]


class Packages(Protocol):
    """What a plan asks of the catalog."""

    def package_of(self, component: Component) -> str:
        """The distribution and version that a component comes from."""


def build(suite: Suite, packages: Packages, *, source: str = "auto", precision: Precision = "fp32") -> Plan:
    """Lay out the matrix. What cannot run is a cell with a status and a reason, never an error."""
    return _Planner(suite, packages, source, precision).plan()


class _Planner:
    def __init__(self, suite: Suite, packages: Packages, source: str, precision: Precision) -> None:
        self.suite = suite
        self.packages = packages
        self.source = source
        self.precision = precision
        self.steps: dict[str, Step] = {}
        self._identities: dict[int, str] = {}
        self._configurations: dict[int, str] = {}
        self._code = {kind: code_digest((f"harness.steps.{kind}",)) for kind in STEP_KINDS}
        self._resolved: dict[int, Source | HarnessError] = {}
        self._bases: dict[int, str | HarnessError] = {}

    def plan(self) -> Plan:
        cells: dict[str, Cell] = {}
        for combination in self._combinations():
            cell = self._cell(*combination)
            if cell.key in cells or any(exclude.matches(cell) for exclude in self.suite.excludes):
                continue
            cells[cell.key] = replace(cell, steps=self._steps(cell)) if cell.status == "ok" else cell
        return Plan(self.suite, tuple(cells.values()), self.steps)

    # -- the matrix -----------------------------------------------------------------------------------

    def _combinations(
        self,
    ) -> Iterator[tuple[Role, Task, Teacher | None, Student | None, Augmenter | None, Loss | None, int]]:
        suite = self.suite
        for task in suite.tasks:
            for teacher in suite.teachers:
                for seed in suite.seeds if suite.teacher_seeds == "each" else suite.seeds[:1]:
                    yield "teacher", task, teacher, None, None, None, seed
            for student in suite.students:
                for seed in suite.seeds:
                    yield "baseline", task, None, student, None, suite.baseline, seed
                for augmenter in suite.augmenters:
                    for loss in suite.losses:
                        alone = loss.needs <= {"labels"}  # it asks nothing of a teacher
                        for teacher in (None,) if alone else suite.teachers:
                            role: Role = "baseline" if alone else "distilled"
                            for seed in suite.seeds:
                                yield role, task, teacher, student, augmenter, loss, seed

    def _cell(
        self,
        role: Role,
        task: Task,
        teacher: Teacher | None,
        student: Student | None,
        augmenter: Augmenter | None,
        loss: Loss | None,
        seed: int,
    ) -> Cell:
        source = self._resolve(task)
        configured = [self._configured(c) if c else "-" for c in (task, teacher, student, augmenter, loss)]
        fingerprint = source.fingerprint if isinstance(source, Source) else "-"
        key = digest("cell", role, *configured, fingerprint, str(seed), self.precision)
        status, reason = self._obstacle(source, teacher, student, loss)
        known = source if isinstance(source, Source) else None
        return Cell(key, role, task, known, teacher, student, augmenter, loss, seed, {}, status, reason)

    def _obstacle(
        self,
        source: Source | HarnessError,
        teacher: Teacher | None,
        student: Student | None,
        loss: Loss | None,
    ) -> tuple[Status, str]:
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
        base = self._base(teacher) if teacher is not None else ""
        if isinstance(base, HarnessError):
            return ("unavailable" if isinstance(base, Unavailable) else "failed"), str(base)
        return "ok", ""

    # -- the graph ------------------------------------------------------------------------------------

    def _steps(self, cell: Cell) -> dict[str, str]:
        """Add the steps of one cell to the graph; their keys by kind."""
        task, source, teacher, student = cell.task, cell.source, cell.teacher, cell.student
        augmenter, loss, seed = cell.augmenter, cell.loss, cell.seed
        assert source is not None
        shared_seed = seed if self.suite.teacher_seeds == "each" else self.suite.seeds[0]
        steps: dict[str, str] = {}
        drawn = {"source": source.name, "fingerprint": source.fingerprint}
        notes = {"origin": source.origin}
        data = steps["data"] = self._step("data", {"task": task}, drawn, {}, notes=notes)
        teaching: dict[str, str] = {}
        if teacher is not None:
            fitted = steps["teacher"] = self._step(
                "teacher",
                {"teacher": teacher},
                {"seed": shared_seed, "base": self._base(teacher), **self._precise(teacher)},
                {"data": data},
                f"{teacher.name} on {task.name}",
            )
            teaching["evaluation"] = self._evaluation(task, data, {"teacher": teacher}, fitted)
        if student is None:
            assert teacher is not None
            component: Component = teacher
            model = steps["teacher"]
            evaluation = teaching["evaluation"]
        else:
            assert loss is not None
            needs = {"data": data}
            if augmenter is not None:
                needs["transfer"] = steps["transfer"] = self._step(
                    "transfer",
                    {"augmenter": augmenter},
                    {"seed": shared_seed},
                    {"data": data},
                    augmenter.name,
                )
            if teacher is not None:
                needs["targets"] = steps["targets"] = self._step(
                    "targets",
                    {"teacher": teacher},
                    self._precise(teacher),
                    {"model": steps["teacher"], "transfer": steps["transfer"]},
                    f"{teacher.name} on {augmenter.name if augmenter else 'the training texts'}",
                )
            taught = "/".join(c.name for c in (augmenter, loss) if c is not None)
            model = steps["student"] = self._step(
                "student",
                {"student": student, "loss": loss},
                {"seed": seed, **self._precise(student)},
                needs,
                f"{student.name} by {taught}",
            )
            component = student
            evaluation = self._evaluation(task, data, {"student": student}, model, teaching.get("evaluation"))
        steps["evaluation"] = evaluation
        if self.suite.latency and component.exports:  # type: ignore[attr-defined]
            role = component.kind
            steps["export"] = self._step(
                "export", {role: component}, {}, {"data": data, "model": model}, component.name
            )
        if self.suite.latency:
            needs = {"data": data, "model": model}
            if "export" in steps:
                needs["export"] = steps["export"]
            steps["latency"] = self._step(
                "latency", {component.kind: component}, {"machine": machine()}, needs, component.name
            )
        return steps

    def _evaluation(
        self, task: Task, data: str, component: dict[str, Component], model: str, teacher: str | None = None
    ) -> str:
        needs = {"data": data, "model": model} | ({"teacher": teacher} if teacher else {})
        (scored,) = component.values()
        return self._step(
            "evaluation",
            {"task": task, **component},
            self._precise(scored),
            needs,
            f"{scored.name} on {task.name}",
        )

    def _precise(self, component: Component) -> dict[str, str]:
        return {"precision": self.precision if component.mixed_precision else "fp32"}

    def _step(
        self,
        kind: str,
        components: Mapping[str, Component],
        settings: Mapping[str, Any],
        needs: Mapping[str, str],
        label: str = "",
        notes: Mapping[str, Any] | None = None,
    ) -> str:
        identities = [f"{role}={self._identity(component)}" for role, component in components.items()]
        plain = [f"{name}={value}" for name, value in settings.items()]
        key = digest(kind, self._code[kind], *identities, *plain, *(f"{r}={k}" for r, k in needs.items()))
        if key not in self.steps:
            names = ",".join(component.name for component in components.values())
            unseeded = (f"{name}={value}" for name, value in settings.items() if name != "seed")
            upstream = (self.steps[needed].work for needed in needs.values())
            self.steps[key] = Step(
                kind=kind,
                key=key,
                label=f"{kind} {label or names}",
                components=components,
                settings=settings,
                notes=notes or {},
                needs=needs,
                work=digest(kind, *identities, *unseeded, *upstream),
                family=f"{kind} {names}",
                gpu=kind in ("teacher", "targets", "student", "evaluation", "latency")
                and any(component.accelerated for component in components.values()),
                exclusive=kind == "latency",
            )
        return key

    # -- what keys are made of ------------------------------------------------------------------------

    def _identity(self, component: Component) -> str:
        """Everything about a component that can change what it does. Remembered by object: hashing
        a component's fields for each of 10,000 cells would cost more than all else.
        """
        known = self._identities.get(id(component))
        if known is None:
            classes = sorted({class_digest(type(c)) for c in _with_parts(component)})
            sources = sorted({self.packages.package_of(c) for c in _with_parts(component)})
            known = self._identities[id(component)] = digest(self._configured(component), *classes, *sources)
        return known

    def _configured(self, component: Component) -> str:
        """What a suite says of a component: its names, versions and parameters, but not its code."""
        known = self._configurations.get(id(component))
        if known is None:
            known = self._configurations[id(component)] = digest(
                component.kind,
                *(f"{c.name}={c.version}" for c in _with_parts(component)),
                json.dumps(parameters_of(component), sort_keys=True, default=str),
            )
        return known

    def _resolve(self, task: Task) -> Source | HarnessError:
        if id(task) not in self._resolved:
            try:
                self._resolved[id(task)] = task.resolve(self.source)
            except HarnessError as error:
                self._resolved[id(task)] = error
        return self._resolved[id(task)]

    def _base(self, teacher: Teacher) -> str | HarnessError:
        if id(teacher) not in self._bases:
            try:
                self._bases[id(teacher)] = teacher.base()
            except HarnessError as error:
                self._bases[id(teacher)] = error
        return self._bases[id(teacher)]


def _with_parts(component: Component) -> Iterator[Component]:
    """The component and the components that its fields hold."""
    yield component
    for each in fields(component):
        value = getattr(component, each.name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Component):
                yield from _with_parts(part)


def _listed(names: frozenset[str]) -> str:
    return " and ".join(sorted(names))
