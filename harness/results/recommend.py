"""Which row to ship, within limits: the row, its runner-up, what each costs, whether the difference is real.

How a row is chosen:

1. It keeps every limit. Limits on parameters, size and latency are of the form that it would be shipped in:
   of the forms that keep them, the fastest (torch, ONNX or the model's own). Scores are held against their
   limits on the split that chooses.
2. The split that chooses is validation, so that the test scores beside it stay those of data that chose
   nothing. Where records hold no validation scores it is test, and the answer says so.
3. Of those rows the best is the one with the best mean headline metric. Rows at most `tolerance` behind it
   (of what has no fixed range, such as perplexity, that share of it) that cannot be told apart from it (the
   tests of :mod:`harness.results.statistics`, on the test texts, corrected for their number) count as equally
   good. Of them, all that are within twice the smallest latency count as equally fast, or within twice the
   fewest parameters where nothing was timed; of these the one with the best score is chosen.
4. The runner-up is the best row that is left.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.api import HarnessError
from harness.results.compare import Pair, Results, differences, lower_is_better, scales
from harness.results.intervals import SIGNIFICANT, attach
from harness.results.ranking import SOURCES, Row, Table, mixed_scales
from harness.runtime.forms import FORMS
from harness.wording import choices, nearest, quantity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from harness.results.statistics import Difference

BACKENDS = frozenset({"torch", "torch-graph", "native", *FORMS})  # that latency steps tell of
_AS_FAST = 2.0  # times the smallest latency: one graph, timed at different moments, differs by a third


@dataclass(frozen=True)
class Limits:
    """What a row has to keep; None for what does not matter."""

    parameters: float | None = None
    p50_ms: float | None = None
    size_bytes: float | None = None
    train_s: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)  # by metric: the least, or the most of a loss
    backend: str | None = None
    device: str = "cpu"

    @classmethod
    def read(
        cls, texts: Mapping[str, str | None], scores: Iterable[str], backend: str | None, device: str
    ) -> Limits:
        """From what people write: `texts` by "parameters", "p50", "size" and "train", and "metric=score"."""
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
    """Advice for each task, from the best source that its results have, or from `source`."""
    known = {name for table in results.tables for row in table.rows for name in row.stats}
    for metric in limits.scores:
        if metric not in known:
            raise HarnessError(
                f"these results have no metric '{metric}'{nearest(metric, known) or choices(metric, known)}"
            )
    if limits.backend is not None and limits.backend not in BACKENDS:
        told = nearest(limits.backend, BACKENDS) or choices(limits.backend, BACKENDS)
        raise HarnessError(f"there is no backend '{limits.backend}'{told}")
    tables = [t for t in results.tables if any(row.rank for row in t.rows)]
    if source is not None:
        tables = [table for table in tables if table.task.get("source") == source]
    if not tables:
        of = f" on {source} data" if source else ""
        raise HarnessError(f"{results.name} has no row with a score{of}")
    first: dict[str, Table] = {}
    for table in sorted(tables, key=lambda table: _place(table.task.get("source"))):
        first.setdefault(table.label, table)
    return [
        _advice(attach(table, results.predictions), results, limits, tolerance) for table in first.values()
    ]


def _place(source: str | None) -> int:
    return SOURCES.index(source) if source in SOURCES else len(SOURCES)


def _advice(table: Table, results: Results, limits: Limits, tolerance: float) -> Advice:
    rows = [row for row in table.rows if table.headline in row.stats]
    chooser = f"validation_{table.headline}"
    split = "validation" if all(chooser in row.stats for row in rows) else "test"
    notes = list(filter(None, [mixed_scales(table.task_type, rows)]))
    if split == "test":
        notes.append(
            "records hold no validation scores: the test scores chose, and are too good for what was chosen"
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
            notes.append("no test: neither predictions of both rows nor more than one seed")
    for metric, bound in limits.scores.items():
        stat = chosen.row.stats.get(metric)
        if split == "validation" and stat and _breaks(table, metric, stat.mean, bound):
            notes.append(
                f"on test its {metric} is {stat.mean:.4g}, outside the limit that it keeps on validation"
            )
    return Advice(
        chosen=chosen, runner_up=runner_up, difference=gap, equal=len(equal), notes=tuple(notes), **about
    )


def _breaks(table: Table, metric: str, value: float, limit: float) -> bool:
    return value > limit if lower_is_better(table, metric) else value < limit


def _kept(table: Table, row: Row, limits: Limits, prefix: str) -> tuple[Form | None, list[str]]:
    """The fastest form of a row within the limits, and the limits that rule it out."""
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
    fast = [f for f in forms if limits.p50_ms is None or (f.p50_ms or math.inf) <= limits.p50_ms]
    small = [f for f in forms if limits.size_bytes is None or (f.size_bytes or math.inf) <= limits.size_bytes]
    both = [form for form in fast if form in small]
    if not forms:
        broken.append("backend")
    elif not both:
        broken += ["latency"] * (not fast) + ["size"] * (not small) or ["latency and size of one form"]
    return (min(both, key=lambda form: form.p50_ms or math.inf) if both else None), broken


def _equal(table: Table, results: Results, found: Sequence[Candidate], tolerance: float) -> list[Candidate]:
    """The best, and those that are as good as far as anyone can tell."""
    from harness.results.statistics import holm

    best, *others = found
    if table.lower_is_better():  # of no fixed range: a share of the best
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
    """The best-scored of those that are about as fast as the fastest."""

    def cost(candidate: Candidate) -> float:
        if all(each.form.p50_ms is not None for each in equal):
            return candidate.form.p50_ms or 0.0
        total = candidate.row.stats.get("parameters_total")
        return total.mean if total else math.inf

    least = min(map(cost, equal))
    return next(candidate for candidate in equal if cost(candidate) <= _AS_FAST * least)


class Form(NamedTuple):
    """A way to ship a row's model: its backend, the time of one text, its bytes."""

    backend: str
    p50_ms: float | None
    size_bytes: float | None


@dataclass(frozen=True)
class Candidate:
    """A row within the limits, and the form in which it is."""

    row: Row
    form: Form
    score: float  # the headline on the split that chooses


@dataclass(frozen=True)
class Advice:
    """What to ship for one task."""

    table: Table
    split: str  # that chose
    chosen: Candidate | None
    runner_up: Candidate | None = None
    difference: Difference | None = None  # runner-up less chosen, on test
    equal: int = 1  # rows that counted as equally good
    candidates: int = 0
    misses: tuple[tuple[str, int], ...] = ()  # limits, and how many rows each rules out
    teacher: Row | None = None  # the best, for scale
    notes: tuple[str, ...] = ()
    backend: str | None = None  # that was asked for
    device: str = "cpu"


def forms_of(row: Row, backend: str | None = None, device: str = "cpu") -> list[Form]:
    """Every backend that was timed; where none was, the model as it was saved."""
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
