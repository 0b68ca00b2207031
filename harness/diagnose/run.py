"""Diagnose each task of a suite, or a file of labelled texts, for ``harness diagnose``.

A bag of words is fitted if the store has none yet, in a worker as in ``bench``. Teachers are read from the
store or from results; a teacher is fitted only if it is named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.api import SPLITS, HarnessError, Loss, Student, Task, TaskType, Teacher
from harness.diagnose import measures as diagnosis
from harness.diagnose.contested import Contested, turned_on

if TYPE_CHECKING:
    from harness.catalog import Catalog
    from harness.devices import Slot
    from harness.plan.planner import Plan
    from harness.results.ranking import Row
    from harness.results.record import Record
    from harness.storage.store import Store
    from harness.suite.reader import Suite
    from harness.task_types.base import Prediction


class Where(NamedTuple):
    """The installed components, devices and folders that a diagnosis uses."""

    catalog: Catalog
    places: Sequence[Slot]
    store: Path
    results: Path
    source: str
    watch: Callable[
        [Plan, int], AbstractContextManager[Callable[[dict[str, Any]], None]]
    ]  # shows the progress of a run


def _silent(event: dict[str, Any]) -> None:
    """Ignore an event."""


def of_file(
    file: Path, text: str, label: str, task: str | None, teacher: str | None, where: Where
) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Return the diagnosis of a labelled file, which is split as in ``distill``, and lines about the file.

    `text` and `label` are the columns that the user named, "" for none; `task` is the task that reads the
    file.
    """
    from harness.distill import stages
    from harness.distill.candidates import Candidates
    from harness.distill.inspect import look
    from harness.distill.wishes import Wishes
    from harness.suite import reader as suite

    wishes = Wishes(file, text, label, Path(), task=task, teacher=teacher)
    data = look(wishes, where.catalog)
    candidates = Candidates(data.task_type, where.catalog)
    teachers = candidates.teachers(data.english, teacher).tables if teacher is not None else ()
    students = candidates.bags()[:1] or candidates.students(None)[:1]
    table = stages.of_teachers(wishes.name, dict(data.task), teachers, students)
    whole = suite.parse(stages.written(table, Path(), ""), where.catalog)
    found = of_suite(replace(whole, teachers=()), whole.teachers, None, where)
    return found, data.told


def named(teacher: str | None, suite: Suite, catalog: Catalog) -> tuple[Teacher, ...]:
    """Return the teachers of that name in a suite, or if it has none, that teacher with its defaults."""
    if teacher is None:
        return ()
    there = tuple(each for each in suite.teachers if each.name == teacher)
    if there:
        return there
    catalog.get("teacher", teacher)
    built = catalog.build("teacher", {"use": teacher})
    assert isinstance(built, Teacher)
    return (built,)


def of_suite(
    suite: Suite, fitted: Sequence[Teacher], path: Path | None, where: Where
) -> list[dict[str, Any]]:
    """Return the diagnosis of each task of a suite; `fitted` are teachers to fit if they are not stored."""
    from harness.storage.shared import opened

    kept = opened(where.store)
    return [_task(suite, task, fitted, path, where, kept) for task in suite.tasks]


