"""Trackers: what follows a run from outside, such as TensorBoard and MLflow. They cannot change a result.

A tracker is a component of a kind of its own, outside of the matrix and of every key. It is told what the
display is told, in a thread of its own: what it raises costs a warning and itself, and a slow server holds
up no step. No step and no component imports this module, so that its code is in no key either.
"""

from __future__ import annotations

import math
import re
import threading
import tomllib
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, ClassVar

from harness.api import KINDS, Component, HarnessError, Unavailable, parameters_of

if TYPE_CHECKING:
    from harness.catalog import Catalog
    from harness.plan import Plan
    from harness.results.record import Record

PATIENCE_S = 60.0  # how long the end of a run waits for a tracker to catch up
_BACKLOG = 10_000  # events that a tracker may be behind before it is told no more of how far steps are
_NO_SCALARS = ("event", "key", "kind", "step", "done", "total", "examples")


# -- what a plugin author writes ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """What a tracker is told first."""

    suite: str
    results: Path  # the folder that has the tables and records when the run has ended
    # As in records: "cell" (its key), "role", "task", "teacher", "student", "augmenter", "loss" (each with
    # "name" and "params", or None), "seed", "status", "reason"; and its "label", and its "fit", the key
    # of the step that makes its model (None for a cell that cannot run)
    cells: tuple[Mapping[str, Any], ...]

    @cached_property
    def fitted_by(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """The cells whose model a step makes, by the step's key."""
        found = defaultdict(list)
        for cell in self.cells:
            if cell["fit"] is not None:
                found[cell["fit"]].append(cell)
        return dict(found)


class Follower(ABC):
    """What a tracker is for the length of one run. All calls come from one thread, in order."""

    @abstractmethod
    def event(self, event: Mapping[str, Any]) -> None:
        """Take one event, as `harness bench --json` prints it: "event" says which.

        "run" (how much there is to do), then of steps with "key", "kind" and "step" (its label) "started",
        "progress" ("done" of "total", and what was measured), "warning", "done", "failed", "unavailable"
        and "damaged"; "message" for all else.
        """

    @abstractmethod
    def finish(self, records: Sequence[Record], interrupted: bool) -> None:
        """Take the records of all cells that ended, and close what is open. Comes once, whatever happens."""


@dataclass(frozen=True)
class Tracker(Component):
    """Follows runs and tells somebody else of them."""

    kind: ClassVar[str] = "tracker"

    def start(self, run: Run) -> Follower:
        """Begin to follow a run, before any step is done.

        Raises HarnessError, in one sentence, where it cannot be used as it is set or installed here.
        """
        raise NotImplementedError


REGISTERED: Mapping[str, type[Component]] = {**KINDS, "tracker": Tracker}  # all kinds that have a hook


# -- what trackers share ------------------------------------------------------------------------------------


def require(module: str, extra: str) -> None:
    """Raise Unavailable, naming the extra of ours that installs it, where a module cannot be imported."""
    try:
        import_module(module)
    except ImportError as error:
        message = f"the tracker '{extra}' needs the extra '{extra}': pip install 'distil-harness[{extra}]'"
        raise Unavailable(f"{message} ({error})") from None


def measured(point: Mapping[str, Any]) -> tuple[int, dict[str, float]]:
    """What a "progress" event, or a point of a record's history, measured, and after how many examples."""
    values = {name: value for name, value in point.items() if name not in _NO_SCALARS}
    return int(point.get("examples", point.get("done", 0))), _finite(values)


def parameters(cell: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    """A cell's or a record's components and their parameters, flat: "student", "student.width", "seed"."""
    found: dict[str, str | int | float | bool] = {"role": cell["role"], "seed": cell["seed"]}
    for kind in KINDS:
        if (part := cell.get(kind)) is not None:
            found[kind] = part["name"]
            found |= {f"{kind}.{name}": value for name, value in _flat(part["params"])}
    return found


def results(record: Mapping[str, Any]) -> dict[str, float]:
    """A record's numbers, flat: "test/accuracy", "validation/accuracy", "cost/train_s", "size_bytes/onnx"."""
    fields = {"metrics": "test", "validation": "validation", "parameters": "parameters"}
    found: dict[str, Any] = {}
    for field, name in (fields | {"size_bytes": "size_bytes", "cost": "cost"}).items():
        found |= {f"{name}/{key}": value for key, value in (record.get(field) or {}).items()}
    for run in record.get("latency") or ():
        where = f"latency/{run['backend']}-{run['device'].partition(':')[0]}-{run['threads']}-threads"
        found |= {f"{where}/{key}": run[key] for key in ("p50_ms", "p99_ms", "samples_per_s") if key in run}
    return _finite(found)


def _finite(values: Mapping[str, Any]) -> dict[str, float]:
    numbers = {k: v for k, v in values.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    return {name: float(value) for name, value in numbers.items() if math.isfinite(value)}


def _flat(params: Mapping[str, Any]) -> Iterator[tuple[str, str | int | float | bool]]:
    for name, value in params.items():
        if isinstance(value, Mapping):
            yield from ((name if key == "use" else f"{name}.{key}", item) for key, item in _flat(value))
        elif value is not None:
            yield name, value if isinstance(value, str | int | float) else str(value)


# -- what the command does with them ------------------------------------------------------------------------


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
