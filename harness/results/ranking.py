"""Rank the configurations of a task, given its records: one row each, with statistics over seeds.

There is one table for each task with its parameters, data source and fingerprint. Only records are read.
:mod:`harness.report.leaderboard` shows the tables.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from harness.naming import PARTS, identity
from harness.results.record import Record
from harness.task_types.base import TaskType
from harness.task_types.former import of_metrics

if TYPE_CHECKING:
    pass

ROLES = ("teacher", "baseline", "distilled")
SOURCES = ("local", "hub", "sample")
NOT_SCORES = ("latency_", "cost_", "size_", "parameters_")  # how the names of a row's other numbers begin


@dataclass(frozen=True)
class Stat:
    """A number over n seeds: its mean and sample standard deviation (None for one seed)."""

    mean: float
    std: float | None
    n: int


@dataclass(frozen=True)
class Row:
    """One configuration. ``stats`` are over the seeds with status ok; ``problems`` describe the others."""

    role: str
    parts: Mapping[str, Mapping[str, Any] | None]  # by PARTS: {name, params, plugin, version}
    labels: Mapping[str, str]  # by PARTS: the name, with the parameters that distinguish it from namesakes
    seeds: tuple[int, ...]
    stats: Mapping[str, Stat]
    problems: tuple[tuple[str, str, tuple[int, ...]], ...] = ()  # (status, reason, seeds)
    failures: tuple[tuple[str, str, str, tuple[int, ...]], ...] = ()  # later: (status, reason, day, seeds)
    rank: int | None = None  # by the mean
    gain: float | None = None  # over the student's own baseline; above 0 is better
    cells: tuple[str, ...] = ()  # the keys of the cells that are ok, in the order of `seeds`
    scale: str = ""  # a digest; scores of rows with different scales cannot be compared
    # From predictions (see harness.results.intervals); None without them.
    interval: tuple[float, float] | None = None  # the 95 % interval of the headline's mean
    places: tuple[int, int] | None = None  # the best and the worst rank that tests allow
    gain_interval: tuple[float, float] | None = None
    gain_p: float | None = None  # corrected for the number of gains in the table
    disturbed: frozenset[str] = frozenset()  # latencies that other programs slowed, for all seeds

    @property
    def status(self) -> str:
        """Return "ok" if any seed is ok, or otherwise the status of the first problem."""
        return "ok" if self.seeds else self.problems[0][0]


@dataclass(frozen=True)
class Table:
    """The configurations that were measured on the same data, best first."""

    task: Mapping[str, Any]
    label: str
    headline: str
    rows: tuple[Row, ...]
    seeds: tuple[int, ...]
    task_type: TaskType
    note: str = ""  # remarks, e.g. why rows have no interval
    left: int = 0  # rows left out of what is shown, see `harness.report.columns.shortest`
    left_cells: int = 0  # cells of these

    def lower_is_better(self, metric: str = "") -> bool:
        """Return whether a lower value of a metric is better; by default, of the headline."""
        return self.task_type.metric(metric or self.headline).lower_is_better

    def is_share(self, metric: str, rows: Iterable[Row | None] | None = None) -> bool:
        """Return whether a metric is a share, which people read in percent: none of its values is above 1.

        `rows` are those to show; by default, all.
        """
        if metric.startswith(NOT_SCORES) or self.task_type.metric(metric).high > 1:
            return False
        shown = self.rows if rows is None else rows
        return all(abs(row.stats[metric].mean) <= 1 for row in shown if row and metric in row.stats)

    def title(self, metric: str) -> str:
        """Return the title of a metric."""
        return self.task_type.metric(metric).title


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(values) - {""}))


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _table(records: list[Record], label: Callable[[str, Any], str]) -> Table:
    groups: dict[str, dict[int, Record]] = defaultdict(dict)
    for record in records:
        fields: Mapping[str, Any] = record
        configuration = _canonical([record["role"], [identity(fields.get(part)) for part in PARTS]])
        groups[configuration][record["seed"]] = record  # the last record of a seed counts
    tasks: Iterable[Mapping[str, Any]] = (record["task"] for record in records)
    # Records of cells that never ran may lack the numbers of rows.
    task = min(tasks, key=lambda task: (-sum(value is not None for value in task.values()), _canonical(task)))
    rows = [_row([by_seed[seed] for seed in sorted(by_seed)], label) for by_seed in groups.values()]
    if cells := max(record["task"].get("cells", 0) for record in records):
        task = {**task, "cells": cells}
    task_type = _type_of(task, rows)
    headline = task.get("headline") or task_type.headline
    lower = task_type.metric(headline).lower_is_better
    best = references(rows, headline, -1 if lower else 1)
    rows = [_compared(row, best, headline, lower) for row in rows]
    sign = 1 if lower else -1

    def best_first(row: Row) -> tuple[Any, ...]:
        score = sign * row.stats[headline].mean if headline in row.stats else math.inf
        role = ROLES.index(row.role)
        return not row.seeds, score, role, *(row.labels[part] for part in PARTS), _canonical(row.parts)

    rows.sort(key=best_first)
    ranked = (replace(row, rank=i) if headline in row.stats else row for i, row in enumerate(rows, 1))
    seeds = tuple(sorted({record["seed"] for record in records}))
    note = mixed_scales(task_type, rows)
    return Table(task, label("task", task), headline, tuple(ranked), seeds, task_type, note)


def mixed_scales(task_type: TaskType, rows: Sequence[Row]) -> str:
    """Return a note if the scores of rows have different scales, or an empty string."""
    return "" if len({row.scale for row in rows} - {""}) < 2 else task_type.scale_note


def _type_of(task: Mapping[str, Any], rows: Sequence[Row]) -> TaskType:
    """Return the type of a task in records. Old records do not name it, and its plugin may be missing."""
    from harness.catalog import installed_type

    if (found := installed_type(task.get("type"))) is not None:
        return found
    if task.get("type"):
        return TaskType()
    return of_metrics({name for row in rows for name in row.stats})


def _row(records: list[Record], label: Callable[[str, Any], str]) -> Row:
    first = records[0]
    parts: dict[str, Any] = {part: first.get(part) for part in PARTS}
    calm, disturbed = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    ok, problems, failures = [], defaultdict(list), defaultdict(list)
    for record in records:
        if record["status"] == "ok":
            if failed := record.get("last_failure"):
                failures[failed["status"], failed["reason"], failed["when"][:10]].append(record["seed"])
            ok.append((record["seed"], record["cell"], (record.get("metrics") or {}).get("hidden")))
            for name, value, slowed in _numbers(record):
                (disturbed if slowed else calm)[name].append(value)
        else:
            problems[record["status"], record.get("reason") or "no reason given"].append(record["seed"])
    return Row(
        role=first["role"],
        parts=parts,
        labels={part: label(part, parts[part]) if parts[part] else "" for part in PARTS},
        seeds=tuple(seed for seed, _, _ in ok),
        cells=tuple(cell for _, cell, _ in ok),
        scale=next((str(found) for _, _, found in ok if found), ""),
        stats={name: _stat(values) for name, values in {**disturbed, **calm}.items()},  # calm ones if any
        disturbed=frozenset(disturbed.keys() - calm.keys()),
        problems=tuple((*why, tuple(seeds)) for why, seeds in problems.items()),
        failures=tuple((*why, tuple(seeds)) for why, seeds in failures.items()),
    )


def _numbers(record: Mapping[str, Any]) -> Iterator[tuple[str, float, bool]]:
    """Yield all numbers of a record that can be averaged over seeds, each with a flat name.

    The last value is true for a latency that other programs disturbed.
    """
    slowed: set[str] = set()
    groups = {
        "": record.get("metrics"),
        "validation_": record.get("validation"),
        "parameters_": record.get("parameters"),
        "cost_": record.get("cost"),
        "size_": {f"{form}_bytes": size for form, size in (record.get("size_bytes") or {}).items()},
    }
    # Tables compare latencies of single texts, with the smallest measured number of threads.
    runs = sorted(
        (run for run in record.get("latency") or [] if run["batch"] == 1), key=lambda r: r["threads"]
    )
    for run in reversed(runs):
        prefix = f"latency_{run['backend']}_{run['device'].partition(':')[0]}_"
        groups[prefix] = {name: value for name, value in run.items() if name.endswith("_ms")}
        (slowed.add if run.get("disturbed") else slowed.discard)(prefix)
    for prefix, group in groups.items():
        for name, value in (group or {}).items():
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                yield prefix + name, value, prefix in slowed


def _stat(values: Sequence[float]) -> Stat:
    if min(values) == max(values):  # avoid the rounding errors of a mean
        return Stat(values[0], 0.0 if len(values) > 1 else None, len(values))
    mean = math.fsum(values) / len(values)
    return Stat(mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)), len(values))


Reference = tuple[str, str]  # a part, and the identity of its component


def references(rows: Sequence[Row], headline: str, sign: int) -> dict[Reference, Row]:
    """Return the rows that distilled ones are compared to: each teacher's, and each student's baseline.

    If there are several, the best one is taken.
    """
    found: dict[Reference, Row] = {}
    for row in sorted(rows, key=lambda row: -sign * row.stats[headline].mean if headline in row.stats else 0):
        part = {"teacher": "teacher", "baseline": "student"}.get(row.role)
        augmented = row.labels["augmenter"] and row.parts["augmenter"]["name"] != "none"  # type: ignore[index]
        if part and headline in row.stats and not augmented:
            found.setdefault(reference(row, part), row)
            if row.role == "baseline" and row.parts["teacher"]:  # it starts from parts of this teacher
                found.setdefault(reference(row, "student", "teacher"), row)
    return found


def reference(row: Row, *parts: str) -> Reference:
    """Return the key of a row's teacher or student in :func:`references`."""
    return parts[0], _canonical([identity(row.parts[part]) for part in parts])


def own_baseline(row: Row, best: Mapping[Reference, Row]) -> Row | None:
    """Return the baseline of a row's student; if it takes parts of a teacher, with the same teacher."""
    return best.get(reference(row, "student", "teacher")) or best.get(reference(row, "student"))


def _compared(row: Row, best: Mapping[Reference, Row], headline: str, lower: bool) -> Row:
    """Return a distilled row with its gain over its baseline, and its share of the teacher if missing."""
    if row.role != "distilled" or headline not in row.stats:
        return row
    score = row.stats[headline]
    teacher, baseline = (
        one.stats[headline].mean if one else math.nan
        for one in (best.get(reference(row, "teacher")), own_baseline(row, best))
    )
    stats = dict(row.stats)
    if "teacher_share" not in stats and teacher > 0 and score.mean > 0:
        stats["teacher_share"] = Stat(teacher / score.mean if lower else score.mean / teacher, None, score.n)
    gain = None if math.isnan(baseline) else (baseline - score.mean) * (1 if lower else -1)
    return replace(row, stats=stats, gain=gain)
