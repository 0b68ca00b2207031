"""Guard code that plugins run while they are loaded, which may end its process or never end."""

from __future__ import annotations

import atexit
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from harness.isolation.global_state import GlobalState

NOTICE_S = 5.0  # after which somebody is told that a call takes long
LIMIT_S = 30.0  # that a call may take
_TICK_S = 0.2
_LOG_TAIL = 4000  # characters of what a child printed that are kept


@dataclass(frozen=True)
class Trial:
    """How a call ended in a child process."""

    trouble: str = ""  # what it did to its process; empty if it can be called here
    log: str = ""  # the end of what it printed before that


def tried(call: Callable[[], object], notice: Callable[[], None]) -> Trial:
    """Make a call in a child process, end the child as Python would end, and return how that went.

    The child is a fork: it costs milliseconds, and finds the modules, paths and folder of this process. A
    child that takes longer than ``LIMIT_S`` is ended; `notice` is called if it takes ``NOTICE_S``. On systems
    without forks, the call is not made.
    """
    if not hasattr(os, "fork"):
        return Trial()
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


def _log() -> IO[bytes]:
    """Return an open file for what a child prints; it keeps nothing if no temporary file can be made."""
    import tempfile

    try:
        return tempfile.TemporaryFile()
    except OSError:
        return Path(os.devnull).open("w+b")


def _make(call: Callable[[], object], writer: int, log: IO[bytes]) -> None:
    """Make the call in the child, do what Python does as it ends, write a byte, and end the child."""
    try:
        os.setsid()  # so that its own children can be ended with it
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        signal.alarm(round(LIMIT_S) + 60)  # if the parent is killed
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        sys.stdout = sys.stderr = os.fdopen(2, "w", buffering=1, errors="replace", closefd=False)
        atexit._clear()  # those of the parent
        call()
        _join_threads()
        atexit._run_exitfuncs()
        os.write(writer, b".")
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
            if os.read(reader, 1):
                return ""
            closed = True
        if gone:
            code = os.waitstatus_to_exitcode(status)
            names = {-known.value: known.name for known in signal.Signals}
            return f"ends the process, with {names.get(code, f'exit status {code}')}"
        if not told and taken > NOTICE_S:
            notice()
            told = True
    return f"does not end within {LIMIT_S:g} seconds"


@contextmanager
def shielded(complain: Callable[[list[str]], None] = lambda changes: None) -> Iterator[None]:
    """Surround code that a plugin runs while it is loaded in this process.

    The code finds nothing to read on stdin, which is the command's. What it changes in the global state of
    the process is undone, except for the search path of modules; `complain` is called with the changes.
    Environment variables are not among these: many libraries set some for themselves.
    """
    before = GlobalState.now().without("the search path of modules")
    with ExitStack() as stack:
        stack.callback(_undo, before, complain)
        with suppress(OSError):  # stdin is closed
            earlier = os.dup(0)
            stack.callback(os.close, earlier)
            stack.callback(os.dup2, earlier, 0)
            nothing = os.open(os.devnull, os.O_RDONLY)
            os.dup2(nothing, 0)
            os.close(nothing)
        yield


def _undo(before: GlobalState, complain: Callable[[list[str]], None]) -> None:
    changes = before.without("environment variables").changes()
    before.restore()
    if changes:
        complain(changes)
