"""Run steps in a worker process, so that no step can change what another one does.

A worker runs one step after the other. Steps with components from other packages come to a worker of their
own, which runs each of them in a new process: a fork of one that has never run a step, but has loaded the
libraries, so that it costs milliseconds. On systems other than Linux, such a worker ends after each step.
"""

from __future__ import annotations

import ctypes
import gc
import json
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import distribution
from multiprocessing.connection import Connection, wait
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any, NoReturn

from harness.api import HarnessError, Unavailable
from harness.devices import Slot
from harness.executors.base import Event
from harness.hookspecs import DISTRIBUTION, PROJECT
from harness.isolation.global_state import GlobalState
from harness.isolation.processes import MARK, end_processes
from harness.plan.planner import Step
from harness.storage.shared import opened
from harness.storage.store import Damaged, Store
from harness.wording import printable

Emit = Callable[[str, dict[str, Any]], None]  # as in harness.run.job, whose import takes time

LOG_TAIL = 4000  # characters of a failed step's output that are kept
# What the project depends on; libraries that only plugins use are not kept loaded.
_LIBRARIES = {
    *(
        "numpy",
        "scipy",
        "sklearn",
        "joblib",
        "threadpoolctl",
        "pandas",
        "pyarrow",
        "datasets",
        "filelock",
        "fsspec",
        "s3fs",
    ),
    *("torch", "transformers", "tokenizers", "safetensors", "onnx", "onnxruntime", "pydantic", "pluggy"),
}
_FORKS = sys.platform == "linux"
_DIE_WITH_PARENT, _ADOPT_ORPHANS = 1, 36  # options of Linux's prctl


