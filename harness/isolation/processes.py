"""Find and end the processes that plugins have started, by an environment variable that they inherit."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

MARK = "DISTIL_HARNESS_WORKER"  # the variable; its value tells workers, and imports, from others
_ROUNDS = 20


def end_processes(mark: str, spared: Collection[int] = ()) -> None:
    """Kill all processes of a worker that are left, which its environment variable MARK identifies."""
    wanted = f"{MARK}={mark}".encode()
    for _ in range(_ROUNDS):  # a process may start another one while it is killed
        found = [int(folder.name) for folder in Path("/proc").glob("[0-9]*") if wanted in _environ(folder)]
        if not (found := [pid for pid in found if pid not in spared]):
            return
        for pid in found:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _environ(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:  # it ended, or belongs to someone else
        return []
