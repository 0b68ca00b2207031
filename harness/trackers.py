"""Follow a run with trackers, each in a thread of its own, so that a slow or broken one holds up no step."""

from __future__ import annotations

import re
import threading
import tomllib
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from harness.api import KINDS, parameters_of
from harness.tracking import Follower, Run, Tracker
from harness.values import HarnessError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from harness.catalog import Catalog
    from harness.plan.planner import Plan
    from harness.results.record import Record

PATIENCE_S = 60.0  # how long the end of a run waits for a tracker to catch up
_BACKLOG = 10_000  # events that a tracker may be behind before it is told no more of how far steps are


def chosen(text: str, catalog: Catalog) -> Tracker:
    """The tracker that ``--tracker`` names: "tensorboard", or "mlflow:experiment=mine,uri=http://…"."""
    from harness.parameters import types_of

    name, _, rest = text.partition(":")
    table: dict[str, Any] = {"use": name}
    for item in re.split(r",(?=\s*\w+\s*=)", rest) if rest else ():
        key, equals, value = item.partition("=")
        if not equals:
            raise HarnessError(f"--tracker takes NAME or NAME:PARAMETER=VALUE,…, got {text!r}")
        table[key.strip()] = value.strip()
    try:
        types = types_of(catalog.get("tracker", name).component)
        table |= {k: _value(v) for k, v in table.items() if k in types and types[k] not in (str, Path)}
        found = catalog.build("tracker", table)
    except HarnessError as error:
        raise HarnessError("\n".join(f"--tracker: {line}" for line in str(error).splitlines())) from None
    assert isinstance(found, Tracker)
    return found


def _value(text: str) -> Any:
    """A value as TOML has it; what is none is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def describe(plan: Plan, folder: Path) -> Run:
    """A plan, and where its results go, as trackers are told of it."""
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
    """Start trackers of a plan's run, and close what is open of them in the end, however that comes."""
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
    """All trackers of a run, and the warnings of those that broke."""

    def __init__(self) -> None:
        self._threads: list[_Thread] = []
        self._warnings: SimpleQueue[str] = SimpleQueue()

    def add(self, tracker: Tracker, run: Run) -> None:
        """Start a tracker. HarnessError is for the user to mend; all else costs the tracker only."""
        try:
            follower = tracker.start(run)
        except (HarnessError, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._warnings.put(_broken(tracker, error))
            return
        self._threads.append(_Thread(tracker, follower, self._warnings.put))

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Tell all of them."""
        for thread in self._threads:
            if event["event"] != "progress" or thread.waiting.qsize() < _BACKLOG:
                thread.waiting.put((event, None))

    def finish(self, records: Sequence[Record], interrupted: bool) -> None:
        """Tell all of them how the run ended, once, and wait until they have taken it in."""
        threads, self._threads = self._threads, []
        for thread in threads:
            thread.waiting.put((None, (records, interrupted)))
        for thread in threads:
            thread.join(PATIENCE_S)
            if thread.is_alive():
                name = thread.tracker.name
                self._warnings.put(f"tracker '{name}' is behind by more than {PATIENCE_S:g} s: left at that")

    def complain(self, show: Callable[[dict[str, Any]], None]) -> None:
        """Tell the display what went wrong with trackers since last asked."""
        while not self._warnings.empty():
            show({"event": "message", "message": self._warnings.get()})


class _Thread(threading.Thread):
    """Tells one tracker, until it breaks or the run ends."""

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
    return f"tracker '{tracker.name}' is left out of this run: {type(error).__name__}" + f": {said}" * bool(
        said
    )
