"""Recommend the row to ship within limits, with its runner-up and a test of their difference.

A row is chosen as follows:

1. Rows must be within all limits. Limits on size and latency apply to the form in which the model would be
   shipped: the fastest form (torch, ONNX or the model's own) within the limits. Limits on scores apply to the
   split that rows are chosen on.
2. Rows are chosen on the validation split, so that their test scores remain unbiased. If the records have no
   validation scores, they are chosen on the test split, with a note.
3. The best row has the best mean of the headline metric. Rows count as equally good if they are at most
   `tolerance` worse (for a metric without a fixed range, such as perplexity, a share of the best score), and
   not significantly different from the best row (by the tests of :mod:`harness.results.statistics`, on the
   test split, corrected for their number). Among these, rows with at most twice the smallest latency count as
   equally fast; without latencies, rows with at most twice the fewest parameters. The one of these with the
   best score is chosen.
4. The runner-up is the best of the remaining rows.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.api import HarnessError
from harness.results.cascade import Cascade, cascade, teacher_of
from harness.results.compare import Pair, Results, differences, lower_is_better, scales
from harness.results.intervals import SIGNIFICANT, attach
from harness.results.ranking import SOURCES, Row, Table, mixed_scales
from harness.runtime.forms import EXACT, FORMS, OpenVinoModel
from harness.wording import choices, nearest, quantity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from harness.results.statistics import Difference

BACKENDS = frozenset({"torch", "torch-graph", "native", *FORMS})  # of latency steps
_EXACT = BACKENDS - (FORMS.keys() - EXACT)  # with the model's own answers
_SHIPPED = FORMS.keys() - {OpenVinoModel.form}  # those that need no extra
_AS_FAST = 2.0  # times the smallest latency; two measurements of one model may differ by a third


@dataclass(frozen=True)
class Limits:
    """The limits on a row; None for no limit."""

    parameters: float | None = None
    p50_ms: float | None = None
    size_bytes: float | None = None
    train_s: float | None = None
    scores: Mapping[str, float] = field(
        default_factory=dict
    )  # by metric: the lowest score that is allowed, or the highest if lower is better
    backend: str | None = None
    device: str = "cpu"
    exported: bool = False  # whether the form must be one that can be exported

    @classmethod
    def read(
        cls, texts: Mapping[str, str | None], scores: Iterable[str], backend: str | None, device: str
    ) -> Limits:
        """Read limits: texts for "parameters", "p50", "size" and "train", and scores as "metric=score"."""
        known = {}
        for each in scores:
            metric, equals, score = each.partition("=")
            if not equals:
                raise HarnessError(f"--limit {each!r} must be <metric>=<score>, such as f1_macro=0.85")
            known[metric.strip()] = quantity(score, "score")

        def number(name: str, kind: str) -> float | None:
            text = texts.get(name)
            return None if text is None else quantity(text, kind)

        return cls(
            parameters=number("parameters", "number"),
            p50_ms=number("p50", "time in milliseconds"),
            size_bytes=number("size", "size"),
            train_s=number("train", "time"),
            scores=known,
            backend=backend,
            device=device,
        )


def recommend(
    results: Results, limits: Limits, source: str | None = None, tolerance: float = 0.005
) -> list[Advice]:
    """Return advice for each task, on its real data if it has results for them, or on `source`.

    Raise HarnessError if a metric or backend in the limits is unknown, or if no row has a score.
    """
    known = {name for table in results.tables for row in table.rows for name in row.stats}
    for metric in limits.scores:
        if metric not in known:
            raise HarnessError(
                f"these results have no metric '{metric}'{nearest(metric, known) or choices(metric, known)}"
            )
    for metric, bound in limits.scores.items():
        if bound > 1 and any(t.is_share(metric) for t in results.tables if _has(t, metric)):
            raise HarnessError(
                f"expected a share from 0 to 1 as the limit on {metric}, got {bound:g}; for per cent, write "
                f"{metric}={bound:g}%"
            )
    if limits.backend is not None and limits.backend not in BACKENDS:
        told = nearest(limits.backend, BACKENDS) or choices(limits.backend, BACKENDS)
        raise HarnessError(f"there is no backend '{limits.backend}'{told}")
    tables = [t for t in results.tables if any(row.rank for row in t.rows)]
    if source is not None:
        tables = [table for table in tables if table.task.get("source") == source]
    if not tables:
        of = f" on {source} data" if source else ""
        raise HarnessError(f"{results.name} has no row with a score{of}; run harness bench")
    first: dict[str, Table] = {}
    for table in sorted(tables, key=lambda table: _place(table.task.get("source"))):
        first.setdefault(table.label, table)
    return [
        _advice(attach(table, results.predictions), results, limits, tolerance) for table in first.values()
    ]


def _has(table: Table, metric: str) -> bool:
    return any(metric in row.stats for row in table.rows)


def _place(source: str | None) -> int:
    return SOURCES.index(source) if source in SOURCES else len(SOURCES)


def _advice(table: Table, results: Results, limits: Limits, tolerance: float) -> Advice:
    rows = [row for row in table.rows if table.headline in row.stats]
    chooser = f"validation_{table.headline}"
    split = "validation" if all(chooser in row.stats for row in rows) else "test"
    notes = list(filter(None, [mixed_scales(table.task_type, rows)]))
    if split == "test":
        notes.append(
            "the records have no validation scores: test scores chose the rows, and are therefore too good"
        )
    prefix = "validation_" if split == "validation" else ""
    sign = -1 if table.lower_is_better() else 1
    found, misses = [], dict[str, int]()
    for row in rows:
        form, broken = _kept(table, row, limits, prefix)
        for limit in broken:
            misses[limit] = misses.get(limit, 0) + 1
        if not broken and form is not None:
            found.append(Candidate(row, form, sign * row.stats[prefix + table.headline].mean))
    about: dict[str, Any] = {
        "table": table,
        "split": split,
        "candidates": len(found),
        "misses": tuple(misses.items()),
        "teacher": next((row for row in rows if row.role == "teacher"), None),
        "backend": limits.backend,
        "device": limits.device,
    }
    if not found:
        return Advice(chosen=None, notes=tuple(notes), **about)
    found.sort(key=lambda candidate: -candidate.score)
    equal = _equal(table, results, found, tolerance)
    chosen = _cheapest(equal)
    runner_up = next((candidate for candidate in found if candidate is not chosen), None)
    gap = None
    if runner_up:
        pair = Pair(table, chosen.row, runner_up.row, table.headline)
        (gap,) = differences([pair], *[results.predictions] * 2)
        if gap is None and not scales(pair):
            notes.append("no test of the difference: it needs predictions of both rows, or several seeds")
    if f"latency_{chosen.form.backend}_{limits.device}_p50_ms" in chosen.row.disturbed:
        notes.append("other programs slowed the measurement of its latency: the true time is shorter")
    for metric, bound in limits.scores.items():
        stat = chosen.row.stats.get(metric)
        if split == "validation" and stat and _breaks(table, metric, stat.mean, bound):
            notes.append(
                f"its {metric} on test is {stat.mean:.4g}, outside the limit; on validation it is within"
            )
    about["cascade"] = with_teacher(chosen, table, results, limits.device)
    return Advice(
        chosen=chosen, runner_up=runner_up, difference=gap, equal=len(equal), notes=tuple(notes), **about
    )


def with_teacher(student: Candidate, table: Table, results: Results, device: str = "cpu") -> Cascade | None:
    """Return what a student and its teacher reach together, and what a text costs them, in exact forms."""
    teacher = teacher_of(student.row, table)
    if teacher is None:
        return None
    found = cascade(student.row, teacher, results.predictions, results.validation)
    times = [form.p50_ms for form in forms_of(teacher, device=device) if form.backend in _EXACT]
    slow = min((time for time in times if time is not None), default=None)
    if found is None or slow is None or student.form.p50_ms is None:
        return found
    return found._replace(p50_ms=student.form.p50_ms + found.share * slow, teacher_p50_ms=slow)


def _breaks(table: Table, metric: str, value: float, limit: float) -> bool:
    return value > limit if lower_is_better(table, metric) else value < limit


def _kept(table: Table, row: Row, limits: Limits, prefix: str) -> tuple[Form | None, list[str]]:
    """Return the fastest form of a row within the limits, and the limits that the row exceeds."""
    broken = []

    def mean(name: str) -> float | None:
        return row.stats[name].mean if name in row.stats else None

    for name, limit, told in (
        ("parameters_total", limits.parameters, "parameters"),
        ("cost_train_s", limits.train_s, "training time"),
    ):
        value = mean(name)
        if limit is not None and (value is None or value > limit):
            broken.append(told)
    for metric, bound in limits.scores.items():
        value = mean(prefix + metric) if prefix + metric in row.stats else mean(metric)
        if value is None or _breaks(table, metric, value, bound):
            broken.append(metric)
    forms = forms_of(row, limits.backend, limits.device)
    if limits.exported:
        forms = [form for form in forms if form.backend in _SHIPPED]
    fast = [f for f in forms if limits.p50_ms is None or (f.p50_ms or math.inf) <= limits.p50_ms]
    small = [f for f in forms if limits.size_bytes is None or (f.size_bytes or math.inf) <= limits.size_bytes]
    both = [form for form in fast if form in small]
    if not forms:
        broken.append("backend")
    elif not both:
        broken += ["latency"] * (not fast) + ["size"] * (not small) or ["latency and size of one form"]
    return (min(both, key=lambda form: form.p50_ms or math.inf) if both else None), broken


def _equal(table: Table, results: Results, found: Sequence[Candidate], tolerance: float) -> list[Candidate]:
    """Return the best candidate, and those that are not significantly worse."""
    from harness.results.statistics import holm

    best, *others = found
    if table.lower_is_better():  # no fixed range: a share of the best score
        tolerance *= abs(best.score)
    near = [candidate for candidate in others if best.score - candidate.score <= tolerance + 1e-9]
    pairs = [Pair(table, best.row, candidate.row, table.headline) for candidate in near]
    gaps = differences(pairs, results.predictions, results.predictions)
    p = iter(holm([gap.p for gap in gaps if gap is not None]))
    return [best] + [
        candidate
        for candidate, gap in zip(near, gaps, strict=True)
        if gap is not None and next(p) >= SIGNIFICANT
    ]


def _cheapest(equal: Sequence[Candidate]) -> Candidate:
    """Return the candidate with the best score among those that are about as fast as the fastest."""

    def cost(candidate: Candidate) -> float:
        if all(each.form.p50_ms is not None for each in equal):
            return candidate.form.p50_ms or 0.0
        total = candidate.row.stats.get("parameters_total")
        return total.mean if total else math.inf

    least = min(map(cost, equal))
    return next(candidate for candidate in equal if cost(candidate) <= _AS_FAST * least)


class Form(NamedTuple):
    """A form in which a row's model can be shipped: its backend, latency for one text, and bytes."""

    backend: str
    p50_ms: float | None
    size_bytes: float | None


