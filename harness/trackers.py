"""Follow a run with trackers. Each has its own thread, so that no step waits for a slow or broken one."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from harness.api import KINDS, parameters_of
from harness.tracking import Follower, Run, Tracker
from harness.values import HarnessError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from harness.plan.planner import Plan
    from harness.results.record import Record

PATIENCE_S = 60.0  # how long the end of a run waits for a tracker to catch up
_BACKLOG = 10_000  # waiting events; a tracker that is further behind receives no progress events


def describe(plan: Plan, folder: Path) -> Run:
    """Return the description of a plan, and of the folder for its results, that trackers receive."""
    cells = []
    for cell in plan.cells:
        parts = {kind: getattr(cell, kind) for kind in KINDS}
        cells.append(
            {
                "cell": cell.key,
                "label": cell.label,
                "role": cell.role,
                **{k: {"name": c.name, "params": parameters_of(c)} if c else None for k, c in parts.items()},
                "seed": cell.seed,
                "status": cell.status,
                "reason": cell.reason,
                "fit": cell.steps.get("teacher" if cell.role == "teacher" else "student"),
            }
        )
    return Run(plan.suite.name, folder, tuple(cells))


@contextmanager
def follow(trackers: Iterable[Tracker], plan: Plan, folder: Path) -> Iterator[Trackers]:
    """Start trackers for the run of a plan, and close them at the end, after an error too."""
    following = Trackers()
    each = dict.fromkeys(trackers)
    try:
        if each:
            run = describe(plan, folder)
        for tracker in each:
            following.add(tracker, run)
        yield following
    finally:
        following.finish((), interrupted=True)


class Trackers:
    """All trackers of a run, and the warnings about those that failed."""

    def __init__(self) -> None:
        self._threads: list[_Thread] = []
        self._warnings: SimpleQueue[str] = SimpleQueue()

    def add(self, tracker: Tracker, run: Run) -> None:
        """Start a tracker.

        A HarnessError is raised again, because the user can fix its cause. After any other error, the run
        continues without the tracker.
        """
        try:
            follower = tracker.start(run)
        except (HarnessError, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._warnings.put(_broken(tracker, error))
            return
        self._threads.append(_Thread(tracker, follower, self._warnings.put))

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Send an event to all trackers."""
        for thread in self._threads:
            if event["event"] != "progress" or thread.waiting.qsize() < _BACKLOG:
                thread.waiting.put((event, None))

    def finish(self, records: Sequence[Record], interrupted: bool) -> None:
        """Tell all trackers once how the run ended, and wait until they have finished."""
        threads, self._threads = self._threads, []
        for thread in threads:
            thread.waiting.put((None, (records, interrupted)))
        for thread in threads:
            thread.join(PATIENCE_S)
            if thread.is_alive():
                name = thread.tracker.name
                self._warnings.put(
                    f"tracker '{name}' did not finish within {PATIENCE_S:g} s; its data may be incomplete"
                )

    def complain(self, show: Callable[[dict[str, Any]], None]) -> None:
        """Show the warnings about trackers since the last call."""
        while not self._warnings.empty():
            show({"event": "message", "message": self._warnings.get()})


class _Thread(threading.Thread):
    """A thread that passes events to one tracker, until the tracker fails or the run ends."""

    def __init__(self, tracker: Tracker, follower: Follower, warn: Callable[[str], None]) -> None:
        super().__init__(name=f"tracker {tracker.name}", daemon=True)
        self.tracker = tracker
        self.follower = follower
        self.warn = warn
        self.waiting: SimpleQueue[tuple[Mapping[str, Any] | None, Any]] = SimpleQueue()
        self.start()

    def run(self) -> None:
        broken = False
        while True:
            event, end = self.waiting.get()
            try:
                if event is None:
                    self.follower.finish(*end)
                elif not broken:
                    self.follower.event(event)
            except BaseException as error:  # SystemExit and panics of compiled modules too
                if not broken:
                    self.warn(_broken(self.tracker, error))
                broken = True
            if event is None:
                return


def _broken(tracker: Tracker, error: BaseException) -> str:
    said = " ".join(str(error).split())[:300]
    message = f"tracker '{tracker.name}' failed and no longer follows this run: {type(error).__name__}"
    return message + f": {said}" * bool(said)
