"""Turn a suite into a plan: all cells of the matrix, and the graph of the steps that they share.

A step's key is a digest of everything that can change its result: the kind of step and its code, the
components with their parameters and code, the seed, the precision, the data's fingerprint, and the keys of
the steps that it needs. Cells that need the same work therefore share one step. Planning runs no step, and
does not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.api import (
    Augmenter,
    Component,
    HarnessError,
    Loss,
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
from harness.plan.graph import Graph
from harness.plan.graph import Step as Step
from harness.plan.identity import Identities, Packages, answer_of
from harness.plan.matrix import Combination, Role, combinations, parts_of, seed_of_teachers
from harness.speeds import FP32, Choice
from harness.suite.excludes import Excluded
from harness.values import digest

if TYPE_CHECKING:
    from harness.suite.reader import Suite

# In the order in which they run; each is the name of a module in harness.steps.
STEP_KINDS = (
    *("data", "teacher", "transfer", "targets", "tokens", "student", "evaluation", "export", "latency"),
)
# Parts of a transfer set that slow teachers label, and the most texts of a part if their number is known from
# the suite. They are the same on all machines, because keys depend on them.
PARTS, MOST_PARTS, PART = 4, 1000, 250_000


@dataclass(frozen=True, slots=True)
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

    @property
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
    precision: Choice = FP32  # of components that can compute in bf16
    bases: Mapping[int, str] = field(default_factory=dict)  # by the id() of a component: what it starts from

    def results(self, cell: Cell) -> dict[str, str]:
        """Return the keys of all steps whose results are in a cell's record, by role.

        The role of its teacher's evaluation, to which the cell is compared, is "teacher-evaluation".
        """
        found = {role: key for role, key in cell.steps.items() if role != "teacher" or cell.student is None}
        if "evaluation" in found and (taught := self.steps[found["evaluation"]].needs.get("teacher")):
            found["teacher-evaluation"] = taught
        return found


def build(suite: Suite, packages: Packages, *, source: str = "auto", precision: Choice = FP32) -> Plan:
    """Return the plan of a suite. A combination that cannot run becomes a cell with a status and a reason."""
    return _Planner(suite, packages, source, precision).plan()


class _Planner:
    """The state of one call of :func:`build`.

    What it remembers, it remembers by object: comparing the fields of components for each of 100,000 cells
    would take longer than all the rest.
    """

    def __init__(self, suite: Suite, packages: Packages, source: str, precision: Choice) -> None:
        self.suite = suite
        self.source = source
        self.precision = precision
        self._identities = Identities(packages, self._base)
        self._known: dict[tuple[int, int, int, int], dict[str, str]] = {}
        self._labelled: dict[tuple[str, str, str], str] = {}
        self._configuration: tuple[Any, ...] = ()  # of the last cell; those that follow differ in their seed
        self._about: tuple[str, TaskType, Source | None, Status, str]
        self._machine = machine()
        self._graph = Graph(
            self._identities, lambda kind: code_digest((f"harness.steps.{kind}",)), self._type
        )
        self.steps = self._graph.steps
        self._resolved: dict[int, Source | HarnessError] = {}
        self._bases: dict[int, str | HarnessError] = {}
        self._starts: dict[tuple[int, int, int], tuple[Component, Task, Cell | HarnessError | None]] = {}
        self._recipes: dict[int, Recipe | HarnessError | None] = {}
        self._types: dict[int, tuple[Task, TaskType]] = {}

    def plan(self) -> Plan:
        cells: dict[str, Cell] = {}
        excluded = Excluded(self.suite.excludes)
        for combination in combinations(self.suite):
            if not excluded(combination):
                cell = self._cell(combination, cells)
                cells.setdefault(cell.key, cell)
        bases = {key: base for key, base in self._bases.items() if isinstance(base, str)}
        return Plan(self.suite, tuple(cells.values()), self.steps, self.precision, bases)

    # -- cells -----------------------------------------------------------------------------------------

    def _cell(self, parts: Combination, known: Mapping[str, Cell] | None = None) -> Cell:
        """Return the cell of a combination, without its steps if there are no `known` cells to add it to."""
        if parts[:-1] != self._configuration:  # almost always the same objects, whose fields are not compared
            self._about = self._described(parts)
            self._configuration = parts[:-1]
        about, task_type, source, status, reason = self._about
        seed = parts.seed
        taught = seed_of_teachers(self.suite, seed)
        starts = self._starts_of(parts.teacher, parts.task, taught)
        starts += self._starts_of(parts.student, parts.task, seed)
        started = [start.key if isinstance(start, Cell) else "-" for start in starts]
        # The usual seed, 0, is left out, so that cells that were measured earlier keep their keys.
        if parts.teacher is not None and taught:
            started.append(f"teachers {taught}")
        if parts.teacher is not None and parts.student is not None:
            started += [f"{name} {value}" for name, value in _stored(self.suite).items()]
        key = digest(about, str(seed), self.precision.precision, *started)
        if known is not None and key in known:
            return known[key]
        for start in starts if status == "ok" else ():
            if isinstance(start, HarnessError):
                status, reason = "failed", str(start)
            elif start.status != "ok":
                what = f"a model on task '{start.task.name}' that cannot be made"
                status, reason = start.status, f"it starts from {what}: {start.reason}"
        steps: Mapping[str, str] = {}
        if known is not None and status == "ok":
            assert source is not None
            steps = self._steps(parts, task_type, source)
        return Cell(
            *(key, parts.role, parts.task, task_type, source, parts.teacher, parts.student),
            *(parts.augmenter, parts.loss, seed, steps, status, reason),
        )

    def _described(self, parts: Combination) -> tuple[str, TaskType, Source | None, Status, str]:
        """Return the start of the text whose digest is a cell's key, and what its seed does not change."""
        source, task_type = self._resolve(parts.task), self._type(parts.task)
        configured = [self._identities.configured(c) if c else "-" for c in parts[1:-1]]
        known = source if isinstance(source, Source) else None
        about = "\x1f".join(("cell", parts.role, *configured, known.fingerprint if known else "-"))
        return about, task_type, known, *obstacle(parts, task_type, source, self._base)

    # -- the graph ------------------------------------------------------------------------------------

    def _steps(self, cell: Combination, task_type: TaskType, source: Source) -> dict[str, str]:
        """Add the steps of one cell to the graph, and return their keys by role."""
        steps = dict(self._shared(cell.task, source, cell.teacher, cell.augmenter, cell.seed))
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
            made_by = "/".join([c.name for c in (cell.augmenter, cell.loss) if c is not None])
            model = self._taught(cell.task, cell.teacher, learner, cell.loss, cell.seed, steps, made_by)
            steps["evaluation"] = self._evaluation(cell.task, learner, steps["data"], model, taught_by)
        if self.suite.latency:
            parts = {learner.kind: learner}
            needs = {"data": steps["data"], "model": model}
            if learner.exports:
                asked = dict(needs)
                # The export contains what was chosen on the validation set, and thresholds for labels.
                if task_type.tunes or task_type.call == "label":
                    asked["evaluation"] = steps["evaluation"]
                needs["export"] = steps["export"] = self._graph.add(
                    "export", cell.task, parts, {}, asked, learner.name
                )
            on = {"machine": self._machine}
            steps["latency"] = self._graph.add("latency", cell.task, parts, on, needs, learner.name)
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
        return self._graph.add("data", task, {"task": task}, drawn, {}, task.name, {"origin": source.origin})

    def _transfer(self, task: Task, augmenter: Augmenter | None, steps: Mapping[str, str], seed: int) -> str:
        """Add the step that makes the transfer set: the training texts alone if there is no augmenter."""
        needs = {"data": steps["data"]}
        if augmenter is None:
            return self._graph.add("transfer", task, {}, {}, needs, "training texts")
        parts = {"augmenter": augmenter}
        return self._graph.add("transfer", task, parts, {"seed": seed}, needs, augmenter.name)

    def _fitted(self, task: Task, teacher: Teacher, data: str, seed: int, whole: int) -> str:
        """Add the steps that fit a teacher and its members, and return its key; `whole` is their seed."""
        needs = {"data": data}
        for place, member in enumerate(teacher.members):
            own = seed_of_repetition(seed, teacher.members[:place].count(member))
            needs[f"member-{place}"] = self._fitted(task, member, data, own, whole)
        parts: dict[str, Component] = {"teacher": teacher}
        # Equal members share a model of another task, but not one that was distilled for this one.
        recipe = self._recipe(teacher)
        own = isinstance(recipe, Recipe) and recipe.task is None
        if (start := self._prior(teacher, task, seed if own else whole)) is not None:
            parts["prior"], needs["prior"] = start
        settings = {"seed": seed, **self._precise(teacher)}
        return self._graph.add("teacher", task, parts, settings, needs, f"{teacher.name} on {task.name}")

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
        if (start := self._prior(student, task, seed)) is not None:
            parts["prior"], needs["prior"] = start
            steps["prior"] = needs["prior"]
        settings = {"seed": seed, **self._precise(student)}
        label = f"{student.name} by {made_by}"
        steps["student"] = self._graph.add("student", task, parts, settings, needs, label)
        return steps["student"]

    def _targets(self, task: Task, teacher: Teacher, steps: Mapping[str, str], output: str) -> str:
        """Add the step for a teacher's logits or hidden states; slow teachers label parts in parallel."""
        memo = steps["teacher"], steps["transfer"], output
        if memo in self._labelled:
            return self._labelled[memo]
        settings = {"output": output, **self._precise(teacher)}
        if output == "logits":
            settings |= _stored(self.suite)
        count = self._parts(teacher, self.steps[steps["transfer"]].components.get("augmenter"))
        needs = {"model": steps["teacher"], "transfer": steps["transfer"]}
        label = f"{teacher.name} on {self.steps[steps['transfer']].label.removeprefix('transfer ')}"
        parts = {
            f"part-{part}": self._graph.add(
                "targets",
                task,
                {"teacher": teacher},
                settings | {"part": part, "parts": count},
                needs,
                f"{label}, part {part + 1} of {count}",
            )
            for part in range(count if count > 1 else 0)
        }
        key = self._graph.add("targets", task, {"teacher": teacher}, settings, parts or needs, label)
        self._labelled[memo] = key
        return key

    def _parts(self, teacher: Teacher, augmenter: Component | None) -> int:
        """Return the number of steps that label a transfer set."""
        if self.suite.label_parts != "auto":
            return self.suite.label_parts
        size = getattr(augmenter, "size", None)
        asked = -(-size // PART) if isinstance(size, int) else 0
        return max(PARTS, min(asked, MOST_PARTS)) if teacher.accelerated else 1

    def _tokens(self, task: Task, tokeniser: Tokeniser, needs: Mapping[str, str]) -> str:
        """Add the step that turns texts into ids, for all students that read them alike."""
        roles = {"data", "transfer"} | ({"targets"} if "logits" in tokeniser.needs else set())
        own = {role: key for role, key in needs.items() if role in roles}
        label = f"{tokeniser.name} on {task.name}"
        return self._graph.add("tokens", task, {"tokeniser": tokeniser}, {}, own, label)

    # -- models that components start from --------------------------------------------------------------

    def _prior(self, component: Component, task: Task, seed: int) -> tuple[Component, str] | None:
        """Return the component that makes the model another starts from, and the step's key; None for none.

        The steps are those of a cell, so that equal cells share them.
        """
        cell = self._start(component, task, seed)
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
        adds = cell.augmenter if cell.augmenter is not None and cell.augmenter.adds else None
        if cell.role == "distilled" or adds is not None:
            steps["transfer"] = self._transfer(cell.task, adds, steps, whole)
        parts = cell.task, cell.teacher, cell.student, cell.loss, seed
        made_by = "/".join([each.name for each in (adds, cell.loss) if each is not None])
        return cell.student, self._taught(*parts, steps, made_by)

    def _start(self, component: Component, task: Task, seed: int) -> Cell | HarnessError | None:
        """Return the cell of the model that a component starts from, even if the suite does not have it.

        `task` is the one that the component is used for.
        """
        memo = id(component), id(task), seed
        if memo not in self._starts:
            self._starts[memo] = component, task, self._looked_into(component, task, seed)
        return self._starts[memo][2]

    def _recipe(self, component: Component) -> Recipe | HarnessError | None:
        if id(component) not in self._recipes:
            self._recipes[id(component)] = answer_of(component, lambda: getattr(component, "prior", None))
        return self._recipes[id(component)]

    def _looked_into(self, component: Component, task: Task, seed: int) -> Cell | HarnessError | None:
        recipe = self._recipe(component)
        if recipe is None or isinstance(recipe, HarnessError):
            return recipe
        if not isinstance(recipe, Recipe):
            what = f"{component.kind} '{component.name}'"
            return HarnessError(f"{what} has a prior of type {type(recipe).__name__}; expected a Recipe")
        parts = parts_of(recipe, component, task, self.suite, seed)
        if isinstance(parts, HarnessError):
            return parts
        try:
            return self._cell(parts)
        except HarnessError as error:  # the type of the task is not installed
            return error

    def _starts_of(self, component: Component | None, task: Task, seed: int) -> list[Cell | HarnessError]:
        """Return the cells of the models that a component, and the members of a teacher, start from."""
        start = self._start(component, task, seed) if component is not None else None
        found = [start] if start is not None else []
        for member in component.members if isinstance(component, Teacher) else ():
            found += self._starts_of(member, task, seed)
        return found

    def _evaluation(
        self, task: Task, learner: Teacher | Student, data: str, model: str, teacher: str | None = None
    ) -> str:
        needs = {"data": data, "model": model} | ({"teacher": teacher} if teacher else {})
        parts = {"task": task, learner.kind: learner}
        return self._graph.add(
            "evaluation", task, parts, self._precise(learner), needs, f"{learner.name} on {task.name}"
        )

    def _precise(self, component: Component) -> dict[str, str]:
        return {"precision": self.precision.precision if component.mixed_precision else "fp32"}

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


def _stored(suite: Suite) -> dict[str, Any]:
    """Return the settings of steps that store teachers' logits, if not whole and in 32 bits."""
    found: dict[str, Any] = {} if suite.logits == "fp32" else {"logits": suite.logits}
    return found if suite.top_logits is None else found | {"top_logits": suite.top_logits}
