"""Models that components start from: the steps that make them, their keys, and what is told without them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pytest
from components import CPU, no_event
from numpy.typing import NDArray
from test_planner import Gold, Noise, Versions, changed, counts, of, planned, the

import harness
from harness.api import Context, Examples, Loss, Masked, Model, Parameters, Recipe, Student, Task, Teacher
from harness.commands.plan import show_plan
from harness.devices import Slot
from harness.plan.planner import Cell, Plan, Step
from harness.results.collect import collect
from harness.results.record import check
from harness.run.job import perform
from harness.run.runner import prepare
from harness.run.schedule import Outcome
from harness.storage import arrow
from harness.storage.store import Store
from harness.task_types.classification import Classification

BOTH = frozenset({"classification", "language-modelling"})


@dataclass(frozen=True)
class Lines(Task):
    """Texts to model."""

    name = "lines"
    task_type: ClassVar[str] = "language-modelling"
    headline: ClassVar[str] = "perplexity"

    data: str = "v1"
    here: bool = True

    def resolve(self, source: str) -> harness.Source:
        if not self.here:
            raise harness.Unavailable("no lines in sight")
        return harness.Source("sample", f"{self.data}:{source}", "nowhere")

    def read(self, source: harness.Source) -> Mapping[str, pa.Table]:
        rows = {split: pa.table({"text": [f"{split} one", "two"]}) for split in harness.api.SPLITS}
        return rows | {"train": arrow.cleaned(rows["train"], {"urls": 1})}


@dataclass(frozen=True)
class Moods(Lines):
    """Labelled texts."""

    name = "moods"
    task_type: ClassVar[str] = "classification"

    def read(self, source: harness.Source) -> Mapping[str, pa.Table]:
        rows = pa.table({"text": ["good", "bad", "awful"], "label": ["+", "-", "-"]})
        return dict.fromkeys(harness.api.SPLITS, rows)


class Told(Model):
    """A model that only knows how it was made."""

    def __init__(self, how: str) -> None:
        self.how = how

    @classmethod
    def by(cls, who: str, train: Examples, context: Context, *more: str) -> Told:
        """A model that names its maker, its number of texts, and the models that its context has."""
        lent = [f"{role} {model.how}" for role in ("teacher", "prior") if (model := getattr(context, role))]
        return cls(f"{who}{context.seed} of {len(train)} texts({', '.join((*lent, *more))})")

    @classmethod
    def load(cls, folder: Path) -> Told:
        return cls(json.loads((folder / "model.json").read_text()))

    def save(self, folder: Path) -> None:
        (folder / "model.json").write_text(json.dumps(self.how))

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.zeros((len(texts), 2), dtype=np.float32)

    def masked(self, texts: Sequence[str]) -> Masked:
        """One hidden token a text, for which a student is twice as unsure as a teacher."""
        rows = np.arange(len(texts))
        unsure = np.full(len(texts), -np.log(8.0 if self.how.startswith("pupil") else 4.0), dtype=np.float32)
        return Masked(rows, rows, rows % 2, unsure)

    def vectors(self, words: Sequence[str], of: Literal["embeddings", "hidden"]) -> NDArray[np.float32]:
        return np.eye(len(words), dtype=np.float32)

    def parameters(self) -> Parameters:
        return Parameters(1, 1, 0)


@dataclass(frozen=True)
class Reader(Teacher):
    """A teacher of any task, which may start from a model."""

    name = "reader"
    task_types: ClassVar[frozenset[str]] = BOTH

    size: int = 1
    recipe: Recipe | None = None
    of: tuple[Teacher, ...] = ()
    missing: bool = False

    @property
    def prior(self) -> Recipe | None:
        return self.recipe

    @property
    def members(self) -> tuple[Teacher, ...]:
        return self.of

    def base(self) -> str:
        if self.missing:
            raise harness.Unavailable("the reader is away")
        return ""

    def fit(self, train: Examples, validation: Examples, context: Context) -> Model:
        return Told.by("reader", train, context)

    def load(self, folder: Path, context: Context) -> Model:
        return Told.load(folder)


@dataclass(frozen=True)
class Pupil(Student):
    """A student of any task, which may start from a model and reads what readers read."""

    name = "pupil"
    task_types: ClassVar[frozenset[str]] = BOTH

    size: int = 1
    start: Teacher | None = None
    recipe: Recipe | None = None
    borrowing: bool = False

    @property
    def prior(self) -> Recipe | None:
        return self.start.prior if self.start is not None else self.recipe

    @property
    def borrows(self) -> bool:
        return self.borrowing

    def aligned(self, teacher: Teacher) -> bool:
        return teacher.name == "reader"

    def fit(self, transfer: Examples, validation: Examples, loss: Loss, context: Context) -> Model:
        return Told.by("pupil", transfer, context, f"loss {loss.name}")

    def load(self, folder: Path, context: Context) -> Model:
        return Told.load(folder)


@dataclass(frozen=True)
class Labels(Gold):
    """Asks for labels."""

    name = "labels"
    task_types: ClassVar[frozenset[str]] = BOTH


@dataclass(frozen=True)
class Follow(Loss):
    """Asks for logits."""

    name = "follow"
    task_types: ClassVar[frozenset[str]] = BOTH


@dataclass(frozen=True)
class Same(harness.Augmenter):
    """Adds nothing."""

    name = "same"
    task_types: ClassVar[frozenset[str]] = BOTH
    adds: ClassVar[bool] = False


LINES, MOODS, READER, PUPIL = Lines(), Moods(), Reader(), Pupil()
TAUGHT = Recipe(LINES, READER, PUPIL, Follow())
STARTED = Pupil(start=Reader(recipe=TAUGHT))


def plan_of(**changes: Any) -> Plan:
    plain: dict[str, Any] = {
        "tasks": (LINES,),
        "teachers": (READER,),
        "students": (PUPIL,),
        "augmenters": (Same(),),
        "losses": (Follow(),),
        "baselines": {kind: Labels() for kind in BOTH},
        "latency": False,
    }
    return planned(**plain | changes)


def student_of(plan: Plan, cell: Cell) -> Step:
    return plan.steps[cell.steps["student"]]


# -- language modelling --------------------------------------------------------------------------------


def test_a_language_models_teacher_is_asked_in_step() -> None:
    plan = plan_of()
    cell = the(plan, "distilled")
    assert cell.status == "ok"
    assert student_of(plan, cell).needs == {
        "data": cell.steps["data"],
        "transfer": cell.steps["transfer"],
        "fitted": the(plan, "teacher").steps["teacher"],
    }
    assert student_of(plan, cell).components["teacher"] == READER
    assert counts(plan)["targets"] == 0
    assert set(student_of(plan, the(plan, "baseline")).needs) == {"data"}


def test_a_language_models_student_must_read_its_teachers_tokens() -> None:
    @dataclass(frozen=True)
    class Writer(Reader):
        """Reads other tokens."""

        name = "writer"

    assert the(plan_of(teachers=(Writer(),)), "distilled").reason == (
        "loss 'follow' compares token by token, but student 'pupil' "
        "does not read the tokens of teacher 'writer'"
    )
    assert the(plan_of(teachers=(Writer(),), tasks=(MOODS,)), "distilled").status == "ok"


def test_what_adds_nothing_is_one_transfer_set_whatever_the_seed() -> None:
    plan = plan_of(tasks=(MOODS,), seeds=(0, 1), teacher_seeds="each")
    assert counts(plan)["transfer"] == 1 and counts(plan)["teacher"] == 2
    (step,) = (step for step in plan.steps.values() if step.kind == "transfer")
    assert step.components == {"task_type": Classification()} and step.settings == {}
    assert counts(plan_of(tasks=(MOODS,), seeds=(0, 1), teacher_seeds="each", augmenters=(Noise(),))) == (
        counts(plan) | {"transfer": 2}
    )


# -- steps that are shared -----------------------------------------------------------------------------


def test_a_prior_is_the_step_of_an_equal_cell() -> None:
    plan = plan_of(tasks=(LINES, MOODS), students=(PUPIL, STARTED), seeds=(0, 1))
    taught = {
        cell.seed: cell.steps["student"]
        for cell in of(plan, "distilled")
        if cell.task == LINES and cell.student == PUPIL
    }
    for role in ("distilled", "baseline"):
        started = [c for c in of(plan, role) if c.task == MOODS and c.student == STARTED]
        assert {c.seed: student_of(plan, c).needs["prior"] for c in started} == taught
        assert {c.seed: c.steps["prior"] for c in started} == taught
        assert all(student_of(plan, c).components["prior"] == PUPIL for c in started)
    alone = plan_of(tasks=(LINES,), students=(PUPIL,), seeds=(0, 1))
    plain = plan_of(tasks=(MOODS,), students=(PUPIL,), seeds=(0, 1))
    with_start = plan_of(tasks=(MOODS,), students=(STARTED,), seeds=(0, 1))
    new = set(with_start.steps) - set(plain.steps)
    assert set(taught.values()) <= new
    assert {plan.steps[key].kind for key in new & set(alone.steps)} == {
        "data",
        "transfer",
        "teacher",
        "student",
    }


def test_steps_stand_after_the_prior_that_they_need() -> None:
    plan = plan_of(tasks=(MOODS,), students=(STARTED,), teachers=(Reader(2, TAUGHT),), seeds=(0, 1))
    seen: set[str] = set()
    for step in plan.steps.values():
        assert set(step.needs.values()) <= seen, step.label
        seen.add(step.key)


def test_a_fitted_teacher_is_a_prior_too_and_has_the_seed_of_teachers() -> None:
    start = Pupil(recipe=Recipe(LINES, READER))
    plan = plan_of(tasks=(LINES, MOODS), students=(start,), seeds=(3, 4))
    (fitted,) = (cell.steps["teacher"] for cell in of(plan, "teacher") if cell.task == LINES)
    cells = [cell for cell in of(plan, "baseline") if cell.task == MOODS]
    assert [student_of(plan, cell).needs["prior"] for cell in cells] == [fitted, fitted]
    assert student_of(plan, cells[0]).components["prior"] == READER
    each = plan_of(tasks=(LINES, MOODS), students=(start,), seeds=(3, 4), teacher_seeds="each")
    found = {cell.seed: cell.steps["teacher"] for cell in of(each, "teacher") if cell.task == LINES}
    cells = [cell for cell in of(each, "baseline") if cell.task == MOODS]
    assert {cell.seed: student_of(each, cell).needs["prior"] for cell in cells} == found
    assert len(set(found.values())) == 2


def test_a_teachers_prior_has_the_teachers_seed_and_so_have_its_members() -> None:
    tuned = Reader(2, TAUGHT)
    plan = plan_of(tasks=(LINES, MOODS), teachers=(tuned, Reader(of=(tuned, tuned))), seeds=(5, 6))
    fitted = [s for s in plan.steps.values() if s.kind == "teacher" and s.components["teacher"] == tuned]
    of_moods = [step for step in fitted if "moods" in step.label]
    assert len(of_moods) == 2 and len({step.settings["seed"] for step in of_moods}) == 2
    (prior,) = {step.needs["prior"] for step in fitted}
    told = {cell.task.name: cell.steps.get("prior") for cell in of(plan, "teacher") if cell.teacher == tuned}
    assert told == {"lines": prior, "moods": prior}
    assert plan.steps[prior].settings["seed"] == 5
    assert plan.steps[prior].components["student"] == PUPIL
    assert plan.steps[plan.steps[prior].needs["fitted"]].components["teacher"] == READER


def test_a_recipe_by_labels_alone_is_a_baseline() -> None:
    start = Pupil(recipe=Recipe(LINES, None, PUPIL))  # by the suite's own baseline
    plan = plan_of(tasks=(LINES, MOODS), students=(PUPIL, start))
    (baseline,) = (c for c in of(plan, "baseline") if c.task == LINES and c.student == PUPIL)
    (started,) = (c for c in of(plan, "baseline") if c.task == MOODS and c.student == start)
    assert student_of(plan, started).needs["prior"] == baseline.steps["student"]
    borrowing = Pupil(borrowing=True)
    start = Pupil(recipe=Recipe(LINES, READER, borrowing, Labels()))
    plan = plan_of(tasks=(LINES, MOODS), students=(borrowing, start))
    (baseline,) = (c for c in of(plan, "baseline") if c.task == LINES and c.student == borrowing)
    (started,) = (c for c in of(plan, "baseline") if c.task == MOODS and c.student == start)
    assert student_of(plan, started).needs["prior"] == baseline.steps["student"]


def test_recipes_may_stand_on_recipes() -> None:
    twice = Pupil(recipe=Recipe(MOODS, READER, STARTED, Follow()))
    plan = plan_of(tasks=(Moods("v2"),), students=(twice,), losses=())
    first = student_of(plan, the(plan, "baseline"))
    second = plan.steps[first.needs["prior"]]
    assert second.components["student"] == STARTED and "targets" in second.needs
    third = plan.steps[second.needs["prior"]]
    assert third.components["student"] == PUPIL and third.needs["data"] != second.needs["data"]


# -- keys ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        replace(TAUGHT, task=Lines("v2")),
        replace(TAUGHT, teacher=Reader(2)),
        replace(TAUGHT, student=Pupil(2)),
        replace(TAUGHT, loss=Labels()),
        replace(TAUGHT, student=None, loss=None),
    ],
)
def test_whatever_changes_the_prior_changes_the_keys(other: Recipe) -> None:
    class Hidden(Pupil):
        """Its recipe is no parameter, as where a start makes one."""

        name = "hidden"
        made: ClassVar[Recipe] = TAUGHT

        @property
        def prior(self) -> Recipe:
            return self.made

    before = plan_of(tasks=(MOODS,), students=(Hidden(),), losses=())
    assert changed(before, plan_of(tasks=(MOODS,), students=(Hidden(),), losses=()), "baseline") == set()
    Hidden.made = other
    after = plan_of(tasks=(MOODS,), students=(Hidden(),), losses=())
    assert changed(before, after, "baseline") == {"prior", "student", "evaluation", "cell"}


# -- what cannot be made -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipe", "status", "reason"),
    [
        (
            replace(TAUGHT, task=Lines(here=False)),
            "unavailable",
            "it starts from a model on task 'lines' that cannot be made: no lines in sight",
        ),
        (
            replace(TAUGHT, teacher=Reader(missing=True)),
            "unavailable",
            "it starts from a model on task 'lines' that cannot be made: the reader is away",
        ),
        (
            replace(TAUGHT, loss=Gold()),
            "incompatible",
            "it starts from a model on task 'lines' that cannot be made: "
            "loss 'gold' is for classification, and task 'lines' is language-modelling",
        ),
        (
            replace(TAUGHT, teacher=None),
            "failed",
            "cannot start from student 'pupil' with loss 'follow' without a",
        ),
        (
            Recipe(LINES, None),
            "failed",
            "student 'pupil' cannot start from a recipe without a teacher or student",
        ),
    ],
)
def test_a_cell_that_has_nothing_to_start_from(recipe: Recipe, status: str, reason: str) -> None:
    plan = plan_of(tasks=(MOODS,), students=(Pupil(recipe=recipe), PUPIL))
    found = [cell for cell in plan.cells if cell.student == Pupil(recipe=recipe)]
    assert {cell.role for cell in found} == {"baseline", "distilled"}
    for cell in found:
        assert cell.status == status and reason in cell.reason
        assert not cell.steps
    assert all(cell.status == "ok" for cell in plan.cells if cell not in found)


def test_a_prior_without_a_loss_where_the_suite_has_no_baseline_for_it() -> None:
    start = Pupil(recipe=Recipe(LINES, READER, PUPIL))
    plan = plan_of(tasks=(MOODS,), students=(start,), losses=(), baselines={"classification": Labels()})
    assert (
        the(plan, "baseline").reason
        == "student 'pupil' cannot start from student 'pupil' without a loss; give the recipe a loss"
    )


def test_an_authors_mistake_costs_the_components_cells_alone() -> None:
    class Wrong(Pupil):
        @property
        def prior(self) -> Recipe:
            raise KeyError("recipe")

    class Itself(Pupil):
        name = "itself"

        @property
        def prior(self) -> Recipe:
            return Recipe(LINES, READER, self, Follow())

    plan = plan_of(tasks=(MOODS,), students=(Wrong(), Itself(), PUPIL), losses=())
    assert [(cell.status, cell.reason) for cell in of(plan, "baseline")] == [
        ("failed", "student 'pupil' raised KeyError: 'recipe'"),
        ("failed", "student 'itself' cannot start from itself; give its recipe another model"),
        ("ok", ""),
    ]


def test_a_member_that_cannot_start_costs_the_whole() -> None:
    member = Reader(recipe=replace(TAUGHT, task=Lines(here=False)))
    cell = the(plan_of(tasks=(MOODS,), teachers=(Reader(of=(READER, member)),)), "teacher")
    assert cell.status == "unavailable" and "no lines in sight" in cell.reason


# -- at work -------------------------------------------------------------------------------------------


def test_what_starts_is_given_the_model(tmp_path: Path) -> None:
    plan = plan_of(
        tasks=(MOODS,), students=(STARTED, Pupil(recipe=Recipe(LINES, READER))), seeds=(0, 1), losses=()
    )
    store = Store(tmp_path)
    for step in plan.steps.values():
        perform(step, store, CPU, no_event)
    found = {
        (cell.student, cell.seed): Told.load(
            store.open("student", cell.steps["student"]).folder / "model"
        ).how
        for cell in of(plan, "baseline")
    }
    taught = "pupil{0} of 3 texts(prior pupil{0} of 2 texts(teacher reader0 of 2 texts(), loss follow), {1})"
    read = "pupil{0} of 3 texts(prior reader0 of 2 texts(), {1})"
    for seed in (0, 1):
        assert found[STARTED, seed] == taught.format(seed, "loss labels")
        assert found[Pupil(recipe=Recipe(LINES, READER)), seed] == read.format(seed, "loss labels")


def test_what_the_records_of_language_models_say(tmp_path: Path) -> None:
    class Tuned(Pupil):
        """Starts from the student of the lines."""

        name = "tuned"

        @property
        def prior(self) -> Recipe:
            return TAUGHT

    plan = plan_of(tasks=(LINES, MOODS), students=(PUPIL, Tuned()))
    store = Store(tmp_path)
    for step in plan.steps.values():
        perform(step, store, CPU, no_event)
    done = Outcome("done")
    found = list(collect(plan, lambda key: done, store, Versions()))  # type: ignore[arg-type]
    assert len(found) == len(plan.cells) == 2 * 5
    for one in found:
        assert check(json.loads(json.dumps(one))) == one
        lines = one["task"]["name"] == "lines"
        assert one["task"].get("cleaning") == ({"train": {"urls": 1}} if lines else None)
        assert ("perplexity" in one["metrics"]) == lines
        started = one["student"] is not None and one["student"]["name"] == "tuned"
        assert ("prior_s" in one["cost"]) == ("prior" in one["artefacts"]) == started
        made_on = {"task": "lines", "source": "sample", "origin": "nowhere", "fingerprint": "v1:auto"}
        assert one["prior"] == (made_on if started else None)
    kept = [one["metrics"] for one in found if one["role"] == "distilled" and one["task"]["name"] == "lines"]
    assert [(m["perplexity"], m["teacher_share"]) for m in kept] == [pytest.approx((8, 0.5))] * 2


def test_a_plan_says_what_data_models_to_start_from_are_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = plan_of(tasks=(MOODS,), students=(Pupil(start=Reader(recipe=TAUGHT)),))
    show_plan(plan, prepare(plan, Store(tmp_path)), (Slot("cpu"), Slot("cpu")), False)
    assert capsys.readouterr().out.splitlines()[:3] == [
        "test: task moods from sample (nowhere)",
        "test: task lines from sample (nowhere), for models to start from",
        "3 cells (1 teacher, 1 baseline, 1 distilled), 13 steps",
    ]
