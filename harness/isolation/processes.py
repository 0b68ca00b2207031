"""Find and end the processes that plugins have started, by an environment variable that they inherit."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

MARK = "DISTIL_HARNESS_WORKER"  # the variable; its value tells workers, and imports, from others
_ROUNDS = 20
_PROC = Path("/proc")


def end_processes(mark: str) -> None:
    """Kill all other processes whose environment variable MARK is `mark`.

    Do nothing without a /proc, or if it is that of another system, where processes have other numbers.
    """
    own = os.getpid()
    try:
        if (_PROC / "self").readlink() != Path(str(own)):
            return
    except OSError:
        return
    wanted = f"{MARK}={mark}".encode()
    for _ in range(_ROUNDS):  # a process may start another one while it is killed
        found = [int(folder.name) for folder in _PROC.glob("[0-9]*") if wanted in _environ(folder)]
        if not (found := [pid for pid in found if pid != own]):
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
