"""Lease steps to runs on several machines where files cannot be locked: buckets and some network disks.

A lease is a small file that one machine alone can create: ``leases/<key>/<number>``, which names its run. A
run writes a new number into its own file ``leases/runs/<run>`` every few seconds. If another run has seen the
same number for :data:`_MISSED` times as long, it takes the lease over by creating the one with the next
number. It measures that by its own clock, so that the clocks of machines may differ.

A run that was only slow may finish a step that another one has taken over. That is work done twice, and no
damage: artefacts are published once.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from harness.api import HarnessError
from harness.storage import files

LEASES = "leases"
_RUNS = "runs"
_LEASE_S = 60.0  # without a sign of its run, a lease ends after this time
_MISSED = 6.0  # signs of a run that are missed before its leases end
_PAUSE_S = 30.0  # without questions, after a store could not be asked
_POLL_S = 0.2


class Board(Protocol):
    """A place for small files that several machines see; names are paths with ``/`` in it.

    All methods raise HarnessError if the place cannot be reached.
    """

    def create(self, name: str, content: bytes) -> bool:
        """Write a file if there is none of this name; return whether it was written, at most once for all."""

    def read(self, name: str) -> bytes | None:
        """Return what is in a file, or None if there is none."""

    def write(self, name: str, content: bytes) -> None:
        """Write or replace a file."""

    def names(self, folder: str) -> list[str]:
        """Return the names of the files in a folder, without those that begin with a dot."""

    def delete(self, name: str) -> None:
        """Delete a file, if there is one."""


class FolderBoard:
    """The board in a folder, on a file system that need not have locks."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def create(self, name: str, content: bytes) -> bool:
        """See :class:`Board`."""
        while True:
            try:
                return files.create(self.root / name, content)
            except FileNotFoundError:
                continue  # another run has just removed the folder, which was empty
            except OSError as error:
                raise HarnessError(f"cannot write {str(self.root / name)!r}: {files.why(error)}") from None

    def read(self, name: str) -> bytes | None:
        """See :class:`Board`."""
        try:
            return (self.root / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise HarnessError(f"cannot read {str(self.root / name)!r}: {files.why(error)}") from None

    def write(self, name: str, content: bytes) -> None:
        """See :class:`Board`."""
        files.publish(self.root / name, content)

    def names(self, folder: str) -> list[str]:
        """See :class:`Board`."""
        try:
            return [path.name for path in (self.root / folder).iterdir() if not path.name.startswith(".")]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise HarnessError(f"cannot read {str(self.root / folder)!r}: {files.why(error)}") from None

    def delete(self, name: str) -> None:
        """See :class:`Board`."""
        path = self.root / name
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise HarnessError(f"cannot delete {str(path)!r}: {files.why(error)}") from None
        if path.parent.name != _RUNS:  # else runs that begin now would miss it
            with contextlib.suppress(OSError):  # it is not empty
                path.parent.rmdir()


class NoLeases:
    """Leases for a store whose steps are locked: every run may try every step."""

    def __enter__(self) -> NoLeases:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def take(self, key: str) -> bool:
        """Return True."""
        return True

    def release(self, key: str) -> None:
        """Do nothing."""


class Leases:
    """The leases of one run, which gives signs of life between ``__enter__`` and ``__exit__``.

    `notice` gets a sentence if a lease is taken over, or if the board cannot be reached. Then the run goes on
    as if it were alone: a step may be done twice, and nothing is lost.
    """

    def __init__(self, board: Board, notice: Callable[[str], None], lease_s: float | None = None) -> None:
        self._board, self._notice = board, notice
        self._every_s = (lease_s or _configured_s()) / _MISSED
        self._run = uuid.uuid4().hex
        self._who = f"process {os.getpid()} on {platform.node()}"
        self._mine: dict[str, str] = {}  # the leases of this run by step
        self._seen: dict[str, tuple[bytes | None, float, float]] = {}  # runs: last sign, when new, when read
        self._beats = 0
        self._silent_until = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True, name="leases")

    def __enter__(self) -> Leases:
        """Give the first sign of life. Raise HarnessError if the board cannot be written."""
        self._beat()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Give all leases back."""
        self._ended.set()
        self._thread.join(self._every_s)
        for key in list(self._mine):
            self.release(key)
        with contextlib.suppress(HarnessError):
            self._board.delete(f"{LEASES}/{_RUNS}/{self._run}")

    def take(self, key: str) -> bool:
        """Return whether this run has the lease of a step now; False if another one that is alive has it."""
        if key in self._mine or time.monotonic() < self._silent_until:
            return True
        try:
            return self._take(key)
        except HarnessError as error:
            self._silent_until = time.monotonic() + _PAUSE_S
            self._notice(f"{error}; this run goes on without leases, and tries again later")
            return True

    def release(self, key: str) -> None:
        """Give the lease of a step back, if this run has it."""
        name = self._mine.pop(key, None)
        if name is not None:
            with contextlib.suppress(HarnessError):
                self._board.delete(name)

    def _take(self, key: str) -> bool:
        numbers = sorted(int(name) for name in self._board.names(f"{LEASES}/{key}") if name.isdecimal())
        last = numbers[-1] if numbers else 0
        holder: dict[str, Any] = {}
        if last:
            raw = self._board.read(f"{LEASES}/{key}/{last}")
            if raw is None:
                return False  # given back at this moment
            holder = _value(raw)
            if not self._has_ended(str(holder.get("run", ""))):
                return False
        mine = f"{LEASES}/{key}/{last + 1}"
        told = json.dumps({"run": self._run, "who": self._who}).encode()
        if not self._board.create(mine, told):
            return False
        self._mine[key] = mine
        if last:
            who = holder.get("who", "another run")
            self._notice(f"taking over step {key[:12]} from {who}, which gives no sign of life")
            for number in numbers:  # the lowest first: the last one protects the step until all are gone
                self._board.delete(f"{LEASES}/{key}/{number}")
        return True

    def _has_ended(self, run: str) -> bool:
        """Return whether a run has given no new sign for as long as its leases last, as seen from here."""
        now, name = time.monotonic(), f"{LEASES}/{_RUNS}/{run}"
        sign, since, read = self._seen.get(run, (None, now, -math.inf))
        if now - read > self._every_s / 4:
            found = self._board.read(name)
            if found is not None and found != sign:
                since = now
            sign = found
            self._seen[run] = sign, since, now
        every_s = _value(sign or b"").get("every_s", self._every_s)
        ended = now - since > _MISSED * float(every_s)
        if ended and sign is not None:
            self._board.delete(name)
            self._seen[run] = None, since, now
        return ended

    def _live(self) -> None:
        while not self._ended.wait(self._every_s):
            with contextlib.suppress(HarnessError):  # the next one may be heard
                self._beat()

    def _beat(self) -> None:
        self._beats += 1
        sign = {"sign": self._beats, "every_s": self._every_s, "who": self._who}
        self._board.write(f"{LEASES}/{_RUNS}/{self._run}", json.dumps(sign).encode())


def _configured_s() -> float:
    """Return the seconds that leases last: those of ``HARNESS_LEASE_S``, or the default."""
    text = os.environ.get("HARNESS_LEASE_S", "")
    try:
        seconds = float(text) if text else _LEASE_S
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= 86_400:
        raise HarnessError(f"HARNESS_LEASE_S must be a number of seconds from 1 to 86400, got {text!r}")
    return seconds


def _value(raw: bytes) -> dict[str, Any]:
    """Return a small file as a value; an empty one if it is damaged."""
    try:
        value = json.loads(raw)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


@contextlib.contextmanager
def exclusive(path: Path, waiting: Callable[[bool], None] = lambda waits: None) -> Iterator[None]:
    """Hold a lock as :func:`harness.storage.files.locked` does, or a lease if the file system has no locks.

    Raise HarnessError if neither can be written.
    """
    if files.has_locks(path.parent):
        with files.locked(path, waiting):
            yield
        return
    with Leases(FolderBoard(path.parent / ".leases"), lambda message: None) as leases:
        if not leases.take(path.name):
            waiting(True)
            while not leases.take(path.name):
                time.sleep(_POLL_S)
            waiting(False)
        yield
