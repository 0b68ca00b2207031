"""Choose the student to ship: the recommended one, or one without a teacher if that is as good."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.api import HarnessError
from harness.report.verdict import Section, Verdict
from harness.results.compare import Pair, Results, differences, load
from harness.results.intervals import SIGNIFICANT, attach
from harness.results.recommend import Advice, Candidate, Limits, recommend
from harness.results.record import Record, read
from harness.wording import amount, significant, size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from harness.results.ranking import Row, Table
    from harness.results.statistics import Difference


_TOLERANCE = 0.005  # rows this close to the best count as equally good, as in recommend


@dataclass(frozen=True)
class Shipped:
    """The chosen row, the rows that it is compared with, and the record whose model was exported."""

    advice: Advice
    candidate: Candidate | None = None
    teacher: Row | None = None
    baseline: Row | None = None  # the best row without a teacher, if possible one that can be exported
    to_teacher: Difference | None = None  # the shipped row minus the teacher
    to_baseline: Difference | None = None  # the recommended row, if distilled, minus the best baseline
    helped: bool = False  # whether distillation helped
    unshippable: Row | None = None  # a row without a teacher that is as good, but cannot be exported
    record: Record | None = None


def ship(folder: Path, fingerprint: str, limits: Limits, store: Path, where: Path) -> Shipped:
    """Choose a row of the results in `folder` for these data, and write its model to `where`.

    Raise HarnessError if no student has a result.
    """
    from harness import bundle
    from harness.storage.store import Store

    records = read(folder / "records.jsonl")
    shipped = decide(load(folder), records, fingerprint, limits)
    if shipped.candidate is None:
        return shipped
    record = bundle.of_row(records, shipped.advice.table, shipped.candidate.row)
    bundle.write(record, Store(store), where, "run the same command again")
    return replace(shipped, record=record)


def decide(found: Results, every: Sequence[Record], fingerprint: str, limits: Limits) -> Shipped:
    """Choose which row of these results to ship.

    The best exportable row without a teacher is simpler, so it replaces a distilled row that is at most half
    a point ahead, if the difference is not significant.
    """
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

    def advise(keep: Callable[[Row], bool]) -> Advice | None:
        rows = tuple(row for row in students if keep(row))
        if not rows:
            return None
        return recommend(found._replace(tables=(replace(table, rows=rows),)), limits)[0]

    advice = advise(lambda row: True)
    assert advice is not None
    teacher = next((row for row in scored if row.role == "teacher"), None)
    baseline = next((row for row in scored if row.role == "baseline"), None)
    advice = replace(advice, teacher=teacher)
    if advice.chosen is None:
        return Shipped(advice, None, teacher, baseline)
    candidate, helped, gain, held = advice.chosen, False, None, baseline
    if candidate.row.role == "distilled":
        plain = advise(lambda row: row.role == "baseline")
        simpler = plain.chosen if plain else None
        held = baseline if simpler is None else simpler.row
        gain = _gap(table, candidate.row, held, found)
        helped = gain is None or (gain.p < SIGNIFICANT and _better(table, gain.value))
        ahead = gain is not None and _better(table, gain.value) and abs(gain.value) > _TOLERANCE + 1e-9
        if not helped and not ahead and simpler is not None:
            candidate = simpler
    to_teacher = _gap(table, candidate.row, teacher, found)
    best = None
    if baseline is not None and baseline not in (candidate.row, held) and baseline not in students:
        short = baseline.stats[table.headline].mean - candidate.row.stats[table.headline].mean
        best = baseline if not short or _better(table, short) else None
    return Shipped(advice, candidate, teacher, held, to_teacher, gain, helped, best)


def _exported(row: Row, records: dict[str, Record]) -> bool:
    """Return whether the model of each seed was exported."""
    exports = [records[cell].get("export") or {} for cell in row.cells]
    return bool(exports) and all(each.get("exported") for each in exports)  # type: ignore[attr-defined]


def _gap(table: Table, one: Row, other: Row | None, found: Results) -> Difference | None:
    """Return the difference of the headlines, the first row minus the other."""
    if other is None or one is other:
        return None
    (gap,) = differences([Pair(table, other, one, table.headline)], *[found.predictions] * 2)
    return gap


def _better(table: Table, value: float) -> bool:
    return (value < 0) if table.lower_is_better() else (value > 0)


def verdict(shipped: Shipped, about: str, use: str) -> Verdict:
    """Return the verdict on a distillation; `use` is the command that uses the model."""
    first, *others = (" ".join(line.split()) for line in sentences(shipped))
    if shipped.candidate is None:
        return Verdict(about, (Section("Nothing to ship", (first, *others)),))
    title, _, score = first.partition(": ")
    costs, *reasons = others
    sections = [Section(title[:1].upper() + title[1:], (score, costs), use if shipped.record else "")]
    if reasons:
        sections.append(Section("Compared with the other models", tuple(reasons)))
    return Verdict(about, tuple(sections))


def sentences(shipped: Shipped) -> list[str]:
    """Return sentences about the shipped model: its quality and costs, and whether distillation helped."""
    if shipped.candidate is None:
        return ["no student is within the limits, so no model was exported; relax a limit"]
    table, row, form = shipped.advice.table, shipped.candidate.row, shipped.candidate.form
    interval = row.interval
    score = _percent(table, row.stats[table.headline].mean)
    about = f" (95 % interval {' – '.join(_percent(table, end) for end in interval)})" if interval else ""
    told = [
        f"ship {name(row)}: {table.task_type.metric(table.headline).title} {score}{about} on "
        f"{table.task.get('test'):,} test texts",
    ]
    costs = [
        f"{amount(row.stats['parameters_total'].mean)} parameters" if "parameters_total" in row.stats else "",
        size(form.size_bytes) if form.size_bytes is not None else "",
        f"p50 {significant(form.p50_ms)} ms by {form.backend}" if form.p50_ms is not None else "",
    ]
    told.append(f"  costs       {', '.join(filter(None, costs))}")
    if shipped.teacher is not None:
        mean = _percent(table, shipped.teacher.stats[table.headline].mean)
        told.append(f"  teacher     {name(shipped.teacher)}: {mean}{_told(shipped.to_teacher)}")
    if shipped.baseline is not None and shipped.baseline is not row:
        mean = _percent(table, shipped.baseline.stats[table.headline].mean)
        told.append(f"  baseline    {name(shipped.baseline)}: {mean}{_told(shipped.to_baseline)}")
    if not any(each.role == "distilled" for each in table.rows):
        told.append("no student learnt from the teacher, so a student without a teacher is shipped")
    elif shipped.helped:
        told.append("distillation helped: no student without a teacher is as good")
    elif shipped.advice.chosen is not None and shipped.advice.chosen.row is not row:
        told.append(
            f"distillation did not help: {name(shipped.advice.chosen.row)} is not clearly better than the "
            f"student without a teacher{_told(shipped.to_baseline)}, so the simpler one is shipped"
        )
    elif row.role == "distilled" and shipped.baseline is not None and _in(shipped, shipped.baseline):
        told.append(
            f"distillation seems to help{_told(shipped.to_baseline)}, but {table.task.get('test'):,} texts "
            "are too few to be sure"
        )
    elif row.role == "baseline":
        told.append("distillation did not help: a student without a teacher is as good, so it is shipped")
    else:
        told.append("distillation did not help, but no student without a teacher is within the limits")
    if shipped.unshippable is not None:
        mean = _percent(table, shipped.unshippable.stats[table.headline].mean)
        told.append(f"{name(shipped.unshippable)} is as good ({mean}), but cannot be exported")
    return told


def _in(shipped: Shipped, row: Row) -> bool:
    """Return whether a row is behind the shipped one, and could have been exported within the limits."""
    gap = shipped.to_baseline
    table = shipped.advice.table
    shippable = any(row.cells == each.cells for each in table.rows)
    return shippable and gap is not None and _better(table, gap.value) and abs(gap.value) > _TOLERANCE + 1e-9


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
