"""Trackers: what follows a run from outside, such as TensorBoard and MLflow. They cannot change a result.

A tracker is a component of a kind of its own, outside of the matrix and of every key. It is told what the
display is told, in a thread of its own: what it raises costs a warning and itself, and a slow server holds
up no step. No step and no component imports this module, so that its code is in no key either.
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
    def finish(self, records: Sequence[Mapping[str, Any]], interrupted: bool) -> None:
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
