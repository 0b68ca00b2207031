"""Merge the records of a run with those of earlier runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from harness.naming import PARTS, configuration, contains, named
from harness.results.record import Record


class Merged(NamedTuple):
    """The records of a run, and those of earlier runs that are kept."""

    records: list[Record]
    stayed: int  # kept records on the same data; the run has no newer results for their rows
    gone: int  # removed records; the suite no longer has their rows


def merge(
    before: Iterable[Record], now: Iterable[Record], planned: Iterable[Mapping[str, Any]] = ()
) -> Merged:
    """Return the records of a run, and the earlier records that it does not replace.

    Earlier records are kept in two cases. First, they are for another data source of a task: a run on the
    sample corpus keeps the results on real data. Second, they belong to a row that the suite still has
    (`planned` describes its rows, each with its `seeds`), but this run has no result for the row, e.g. if it
    ran only a part of the suite. Parameters that a component has gained since are filled in, unless its
    version has changed. All seeds of a row come from one run. If a cell is unavailable here, e.g. because a
    package is missing, its earlier result is kept.

    `planned` is read only if it is needed, i.e. not if the run has all cells again.
    """
    now = list(now)
    tried = [record for record in now if tells(record)]
    cells = {record["cell"] for record in tried}
    sources = {_data(record) for record in now}
    left = [record for record in before if record["task"]["source"] and record["cell"] not in cells]
    left = [record for record in left if record["status"] == "ok" or _data(record) not in sources]
    if all(_data(record) not in sources for record in left):
        return Merged(now + left, 0, 0)

    answered = {configuration(record) for record in tried}
    exact: dict[str, Mapping[str, Any]] = {}
    namesakes: dict[str, list[Mapping[str, Any]]] = {}
    for row in planned:
        exact[configuration(row)] = row
        namesakes.setdefault(named(row), []).append(row)
    kept: list[Record] = []
    known: set[tuple[str, int]] = set()
    stayed = gone = 0
    for record in left:
        if _data(record) not in sources:
            kept.append(record)
            continue
        same = exact.get(configuration(record))
        if same is None:
            grown = [row for row in namesakes.get(named(record), []) if _has_grown(row, record)]
            same = grown[0] if len(grown) == 1 else None
        if same is None or record["seed"] not in same["seeds"]:
            gone += 1
        elif configuration(same) not in answered:
            kept.append(_filled(record, same))
            known.add((configuration(same), record["seed"]))
            stayed += 1
    now = [record for record in now if tells(record) or (configuration(record), record["seed"]) not in known]
    return Merged(now + kept, stayed, gone)


def tells(record: Record) -> bool:
    """Return whether a record replaces earlier ones: not if its cell was unavailable on this machine."""
    return record["status"] != "unavailable"


def _data(record: Record) -> tuple[str, str | None]:
    return record["task"]["name"], record["task"]["source"]


def _has_grown(row: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Return whether a planned row equals a record's, apart from parameters that were added since."""
    pairs = [((row.get(kind) or {}), (record.get(kind) or {})) for kind in ("task", *PARTS)]
    return all(
        new.get("version") == old.get("version") and contains(new.get("params"), old.get("params"))
        for new, old in pairs
    )


def _filled(record: Record, row: Mapping[str, Any]) -> Record:
    """Return the record with its row's parameters, and with the current number of the task's cells."""
    found: dict[str, Any] = dict(record)
    for kind in ("task", *PARTS):
        if found.get(kind):
            found[kind] = {**found[kind], "params": row[kind]["params"]}
    found["task"]["cells"] = row["task"]["cells"]
    return found  # type: ignore[return-value]
