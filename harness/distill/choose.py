"""What a distillation ships: the recommended student; the one without a teacher where that is as good."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.api import HarnessError
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


_TOLERANCE = 0.005  # as recommend's: a row so little behind the best counts as equally good


@dataclass(frozen=True)
class Shipped:
    """What was chosen, what it is held against, and the record whose model was written."""

    advice: Advice
    candidate: Candidate | None = None
    teacher: Row | None = None
    baseline: Row | None = None  # the best without a teacher: of those to ship, if there is one
    to_teacher: Difference | None = None  # the shipped row less the teacher
    to_baseline: Difference | None = None  # what was recommended, if distilled, less the best baseline
    helped: bool = False  # distillation
    unshippable: Row | None = None  # a row without a teacher that is as good, and has no form to ship
    record: Record | None = None


def ship(folder: Path, fingerprint: str, limits: Limits, store: Path, where: Path) -> Shipped:
    """Choose a row of the results in `folder` on these data, and write its model to `where`.

    Raises HarnessError where no student has a result.
    """
    from harness import bundle
    from harness.storage.store import Store

    records = read(folder / "records.jsonl")
    shipped = decide(load(folder), records, fingerprint, limits)
    if shipped.candidate is None:
        return shipped
    record = bundle.of_row(records, shipped.advice.table, shipped.candidate.row)
    bundle.write(record, Store(store), where)
    return replace(shipped, record=record)


def decide(found: Results, every: Sequence[Record], fingerprint: str, limits: Limits) -> Shipped:
    """What to ship of these results.

    A distilled row gives way to the best shippable row without a teacher, which is simpler, where it is at
    most half a point ahead and tests cannot tell the two apart.
    """
    records = {record["cell"]: record for record in every}
    tables = [table for table in found.tables if table.task.get("fingerprint") == fingerprint]
    if not tables:
        raise HarnessError(f"{found.name} has no results of these data")
    table = attach(tables[0], found.predictions)
    scored = [row for row in table.rows if row.rank is not None]
    students = [row for row in scored if row.role != "teacher" and _exported(row, records)]
    if not students:
        why = "; ".join(sorted({reason for row in table.rows for _, reason, _ in row.problems})[:3])
        raise HarnessError(f"no student has a model to ship{f': {why}' if why else ''}")

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
    """Whether each seed's model has a form to ship."""
    exports = [records[cell].get("export") or {} for cell in row.cells]
    return bool(exports) and all(each.get("exported") for each in exports)  # type: ignore[attr-defined]


def _gap(table: Table, one: Row, other: Row | None, found: Results) -> Difference | None:
    """The first row's headline less the other's."""
    if other is None or one is other:
        return None
    (gap,) = differences([Pair(table, other, one, table.headline)], *[found.predictions] * 2)
    return gap


def _better(table: Table, value: float) -> bool:
    return (value < 0) if table.lower_is_better() else (value > 0)


def sentences(shipped: Shipped) -> list[str]:
    """What is shipped, how good it is, and whether the teacher was of use."""
    if shipped.candidate is None:
        return ["no student is within the limits: nothing is shipped"]
    table, row, form = shipped.advice.table, shipped.candidate.row, shipped.candidate.form
    interval = row.interval
    score = _percent(table, row.stats[table.headline].mean)
    about = f" (95 % interval {' – '.join(_percent(table, end) for end in interval)})" if interval else ""
    told = [
        f"ship {name(row)}: {table.headline} {score}{about} on {table.task.get('test'):,} texts held out",
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
        told.append("no student learnt from the teacher, so one without a teacher is shipped")
    elif shipped.helped:
        told.append("distillation helped: no student without a teacher is as good")
    elif shipped.advice.chosen is not None and shipped.advice.chosen.row is not row:
        told.append(
            f"distillation did not help: {name(shipped.advice.chosen.row)} cannot be told from the student "
            f"without a teacher{_told(shipped.to_baseline)}, so the simpler one is shipped"
        )
    elif row.role == "distilled" and shipped.baseline is not None and _in(shipped, shipped.baseline):
        told.append(
            f"distillation seems to help{_told(shipped.to_baseline)}, but {table.task.get('test'):,} texts "
            "are too few to be sure of it"
        )
    elif row.role == "baseline":
        told.append("distillation did not help: a student without a teacher is as good, and is shipped")
    else:
        told.append("distillation did not help, but no student without a teacher is within the limits")
    if shipped.unshippable is not None:
        mean = _percent(table, shipped.unshippable.stats[table.headline].mean)
        told.append(f"{name(shipped.unshippable)} is as good ({mean}), but has no form to ship")
    return told


def _in(shipped: Shipped, row: Row) -> bool:
    """Whether a row could have been shipped, but for limits, and is behind what is."""
    gap = shipped.to_baseline
    table = shipped.advice.table
    shippable = any(row.cells == each.cells for each in table.rows)
    return shippable and gap is not None and _better(table, gap.value) and abs(gap.value) > _TOLERANCE + 1e-9


def name(row: Row) -> str:
    """What a person would call a row."""
    if row.role == "teacher":
        return teacher_in(row)
    if row.role == "baseline":
        return f"{row.labels['student']} on the labels alone"
    student, augmenter, loss = (row.labels[part] for part in ("student", "augmenter", "loss"))
    return f"{student} taught by {teacher_in(row)} (augmenter {augmenter}, loss {loss})"


def teacher_in(row: Row) -> str:
    """A teacher's label; of one that is a student, that student's name."""
    part = row.parts["teacher"] or {}
    pupil = part.get("params", {}).get("student")
    return str(pupil["use"]) if isinstance(pupil, dict) else row.labels["teacher"]


def _percent(table: Table, value: float) -> str:
    return significant(value) if table.lower_is_better() else f"{100 * value:.1f} %"


def _told(gap: Difference | None) -> str:
    """How far the shipped row is from another."""
    if gap is None:
        return ""
    low, high = (f"{100 * end:+.1f}" for end in (gap.low, gap.high))
    return f" (difference {100 * gap.value:+.1f} points, {low} to {high})"
