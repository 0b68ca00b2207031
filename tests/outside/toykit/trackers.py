"""A tracker that writes down what it is told, and goes wrong when it is told to."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import harness
from harness.results.record import Record
from harness.tracking import Follower, Run, Tracker


@dataclass(frozen=True)
class ToyTracker(Tracker):
    """A line of JSON for all it is told."""

    name = "toy-tracker"

    file: Path = Path("told.jsonl")
    trouble: Literal["", "refuse", "start", "event", "exit", "finish", "hang"] = ""
    again: int = 0  # changes nothing

    def start(self, run: Run) -> Follower:
        """Refuse, raise, or follow."""
        if self.trouble == "refuse":
            raise harness.Unavailable("the toy tracker is not for here")
        if self.trouble == "start":
            raise OSError("no such server")
        follower = Told(self.file, self.trouble)
        follower.tell({"suite": run.suite, "results": str(run.results), "cells": run.cells})
        return follower


class Told(Follower):
    """Writes to a file."""

    def __init__(self, file: Path, trouble: str) -> None:
        self.file = file
        self.trouble = trouble

    def tell(self, what: Mapping[str, Any]) -> None:
        with self.file.open("a") as stream:
            stream.write(json.dumps(what) + "\n")

    def event(self, event: Mapping[str, Any]) -> None:
        """Write an event, or go wrong at the first that a step is done."""
        if event["event"] == "done":
            match self.trouble:
                case "event":
                    raise ValueError("the toy tracker broke")
                case "exit":
                    sys.exit(7)
                case "hang":
                    threading.Event().wait()
        self.tell(event)

    def finish(self, records: Sequence[Record], interrupted: bool) -> None:
        """Write how it ended."""
        if self.trouble == "finish":
            raise ValueError("the toy tracker broke at last")
        self.tell({"finish": [record["cell"] for record in records], "interrupted": interrupted})
