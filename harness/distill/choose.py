"""Choose the model to ship, and say what it costs and whether distillation paid."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.api import HarnessError
from harness.distill.candidates import recipe
from harness.report.verdict import Section, Verdict
from harness.results.cascade import Cascade
from harness.results.cascade import told as cascade_told
from harness.results.compare import Pair, Results, differences, load
from harness.results.intervals import SIGNIFICANT, attach
from harness.results.recommend import Advice, Candidate, Limits, forms_of, recommend, with_teacher
from harness.results.record import Record, read
from harness.runtime.forms import FORMS
from harness.wording import amount, significant, size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from harness.results.ranking import Row, Table
    from harness.results.statistics import Difference
    from harness.task_types.base import Prediction


_TOLERANCE = 0.002  # rows this close to the best one may be equally good


class Score(NamedTuple):
    """A score on the test split and its 95 % interval, with other test texts."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Shipped:
    """The chosen row, the rows that it is compared with, and the record whose model was exported.

    Rows are chosen by their scores on the validation split. Differences are those on the test split.
    """

    advice: Advice
    candidate: Candidate | None = None
    teacher: Row | None = None
    simple: Row | None = None  # the best simple model, such as TF-IDF with a linear classifier
    alone: Row | None = None  # the best other student that has nothing but the labels
    gaps: Mapping[str, Difference] = field(default_factory=dict)  # the shipped row minus each of these
    smaller: Candidate | None = None  # the best row of at most half the size
    cascade: Cascade | None = None  # the shipped row and its teacher together
    record: Record | None = None
    own: Score | None = None  # of the exported model, if the row is the mean of several seeds

    @property
    def helped(self) -> bool | None:
        """Return whether the shipped row is distilled and clearly better than those without a teacher.

        None if it is distilled and seems better, but not significantly.
        """
        if self.candidate is None or self.candidate.row.role != "distilled":
            return False
        table = self.advice.table
        rivals = [gap for name, gap in self.gaps.items() if name != "teacher"]
        if not all(_better(table, gap.value) for gap in rivals):
            return False
        return True if all(gap.p < SIGNIFICANT for gap in rivals) else None


def ship(folder: Path, fingerprint: str, limits: Limits, store: Path, where: Path) -> Shipped:
    """Choose a row of the results in `folder` for these data, and write its model to `where`.

    Raise HarnessError if no student has a result.
    """
    from harness import bundle

    records, found = read(folder / "records.jsonl"), load(folder)
    shipped = decide(found, records, fingerprint, limits)
    if shipped.candidate is None:
        return shipped
    record = bundle.of_row(records, shipped.advice.table, shipped.candidate.row)
    shipped = replace(shipped, record=record, own=_own(shipped, found.predictions.get(record["cell"])))
    write(shipped, store, where)
    return shipped


def _own(shipped: Shipped, prediction: Prediction | None) -> Score | None:
    """Return the score of the exported model, given what it predicts, if its row has several seeds."""
    from harness.results.statistics import estimate, metrics_of

    assert shipped.candidate is not None
    metric = shipped.advice.table.headline
    if len(shipped.candidate.row.cells) < 2 or prediction is None or metric not in metrics_of(prediction):
        return None
    found = estimate(metric, [[prediction]])
    return Score(float(found.values[0]), *found.interval(0))


def write(shipped: Shipped, store: Path, where: Path, again: Record | None = None) -> None:
    """Write the shipped model to `where`, as it was trained `again` on all rows, if it was."""
    from harness import bundle
    from harness.storage.shared import opened

    assert shipped.record is not None and shipped.candidate is not None
    form = shipped.candidate.form.backend
    bundle.write(shipped.record, opened(store), where, "run the same command again", form, refitted=again)


