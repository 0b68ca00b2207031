"""Suite → Plan: every cell of the matrix, and the graph of steps that cells share. Pure; no torch.

A step's key is a digest of all that can change its result: the kind of step and the code behind it,
its components with their parameters and code, the seed, the precision, the data's fingerprint and
the keys of the steps that it needs. Two cells that need the same work so share one step.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeVar

from harness.api import (
    RECORDED,
    Augmenter,
    Component,
    HarnessError,
    Loss,
    Precision,
    Source,
    Student,
    Task,
    Teacher,
    parameters_of,
    seed_of_repetition,
)
from harness.compatibility import Status, obstacle
from harness.devices import machine
from harness.fingerprint import class_digest, code_digest, digest

if TYPE_CHECKING:
    from harness.suite import Suite

A = TypeVar("A")
Role = Literal["teacher", "baseline", "distilled"]

# In the order of the flow; each is the module of harness.steps that performs it.
STEP_KINDS = ("data", "teacher", "transfer", "targets", "student", "evaluation", "export", "latency")
PARTS = 4  # of a transfer set, for teachers that take their time: the same on every machine
_ACCELERATED = ("teacher", "transfer", "targets", "student", "evaluation", "latency")


class Step(NamedTuple):
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
    steps: Mapping[str, str] = field(default_factory=dict)  # role, mostly the kind of step → key
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
        self._known: dict[tuple[int, int, int, int], dict[str, str]] = {}
        self._works: dict[tuple[str, ...], str] = {}
        self._machine = machine()
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
            baseline = suite.baselines.get(task.task_type)
            for fitted in suite.teachers:
                for seed in suite.seeds if suite.teacher_seeds == "each" else suite.seeds[:1]:
                    yield "teacher", task, fitted, None, None, None, seed
            for student in suite.students:
                starts: tuple[Teacher | None, ...] = (student.borrows and suite.teachers) or (None,)
                for teacher in starts:
                    for seed in suite.seeds if baseline is not None else ():
                        yield "baseline", task, teacher, student, None, baseline, seed
                for augmenter in suite.augmenters:
                    for loss in suite.losses:
                        alone = loss.needs <= {"labels"}  # it asks nothing of a teacher
                        for each in starts if alone else suite.teachers:
                            role: Role = "baseline" if alone else "distilled"
                            for seed in suite.seeds:
                                yield role, task, each, student, augmenter, loss, seed

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
        status, reason = obstacle(task, source, teacher, student, augmenter, loss, self._base)
        known = source if isinstance(source, Source) else None
        return Cell(key, role, task, known, teacher, student, augmenter, loss, seed, {}, status, reason)

    # -- the graph ------------------------------------------------------------------------------------

    def _steps(self, cell: Cell) -> dict[str, str]:
        """Add the steps of one cell to the graph; their keys by kind."""
        steps = dict(self._shared(cell))
        taught_by = steps.pop("teacher-evaluation", None)
        data = {"data": steps["data"]}
        if cell.student is None:
            assert cell.teacher is not None and taught_by is not None
            learner: Teacher | Student = cell.teacher
            model, steps["evaluation"] = steps["teacher"], taught_by
        else:
            assert cell.loss is not None
            learner = cell.student
            recipe = "/".join(c.name for c in (cell.augmenter, cell.loss) if c is not None)
            parts: dict[str, Component] = {"student": learner, "loss": cell.loss}
            needs = data | ({"transfer": steps["transfer"]} if "transfer" in steps else {})
            if cell.teacher is not None and cell.augmenter is not None:
                for output, role in (("logits", "targets"), ("hidden", "hidden")):
                    if output in cell.loss.needs:
                        needs[role] = self._targets(cell.teacher, cell.augmenter, steps, output)
                        steps[role] = needs[role]
            if cell.teacher is not None and (learner.borrows or cell.loss.needs - RECORDED):
                parts["teacher"], needs["fitted"] = cell.teacher, steps["teacher"]
            model = steps["student"] = self._step(
                "student",
                parts,
                {"seed": cell.seed, **self._precise(learner)},
                needs,
                f"{learner.name} by {recipe}",
            )
            steps["evaluation"] = self._evaluation(cell.task, learner, steps["data"], model, taught_by)
        if self.suite.latency:
            needs = data | {"model": model}
            if learner.exports:
                needs["export"] = steps["export"] = self._step(
                    "export", {learner.kind: learner}, {}, dict(needs), learner.name
                )
            on = {"machine": self._machine}
            steps["latency"] = self._step("latency", {learner.kind: learner}, on, needs, learner.name)
        return steps

    def _shared(self, cell: Cell) -> dict[str, str]:
        """The steps up to the student, which cells of other students, losses and seeds have too."""
        task, source, teacher, augmenter = cell.task, cell.source, cell.teacher, cell.augmenter
        assert source is not None
        seed = cell.seed if self.suite.teacher_seeds == "each" else self.suite.seeds[0]
        memo = (id(task), id(teacher), id(augmenter), seed)
        if memo in self._known:
            return self._known[memo]
        drawn = {"source": source.name, "fingerprint": source.fingerprint}
        steps = self._known[memo] = {
            "data": self._step("data", {"task": task}, drawn, {}, task.name, {"origin": source.origin})
        }
        data = {"data": steps["data"]}
        if augmenter is not None:
            steps["transfer"] = self._step(
                "transfer", {"augmenter": augmenter}, {"seed": seed}, data, augmenter.name
            )
        if teacher is not None:
            fitted = steps["teacher"] = self._fitted(task, teacher, data, seed)
            steps["teacher-evaluation"] = self._evaluation(task, teacher, steps["data"], fitted)
        return steps

    def _fitted(self, task: Task, teacher: Teacher, data: Mapping[str, str], seed: int) -> str:
        """The step that fits a teacher, after those that fit its members."""
        needs = dict(data)
        for place, member in enumerate(teacher.members):
            own = seed_of_repetition(seed, teacher.members[:place].count(member))
            needs[f"member-{place}"] = self._fitted(task, member, data, own)
        settings = {"seed": seed, **self._precise(teacher)}
        return self._step("teacher", {"teacher": teacher}, settings, needs, f"{teacher.name} on {task.name}")

    def _targets(self, teacher: Teacher, augmenter: Augmenter, steps: Mapping[str, str], output: str) -> str:
        """The teacher's logits or hidden states of a transfer set; a slow one labels parts side by side."""
        settings = {"output": output, **self._precise(teacher)}
        needs = {"model": steps["teacher"], "transfer": steps["transfer"]}
        label = f"{teacher.name} on {augmenter.name}"
        parts = {
            f"part-{part}": self._step(
                "targets",
                {"teacher": teacher},
                settings | {"part": part, "parts": PARTS},
                needs,
                f"{label}, part {part + 1} of {PARTS}",
            )
            for part in range(PARTS if teacher.accelerated else 0)
        }
        return self._step("targets", {"teacher": teacher}, settings, parts or needs, label)

    def _evaluation(
        self, task: Task, learner: Teacher | Student, data: str, model: str, teacher: str | None = None
    ) -> str:
        needs = {"data": data, "model": model} | ({"teacher": teacher} if teacher else {})
        parts = {"task": task, learner.kind: learner}
        return self._step(
            "evaluation", parts, self._precise(learner), needs, f"{learner.name} on {task.name}"
        )

    def _precise(self, component: Component) -> dict[str, str]:
        return {"precision": self.precision if component.mixed_precision else "fp32"}

    def _step(
        self,
        kind: str,
        components: Mapping[str, Component],
        settings: Mapping[str, Any],
        needs: Mapping[str, str],
        label: str,
        notes: Mapping[str, Any] | None = None,
    ) -> str:
        identities = [f"{role}={self._identity(component)}" for role, component in components.items()]
        plain = [f"{name}={value}" for name, value in settings.items() if name != "seed"]
        seed = str(settings.get("seed", ""))
        key = digest(
            kind, self._code[kind], seed, *identities, *plain, *(f"{r}={k}" for r, k in needs.items())
        )
        if key not in self.steps:
            work = (kind, *identities, *plain, *(self.steps[needed].work for needed in needs.values()))
            if work not in self._works:
                self._works[work] = digest(*work)
            names = ",".join(component.name for component in components.values())
            self.steps[key] = Step(
                kind=kind,
                key=key,
                label=f"{kind} {label}",
                components=components,
                settings=settings,
                notes=notes or {},
                needs=needs,
                work=self._works[work],
                family=f"{kind} {names}",
                gpu=kind in _ACCELERATED and any(c.accelerated for c in components.values()),
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
            base = self._base(component)
            known = self._identities[id(component)] = digest(
                self._configured(component), str(base), *classes, *sources
            )
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
            self._resolved[id(task)] = _asked(task, lambda: task.resolve(self.source))
        return self._resolved[id(task)]

    def _base(self, component: Component) -> str | HarnessError:
        if id(component) not in self._bases:
            self._bases[id(component)] = _asked(component, component.base)
        return self._bases[id(component)]


def _asked(component: Component, question: Callable[[], A]) -> A | HarnessError:
    """A component's answer while planning. An author's mistake costs the component's cells, not the plan."""
    try:
        return question()
    except HarnessError as error:
        return error
    except Exception as error:
        return HarnessError(f"{component.kind} '{component.name}' raised {type(error).__name__}: {error}")


def _with_parts(component: Component) -> Iterator[Component]:
    """The component and the components that its fields hold."""
    yield component
    for each in fields(component):
        value = getattr(component, each.name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Component):
                yield from _with_parts(part)