def work(
    connection: Connection, root: Path, slot: Slot, log: Path, isolated: bool, cores: Synchronized[int]
) -> None:
    """Receive steps and send events, until the parent closes the connection.

    `isolated` workers run each step in a process of its own. `cores` is the number that they may use, which
    the parent changes.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log.parent.mkdir(parents=True, exist_ok=True)  # a step may have removed it
    stream = log.open("a", buffering=1, encoding="utf-8", errors="replace")
    os.dup2(stream.fileno(), 1)
    os.dup2(stream.fileno(), 2)
    sys.stdout = sys.stderr = stream
    with suppress(ImportError):
        import_module("six")  # it adds a finder of modules, which a step would see or not after others
    store = opened(root)
    place = _Place(store, slot, connection, log, lambda: cores.value)
    if isolated and _FORKS:
        _fork_for_each(connection, place)
        return
    threading.Thread(target=_die_with_parent, daemon=True).start()
    state = GlobalState.now()
    while (sent := _received(connection)) is not None:
        os.truncate(log, 0)
        event, spoiled = place.perform(sent, state)
        if leaving := spoiled or isolated:
            event.details["leaving"] = True
        connection.send(event)
        if leaving:
            return
        state.extend()


def _received(connection: Connection) -> bytes | None:
    """Return the next step, still pickled; None after the parent has closed the connection."""
    try:
        return connection.recv_bytes()
    except (EOFError, OSError):
        return None


def perform_step(
    step: Step,
    store: Store,
    slot: Slot,
    emit: Emit,
    log: Path,
    state: GlobalState,
    lent: Callable[[], int] = int,
) -> Event:
    """Perform a step; return the event of its end. `emit` gets what it reports before."""
    from harness.run.job import perform

    try:
        artefact = perform(step, store, slot, emit, state, lent)
        return Event("done", step.key, {"seconds": artefact.made["seconds"]})
    except Damaged as error:
        return Event("damaged", step.key, {"kind": error.kind, "damaged": error.key, "reason": str(error)})
    except Unavailable as error:
        return Event("unavailable", step.key, {"reason": _line(error)})
    except HarnessError as error:
        return Event("failed", step.key, {"reason": _line(error), "log": ""})
    except OSError as error:
        reason = f"{error.strerror or error}" + (f": '{error.filename}'" if error.filename else "")
        return Event("failed", step.key, {"reason": _line(reason), "log": traceback.format_exc()[-LOG_TAIL:]})
    except MemoryError:
        return Event(
            "failed", step.key, {"reason": "out of memory", "log": traceback.format_exc()[-LOG_TAIL:]}
        )
    except Exception as error:
        told_before = log.read_text(encoding="utf-8", errors="replace")
        message = str(error).strip().partition("\n")[0]
        reason = _line(f"{type(error).__name__}: {message}" if message else type(error).__name__)
        tail = (told_before + traceback.format_exc())[-LOG_TAIL:]
        return Event("failed", step.key, {"reason": reason, "log": tail})


def _line(reason: object) -> str:
    """Return a reason for a record and a table: one line without control codes."""
    return printable(" ".join(str(reason).splitlines()))


@dataclass(frozen=True)
class _Place:
    """Where a worker runs steps, and where it reports them."""

    store: Store
    slot: Slot
    connection: Connection
    log: Path
    lent: Callable[[], int]  # the number of cores that a step may use now

    def perform(self, sent: bytes, state: GlobalState) -> tuple[Event, bool]:
        """Perform a step and send its events, except for the last one, which is returned.

        The second value is whether the step has changed the process, so that no other step may run in it.
        """
        step: Step = pickle.loads(sent)
        process, spoiled, one_at_a_time = os.getpid(), False, threading.Lock()

        def emit(kind: str, details: dict[str, Any]) -> None:
            nonlocal spoiled
            if os.getpid() != process:  # a copy that the component has made must not write between our events
                return
            if kind == "spoiled":
                spoiled = True
                if not (changes := details.get("changes")):
                    return
                message = f"{_culprits(step)} changed {', '.join(changes)}; other steps are not affected"
                kind, details = "warning", {"message": message, "repeats": True}
            with one_at_a_time:  # a step may have threads
                self.connection.send(Event(kind, step.key, details))  # type: ignore[arg-type]

        event = perform_step(step, self.store, self.slot, emit, self.log, state, self.lent)
        return event, spoiled


def _culprits(step: Step) -> str:
    """Return the names of the components that a change of the global state may come from."""
    if step.foreign:
        return " or ".join(step.foreign)
    return " or ".join(f"{c.kind} '{c.name}'" for role, c in step.components.items() if role != "task_type")


# -- a process for each step ---------------------------------------------------------------------------------


def _fork_for_each(connection: Connection, place: _Place) -> None:
    """Run each step in a fork of this process, which itself never runs one and has a single thread."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    libc = ctypes.CDLL(None)
    libc.prctl(_ADOPT_ORPHANS, 1, 0, 0, 0)
    _kept()  # here, and not in each child
    while (sent := _received(connection)) is not None:
        os.truncate(place.log, 0)
        answer = os.memfd_create("answer")
        gc.freeze()  # a child that looks for garbage would get a copy of all memory that it looks at
        child = os.fork()
        if child == 0:
            libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
            _answer_and_exit(sent, answer, place)
        end = os.pidfd_open(child)
        orphaned = end not in wait([end, parent.sentinel])
        os.close(end)
        if orphaned:
            os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        _end_children()
        if orphaned:
            return
        with os.fdopen(answer, "rb") as stream:
            stream.seek(0)
            size, modules, event = stream.readline(), stream.readline(), stream.read()
        if not event or len(event) != int(size):  # the step did not come to its end; nor does this process
            if status < 0:
                with suppress(OSError):  # SIGKILL has no handler
                    signal.signal(-status, signal.SIG_DFL)
                os.kill(os.getpid(), -status)
            os._exit(status)
        connection.send_bytes(event)
        for name in json.loads(modules):  # so that later steps find them loaded
            with suppress(Exception):
                import_module(name)


def _lasting(modules: Collection[str]) -> list[str]:
    """Return the modules, in order, that are not a plugin's: importing them again cannot do any harm."""
    kept = _kept()
    return [name for name in modules if name.partition(".")[0] in kept and name != "__main__"]


@cache
def _kept() -> frozenset[str]:
    own = {point.module.partition(".")[0] for point in distribution(DISTRIBUTION).entry_points}
    return frozenset(own | {PROJECT} | _LIBRARIES | sys.stdlib_module_names)


def _answer_and_exit(sent: bytes, answer: int, place: _Place) -> NoReturn:
    """Run a step in this new process; write the modules that it needed and its last event, and exit."""
    status, before = 1, set(sys.modules)
    try:
        event = pickle.dumps(place.perform(sent, GlobalState.now())[0])
        modules = json.dumps(_lasting([name for name in sys.modules if name not in before]))
        with os.fdopen(answer, "wb") as stream:
            stream.write(b"%d\n%s\n%s" % (len(event), modules.encode(), event))
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
        os._exit(status)


def _end_children() -> None:
    """Kill the processes that a step has started and left; this process has adopted them."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    while True:
        try:
            found = [int(pid) for pid in children.read_text(encoding="ascii").split()]
        except OSError:  # of a kernel without this list
            return
        if not found:
            return
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        end_processes(os.environ.get(MARK, "-"))
        os._exit(1)
