"""How long steps should take: by what they took before, and by rates and how much there is to do."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from components import SUITE, Home, Inline, plan_of

import harness
from harness import catalog
from harness.plan.planner import Plan, Step, build
from harness.run.estimates import UNKNOWN, Amounts, Estimates, Size, expected, words
from harness.run.runner import run
from harness.speeds import Choice, Speeds
from harness.steps.data import checked
from harness.storage import arrow
from harness.storage.store import Store
from harness.storage.timings import Timings
from harness.suite import reader as suite
from harness.task_types.classification import Classification
from harness.task_types.tagging import Tagging

NONE = Timings({}, {})
TEXTS = Size(16_000, 4_000, 20.0)

EMOTION = """
    [suite]
    name = "e"
    [[task]]
    use = "emotion"
    [[teacher]]
    use = "minilm"
    epochs = 3
    {teachers}
    [[student]]
    use = "mlp"
    [[augmenter]]
    {augmenter}
    [[loss]]
    use = "kl"
"""


def laid_out(teachers: str = "", augmenter: str = 'use = "none"', **options: Any) -> Plan:
    """A plan of the emotion task with minilm and an mlp."""
    found = catalog.load()
    text = EMOTION.format(teachers=teachers, augmenter=augmenter)
    return build(suite.parse(text, found, Path("e.toml")), found, source="sample", **options)


def estimated(plan: Plan, size: Size | None = TEXTS, timings: Timings = NONE, **options: Any) -> Estimates:
    return Estimates(timings, plan.steps, lambda step: size, **options)


def by_kind(plan: Plan, estimates: Estimates, teacher: str = "minilm") -> dict[str, list[float]]:
    """Expected seconds of the steps, but those of other teachers."""
    found: dict[str, list[float]] = {}
    for step in plan.steps.values():
        of = step.components.get("teacher")
        if of is None or of.name == teacher:
            found.setdefault(step.kind, []).append(estimates.seconds(step))
    return found


def only(plan: Plan, kind: str, name: str = "") -> Step:
    """The last step of a kind, of those whose label has the name."""
    return [step for step in plan.steps.values() if step.kind == kind and name in step.label][-1]


# -- by rates ----------------------------------------------------------------------------------------------


def test_seconds_by_hand() -> None:
    plan = laid_out()
    found = by_kind(plan, estimated(plan))
    assert found["data"] == [1 + 20_000 / 50_000]
    assert found["teacher"] == pytest.approx([2 + 3 * 16_000 / 40 + 3 * 2_000 / 130])  # and validation
    assert sorted(found["targets"]) == pytest.approx([0.5, *[0.5 + 4_000 / 130] * 4])  # parts, and joining
    assert found["student"] == pytest.approx([1 + 300_000 * 14e-6] * 2)  # its least number of examples
    assert found["tokens"] == [0.5 + 16_000 / 200_000] * 2
    assert sorted(found["evaluation"])[-1] == pytest.approx(1.2 + 4_000 / 130)
    assert sorted(found["export"]) == [0.5, 0.5, 16]


def test_longer_texts_cost_more_and_short_ones_something() -> None:
    plan = laid_out()

    def teacher(length: float) -> float:
        return estimated(plan, Size(16_000, 4_000, length)).seconds(only(plan, "teacher")) - 2

    assert teacher(48.0) == pytest.approx(2 * teacher(20.0))
    assert teacher(0.0) == pytest.approx(teacher(20.0) * 8 / 28)
    assert teacher(100.0) == teacher(1_000.0)  # it reads no further


def test_a_half_precision_and_a_gpu_are_faster() -> None:
    plain, half = laid_out(), laid_out(precision=Choice("bf16", "for this test"))
    seconds = estimated(plain).seconds(only(plain, "teacher")) - 2
    assert estimated(half).seconds(only(half, "teacher")) - 2 == pytest.approx(seconds / 2)
    on_gpu = estimated(plain, gpu=True)
    assert on_gpu.seconds(only(plain, "teacher")) == pytest.approx((seconds + 2) / 20)
    assert on_gpu.seconds(only(plain, "data")) == estimated(plain).seconds(only(plain, "data"))


@pytest.mark.parametrize(
    ("augmenter", "rows", "pool"),
    [
        ('use = "none"', 16_000, 0),
        ('use = "mask"\ncopies = 8', 9 * 16_000, 0),
        ('use = "mix"\nsize = 5000\nof = [{ use = "mask" }]', 21_000, 0),
        ('use = "mix"\ncopies = 2\nof = [{ use = "mask" }]', 48_000, 0),
        ('use = "unlabelled"', 23_000, 7_000),
        ('use = "unlabelled"\nsize = 3000', 19_000, 7_000),
        ('use = "unlabelled"\nsize = 9000', 23_000, 7_000),
    ],
)
def test_new_texts_are_counted(augmenter: str, rows: int, pool: int) -> None:
    plan = laid_out(augmenter=augmenter)
    estimates = estimated(plan, Size(16_000, 4_000, 20.0, pool))
    part = only(plan, "targets", "part 4")
    assert estimates.seconds(part) == pytest.approx(0.5 + rows / 4 / 130)


def test_a_set_that_is_drawn_has_the_texts_that_it_has() -> None:
    plan = laid_out(augmenter='use = "mask"\ncopies = 8')
    estimates = estimated(plan, rows=lambda step: 20_000)
    part = only(plan, "targets", "part 4")
    assert estimates.seconds(part) == pytest.approx(0.5 + 20_000 / 4 / 130)


def test_an_ensemble_asks_all_its_members_and_costs_no_training() -> None:
    plan = laid_out('[[teacher]]\nuse = "ensemble"\nof = [{ use = "minilm" }, { use = "minilm" }]')
    estimates = estimated(plan)
    assert estimates.seconds(only(plan, "teacher", "ensemble")) == 2
    asked = estimates.seconds(only(plan, "targets", "ensemble on training texts, part 4"))
    assert asked == pytest.approx(0.5 + 4_000 * 2 / 130)
    assert estimates.seconds(only(plan, "latency", "ensemble")) == 6


def test_a_student_that_teaches_is_as_fast_as_a_student() -> None:
    plan = laid_out('[[teacher]]\nuse = "student"\nstudent = { use = "mlp" }')
    estimates = estimated(plan)
    assert estimates.seconds(only(plan, "teacher", "student")) == pytest.approx(2 + 300_000 * 14e-6)
    assert estimates.seconds(only(plan, "latency", "student")) == 2


def test_what_only_loads_its_answers_is_not_trained(tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text('{"text": "a", "logits": [1, 2, 3, 4, 5, 6]}\n')
    plan = laid_out(f'[[teacher]]\nuse = "precomputed"\nfile = "{tmp_path}/answers.jsonl"')
    assert estimated(plan).seconds(only(plan, "teacher", "precomputed")) == 2


def test_larger_students_are_slower() -> None:
    found = catalog.load()

    def speed(text: str) -> float:
        return found.build("student", tomllib.loads(text)).speed.train

    assert speed('use = "mlp"') > speed('use = "cnn"') > speed('use = "lstm"') > speed('use = "bilstm"')
    assert (
        speed('use = "gru"')
        > speed('use = "gru"\nlayers = 2')
        > speed('use = "gru"\nlayers = 2\nhidden = 96')
    )


@dataclass(frozen=True)
class Odd(harness.Student):
    """A student that says nothing sensible of itself."""

    name = "odd"
    epochs: str = "many"

    @property
    def speed(self) -> harness.Speed:  # type: ignore[override]
        raise RuntimeError("no idea")


def test_what_a_component_says_wrongly_costs_no_plan() -> None:
    plan = laid_out()
    step = only(plan, "student")
    for student in (Odd(), type("Idle", (Odd,), {"speed": harness.Speed(0, 0)})()):
        odd = step._replace(key=f"{student}", components={"student": student})
        assert estimated(plan).seconds(odd) == 1 + 16_000 / 5_000


# -- by operations -----------------------------------------------------------------------------------------

FAST = Speeds(train={"fp32": 1e10, "bf16": 3e10}, label={"fp32": 2e10, "bf16": 8e10})


def test_counted_operations_are_divided_by_the_speed_of_this_machine() -> None:
    for precision in ("fp32", "bf16"):
        plan = laid_out(precision=Choice(precision, "as a test sets it"))
        estimates = estimated(plan, speeds=lambda: FAST)
        asked = only(plan, "teacher").components["teacher"].operations(20)  # type: ignore[attr-defined]
        train, label = asked.train / FAST.train[precision], asked.label / FAST.label[precision]
        trained = 2 + 3 * (16_000 * train + 2_000 * label)
        assert estimates.seconds(only(plan, "teacher")) == pytest.approx(trained)
        part = only(plan, "targets", "part 4")
        assert estimates.seconds(part) == pytest.approx(0.5 + 4_000 * label)
        assert estimates.seconds(only(plan, "student")) == estimated(plan).seconds(only(plan, "student"))
        assert estimates.seconds(only(plan, "export", "minilm")) == 16


@dataclass(frozen=True)
class Counting(harness.Student):
    """A student that counts some operations only."""

    name = "counting"

    def operations(self, words: float, teacher: harness.Teacher | None = None) -> harness.Operations:
        return harness.Operations(once=1e11) if teacher is None else harness.Operations(words * 1e9, 1e9)


def test_what_is_not_counted_is_declared_and_some_is_done_once() -> None:
    plan = laid_out()
    step = only(plan, "student")
    counting = step._replace(key="c", components={"student": Counting()})
    assert estimated(plan).seconds(counting) == 1 + 16_000 / 5_000
    assert estimated(plan, speeds=lambda: FAST).seconds(counting) == 1 + 16_000 / 5_000 + 5
    teacher = only(plan, "teacher").components["teacher"]
    lent = step._replace(key="l", components={"student": Counting(), "teacher": teacher})
    assert estimated(plan, speeds=lambda: FAST).seconds(lent) == pytest.approx(1 + 16_000 * 2 + 2_000 * 0.05)


class InStep(harness.Loss):
    """A loss on outputs of the teacher that are not stored."""

    name = "in-step"
    needs = frozenset({"layers"})


def test_a_teacher_that_runs_beside_its_student_is_asked_for_each_text() -> None:
    plan = laid_out()
    step, teacher = only(plan, "student"), only(plan, "teacher").components["teacher"]
    parts = {"student": Counting(), "teacher": teacher, "task_type": Classification()}
    kl = step._replace(key="k", work="k", components={**parts, "loss": step.components["loss"]})
    in_step = step._replace(key="i", work="i", components={**parts, "loss": InStep()})
    estimates = estimated(plan, speeds=lambda: FAST)
    asked = 16_000 * teacher.operations(20).label / 2e10  # type: ignore[attr-defined]
    assert estimates.seconds(in_step) - estimates.seconds(kl) == pytest.approx(asked)


def test_operations_that_are_not_valid_cost_no_plan() -> None:
    plan = laid_out()
    step = only(plan, "student")
    for odd in (None, harness.Operations(-1.0), harness.Operations(float("nan")), (1, 2, 3, 4)):
        student = type("Wrong", (Counting,), {"operations": lambda self, words, lender, odd=odd: odd})()
        wrong = step._replace(key=f"{odd}", components={"student": student})
        assert estimated(plan, speeds=lambda: FAST).seconds(wrong) == 1 + 16_000 / 5_000


# -- by what was timed -------------------------------------------------------------------------------------


def test_the_same_work_takes_what_it_took() -> None:
    plan = laid_out()
    step = only(plan, "teacher")
    assert estimated(plan, timings=Timings({step.work: [1.0, 9.0, 2.0]}, {})).seconds(step) == 2.0


def test_like_steps_take_as_much_longer_the_most_alike_first() -> None:
    plan = laid_out()
    step = only(plan, "student")
    rated = estimated(plan).seconds(step)
    alike, family, kind = step.likes
    paces = {kind: [2.0], family: [3.0, 5.0, 4.0], alike: [7.0]}
    for name, longer in ((alike, 7), (family, 4), (kind, 2)):
        estimates = estimated(plan, timings=Timings({"w": [1.0]}, dict(paces)))
        assert estimates.seconds(step) == pytest.approx(longer * rated)
        assert estimates.rated(step) == pytest.approx(rated)
        assert estimates.timed
        del paces[name]
    assert not estimated(plan).timed


# -- how much there is -------------------------------------------------------------------------------------


def test_data_that_are_not_here_are_guessed_until_they_are(tmp_path: Path) -> None:
    plan, sizes = laid_out(), list[Size]()
    estimates = Estimates(NONE, plan.steps, lambda step: sizes[0] if sizes else None)
    step = only(plan, "teacher")
    guess = estimates.seconds(step)
    assert guess == estimated(plan, UNKNOWN).seconds(step)
    assert estimates.guessed
    sizes.append(TEXTS)
    assert estimates.seconds(step) == guess
    estimates.learn()
    assert estimates.seconds(step) == estimated(plan).seconds(step)
    assert not estimates.guessed


def test_amounts_are_read_before_a_run_and_stored_after_it(toys: Home) -> None:
    plan, store = plan_of(SUITE), Store(toys.store)
    amounts = Amounts(store, checked)
    data, shuffle = only(plan, "data"), only(plan, "transfer", "shuffle")
    before = amounts.size(data)
    assert before is not None
    assert amounts.rows(shuffle) is None
    run(plan, store, Inline(toys.store), lambda one: None)
    amounts = Amounts(Store(toys.store))
    assert amounts.size(data) == before
    artefact = store.find("data", data.key)
    assert artefact is not None
    assert before.train == artefact.result["rows"]["train"]
    texts = arrow.read(artefact.folder / "train.arrow")["text"].to_pylist()
    assert before.words == sum(len(text.split()) for text in texts) / len(texts)
    drawn = store.find("transfer", shuffle.key)
    assert amounts.rows(shuffle) == (drawn and drawn.result["rows"])


def test_a_run_times_its_steps_against_the_rates(toys: Home) -> None:
    plan, store = plan_of(SUITE), Store(toys.store)
    run(plan, store, Inline(toys.store), lambda one: None)
    timings = store.timings()
    assert timings.seconds.keys() == {step.work for step in plan.steps.values()}
    assert timings.paces.keys() == {name for step in plan.steps.values() for name in step.likes}
    assert max(max(paces) for paces in timings.paces.values()) < 1  # toys are quick
    assert expected(plan, store).timed


def test_damaged_data_are_no_traceback(toys: Home) -> None:
    plan, store = plan_of(SUITE), Store(toys.store)
    run(plan, store, Inline(toys.store), lambda one: None)
    data = only(plan, "data")
    train = toys.store / "data" / data.key / "train.arrow"
    train.write_bytes(b"x" * train.stat().st_size)
    assert Amounts(Store(toys.store), checked).size(data) is None
    train.write_bytes(b"x")
    assert (
        Amounts(Store(toys.store), checked).size(data) is not None
    )  # it is set aside, and the source is asked


class Broken(harness.Task):
    """A task whose tables are given, or raised."""

    name = "broken"

    def __init__(self, tables: Mapping[str, Any] | Exception) -> None:
        object.__setattr__(self, "tables", tables)

    def read(self, source: harness.Source) -> Mapping[str, Any]:
        if isinstance(self.tables, Exception):  # type: ignore[attr-defined]
            raise self.tables  # type: ignore[attr-defined]
        return self.tables  # type: ignore[attr-defined, no-any-return]


def asked(
    task: harness.Task, toys: Home, source: str = "local", kind: harness.TaskType | None = None
) -> tuple[Size | None, str]:
    """The size of a task's data, and why they cannot be read."""
    step = only(plan_of(SUITE), "data")
    settings = {"source": source, "fingerprint": "1"}
    parts = {"task": task, "task_type": kind or Classification()}
    amounts = Amounts(Store(toys.store), checked)
    step = step._replace(key="other", components=parts, settings=settings)
    return amounts.size(step), str(amounts.unreadable(step) or "")


