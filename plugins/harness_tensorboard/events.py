"""Write a run as TensorBoard event files, in one folder per cell, without torch."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.api import HarnessError
from harness.tracking import Follower, Run, Tracker, measured, parameters, require, results

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class TensorBoard(Tracker):
    """TensorBoard: training curves by examples seen, and the parameters and final scores of each cell."""

    name = "tensorboard"

    folder: Path = Path(
        ".harness/tensorboard"
    )  # folder for `tensorboard --logdir`; relative to the current folder

    def start(self, run: Run) -> Follower:
        """Start to follow a run; see :class:`harness.tracking.Tracker`.

        The folder of a cell contains only its last run.
        """
        require("tensorboard.summary.writer.event_file_writer", "tensorboard")
        folder = self.folder / run.suite
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise HarnessError(
                f"tracker 'tensorboard' cannot write to {str(folder)!r}: {why}; choose another folder"
            ) from None
        return EventFiles(folder, run)


class EventFiles(Follower):
    """A follower that writes curves during the run, and parameters and final scores at its end."""

    def __init__(self, folder: Path, run: Run) -> None:
        self.folder = folder
        self.run = run
        self._open: dict[str, _Curves] = {}  # by folder
        self._drawn: set[str] = set()  # folders whose curves were written during the run

    def event(self, event: Mapping[str, Any]) -> None:
        """Write the curves of an event; see :class:`harness.tracking.Follower`."""
        if event.get("kind") not in ("teacher", "student"):
            return
        names = [name_of(cell) for cell in self.run.fitted_by.get(event["key"], ())]
        # A teacher that other steps need, or a member of an ensemble, is not a cell. It gets its own folder.
        names = names or [_slug(event["step"], event["key"])]
        if event["event"] == "progress":
            step, values = measured(event)
            for name in names if values else ():
                if name not in self._open:
                    self._open[name] = _Curves(self.folder / name, anew=True)
                self._open[name].add(step, values)
                self._drawn.add(name)
        elif event["event"] in ("started", "done", "failed", "unavailable", "damaged", "lost"):
            for name in names:
                if name in self._open:
                    self._open.pop(name).close()

    def finish(self, records: Sequence[Mapping[str, Any]], interrupted: bool) -> None:
        """Write parameters and scores; see :class:`harness.tracking.Follower`."""
        for curves in self._open.values():
            curves.close()
        labels = {cell["cell"]: cell for cell in self.run.cells}
        for record in records:
            if record["status"] not in ("ok", "failed") or record["cell"] not in labels:
                continue
            name = name_of(labels[record["cell"]])
            curves = _Curves(self.folder / name, anew=name not in self._drawn)
            if name not in self._drawn:  # the model was in the store, so nothing was trained in this run
                for point in record.get("history") or ():
                    curves.add(*measured(point))
            curves.result(parameters(record), results(record))
            curves.close()


def name_of(cell: Mapping[str, Any]) -> str:
    """Return the name of a cell's folder, readable and unique."""
    return _slug(f"{cell['role']} {cell['label']}", cell["cell"])


def _slug(label: str, key: str) -> str:
    return f"{re.sub(r'[^A-Za-z0-9._]+', '-', label).strip('-.')[:100]}-{key[:8]}"


class _Curves:
    """The event file of one folder."""

    def __init__(self, folder: Path, *, anew: bool) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        for old in folder.glob("events.out.tfevents.*") if anew else ():
            old.unlink()
        self._writer = EventFileWriter(str(folder))

    def add(self, step: int, values: Mapping[str, float]) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        self._write(
            Summary(value=[Summary.Value(tag=k, simple_value=v) for k, v in values.items()]),
            step,
        )

    def result(self, params: Mapping[str, str | int | float | bool], scores: Mapping[str, float]) -> None:
        """Write the parameters and final scores for TensorBoard's HParams page."""
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb

        # No list of all parameters and metrics is needed: the page collects them from the cells.
        self._write(hparams_pb(dict(params)), 0)
        self.add(0, scores)

    def close(self) -> None:
        self._writer.close()

    def _write(self, summary: Any, step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))
