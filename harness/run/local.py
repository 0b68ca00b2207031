"""Run steps in worker processes on this machine; if a worker dies, only its step fails."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from harness.api import HarnessError, Unavailable
from harness.devices import Slot
from harness.plan.planner import Step
from harness.run.executor import Event
from harness.storage.store import Damaged, Store

_LOG_TAIL = 4000  # characters of a failed step's output that are kept
_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


class LocalExecutor:
    """An executor with one worker process per slot, started on first use and kept for later steps."""

    def __init__(self, store: Path, slots: Sequence[Slot]) -> None:
        self.slots = tuple(slots)
        self._store = store
        self._workers: list[_Worker | None] = [None] * len(self.slots)
        self._refused: list[Event] = []
        self._logs = tempfile.TemporaryDirectory(prefix="harness-logs-")

    def free(self) -> list[int]:
        """See :class:`harness.run.executor.Executor`."""
        return [index for index, worker in enumerate(self._workers) if worker is None or worker.step is None]

    def submit(self, slot: int, step: Step) -> None:
        """See :class:`harness.run.executor.Executor`."""
        worker = self._workers[slot]
        if worker is not None and worker.leaving:
            worker.end()
        if worker is None or worker.leaving or not worker.process.is_alive():
            log = Path(self._logs.name) / f"{slot}-{time.time_ns()}.log"
            worker = self._workers[slot] = _Worker(self._store, self.slots[slot], log)
        try:
            worker.submit(step)
        except Exception as error:  # from pickle, e.g. for a class that its module does not contain
            worker.step = None
            reason = f"cannot send the step to a worker: {type(error).__name__}: {error}"
            self._refused.append(Event("failed", step.key, {"reason": reason, "log": ""}))

    def wait(self, timeout: float) -> list[Event]:
        """See :class:`harness.run.executor.Executor`."""
        busy = {worker.connection: worker for worker in self._workers if worker and worker.step}
        ended = {worker.process.sentinel: worker for worker in busy.values()}
        events, self._refused = self._refused, []
        for ready in wait([*busy, *ended], 0 if events else timeout):
            if isinstance(ready, Connection):
                events += busy[ready].receive()
            else:
                dead = ended[ready]  # type: ignore[index]
                events += dead.receive()  # what it sent before it died
                if dead.step is not None:
                    events.append(dead.died())
        for index, worker in enumerate(self._workers):
            # A worker that dies now, during a step, is reported by its sentinel next time.
            if worker is not None and worker.step is None and not worker.process.is_alive():
                self._workers[index] = None
        return events

    def stop(self, key: str, reason: str) -> Event:
        """See :class:`harness.run.executor.Executor`."""
        (index,) = (i for i, w in enumerate(self._workers) if w and w.step and w.step.key == key)
        worker = self._workers[index]
        assert worker is not None
        self._workers[index] = None
        worker.kill()
        return worker.died(reason)

    def close(self) -> None:
        """See :class:`harness.run.executor.Executor`."""
        for worker in self._workers:
            if worker is not None:
                worker.kill() if worker.step else worker.end()
        self._workers = [None] * len(self.slots)
        self._logs.cleanup()


class _Worker:
    """The parent's end of one worker process."""

    def __init__(self, store: Path, slot: Slot, log: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.log = log
        self.step: Step | None = None
        self.leaving = False  # whether it is about to end by itself
        with _environment(slot):
            self.process = context.Process(target=_work, args=(theirs, store, slot, log), daemon=True)
            self.process.start()
        theirs.close()

    def submit(self, step: Step) -> None:
        self.step = step
        # If the worker is dead already, its sentinel reports that, and the step fails.
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(step)

    def receive(self) -> list[Event]:
        events = []
        try:
            while self.connection.poll():
                event: Event = self.connection.recv()
                self.leaving = event.details.pop("leaving", False)
                if event.type not in ("progress", "warning", "waiting"):
                    self.step = None
                events.append(event)
        except (EOFError, OSError):
            pass  # the sentinel reports the rest
        return events

    def died(self, reason: str = "") -> Event:
        """Return the event for a step whose worker is gone."""
        assert self.step is not None
        key, self.step = self.step.key, None
        self.process.join(5)
        code = self.process.exitcode
        if not reason and code is not None and code < 0:
            name = next((known.name for known in signal.Signals if known == -code), f"signal {-code}")
            hint = ", perhaps because memory ran out" if -code == signal.SIGKILL else ""
            reason = f"its worker was ended by {name}{hint}"
        return Event(
            "failed", key, {"reason": reason or f"its worker ended with status {code}", "log": self.tail()}
        )

    def tail(self) -> str:
        try:
            return self.log.read_text(encoding="utf-8", errors="replace")[-_LOG_TAIL:]
        except OSError:
            return ""

    def kill(self) -> None:
        self.process.kill()
        self.process.join(5)
        self.connection.close()

    def end(self) -> None:
        self.connection.close()  # an idle worker ends when its connection is closed
        self.process.join(2)
        if self.process.is_alive():
            self.kill()


@contextmanager
def _environment(slot: Slot) -> Iterator[None]:
    """Set the environment variables that libraries read on import, for a child process started inside."""
    wanted = dict.fromkeys(_ONE_THREAD, str(slot.threads))
    wanted |= {"TOKENIZERS_PARALLELISM": "false", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    wanted["CUDA_VISIBLE_DEVICES"] = ""
    if slot.is_gpu:  # a slot's index counts the GPUs that this process sees
        index = slot.device.partition(":")[2]
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        wanted["CUDA_VISIBLE_DEVICES"] = visible.split(",")[int(index)] if visible else index
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    # Only the parent handles Ctrl-C; a child that is still importing could not ignore it by itself.
    main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    try:
        yield
    finally:
        if main:
            signal.signal(signal.SIGINT, handler)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


# -- in the worker ------------------------------------------------------------------------------------------


def _work(connection: Connection, root: Path, slot: Slot, log: Path) -> None:
    """Run a worker: receive steps and send events, until the parent closes the connection."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    stream = log.open("w", buffering=1, encoding="utf-8", errors="replace")
    os.dup2(stream.fileno(), 1)
    os.dup2(stream.fileno(), 2)
    sys.stdout = sys.stderr = stream
    store = Store(root)
    while True:
        try:
            step: Step = connection.recv()
        except (EOFError, OSError):
            return
        stream.seek(0)
        stream.truncate()
        event = _perform(step, store, slot, connection, log)
        cuda = sys.modules.get("harness.steps.cuda")
        if leaving := cuda is not None and cuda.disordered:
            event.details["leaving"] = True
        connection.send(event)
        if leaving:
            return


def _perform(step: Step, store: Store, slot: Slot, connection: Connection, log: Path) -> Event:
    from harness.run.job import perform

    def emit(kind: str, details: dict[str, Any]) -> None:
        connection.send(Event(kind, step.key, details))  # type: ignore[arg-type]

    try:
        artefact = perform(step, store, slot, emit)
        return Event("done", step.key, {"seconds": artefact.made["seconds"]})
    except Damaged as error:
        return Event("damaged", step.key, {"kind": error.kind, "damaged": error.key, "reason": str(error)})
    except Unavailable as error:
        return Event("unavailable", step.key, {"reason": str(error)})
    except HarnessError as error:
        return Event("failed", step.key, {"reason": str(error), "log": ""})
    except OSError as error:
        reason = f"{error.strerror or error}" + (f": '{error.filename}'" if error.filename else "")
        return Event("failed", step.key, {"reason": reason, "log": traceback.format_exc()[-_LOG_TAIL:]})
    except MemoryError:
        return Event(
            "failed", step.key, {"reason": "out of memory", "log": traceback.format_exc()[-_LOG_TAIL:]}
        )
    except Exception as error:
        told = log.read_text(encoding="utf-8", errors="replace")
        message = str(error).strip().partition("\n")[0]
        reason = f"{type(error).__name__}: {message}" if message else type(error).__name__
        tail = (told + traceback.format_exc())[-_LOG_TAIL:]
        return Event("failed", step.key, {"reason": reason, "log": tail})


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
