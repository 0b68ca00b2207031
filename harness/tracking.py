"""Define the contract of trackers, such as TensorBoard and MLflow.

Trackers follow a run and cannot change it. A tracker is a component of a separate kind, outside of the matrix
and of every key. It receives the same events as the display, in its own thread. If it raises an error, the
run continues with a warning and without the tracker; if its server is slow, no step has to wait. No step and
no component imports this module, so its code is not part of any key.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from harness.api import KINDS, Component, Unavailable

_NO_SCALARS = ("event", "key", "kind", "step", "done", "total", "examples")


# -- the contract -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """The run that a tracker is going to follow."""

    suite: str
    results: Path  # the folder with the tables and records after the run
    # As in records: "cell" (its key), "role", "task", "teacher", "student", "augmenter", "loss" (each with
    # "name" and "params", or None), "seed", "status", "reason"; and its "label", and its "fit", the key
    # of the step that makes its model (None for a cell that cannot run)
    cells: tuple[Mapping[str, Any], ...]

    @cached_property
    def fitted_by(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """Return the cells whose model a step makes, by the step's key."""
        found = defaultdict(list)
        for cell in self.cells:
            if cell["fit"] is not None:
                found[cell["fit"]].append(cell)
        return dict(found)


class Follower(ABC):
    """A tracker during one run. All calls come from one thread, in order."""

    @abstractmethod
    def event(self, event: Mapping[str, Any]) -> None:
        """Receive one event, as `harness bench --json` prints it; its field "event" names its type.

        The first type is "run" (how much there is to do). Events of steps have "key", "kind" and "step" (the
        label), and the types "started", "progress" ("done" of "total", and what was measured), "warning",
        "done", "failed", "unavailable", "damaged" and "lost" (its machine or worker went away, and it is run
        again). Everything else has the type "message".
        """

    @abstractmethod
    def finish(self, records: Sequence[Mapping[str, Any]], interrupted: bool) -> None:
        """Receive the records of all cells that ended, and close everything.

        This is called exactly once, after an error or interrupt too.
        """


@dataclass(frozen=True)
class Tracker(Component):
    """A component that follows runs and reports them to another program."""

    kind: ClassVar[str] = "tracker"

    def start(self, run: Run) -> Follower:
        """Start to follow a run, before its first step.

        Raise HarnessError, in one sentence, if the tracker does not work with its parameters, or if a package
        that it needs is missing.
        """
        raise NotImplementedError


# -- helpers for trackers -----------------------------------------------------------------------------------


def require(module: str, extra: str) -> None:
    """Raise Unavailable if a module cannot be imported; the message names the extra that installs it."""
    try:
        import_module(module)
    except ImportError as error:
        message = f"the tracker '{extra}' needs the extra '{extra}': pip install 'distil-harness[{extra}]'"
        raise Unavailable(f"{message} ({error})") from None


def measured(point: Mapping[str, Any]) -> tuple[int, dict[str, float]]:
    """Return what a "progress" event, or a point of a record's history, measured.

    The result is the number of examples so far, and the measured values by name.
    """
    values = {name: value for name, value in point.items() if name not in _NO_SCALARS}
    return int(point.get("examples", point.get("done", 0))), _finite(values)


def parameters(cell: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    """Return the components and parameters of a cell or record, flat: "student", "student.width", "seed"."""
    found: dict[str, str | int | float | bool] = {"role": cell["role"], "seed": cell["seed"]}
    for kind in KINDS:
        if (part := cell.get(kind)) is not None:
            found[kind] = part["name"]
            found |= {f"{kind}.{name}": value for name, value in _flat(part["params"])}
    return found


def results(record: Mapping[str, Any]) -> dict[str, float]:
    """Return a record's numbers, flat: "test/accuracy", "validation/accuracy", "cost/train_s" and others."""
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