def decide(found: Results, every: Sequence[Record], fingerprint: str, limits: Limits) -> Shipped:
    """Choose which row of these results to ship: the best one within the limits that can be exported."""
    records = {record["cell"]: record for record in every}
    tables = [table for table in found.tables if table.task.get("fingerprint") == fingerprint]
    if not tables:
        raise HarnessError(
            f"cannot choose a model: {found.name} has no results for these data; run the command again"
        )
    table = attach(tables[0], found.predictions)
    scored = [row for row in table.rows if row.rank is not None]
    students = [row for row in scored if row.role != "teacher" and _exported(row, records)]
    if not students:
        why = "; ".join(sorted({reason for row in table.rows for _, reason, _ in row.problems})[:3])
        raise HarnessError(
            f"cannot choose a model: no student could be exported{f' ({why})' if why else ''}; "
            "change the students in the suite, and run the command again"
        )
    limits = replace(limits, exported=True)

    def advised(limits: Limits) -> Advice:
        of = found._replace(tables=(replace(table, rows=tuple(students)),))
        return recommend(of, limits, tolerance=_TOLERANCE)[0]

    chooser = f"validation_{table.headline}"
    sign = -1 if table.lower_is_better() else 1

    def best(keep: Callable[[Row], bool]) -> Row | None:
        rows = [row for row in scored if keep(row)]
        known = all(chooser in row.stats for row in rows)
        name = chooser if known else table.headline
        return max(rows, key=lambda row: sign * row.stats[name].mean, default=None)

    names = {model["use"] for model in recipe()["simple"]["models"]}
    teacher = best(lambda row: row.role == "teacher")
    advice = replace(advised(limits), teacher=teacher)
    chosen = advice.chosen
    if chosen is None:
        return Shipped(advice, teacher=teacher)
    rivals = {
        "teacher": teacher,
        "simple": best(lambda row: row.role == "baseline" and row.labels["student"].split("(")[0] in names),
        "alone": best(
            lambda row: (
                row.role == "baseline"
                and row.labels["student"].split("(")[0] not in names
                and not _borrows(records[row.cells[0]])
            )
        ),
    }
    pairs = {name: row for name, row in rivals.items() if row is not None and row.cells != chosen.row.cells}
    gaps = differences(
        [Pair(table, row, chosen.row, table.headline) for row in pairs.values()], *[found.predictions] * 2
    )
    known = {name: gap for name, gap in zip(pairs, gaps, strict=True) if gap is not None}
    smaller = None
    if (taken := chosen.form.size_bytes) is not None:
        smaller = advised(replace(limits, size_bytes=taken / 2)).chosen
    together = with_teacher(chosen, table, found)
    return Shipped(advice, chosen, teacher, rivals["simple"], rivals["alone"], known, smaller, together)


def _exported(row: Row, records: dict[str, Record]) -> bool:
    """Return whether the model of each seed was exported."""
    exports = [records[cell].get("export") or {} for cell in row.cells]
    return bool(exports) and all(each.get("exported") for each in exports)  # type: ignore[attr-defined]


def _borrows(record: Record) -> bool:
    """Return whether a student starts from parts of its fitted teacher."""
    student: Mapping[str, Any] = record["student"] or {}
    return "teacher" in student.get("params", {}).values()


def _better(table: Table, value: float) -> bool:
    return (value < 0) if table.lower_is_better() else (value > 0)


def verdict(shipped: Shipped, about: str, use: str, export: Callable[[str], str], rows: str = "") -> Verdict:
    """Return the verdict on a distillation.

    `use` is the command that uses the model; `export` returns the one that exports the model of a cell;
    `rows` is a sentence on the rows that the model was trained on.
    """
    first, *others = (" ".join(line.split()) for line in sentences(shipped))
    if shipped.candidate is None:
        return Verdict(about, (Section("Nothing to ship", (first, *others)),))
    title, _, score = first.partition(": ")
    costs, *compared, paid = others
    lines = (score, costs, *([rows] if rows else []))
    sections = [Section(title[:1].upper() + title[1:], lines, use if shipped.record else "")]
    sections.append(Section("Did distillation pay?", (paid, *compared)))
    for title, other in (("Smaller", shipped.smaller), ("Larger", _largest(shipped))):
        if other is not None and other.row.cells != shipped.candidate.row.cells:
            told = (_mean(shipped.advice.table, other.row), _costs(other))
            sections.append(Section(f"{title}: {name(other.row)}", told, export(other.row.cells[0])))
    return Verdict(about, tuple(sections))


def _largest(shipped: Shipped) -> Candidate | None:
    """Return the teacher in its smallest form, or None if it cannot be exported."""
    if shipped.teacher is None:
        return None
    forms = [form for form in forms_of(shipped.teacher) if form.backend in FORMS]
    smallest = min(forms, key=lambda form: form.size_bytes or math.inf, default=None)
    return None if smallest is None else Candidate(shipped.teacher, smallest, 0.0)


