"""Log a run to MLflow: a parent run for the suite, with a nested run for each cell."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.api import HarnessError, Unavailable
from harness.tracking import Follower, Run, Tracker, measured, parameters, require, results

if TYPE_CHECKING:
    pass

_AT_ONCE = 100  # parameters or tags in one call, a limit of the server
_LONGEST = 500  # characters of a parameter or tag, a limit of older servers
_DEFAULTS = {  # for environment variables that are not set
    "MLFLOW_ALLOW_FILE_STORE": "true",  # a folder needs no database, so it works with a plain installation
    "MLFLOW_DISABLE_TELEMETRY": "true",  # the harness contacts only servers that the user names
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}


@dataclass(frozen=True)
class MLflow(Tracker):
    """MLflow: a parent run for each call of bench, and a nested run for each cell."""

    name = "mlflow"

    # A server, a database or a folder; default: $MLFLOW_TRACKING_URI, or else the folder .harness/mlflow
    uri: str = ""
    experiment: str = ""  # name of the experiment; default: the suite's name

    def start(self, run: Run) -> Follower:
        """Start to follow a run; see :class:`harness.tracking.Tracker`."""
        for name, value in _DEFAULTS.items():
            os.environ.setdefault(name, value)
        require("mlflow", "mlflow")
        uri = self.uri or os.environ.get("MLFLOW_TRACKING_URI") or str(Path(".harness/mlflow").absolute())
        if uri.partition(":")[0] in ("sqlite", "mysql", "postgresql", "mssql"):
            try:
                import_module("sqlalchemy")
            except ImportError:
                message = "tracker 'mlflow' needs the full MLflow package for a database: pip install mlflow"
                raise Unavailable(f"{message}; or use a folder or a server as uri") from None
        return Runs(uri, self.experiment or run.suite, run)


class Runs(Follower):
    """A follower that logs curves during the run, and parameters, scores and tags at its end."""

    def __init__(self, uri: str, experiment: str, run: Run) -> None:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        self.run = run
        try:
            self.client = MlflowClient(tracking_uri=uri)
            found = self.client.get_experiment_by_name(experiment)
            if found is not None and found.lifecycle_stage == "deleted":
                raise HarnessError(
                    f"tracker 'mlflow' cannot use the experiment '{experiment}': it is deleted; "
                    "restore it, or choose another experiment"
                )
            self.experiment = found.experiment_id if found else self.client.create_experiment(experiment)
            tags = {"harness.suite.reader": run.suite, "harness.cells": str(len(run.cells))}
            self.parent = self._create(run.suite, tags)
        except MlflowException as error:
            said = " ".join(str(error).split())[:300]
            raise HarnessError(f"tracker 'mlflow' cannot use {uri!r}: {said}") from None
        self._runs: dict[str, str] = {}  # cell → run
        self._drawn: set[str] = set()  # cells whose curves were logged during the run

    def event(self, event: Mapping[str, Any]) -> None:
        """Log the curves of an event; see :class:`harness.tracking.Follower`."""
        if event["event"] not in ("started", "progress") or "key" not in event:
            return
        for cell in self.run.fitted_by.get(event["key"], ()):
            nested = self._nested(cell)
            if event["event"] == "progress" and (point := measured(event))[1]:
                self._log(nested, *point)
                self._drawn.add(cell["cell"])

    def finish(self, records: Sequence[Mapping[str, Any]], interrupted: bool) -> None:
        """Log parameters, scores and tags; see :class:`harness.tracking.Follower`."""
        cells = {cell["cell"]: cell for cell in self.run.cells}
        failed = False
        for record in records:
            if record["cell"] in cells:
                failed |= record["status"] == "failed"
                self._end(record, self._nested(cells[record["cell"]]))
        for left in self._runs.values():
            self.client.set_terminated(left, "KILLED")
        table = self.run.results / "leaderboard.md"
        if records and table.exists():
            self.client.log_artifact(self.parent, str(table))
        self.client.set_terminated(
            self.parent, "KILLED" if interrupted else "FAILED" if failed else "FINISHED"
        )

    def _nested(self, cell: Mapping[str, Any]) -> str:
        """Return the nested run of a cell, created at the first call."""
        if cell["cell"] not in self._runs:
            tags = {"mlflow.parentRunId": self.parent, "harness.cell": cell["cell"]}
            self._runs[cell["cell"]] = self._create(f"{cell['role']} {cell['label']}", tags)
        return self._runs[cell["cell"]]

    def _end(self, record: Mapping[str, Any], nested: str) -> None:
        from mlflow.entities import Param, RunTag

        if (
            record["cell"] not in self._drawn
        ):  # the model was in the store, so nothing was trained in this run
            for point in record.get("history") or ():
                self._log(nested, *measured(point))
        self._log(nested, 0, results(record))
        provenance = record.get("provenance") or {}
        tags = {
            "harness.status": record["status"],
            "harness.reason": record.get("reason"),
            "harness.role": record["role"],
            "harness.source": record["task"].get("source"),
            "harness.plan.fingerprint": record["task"].get("fingerprint"),
            "mlflow.source.git.commit": (provenance.get("git") or "").removesuffix("-dirty"),
            "harness.git": provenance.get("git"),
        }
        given = [RunTag(name, _short(value)) for name, value in tags.items() if value]
        params = [Param(name, _short(value)) for name, value in parameters(record).items()]
        self.client.log_batch(nested, tags=given)
        for at in range(0, len(params), _AT_ONCE):
            self.client.log_batch(nested, params=params[at : at + _AT_ONCE])
        self.client.set_terminated(nested, "FINISHED" if record["status"] == "ok" else "FAILED")
        del self._runs[record["cell"]]

    def _log(self, run: str, step: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        found = [Metric(name, value, now, step) for name, value in values.items()]
        for at in range(0, len(found), _AT_ONCE):
            self.client.log_batch(run, metrics=found[at : at + _AT_ONCE])

    def _create(self, name: str, tags: Mapping[str, str]) -> str:
        made = self.client.create_run(self.experiment, run_name=_short(name), tags=dict(tags))
        return str(made.info.run_id)


def _short(value: object) -> str:
    return str(value)[:_LONGEST]
