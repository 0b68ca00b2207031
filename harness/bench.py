"""Run the missing steps of a plan, then write its records, tables and report.

``harness bench`` uses this module, which is also the Python API of a run. It prints nothing. A caller who
wants to follow the run passes `watch`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from harness.report import leaderboard
from harness.report.html.write import write as write_report
from harness.results import predictions
from harness.results.board import Leaderboard, of_run
from harness.results.collect import collect, known, rows
from harness.results.merge import merge
from harness.results.record import read
from harness.run.local import Local
from harness.run.runner import prepare, run
from harness.storage import files
from harness.storage.inventory import using
from harness.storage.leases import exclusive
from harness.storage.shared import opened
from harness.storage.store import Store
from harness.values import HarnessError

if TYPE_CHECKING:
    from pathlib import Path

    from harness.catalog import Catalog
    from harness.devices import Slot
    from harness.executors.base import Executor
    from harness.plan.planner import Plan
    from harness.results.record import Record
    from harness.run.schedule import Outcome
    from harness.tracking import Tracker

STATUSES = ("ok", "failed", "unavailable", "incompatible")


class Display(Protocol):
    """A view of a run, for a person or a program."""

    def __call__(self, event: dict[str, Any]) -> None:
        """Show one event."""

    def finish(self, ran: Ran) -> None:
        """Show how the run ended."""


Watch = Callable[["Plan", int], AbstractContextManager[Display]]  # (plan, number of slots) → display


class _Silent:
    def __call__(self, event: dict[str, Any]) -> None:
        """Show nothing."""

    def finish(self, ran: Ran) -> None:
        """Show nothing."""


@dataclass(frozen=True)
class Ran:
    """The outcome of a run."""

    board: Leaderboard  # the tables for the data of this run
    counts: dict[str, int]  # numbers of the selected cells, by status
    folder: Path  # contains the results
    interrupted: bool


def bench(
    plan: Plan,
    chosen: Plan,
    catalog: Catalog,
    places: Sequence[Slot],
    store: Path,
    results: Path,
    *,
    executor: Executor | None = None,
    fresh: bool = False,
    watch: Watch | None = None,
    trackers: Iterable[Tracker] = (),
) -> Ran:
    """Run the missing steps of `chosen`, which is `plan` or a part of it, and write the plan's results.

    `places` are slots of the executor, which is by default that of this machine.

    `watch` opens a display, which is called with each event: a dictionary whose "event" names its type. An
    interrupt (KeyboardInterrupt) ends the run; finished steps are kept, and their results are written. Raise
    HarnessError, before anything is shown or run, if a tracker cannot be used or results cannot be written.
    """
    from harness.trackers import follow

    folder = results / plan.suite.name
    check_writable(folder)
    kept = opened(store)
    with using(kept, plan.steps), follow(trackers, chosen, folder) as following:
        earlier = _earlier(folder)  # if they cannot be read, fail now and not after hours
        before = earlier.records
        there = known(chosen, before, earlier.answers.test)
        if fresh:
            for step in chosen.steps.values():
                kept.remove(step.kind, step.key)
        with watch(chosen, len(places)) if watch else nullcontext(_Silent()) as show:

            def observe(event: dict[str, Any]) -> None:
                show(event)
                following(event)
                following.complain(show)

            interrupted = False
            try:
                workers = (executor or Local()).start(store, places)
                schedule = run(chosen, kept, workers, observe, plan.suite.time_limit, there)
            except (KeyboardInterrupt, BrokenPipeError):  # BrokenPipeError: who read the display has gone
                interrupted = True
                schedule = prepare(chosen, kept, known=there)
            # Stored cells that this call did not select are in the tables too.
            whole = schedule if chosen is plan else prepare(plan, kept)

            def outcome(key: str) -> Outcome:
                return (schedule if key in schedule.states else whole).outcome(key)

            def tell(message: str) -> None:
                show({"event": "message", "message": message})

            asked = {cell.key for cell in chosen.cells}
            # A cell that was not selected, and has no result, is not listed unless it was listed before.
            listed = asked | {record["cell"] for record in before}
            records = [
                record
                for record in collect(plan, outcome, kept, catalog, before, tell)
                if record["cell"] in listed or record["status"] == "ok"
            ]
            try:
                board = _written(plan, records, kept, catalog, folder, earlier, tell)
            except HarnessError as error:
                remedy = "run the same command again to write the results"
                raise HarnessError(f"{error}; finished steps are in the store: {remedy}") from None
            mine = [record for record in records if record["cell"] in asked]
            counts = {status: sum(r["status"] == status for r in mine) for status in STATUSES}
            following.finish(mine, interrupted)
            following.complain(show)
            ran = Ran(of_run(board, records), counts, folder, interrupted)
            show.finish(ran)
            return ran


def _written(
    plan: Plan,
    records: Sequence[Record],
    store: Store,
    catalog: Catalog,
    folder: Path,
    earlier: _Earlier,
    tell: Callable[[str], None],
) -> Leaderboard:
    """Write a run's records, tables and report, together with earlier results; return all tables."""

    def collect(more: predictions.Splits) -> predictions.Splits:
        """Return the answers of this run; those in `more` and unchanged ones of earlier runs are not read."""
        found = []
        for split, had, mine in zip(predictions.Splits._fields, earlier.answers, more, strict=True):
            same = predictions.unchanged(had, earlier.records, records)
            found.append({**mine, **predictions.collect(plan, records, store, same.union(mine), split)})
        return predictions.Splits(*found)

    own = collect(predictions.Splits({}, {}))

    def waiting(waits: bool) -> None:
        if waits:
            tell(f"waiting for another run to write its results to {folder}")

    with exclusive(folder / ".lock", waiting):  # keep what other runs have written there in the meantime
        files.sweep(folder)
        earlier = _earlier(folder, earlier)
        before = earlier.records
        own = collect(own)
        merged = merge(before, records, rows(plan, catalog))
        answers = predictions.Splits(
            *(
                predictions.merge(had, mine, before, merged.records)
                for had, mine in zip(earlier.answers, own, strict=True)
            )
        )
        for count, why in (
            (merged.stayed, "of earlier runs are kept: this run has no newer results for their rows"),
            (merged.failed, "of earlier runs are kept: their cells failed in this run (see last_failure)"),
            (merged.older, "of earlier runs are removed: other seeds of their rows were measured again"),
            (merged.gone, "of earlier runs are removed: the suite no longer has their rows"),
        ):
            if count:
                tell(f"{count:,} records {why}")
        same = {record["cell"] for record in before} == {record["cell"] for record in merged.records}
        kept = [had.keys() == mine.keys() for had, mine in zip(earlier.answers, answers, strict=True)]
        written = same and not any(own) and all(kept)
        board = leaderboard.write(merged.records, folder, answers.test, written, answers.validation)
        try:
            write_report(board, merged.records, answers.test, folder, answers.validation)
        except HarnessError as error:  # records and tables are written; the report can be written later
            tell(f"cannot write the report: {error}")
    return board


class _Earlier(NamedTuple):
    """The records and predictions of earlier runs, and what identifies the files that they are from."""

    records: list[Record]
    answers: predictions.Splits
    files: list[tuple[int, int, int] | None]


def _earlier(folder: Path, known: _Earlier | None = None) -> _Earlier:
    """Return the results of earlier runs in the folder: those that are `known`, if no file was replaced."""
    written = folder / "records.jsonl"
    files: list[tuple[int, int, int] | None] = []
    for path in (written, folder / predictions.FILE):
        try:
            status = path.stat()
            files.append((status.st_ino, status.st_mtime_ns, status.st_size))
        except OSError:
            files.append(None)
    if known is not None and known.files == files:
        return known
    return _Earlier(read(written) if written.exists() else [], predictions.read_splits(folder), files)


def check_writable(folder: Path) -> None:
    """Raise HarnessError if results cannot be written to the folder: now, and not after hours."""
    try:
        files.check_writable(folder)
    except OSError as error:
        raise HarnessError(f"cannot write results to {str(folder)!r}: {error.strerror or error}") from None
