"""Keep how long steps took in a store, for estimates."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.storage.files import contents

FILE = "timings.jsonl"
_LATEST = 20  # timings of each name that count


@dataclass(frozen=True)
class Timings:
    """How long steps took in a store, newest last."""

    seconds: dict[str, list[float]]  # by piece of work
    paces: dict[str, list[float]]  # by names of similar steps: seconds divided by those that rates predict


def add(path: Path, work: str, likes: Iterable[str], seconds: float, rated: float) -> None:
    """Add a step to a file of timings, with its seconds by the rates and names of similar steps.

    It is one short line, so that lines of several processes never mix.
    """
    row = {"work": work, "likes": list(likes), "seconds": round(seconds, 4), "rated": round(rated, 4)}
    with (
        contextlib.suppress(OSError),  # e.g. a full disk: losing a timing must not fail the step
        open(path, "a", encoding="utf-8", opener=_at_once) as stream,
    ):
        stream.write(json.dumps(row) + "\n")


def read(path: Path) -> Timings:
    """Return the latest timings of each name in a file; none if the file cannot be read."""
    found = Timings({}, {})
    try:
        lines = contents(path).splitlines()
    except OSError:  # only estimates are lost
        lines = []
    for line in lines:
        try:
            row = json.loads(line)
            seconds = float(row["seconds"])
            found.seconds.setdefault(row["work"], []).append(seconds)
            pace = seconds / float(row["rated"])
            for name in row["likes"]:
                found.paces.setdefault(name, []).append(pace)
        except (ValueError, KeyError, TypeError, ZeroDivisionError):
            continue  # a line that a full disk cut off: only a timing is lost
    for each in (found.seconds, found.paces):
        each.update({name: values[-_LATEST:] for name, values in each.items()})
    return found


def _at_once(path: str, flags: int) -> int:
    """Open a file; raise OSError for a pipe that nobody reads, instead of waiting."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)