def sentences(shipped: Shipped) -> list[str]:
    """Return sentences about the shipped model: its quality and costs, and whether distillation paid."""
    if shipped.candidate is None:
        return ["no student is within the limits, so no model was exported; relax a limit"]
    table, row = shipped.advice.table, shipped.candidate.row
    own = shipped.own
    score = _score(table, row) if own is None else _between(table, own.value, (own.low, own.high))
    seeds = "" if own is None else f"; {_mean(table, row)} on average over {len(row.cells)} seeds"
    told = [
        f"ship {name(row)}: {table.task_type.metric(table.headline).title} {score} on "
        f"{table.task.get('test'):,} test texts{seeds}",
        f"  costs         {_costs(shipped.candidate)}",
    ]
    for title, key in (("teacher", "teacher"), ("simple model", "simple"), ("student", "alone")):
        other = getattr(shipped, key)
        if other is not None and other.cells != row.cells:
            told.append(f"  {title:13} {name(other)}: {_mean(table, other)}{_told(shipped.gaps.get(key))}")
    if shipped.cascade is not None:
        told.append(f"  cascade       {cascade_told(shipped.cascade)}")
    told.append(_paid(shipped))
    return told


def _paid(shipped: Shipped) -> str:
    """Return a sentence on whether distillation paid."""
    table = shipped.advice.table
    if not any(row.role == "distilled" for row in table.rows):
        return "no student learnt from a teacher, so a model without a teacher is shipped"
    assert shipped.candidate is not None
    if shipped.candidate.row.role != "distilled":
        return "distillation did not pay: no student is better than this model, which needs no teacher"
    if shipped.helped:
        return "distillation paid: no model without a teacher is as good"
    if shipped.helped is None:
        return (
            f"distillation seems to pay, but {table.task.get('test'):,} test texts are too few to be sure "
            "that no model without a teacher is as good"
        )
    return (
        "distillation paid on the validation split, by which the model was chosen, but on the test split a "
        "model without a teacher is as good"
    )


def _costs(candidate: Candidate) -> str:
    row, form = candidate.row, candidate.form
    found = [
        f"{amount(row.stats['parameters_total'].mean)} parameters" if "parameters_total" in row.stats else "",
        size(form.size_bytes) if form.size_bytes is not None else "",
        f"{significant(form.p50_ms)} ms for a text (median) by {form.backend}"
        if form.p50_ms is not None
        else "",
    ]
    return ", ".join(filter(None, found))


def _mean(table: Table, row: Row) -> str:
    return _percent(table, row.stats[table.headline].mean)


def _score(table: Table, row: Row) -> str:
    return _between(table, row.stats[table.headline].mean, row.interval)


def _between(table: Table, value: float, interval: tuple[float, float] | None) -> str:
    about = f" (95 % interval {' – '.join(_percent(table, end) for end in interval)})" if interval else ""
    return f"{_percent(table, value)}{about}"


def name(row: Row) -> str:
    """Return a readable name of a row."""
    if row.role == "teacher":
        return teacher_in(row)
    if row.role == "baseline":
        return f"{row.labels['student']} on the labels alone"
    student, augmenter, loss = (row.labels[part] for part in ("student", "augmenter", "loss"))
    return f"{student} taught by {teacher_in(row)} (augmenter {augmenter}, loss {loss})"


def teacher_in(row: Row) -> str:
    """Return a teacher's label, or the student's name for a teacher that is a student."""
    part = row.parts["teacher"] or {}
    pupil = part.get("params", {}).get("student")
    return str(pupil["use"]) if isinstance(pupil, dict) else row.labels["teacher"]


def _percent(table: Table, value: float) -> str:
    return f"{100 * value:.1f} %" if table.is_share(table.headline) else significant(value)


def _told(gap: Difference | None) -> str:
    """Return the difference to another row with its interval, in brackets, or "" without one."""
    if gap is None:
        return ""
    low, high = (f"{100 * end:+.1f}" for end in (gap.low, gap.high))
    return f" (difference {100 * gap.value:+.1f} points, {low} to {high})"