def test_what_cannot_be_read_is_not_known_but_why(toys: Home) -> None:
    assert asked(Broken(harness.HarnessError("it is not there")), toys) == (None, "it is not there")
    assert asked(Broken(RuntimeError("a mistake\nof its author")), toys) == (None, "RuntimeError: a mistake")
    missing = FileNotFoundError(2, "No such file", "a.csv")
    assert asked(Broken(missing), toys) == (None, "No such file: 'a.csv'")
    assert asked(Broken({}), toys) == (None, "task 'broken' has no split 'train'; found: ")
    none = pa.table({"text": pa.array([], pa.string()), "label": pa.array([], pa.string())})
    assert asked(Broken(dict.fromkeys(("train", "validation", "test"), none)), toys) == (
        None,
        "split 'train' of task 'broken' is empty: it has no rows",
    )


def test_words_and_pools_are_counted_of_tables(toys: Home) -> None:
    tagged = pa.table({"tokens": [["a", "b c", "d"], ["e"]], "tags": [["B-x", "O", "O"], ["O"]]})
    tables = {
        "train": tagged,
        "validation": tagged,
        "test": tagged,
        "unlabelled": pa.table({"text": ["x"] * 5}),
    }
    assert asked(Broken(tables), toys, kind=Tagging()) == (Size(2, 4, 2.0, 5), "")
    assert asked(Broken(tables), toys, "hub") == (None, "")  # it would have to be fetched


def test_words_are_counted_of_texts_from_all_over() -> None:
    assert words([]) == 0
    assert words(["one two", None, ["one", "two three", "four"], ""]) == 5 / 4
    texts = ["one"] * 5_000 + ["one two three"] * 5_000
    assert words(texts) == 2