def _task(
    suite: Suite, task: Task, fitted: Sequence[Teacher], path: Path | None, where: Where, store: Store
) -> dict[str, Any]:
    from harness.distill.candidates import Candidates

    task_type = where.catalog.task_type_of(task)
    candidates = Candidates(task_type, where.catalog)
    bags = candidates.bags()
    if not task_type.diagnosed or not bags:
        known = [name for name in where.catalog.names("task type") if where.catalog.task_type(name).diagnosed]
        raise HarnessError(
            f"cannot diagnose task '{task.name}': diagnose does not support {task.task_type}; "
            f"it supports {', '.join(known)}"
        )
    bag: Any = where.catalog.build("student", bags[0])
    assert isinstance(bag, Student)
    bare = replace(
        suite,
        tasks=(task,),
        teachers=(),
        students=(),
        augmenters=(),
        losses=(),
        excludes=(),
        seeds=suite.seeds[:1],
        latency=False,
    )
    if task.task_type not in bare.baselines:  # a suite without students has none
        bare = replace(bare, baselines={task.task_type: _baseline(task_type, where.catalog)})
    needed = _plan(replace(bare, students=(bag,), teachers=tuple(fitted)), where)
    records, answers, gone = _run(needed, where, store)
    cell = next(cell for cell in needed.cells if cell.role == "baseline")
    if bad := next((r for r in records if r["status"] != "ok"), None):
        raise HarnessError(
            f"cannot diagnose task '{task.name}': its {bad['role']} has no result ({bad['reason']})"
        )
    if cell.source is None or "data" not in cell.steps or gone:
        why = f"{gone} did not finish; run the command again" if gone else cell.reason
        raise HarnessError(f"cannot diagnose task '{task.name}': {why}")
    if suite.teachers:
        more, said = _stored(_plan(replace(bare, teachers=suite.teachers), where), where, store)
        records, answers = _joined(records, more), {**said, **answers}
    if path is not None and not any(record["role"] == "teacher" for record in records):
        more, said = _recorded(path, where.results, cell.source.fingerprint)
        records, answers = _joined(records, more), {**said, **answers}
    return _found(
        records,
        answers,
        cell.source.fingerprint,
        bag.name,
        _splits(store, cell.steps["data"], cell.task_type),
        cell.task_type,
        store.open("data", cell.steps["data"]).result.get("notes", ()),
    )


def _baseline(task_type: TaskType, catalog: Catalog) -> Loss:
    """Return the default loss with which students learn from gold labels."""
    names = catalog.baselines(task_type)
    if not names:
        raise HarnessError(
            f"cannot train a baseline for {task_type.name}: no installed loss learns from its gold labels; "
            "install a plugin that has one"
        )
    built = catalog.build("loss", {"use": names[0]})
    assert isinstance(built, Loss)
    return built


def _plan(suite: Suite, where: Where) -> Plan:
    from harness.plan.planner import build
    from harness.speeds import choose

    return build(suite, where.catalog, source=where.source, precision=choose(suite, where.places))


Held = tuple["list[Record]", "dict[str, Prediction]"]


def _run(plan: Plan, where: Where, store: Store) -> tuple[list[Record], dict[str, Prediction], str]:
    """Run what is missing; return records, predictions, and the label of a cell that did not end, or ""."""
    from harness.results import predictions
    from harness.results.collect import collect
    from harness.run.local import LocalWorkers
    from harness.run.runner import run

    teaching = any(step.kind == "teacher" for step in plan.steps.values())
    with where.watch(plan, len(where.places)) if teaching else nullcontext(_silent) as show:
        schedule = run(plan, store, LocalWorkers(where.store, where.places), show, plan.suite.time_limit)
    records = list(collect(plan, schedule.outcome, store, where.catalog))
    ended = {record["cell"] for record in records}
    gone = next((cell.label for cell in plan.cells if cell.key not in ended), "")
    return records, predictions.collect(plan, records, store), gone


def _stored(plan: Plan, where: Where, store: Store) -> Held:
    """Return the records and predictions of a plan that are in the store already."""
    from harness.results import predictions
    from harness.results.collect import collect
    from harness.run.runner import prepare

    outcome = prepare(plan, store).outcome
    records = [r for r in collect(plan, outcome, store, where.catalog) if r["status"] == "ok"]
    return records, predictions.collect(plan, records, store)


def _recorded(suite: Path, results: Path, fingerprint: str) -> Held:
    """Return the teachers' records in a suite's results for these data; none if there are no results."""
    from harness.results import predictions
    from harness.results.locate import results_of
    from harness.results.record import read

    try:
        folder = results_of(suite, results)
    except HarnessError:
        return [], {}
    records = [
        record
        for record in read(folder / "records.jsonl")
        if record["role"] == "teacher"
        and record["status"] == "ok"
        and record["task"].get("fingerprint") == fingerprint
    ]
    return records, predictions.read(folder)


