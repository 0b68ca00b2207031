"""Build the leaderboard: a table for each task and data source, from records and predictions."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from harness.hookspecs import DISTRIBUTION
from harness.naming import labeller
from harness.results.costs import Spent, spent
from harness.results.ranking import SOURCES, Table, _canonical, _distinct, _table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from harness.results.record import Record
    from harness.task_types.base import Prediction


@dataclass(frozen=True)
class Leaderboard:
    """All tables, and the versions and machines that produced them."""

    tables: tuple[Table, ...]
    suites: tuple[str, ...]
    versions: tuple[str, ...]  # of the harness
    machines: tuple[str, ...]
    records: int
    commits: tuple[str, ...] = ()  # of the harness; "" if it did not run from a repository
    spent: Spent = field(default_factory=Spent)


def build(records: Iterable[Record], predictions: Mapping[str, Prediction] | None = None) -> Leaderboard:
    """Return the leaderboard of some records, in any order.

    With `predictions` (see :mod:`harness.results.predictions`), rows also have confidence intervals, and the
    range of ranks that statistical tests allow.
    """
    records = list(records)
    named = labeller(records)
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        task = record["task"]
        data = [task.get("version"), task.get("source"), task.get("fingerprint")]
        groups[_canonical([task["name"], task["params"], data])].append(record)
    # Labels distinguish tasks within the leaderboard, and other components within their table.
    tables = [
        replace(_table(group, labeller(group)), label=named("task", group[0]["task"]))
        for group in groups.values()
    ]
    if predictions is not None:
        from harness.results.intervals import attach

        tables = [attach(table, predictions) for table in tables]
    made = [record.get("provenance") or {} for record in records]
    return Leaderboard(
        tables=tuple(sorted(tables, key=_place)),
        suites=_distinct(record["suite"] for record in records),
        versions=_distinct(where.get("packages", {}).get(DISTRIBUTION, "") for where in made),
        machines=_distinct(", ".join([where.get("cpu", ""), *(where.get("gpu") or [])]) for where in made),
        records=len(records),
        commits=tuple(sorted({where.get("git") or "" for where in made})),
        spent=spent(records),
    )


def of_run(board: Leaderboard, records: Iterable[Record]) -> Leaderboard:
    """Return a leaderboard with only the tables for the data of these records, e.g. those of a run."""
    data = {(record["task"]["name"], record["task"].get("source")) for record in records}
    tables = (table for table in board.tables if (table.task["name"], table.task.get("source")) in data)
    return replace(board, tables=tuple(tables))


def _place(table: Table) -> tuple[Any, ...]:
    source = table.task.get("source") or ""
    order = SOURCES.index(source) if source in SOURCES else len(SOURCES)
    return table.label, order, source, table.task.get("fingerprint") or "", _canonical(table.task["params"])
