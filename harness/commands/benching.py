"""What the command does with a plan: run what is missing, then write records, tables and the page."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.api import HarnessError

if TYPE_CHECKING:
    from harness.catalog import Catalog
    from harness.devices import Slot
    from harness.plan import Plan
    from harness.results.predictions import Prediction
    from harness.results.record import Record
    from harness.schedule import Outcome
    from harness.tracking import Tracker, Trackers

STATUSES = ("ok", "failed", "unavailable", "incompatible")


@dataclass(frozen=True)
class Ran:
    """How a run ended."""

    counts: dict[str, int]  # of the cells that were asked for, by status
    folder: Path  # that has the results
    interrupted: bool


def bench(
    plan: Plan,
    chosen: Plan,
    catalog: Catalog,
    places: Sequence[Slot],
    store: Path,
    results: Path,
    *,
    fresh: bool = False,
    as_json: bool = False,
    trackers: Iterable[Tracker] = (),
) -> Ran:
    """Run what is missing of `chosen`, a part of `plan` or all of it, and write the plan's results.

    Raises HarnessError before anything runs where a tracker cannot be used, or results have no place.
    """
    from harness.tracking import follow

    folder = results / plan.suite.name
    check_writable(folder)
    with follow(trackers, chosen, folder) as following:
        return _bench(
            plan,
            chosen,
            catalog,
            places,
            store,
            folder,
            following,
            fresh=fresh,
            as_json=as_json,
        )


def _bench(
    plan: Plan,
    chosen: Plan,
    catalog: Catalog,
    places: Sequence[Slot],
    store: Path,
    folder: Path,
    following: Trackers,
    *,
    fresh: bool,
    as_json: bool,
) -> Ran:
    from harness import report as pages
    from harness.commands.console import complain
    from harness.commands.display import display
    from harness.executors.local import LocalExecutor
    from harness.results import leaderboard, predictions
    from harness.results.collect import collect, rows
    from harness.results.merge import merge, tells
    from harness.results.ranking import of_run
    from harness.runner import prepare, run
    from harness.store import Store
    from harness.writing import locked

    _earlier(folder)  # better to learn now than after hours that they cannot be read
    kept = Store(store)
    if fresh:
        for step in chosen.steps.values():
            kept.remove(step.kind, step.key)
    interrupted = False

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    with display(as_json, plan=chosen, slots=len(places)) as show:

        def observe(event: dict[str, Any]) -> None:
            show(event)
            following(event)
            following.complain(show)

        try:
            executor = LocalExecutor(store, places)
            schedule = run(chosen, kept, executor, observe, plan.suite.time_limit)
        except KeyboardInterrupt:
            interrupted = True
            schedule = prepare(chosen, kept)
    # Cells that this call was not asked for stand in the tables too, where they are stored.
    whole = schedule if chosen is plan else prepare(plan, kept)

    def outcome(key: str) -> Outcome:
        return (schedule if key in schedule.states else whole).outcome(key)

    records = list(collect(plan, outcome, kept, catalog))
    own = predictions.collect(plan, records, kept)
    told = {record["cell"] for record in records if tells(record)}
    with locked(folder / ".lock"):  # what other runs have written there meanwhile stays too
        before, predicted = _earlier(folder)
        merged, stayed, gone = merge(before, records, rows(plan, catalog))
        answers = predictions.merge(predicted, own, merged, told)
        for count, why in (
            (stayed, "stay in the tables, as this store has nothing of their rows"),
            (gone, "go, as the suite has no such rows any more"),
        ):
            if count:
                show({"event": "message", "message": f"{count:,} of earlier runs' records {why}"})
        board = leaderboard.write(merged, folder, answers)
        try:
            pages.write(board, merged, answers, folder)
        except HarnessError as error:  # records and tables are written: a page can be made of them any time
            complain(f"no report was written: {error}")
    asked = {cell.key for cell in chosen.cells}
    mine = [record for record in records if record["cell"] in asked]
    counts = {status: sum(r["status"] == status for r in mine) for status in STATUSES}
    following.finish(mine, interrupted)
    following.complain(show)
    show.finish(of_run(board, records), counts, folder, interrupted)
    return Ran(counts, folder, interrupted)


def _earlier(folder: Path) -> tuple[list[Record], dict[str, Prediction]]:
    """The records and predictions that earlier runs left in the folder."""
    from harness.results import predictions
    from harness.results.record import read

    written = folder / "records.jsonl"
    return read(written) if written.exists() else [], predictions.read(folder)


def check_writable(folder: Path) -> None:
    """Better to learn now than after hours that the results have no place."""
    import tempfile

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise HarnessError(f"cannot write results to {str(folder)!r}: {error.strerror or error}") from None