def _joined(a: Sequence[Record], b: Sequence[Record]) -> list[Record]:
    return list({record["cell"]: record for record in (*b, *a)}.values())


def _splits(store: Store, key: str, task_type: TaskType) -> dict[str, diagnosis.Rows]:
    from harness.steps import data

    artefact = store.open("data", key)
    found: dict[str, diagnosis.Rows] = {}
    for split in SPLITS:
        examples = data.load(artefact, split, task_type)
        found[split] = list(zip(examples.texts, task_type.named(examples), strict=True))
    return found


def _found(
    records: Sequence[Record],
    answers: Mapping[str, Prediction],
    fingerprint: str,
    bag: str,
    splits: Mapping[str, diagnosis.Rows],
    task_type: TaskType,
    notes: Sequence[str],
) -> dict[str, Any]:
    """Return all measurements of a task, with the verdict and notes about its files and labels."""
    from harness.distill.choose import teacher_in
    from harness.results.board import build
    from harness.results.compare import Pair, differences
    from harness.results.intervals import attach

    tables = [t for t in build(records).tables if t.task.get("fingerprint") == fingerprint]
    table = attach(tables[0], answers)
    task = table.task
    count = len(splits["test"])
    words: list[Contested | None] = [None] * count
    if all(len(labels) == 1 for _, labels in splits["train"]):  # only then do labels exclude each other
        train = [(text, label) for text, (label,) in splits["train"]]
        words = turned_on(train, [text for text, _ in splits["test"]])
    metric = task_type.diagnosed
    shown = {"metric": metric, "title": task_type.metric(metric).title, "label": task_type.counted[0]}
    found: dict[str, Any] = {
        "task": {name: task.get(name) for name in ("name", "source", "origin", "fingerprint")},
        "compared": shown,
        **diagnosis.of_data(splits),
        "contested": diagnosis.contested(words),
    }
    base = next(
        row for row in table.rows if row.role == "baseline" and (row.parts["student"] or {})["name"] == bag
    )
    largest = found["splits"]["test"]["classes"].get(found["classes"]["largest"], 0)
    found["bag_of_words"] = {
        "student": bag,
        **_scores(base, metric),
        "always_largest": largest / count if metric == "accuracy" else None,
        **_where_contested(answers.get(base.cells[0]), words),
    }
    found["teachers"] = []
    for row in table.rows:
        if row.role != "teacher" or metric not in row.stats:
            continue
        (gap,) = differences([Pair(table, base, row, metric)], answers, answers)
        one, other = (answers.get(each.cells[0]) for each in (row, base))
        found["teachers"].append(
            {
                "name": teacher_in(row),
                **_scores(row, metric),
                "ece": row.stats["ece"].mean if "ece" in row.stats else None,
                "headroom": diagnosis.headroom(gap),
                **(
                    diagnosis.calibration(one)
                    if one and len(one.confidence)
                    else {"sure": 0.0, "histogram": []}
                ),
                **_where_contested(one, words),
                **(
                    diagnosis.together(one, other, count)
                    if one and other and len(one.gold) == len(other.gold) and not len(one.gold) % count
                    else {}
                ),
            }
        )
    pays, reasons = diagnosis.verdict(found)
    return {**found, "pays": pays, "reasons": [*reasons, *notes]}


def _scores(row: Row, metric: str) -> dict[str, Any]:
    """Return a row's score by the metric of the diagnosis, its interval if it has one, and its macro F1."""
    interval = row.interval
    shown = [name for name in dict.fromkeys((metric, "f1_macro")) if name in row.stats]
    return {**{name: row.stats[name].mean for name in shown}, "interval": interval}


def _where_contested(one: Prediction | None, words: Sequence[Contested | None]) -> dict[str, float]:
    """Return :func:`diagnosis.where_contested`, or nothing if the model's answers are not known."""
    if one is None or len(one.gold) != len(words):
        return {}
    return diagnosis.where_contested(one, words)
