"""Merge the records of a run with those of earlier runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from harness.naming import PARTS, configuration, contains, named
from harness.results.record import Failure, Record


class Merged(NamedTuple):
    """The records of a run, and those of earlier runs that are kept."""

    records: list[Record]
    stayed: int  # kept records on the same data; the run has no newer results for their rows
    failed: int  # kept records of cells that failed in this run; they tell of it in `last_failure`
    older: int  # removed records; other seeds of their rows were measured again, by other code
    gone: int  # removed records; the suite no longer has their rows


def merge(
    before: Iterable[Record], now: Iterable[Record], planned: Iterable[Mapping[str, Any]] = ()
) -> Merged:
    """Return the records of a run, and the earlier records that it does not replace.

    Only a result replaces a result: if a cell failed in this run, its earlier record stays and gets
    `last_failure`; if it is unavailable here, e.g. because a package is missing, its earlier record stays as
    it is. Other earlier records are kept in two cases. First, they are for another data source of a task: a
    run on the sample corpus keeps the results on real data. Second, they belong to a row that the suite still
    has (`planned` describes its rows, see :func:`harness.results.collect.rows`), but this run has no result
    for the row, e.g. if it ran only a part of the suite. Parameters that a component has gained since are
    filled in, unless its version has changed. All seeds of a row come from the same code.

    `planned` is read only if it is needed, i.e. not if the run has all cells again.
    """
    now = list(now)
    sources = {_data(record) for record in now}
    results = {record["cell"] for record in now if record["status"] == "ok"}
    tried = {record["cell"]: record for record in now if record["status"] != "ok"}
    left = [
        record
        for record in before
        if record["task"]["source"]
        and record["cell"] not in results
        and (record["status"] == "ok" or (_data(record) not in sources and record["cell"] not in tried))
    ]
    if all(_data(record) not in sources and record["cell"] not in tried for record in left):
        return Merged(now + left, 0, 0, 0, 0)

    answered: dict[str, set[int]] = {}  # the seeds with a new result, by row
    for record in now:
        if record["status"] == "ok":
            answered.setdefault(configuration(record), set()).add(record["seed"])
    tried_rows = {(configuration(record), record["seed"]): record for record in tried.values()}
    exact: dict[str, Mapping[str, Any]] = {}
    namesakes: dict[str, list[Mapping[str, Any]]] = {}
    for one in planned:
        exact[configuration(one)] = one
        namesakes.setdefault(named(one), []).append(one)
    kept: list[Record] = []
    replaced: set[str] = set()  # cells of this run that leave their place to an earlier record
    stayed = failed = older = gone = 0
    for record in left:
        attempt = tried.get(record["cell"])
        if attempt is None and _data(record) not in sources:
            kept.append(record)
            continue
        same = exact.get(configuration(record))
        if same is None:
            grown = [one for one in namesakes.get(named(record), []) if _has_grown(one, record)]
            same = grown[0] if len(grown) == 1 else None
        if attempt is None:
            if same is None or record["seed"] not in same["seeds"]:
                gone += 1
                continue
            row, seed = configuration(same), record["seed"]
            attempt = tried_rows.get((row, seed))
            measured = answered.get(row, set())
            if attempt is None and (seed in measured or (measured and not _is_current(record, same))):
                older += seed not in measured
                continue
        if same is not None:
            record = _filled(record, same)
        if attempt is not None:
            replaced.add(attempt["cell"])
        if attempt is None or attempt["status"] == "unavailable":
            stayed += 1
        else:
            record = {**record, "last_failure": _failure(attempt)}
            failed += 1
        kept.append(record)
    now = [record for record in now if record["cell"] not in replaced]
    return Merged(now + kept, stayed, failed, older, gone)


def _data(record: Record) -> tuple[str, str | None]:
    return record["task"]["name"], record["task"]["source"]


def _is_current(record: Record, row: Mapping[str, Any]) -> bool:
    """Return whether the code of a planned row is the code that made the record."""
    made = (record.get("artefacts") or {}).get("evaluation")
    return made is not None and made == row["seeds"][record["seed"]]


def _failure(attempt: Record) -> Failure:
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return {"status": attempt["status"], "reason": attempt.get("reason") or "no reason given", "when": when}


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
