"""Turn a suite into a plan: all cells of the matrix, and the graph of the steps that they share.

A step's key is a digest of everything that can change its result: the kind of step and its code, the
components with their parameters and code, the seed, the precision, the data's fingerprint, and the keys of
the steps that it needs. Cells that need the same work therefore share one step. Planning runs no step, and
does not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.api import (
    Augmenter,
    Component,
    HarnessError,
    Loss,
    Precision,
    Recipe,
    Source,
    Student,
    Task,
    TaskType,
    Teacher,
    Tokeniser,
    seed_of_repetition,
)
from harness.devices import machine
from harness.plan.compatibility import Status, in_step, obstacle
from harness.plan.fingerprint import code_digest
from harness.plan.identity import Identities, Packages, answer_of
from harness.plan.matrix import Combination, Role, combinations, parts_of, seed_of_teachers
from harness.values import digest

if TYPE_CHECKING:
    from harness.suite.reader import Suite

# In the order in which they run; each is the name of a module in harness.steps.
STEP_KINDS = (
    *("data", "teacher", "transfer", "targets", "tokens", "student", "evaluation", "export", "latency"),
)
PARTS = 4  # of a transfer set, for slow teachers; the same on all machines, because keys depend on it
_ACCELERATED = ("teacher", "transfer", "targets", "student", "evaluation", "latency")


class Step(NamedTuple):
    """A unit of work that cells share. `needs` maps a role to the key of the step with that role."""

    kind: str
    key: str
    label: str
    components: Mapping[str, Component]
    settings: Mapping[str, Any]  # seed, precision, source …: plain values
    notes: Mapping[str, Any]  # inputs that do not change the result, e.g. a folder's path
    needs: Mapping[str, str]
    work: str  # equal for steps that differ only in their seed; for estimates
    likes: tuple[str, ...]  # names of groups of similar steps, the most similar first; for rougher estimates
    gpu: bool = False  # whether it is faster on a GPU
    exclusive: bool = False  # whether it must run while no other step runs
    foreign: tuple[str, ...] = ()  # the components, such as "student 'x'", that are from other packages
    rated: float = 0.0  # expected seconds, given the components' rates; set when it is scheduled


@dataclass(frozen=True)
class Cell:
    """One configuration with one seed, and the steps that produce its record."""

    key: str
    role: Role
    task: Task
    task_type: TaskType
    source: Source | None
    teacher: Teacher | None
    student: Student | None
    augmenter: Augmenter | None
    loss: Loss | None
    seed: int
    steps: Mapping[str, str] = field(default_factory=dict)  # role (usually the kind of step) → key
    status: Status = "ok"  # if it is not "ok", the cell cannot run, and `reason` is the reason
    reason: str = ""

    @property
    def goals(self) -> tuple[str, ...]:
        """Return the keys of the last steps, whose results the record contains."""
        return tuple(self.steps[kind] for kind in ("evaluation", "export", "latency") if kind in self.steps)

    @property
    def headline(self) -> str:
        """Return the metric that leaderboards sort by."""
        return self.task.headline or self.task_type.headline

    @cached_property
    def label(self) -> str:
        """Return a short description: the names of its components, and its seed."""
        parts = [c.name for c in (self.teacher, self.student, self.augmenter, self.loss) if c is not None]
        return f"{self.task.name}: {' → '.join(parts)} (seed {self.seed})"


@dataclass(frozen=True)
class Plan:
    """The cells of a suite and their steps; each step comes after those that it needs."""

    suite: Suite
    cells: tuple[Cell, ...]
    steps: Mapping[str, Step]

    def results(self, cell: Cell) -> dict[str, str]:
        """Return the keys of all steps whose results are in a cell's record, by role.

        The role of its teacher's evaluation, to which the cell is compared, is "teacher-evaluation".
        """
        found = {role: key for role, key in cell.steps.items() if role != "teacher" or cell.student is None}
        if "evaluation" in found and (taught := self.steps[found["evaluation"]].needs.get("teacher")):
            found["teacher-evaluation"] = taught
        return found


def build(suite: Suite, packages: Packages, *, source: str = "auto", precision: Precision = "fp32") -> Plan:
    """Return the plan of a suite. A combination that cannot run becomes a cell with a status and a reason."""
    return _Planner(suite, packages, source, precision).plan()


class _Planner:
    def __init__(self, suite: Suite, packages: Packages, source: str, precision: Precision) -> None:
        self.suite = suite
        self.source = source
        self.precision = precision
        self.steps: dict[str, Step] = {}
        self._identities = Identities(packages, self._base)
        self._known: dict[tuple[int, int, int, int], dict[str, str]] = {}
        self._works: dict[tuple[str, ...], str] = {}
        self._machine = machine()
        self._code = {kind: code_digest((f"harness.steps.{kind}",)) for kind in STEP_KINDS}
        self._resolved: dict[int, Source | HarnessError] = {}
        self._bases: dict[int, str | HarnessError] = {}
        self._starts: dict[tuple[int, int], tuple[Component, Cell | HarnessError | None]] = {}
        self._types: dict[int, tuple[Task, TaskType]] = {}

    def plan(self) -> Plan:
        cells: dict[str, Cell] = {}
        for combination in combinations(self.suite):
            cell = self._cell(combination)
            if cell.key in cells or any(exclude.matches(cell) for exclude in self.suite.excludes):
                continue
            cells[cell.key] = replace(cell, steps=self._steps(cell)) if cell.status == "ok" else cell
        return Plan(self.suite, tuple(cells.values()), self.steps)

    # -- cells -----------------------------------------------------------------------------------------

    def _cell(self, parts: Combination) -> Cell:
        task, seed = parts.task, parts.seed
        source, task_type = self._resolve(task), self._type(task)
        configured = [
            self._identities.configured(c) if c else "-"
            for c in (task, parts.teacher, parts.student, parts.augmenter, parts.loss)
        ]
        fingerprint = source.fingerprint if isinstance(source, Source) else "-"
        taught = seed_of_teachers(self.suite, seed)
        starts = self._starts_of(parts.teacher, taught) + self._starts_of(parts.student, seed)
        started = [start.key if isinstance(start, Cell) else "-" for start in starts]
        # The usual seed, 0, is left out, so that cells that were measured earlier keep their keys.
        if parts.teacher is not None and taught:
            started.append(f"teachers {taught}")
        key = digest("cell", parts.role, *configured, fingerprint, str(seed), self.precision, *started)
        status, reason = obstacle(parts, task_type, source, self._base)
        for start in starts if status == "ok" else ():
            if isinstance(start, HarnessError):
                status, reason = "failed", str(start)
            elif start.status != "ok":
                what = f"a model on task '{start.task.name}' that cannot be made"
                status, reason = start.status, f"it starts from {what}: {start.reason}"
        known = source if isinstance(source, Source) else None
        return Cell(
            *(key, parts.role, task, task_type, known, parts.teacher, parts.student, parts.augmenter),
            *(parts.loss, seed, {}, status, reason),
        )

    # -- the graph ------------------------------------------------------------------------------------

    def _steps(self, cell: Cell) -> dict[str, str]:
        """Add the steps of one cell to the graph, and return their keys by role."""
        assert cell.source is not None
        steps = dict(self._shared(cell.task, cell.source, cell.teacher, cell.augmenter, cell.seed))
        taught_by = steps.pop("teacher-evaluation", None)
        if cell.student is None:
            assert cell.teacher is not None and taught_by is not None
            learner: Teacher | Student = cell.teacher
            model, steps["evaluation"] = steps["teacher"], taught_by
            if (prior := self.steps[model].needs.get("prior")) is not None:
                steps["prior"] = prior
        else:
            assert cell.loss is not None
            learner = cell.student
            made_by = "/".join(c.name for c in (cell.augmenter, cell.loss) if c is not None)
            model = self._taught(cell.task, cell.teacher, learner, cell.loss, cell.seed, steps, made_by)
            steps["evaluation"] = self._evaluation(cell.task, learner, steps["data"], model, taught_by)
        if self.suite.latency:
            needs = {"data": steps["data"], "model": model}
            if learner.exports:
                asked = dict(needs)
                if cell.task_type.tunes:  # the export contains what was chosen on the validation set
                    asked["evaluation"] = steps["evaluation"]
                needs["export"] = steps["export"] = self._step(
                    "export", cell.task, {learner.kind: learner}, {}, asked, learner.name
                )
            on = {"machine": self._machine}
            steps["latency"] = self._step(
                "latency", cell.task, {learner.kind: learner}, on, needs, learner.name
            )
        return steps

    def _shared(
        self, task: Task, source: Source, teacher: Teacher | None, augmenter: Augmenter | None, seed: int
    ) -> dict[str, str]:
        """Return the steps before the student's, which cells share across students, losses and seeds."""
        seed = seed_of_teachers(self.suite, seed)
        memo = (id(task), id(teacher), id(augmenter), seed)
        if memo in self._known:
            return self._known[memo]
        steps = self._known[memo] = {"data": self._data(task, source)}
        if augmenter is not None:
            steps["transfer"] = self._transfer(task, augmenter if augmenter.adds else None, steps, seed)
        if teacher is not None:
            fitted = steps["teacher"] = self._fitted(task, teacher, steps["data"], seed, seed)
            steps["teacher-evaluation"] = self._evaluation(task, teacher, steps["data"], fitted)
        return steps

    def _data(self, task: Task, source: Source) -> str:
        drawn = {"source": source.name, "fingerprint": source.fingerprint}
        return self._step("data", task, {"task": task}, drawn, {}, task.name, {"origin": source.origin})

    def _transfer(self, task: Task, augmenter: Augmenter | None, steps: Mapping[str, str], seed: int) -> str:
        """Add the step that makes the transfer set: the training texts alone if there is no augmenter."""
        needs = {"data": steps["data"]}
        if augmenter is None:
            return self._step("transfer", task, {}, {}, needs, "training texts")
        parts = {"augmenter": augmenter}
        return self._step("transfer", task, parts, {"seed": seed}, needs, augmenter.name)

    def _fitted(self, task: Task, teacher: Teacher, data: str, seed: int, whole: int) -> str:
        """Add the steps that fit a teacher and its members, and return its key; `whole` is their seed."""
        needs = {"data": data}
        for place, member in enumerate(teacher.members):
            own = seed_of_repetition(seed, teacher.members[:place].count(member))
            needs[f"member-{place}"] = self._fitted(task, member, data, own, whole)
        parts: dict[str, Component] = {"teacher": teacher}
        if (start := self._prior(teacher, whole)) is not None:
            parts["prior"], needs["prior"] = start
        settings = {"seed": seed, **self._precise(teacher)}
        return self._step("teacher", task, parts, settings, needs, f"{teacher.name} on {task.name}")

    def _taught(
        self,
        task: Task,
        teacher: Teacher | None,
        student: Student,
        loss: Loss,
        seed: int,
        steps: dict[str, str],
        made_by: str,
    ) -> str:
        """Add the step that fits a student and those that it needs, also to `steps`; return its key."""
        parts: dict[str, Component] = {"student": student, "loss": loss}
        needs = {role: key for role, key in steps.items() if role in ("data", "transfer")}
        asked = in_step(loss, self._type(task))
        if teacher is not None and "transfer" in steps:
            for output, role in (("logits", "targets"), ("hidden", "hidden")):
                if output in loss.needs - asked:
                    needs[role] = steps[role] = self._targets(task, teacher, steps, output)
        if teacher is not None and (student.borrows or asked):
            parts["teacher"], needs["fitted"] = teacher, steps["teacher"]
        if (tokeniser := self._identities.tokeniser(student, teacher)) is not None:
            parts["tokeniser"] = tokeniser
            needs["tokens"] = steps["tokens"] = self._tokens(task, tokeniser, needs)
        if (start := self._prior(student, seed)) is not None:
            parts["prior"], needs["prior"] = start
            steps["prior"] = needs["prior"]
        settings = {"seed": seed, **self._precise(student)}
        label = f"{student.name} by {made_by}"
        steps["student"] = self._step("student", task, parts, settings, needs, label)
        return steps["student"]

    def _targets(self, task: Task, teacher: Teacher, steps: Mapping[str, str], output: str) -> str:
        """Add the step for a teacher's logits or hidden states; slow teachers label parts in parallel."""
        settings = {"output": output, **self._precise(teacher)}
        needs = {"model": steps["teacher"], "transfer": steps["transfer"]}
        label = f"{teacher.name} on {self.steps[steps['transfer']].label.removeprefix('transfer ')}"
        parts = {
            f"part-{part}": self._step(
                "targets",
                task,
                {"teacher": teacher},
                settings | {"part": part, "parts": PARTS},
                needs,
                f"{label}, part {part + 1} of {PARTS}",
            )
            for part in range(PARTS if teacher.accelerated else 0)
        }
        return self._step("targets", task, {"teacher": teacher}, settings, parts or needs, label)

    def _tokens(self, task: Task, tokeniser: Tokeniser, needs: Mapping[str, str]) -> str:
        """Add the step that turns texts into ids, for all students that read them alike."""
        roles = {"data", "transfer"} | ({"targets"} if "logits" in tokeniser.needs else set())
        own = {role: key for role, key in needs.items() if role in roles}
        label = f"{tokeniser.name} on {task.name}"
        return self._step("tokens", task, {"tokeniser": tokeniser}, {}, own, label)

    # -- models that components start from --------------------------------------------------------------

    def _prior(self, component: Component, seed: int) -> tuple[Component, str] | None:
        """Return the component that makes the model another starts from, and the step's key; None for none.

        The steps are those of a cell without an augmenter, so that equal cells share them.
        """
        cell = self._start(component, seed)
        if cell is None:
            return None
        assert isinstance(cell, Cell) and cell.source is not None
        whole = seed_of_teachers(self.suite, seed)
        steps = {"data": self._data(cell.task, cell.source)}
        if cell.teacher is not None:
            steps["teacher"] = self._fitted(cell.task, cell.teacher, steps["data"], whole, whole)
        if cell.student is None:
            assert cell.teacher is not None
            return cell.teacher, steps["teacher"]
        assert cell.loss is not None
        if cell.role == "distilled":
            steps["transfer"] = self._transfer(cell.task, None, steps, whole)
        parts = cell.task, cell.teacher, cell.student, cell.loss, seed
        return cell.student, self._taught(*parts, steps, cell.loss.name)

    def _start(self, component: Component, seed: int) -> Cell | HarnessError | None:
        """Return the cell of the model that a component starts from, even if the suite does not have it."""
        memo = id(component), seed
        if memo not in self._starts:
            self._starts[memo] = component, self._looked_into(component, seed)
        return self._starts[memo][1]

    def _looked_into(self, component: Component, seed: int) -> Cell | HarnessError | None:
        recipe = answer_of(component, lambda: getattr(component, "prior", None))
        if not isinstance(recipe, Recipe):
            return recipe
        parts = parts_of(recipe, component, self.suite, seed)
        if isinstance(parts, HarnessError):
            return parts
        try:
            return self._cell(parts)
        except HarnessError as error:  # the type of the task is not installed
            return error

    def _starts_of(self, component: Component | None, seed: int) -> list[Cell | HarnessError]:
        """Return the cells of the models that a component, and the members of a teacher, start from."""
        start = self._start(component, seed) if component is not None else None
        found = [start] if start is not None else []
        for member in component.members if isinstance(component, Teacher) else ():
            found += self._starts_of(member, seed)
        return found

    def _evaluation(
        self, task: Task, learner: Teacher | Student, data: str, model: str, teacher: str | None = None
    ) -> str:
        needs = {"data": data, "model": model} | ({"teacher": teacher} if teacher else {})
        parts = {"task": task, learner.kind: learner}
        return self._step(
            "evaluation", task, parts, self._precise(learner), needs, f"{learner.name} on {task.name}"
        )

    def _precise(self, component: Component) -> dict[str, str]:
        return {"precision": self.precision if component.mixed_precision else "fp32"}

    def _step(
        self,
        kind: str,
        task: Task,
        components: Mapping[str, Component],
        settings: Mapping[str, Any],
        needs: Mapping[str, str],
        label: str,
        notes: Mapping[str, Any] | None = None,
    ) -> str:
        task_type = self._type(task)
        identities = [f"{role}={self._identities.of(component)}" for role, component in components.items()]
        typed = f"task_type={self._identities.of(task_type)}"
        plain = [f"{name}={value}" for name, value in settings.items() if name != "seed"]
        seed = str(settings.get("seed", ""))
        key = digest(
            kind, self._code[kind], seed, *identities, typed, *plain, *(f"{r}={k}" for r, k in needs.items())
        )
        if key not in self.steps:
            work = (kind, *identities, typed, *plain, *(self.steps[needed].work for needed in needs.values()))
            if work not in self._works:
                self._works[work] = digest(*work)
            names = ",".join(component.name for component in components.values())
            of = dict(zip(components, identities, strict=True))
            alone = (
                of.get("student") or of.get("teacher") or "".join(identities)
            )  # for steps without a learner, all components
            self.steps[key] = Step(
                kind=kind,
                key=key,
                label=f"{kind} {label}",
                components={**components, "task_type": task_type},
                settings=settings,
                notes=notes or {},
                needs=needs,
                work=self._works[work],
                likes=(f"{kind} {alone} {settings.get('precision', '')}".rstrip(), f"{kind} {names}", kind),
                gpu=kind in _ACCELERATED and any(_on_gpu(kind, c) for c in components.values()),
                exclusive=kind == "latency",
                foreign=tuple(
                    f"{c.kind} '{c.name}'"
                    for c in {**components, "": task_type}.values()
                    if self._identities.foreign(c)
                ),
            )
        return key

    # -- answers of components ---------------------------------------------------------------------------

    def _resolve(self, task: Task) -> Source | HarnessError:
        if id(task) not in self._resolved:
            self._resolved[id(task)] = answer_of(task, lambda: task.resolve(self.source))
        return self._resolved[id(task)]

    def _type(self, task: Task) -> TaskType:
        if (known := self._types.get(id(task))) is None:
            known = self._types[id(task)] = task, self._identities.packages.task_type_of(task)
        return known[1]

    def _base(self, component: Component) -> str | HarnessError:
        if id(component) not in self._bases:
            self._bases[id(component)] = answer_of(component, component.base)
        return self._bases[id(component)]


def _on_gpu(kind: str, component: Component) -> bool:
    return component.runs_on_gpu if kind == "latency" else component.accelerated
