"""Guard code that plugins run while they are loaded, which may end its process or never end."""

from __future__ import annotations

import atexit
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from harness.isolation.global_state import LIMITS, GlobalState
from harness.isolation.patches import Modules
from harness.isolation.processes import MARK, end_processes
from harness.wording import printable

NOTICE_S = 5.0  # after which somebody is told that a call takes long
LIMIT_S = 30.0  # that a call may take
_TICK_S = 0.2
_LOG_TAIL = 4000  # characters of what a child printed that are kept
_in_child = False  # whether this process is a child that makes a call


@dataclass(frozen=True)
class Trial:
    """How a call ended in a child process."""

    trouble: str = ""  # what it did to its process; empty if it can be called here
    log: str = ""  # the end of what it printed before that


def tried(call: Callable[[], object], notice: Callable[[], None]) -> Trial:
    """Make a call in a child process, end the child as Python would end, and return how that went.

    The child is a fork: it costs milliseconds, and finds the modules, paths and folder of this process. A
    child that takes longer than ``LIMIT_S`` is ended; `notice` is called if it takes ``NOTICE_S``. On systems
    without forks, the call is not made. If this process has several threads, a child that was ended has a
    second chance.
    """
    if not hasattr(os, "fork"):
        return Trial()
    trial = _once(call, notice)
    if trial.trouble == _endless() and len(sys._current_frames()) > 1:
        # Another thread of this process may have held a lock, which nobody releases in the child.
        trial = _once(call, lambda: None)
    return trial


def _endless() -> str:
    return f"does not end within {LIMIT_S:g} seconds"


def _once(call: Callable[[], object], notice: Callable[[], None]) -> Trial:
    """Make a call in one child process; see :func:`tried`."""
    import warnings

    with _log() as log:
        reader, writer = os.pipe()
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()  # or the child would print it too
        with warnings.catch_warnings():  # from Python 3.12 on, one if this process has threads
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            _make(call, writer, log)
        os.close(writer)
        try:
            if not (trouble := _trouble(reader, child, notice)):
                return Trial()
            log.seek(0)
            return Trial(trouble, log.read().decode("utf-8", "replace")[-_LOG_TAIL:])
        finally:
            os.close(reader)
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child, signal.SIGKILL)  # with its own children
            with suppress(ChildProcessError):  # it is gone
                if os.waitpid(child, os.WNOHANG)[0] == 0:
                    os.kill(child, signal.SIGKILL)  # if it has no group of its own yet
                    os.waitpid(child, 0)
            end_processes(_mark_of(child))


def _log() -> IO[bytes]:
    """Return an open file for what a child prints; it keeps nothing if no temporary file can be made."""
    import tempfile

    try:
        return tempfile.TemporaryFile()
    except OSError:
        return Path(os.devnull).open("w+b")


def _make(call: Callable[[], object], writer: int, log: IO[bytes]) -> None:
    """Make the call in the child, do what Python does as it ends, write a byte, and end the child."""
    global _in_child
    _in_child = True
    try:
        os.setsid()  # so that its own children can be ended with it
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        signal.alarm(round(LIMIT_S) + 60)  # if the parent is killed
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        sys.stdout = sys.stderr = os.fdopen(2, "w", buffering=1, errors="replace", closefd=False)
        atexit._clear()  # those of the parent
        before = GlobalState.now()
        call()
        _join_threads()
        atexit._run_exitfuncs()
        lowered = LIMITS in before.changes()  # what remains after `shielded`: only root can raise them again
        os.write(writer, b"!" if lowered else b".")
    finally:
        os._exit(0)


def _join_threads() -> None:
    """Wait for the threads that keep a Python process from ending."""
    threading = sys.modules.get("threading")
    if threading is not None and hasattr(threading, "_shutdown"):
        threading._shutdown()


def _trouble(reader: int, child: int, notice: Callable[[], None]) -> str:
    """Wait until the child has written its byte; return what it does instead, or an empty text."""
    began, told, closed = time.monotonic(), False, False
    while (taken := time.monotonic() - began) < LIMIT_S:
        # Both are asked: a pipe may outlive the child, in its own children, and the child may close its end.
        gone, status = os.waitpid(child, os.WNOHANG)
        if closed:
            time.sleep(0 if gone else _TICK_S / 20)
        elif select.select([reader], [], [], 0 if gone else _TICK_S)[0]:
            if sign := os.read(reader, 1):
                return "" if sign == b"." else "lowers the limits of resources for good"
            closed = True
        if gone:
            code = os.waitstatus_to_exitcode(status)
            names = {-known.value: known.name for known in signal.Signals}
            return f"ends the process, with {names.get(code, f'exit status {code}')}"
        if not told and taken > NOTICE_S:
            notice()
            told = True
    return _endless()


@contextmanager
def shielded(complain: Callable[[list[str]], None] = lambda changes: None) -> Iterator[None]:
    """Surround code that a plugin runs while it is loaded in this process.

    The code finds nothing to read on stdin, which is the command's. What it writes goes to stderr, without
    control codes. What it changes in the global state of the process, and in modules of Python and of this
    project, is undone, except for new entries of the search path of modules; `complain` is called with the
    changes. Environment variables are not among these: many libraries set some for themselves. Processes
    that it starts end with this one.
    """
    before, modules, paths = GlobalState.now().without("the search path of modules"), Modules(), [*sys.path]
    with _marked(), nullcontext() if _in_child else _streams():  # a child's output is kept as it is
        try:
            yield
        finally:
            changes = modules.undo()
            changes += before.without("environment variables").changes()
            before.restore()
            if not set(paths) <= set(sys.path):
                sys.path[:] = [*paths, *(path for path in sys.path if path not in paths)]
            if changes:
                complain(changes)


@contextmanager
def _marked() -> Iterator[None]:
    """Let processes that are started inside inherit a mark, and end them with this process."""
    earlier = os.environ.get(MARK)
    os.environ[MARK] = mark = earlier or _mark_of(os.getpid())
    if earlier is None:
        atexit.unregister(_end_marked)
        atexit.register(_end_marked, mark, os.getpid())
    try:
        yield
    finally:
        if earlier is None:
            os.environ.pop(MARK, None)


def _mark_of(process: int) -> str:
    return f"import-{process}"


def _end_marked(mark: str, process: int) -> None:
    if os.getpid() == process:  # and not a child that has inherited what is done at exit
        end_processes(mark)


@contextmanager
def _streams() -> Iterator[None]:
    """Replace the standard streams: nothing can be read, and what is written is printed in the end."""
    closed = [number for number in range(3) if not _is_open(number)]
    while (number := os.open(os.devnull, os.O_RDWR)) < 3:  # it takes the place of a closed stream
        pass
    os.close(number)
    kept = [os.dup(number) for number in range(3)]
    with _log() as written, Path(os.devnull).open("rb") as nothing:
        try:
            for number, other in enumerate((nothing, written, written)):
                os.dup2(other.fileno(), number)
            yield
        finally:
            for stream in (sys.stdout, sys.stderr):
                with suppress(Exception):
                    stream.flush()
            for number, descriptor in enumerate(kept):
                os.dup2(descriptor, number)
                os.close(descriptor)
            written.seek(0)
            if text := written.read().decode("utf-8", "replace"):
                with suppress(OSError):
                    os.write(2, "\n".join(map(printable, text.split("\n"))).encode())
            for number in closed:
                os.close(number)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