@dataclass(frozen=True)
class Candidate:
    """A row within the limits, and its fastest form within the limits."""

    row: Row
    form: Form
    score: float  # the headline on the split that rows are chosen on; higher is better


@dataclass(frozen=True)
class Advice:
    """The recommendation for one task."""

    table: Table
    split: str  # on which rows were chosen
    chosen: Candidate | None
    runner_up: Candidate | None = None
    difference: Difference | None = None  # runner-up minus chosen, on the test split
    equal: int = 1  # rows that counted as equally good
    candidates: int = 0
    misses: tuple[tuple[str, int], ...] = ()  # each limit, and how many rows exceed it
    teacher: Row | None = None  # the best one, for comparison
    cascade: Cascade | None = None  # the chosen row and its teacher together
    notes: tuple[str, ...] = ()
    backend: str | None = None  # the one in the limits
    device: str = "cpu"


def forms_of(row: Row, backend: str | None = None, device: str = "cpu") -> list[Form]:
    """Return every measured backend; without measurements, the saved model."""
    sizes = {
        name.removeprefix("size_").removesuffix("_bytes"): stat.mean
        for name, stat in row.stats.items()
        if name.startswith("size_")
    }
    found = []
    for name, stat in row.stats.items():
        match = re.fullmatch(rf"latency_(.+)_{re.escape(device)}_p50_ms", name)
        if match and backend in (None, match[1]):
            found.append(Form(match[1], stat.mean, sizes.get(match[1], sizes.get("model"))))
    return found or ([Form("model", None, sizes.get("model"))] if backend is None else [])
