"""The records of a run beside those of runs before it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from harness.naming import PARTS, configuration, contains, named
from harness.results.record import Record


class Merged(NamedTuple):
    """A run's records, and those of earlier runs that stand beside them."""

    records: list[Record]
    stayed: int  # records of the same data that the run has nothing of
    gone: int  # and those whose rows the suite does not have any more


def merge(
    before: Iterable[Record], now: Iterable[Record], planned: Iterable[Mapping[str, Any]] = ()
) -> Merged:
    """The records of a run, and those from before that it does not replace.

    Those are of tasks' other data sources: a run on the sample corpus leaves the results on real data in
    place. And they are of rows that the suite has (`planned` describes them, each with its `seeds`) and this
    run has nothing of, such as those that earlier code, or another machine, measured: to run a part of a
    suite costs no other part. Parameters that their components have gained since are filled in, unless a
    component's version says that its results are others. The seeds of one row are never of two runs. A cell
    that cannot run here, as where a package is missing, leaves in place what was measured of it elsewhere.

    `planned` is read only where it matters, which is not where a run has all cells again.
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
    """Whether it says more of its cell than that this machine lacks something for it."""
    return record["status"] != "unavailable"


def _data(record: Record) -> tuple[str, str | None]:
    return record["task"]["name"], record["task"]["source"]


def _has_grown(row: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Whether a planned row is a record's, but for parameters that there were not when it was made."""
    pairs = [((row.get(kind) or {}), (record.get(kind) or {})) for kind in ("task", *PARTS)]
    return all(
        new.get("version") == old.get("version") and contains(new.get("params"), old.get("params"))
        for new, old in pairs
    )


def _filled(record: Record, row: Mapping[str, Any]) -> Record:
    """The record with its row's parameters, and with how many cells the suite has now."""
    found: dict[str, Any] = dict(record)
    for kind in ("task", *PARTS):
        if found.get(kind):
            found[kind] = {**found[kind], "params": row[kind]["params"]}
    found["task"]["cells"] = row["task"]["cells"]
    return found  # type: ignore[return-value]
