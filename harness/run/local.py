"""Run steps in worker processes on this machine; if a worker dies, only its step fails."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import MappingProxyType

from harness.devices import Slot, slots
from harness.executors.base import SIGNS, Event, Executor, Work, unsent
from harness.isolation.processes import MARK, end_processes
from harness.run.worker import LOG_TAIL, work
from harness.storage.store import Store

# Keep freed memory: to get it from the system again, page by page, costs up to a tenth of a training step.
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(512 << 20),
    "MALLOC_TOP_PAD_": str(64 << 20),
}
_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


@dataclass(frozen=True)
class Local(Executor):
    """Worker processes on this machine."""

    name = "local"

    def slots(self, devices: str, store: Path, notice: Callable[[str], None]) -> tuple[Slot, ...]:
        """See :class:`harness.executors.base.Executor`."""
        return slots(devices)

    def start(self, store: Path, slots: Sequence[Slot]) -> LocalWorkers:
        """See :class:`harness.executors.base.Executor`."""
        return LocalWorkers(store, slots)


class LocalWorkers:
    """Up to four worker processes per slot, started on first use and kept for later steps.

    One worker is for steps whose components are all from this project, the other for all other steps. On a
    GPU slot, both exist once more for steps that use several GPUs.
    """

    gone: Mapping[int, str] = MappingProxyType({})  # a worker that dies is replaced

    def __init__(self, store: Path, slots: Sequence[Slot]) -> None:
        self.slots = tuple(slots)
        self._store = store.absolute()
        # By slot, whether it is isolated, and whether it sees all GPUs.
        self._workers: dict[tuple[int, bool, bool], _Worker] = {}
        self._refused: list[Event] = []
        self._warned: set[str] = set()
        self._logs: Path | None = None  # made with the first worker

    def free(self) -> list[int]:
        """See :class:`harness.executors.base.Workers`."""
        busy = {slot for (slot, *_), worker in self._workers.items() if worker.step is not None}
        return [index for index in range(len(self.slots)) if index not in busy]

    def submit(self, slot: int, step: Work) -> None:
        """See :class:`harness.executors.base.Workers`."""
        place = slot, bool(step.foreign), step.gpus > 1 and self.slots[slot].is_gpu
        worker = self._workers.get(place)
        if worker is not None and worker.leaving:
            worker.end()
        if worker is None or worker.leaving or not worker.process.is_alive():
            self._logs = self._logs or Store(self._store).logs()
            log = self._logs / f"{slot}-{time.time_ns()}.log"
            others = [one for one in self.slots if one.is_gpu] if place[2] else []
            visible = tuple(dict.fromkeys(one.device for one in (self.slots[slot], *others)))
            worker = self._workers[place] = _Worker(
                self._store, self.slots[slot], log, bool(step.foreign), visible
            )
        try:
            worker.submit(step)
        except Exception as error:  # from pickle, e.g. for a class that its module does not contain
            worker.step = None
            self._refused.append(unsent(step, error))

    def lend(self, key: str, cores: int) -> None:
        """See :class:`harness.executors.base.Workers`."""
        for worker in self._workers.values():
            if worker.step is not None and worker.step.key == key:
                worker.cores.value = cores

    def wait(self, timeout: float) -> list[Event]:
        """See :class:`harness.executors.base.Workers`."""
        busy = {worker.connection: worker for worker in self._workers.values() if worker.step}
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
        for place, worker in list(self._workers.items()):
            # A worker that dies now, during a step, is reported by its sentinel next time.
            if worker.step is None and not worker.process.is_alive():
                del self._workers[place]
        return [event for event in events if not self._told(event)]

    def _told(self, event: Event) -> bool:
        """Return whether an event is a change of the global state that an earlier step has made too."""
        if event.type != "warning" or not event.details.pop("repeats", False):
            return False
        known = event.details["message"] in self._warned
        self._warned.add(event.details["message"])
        return known

    def stop(self, key: str, reason: str) -> Event:
        """See :class:`harness.executors.base.Workers`."""
        (place,) = (place for place, w in self._workers.items() if w.step and w.step.key == key)
        worker = self._workers.pop(place)
        worker.kill()
        return worker.died(reason)

    def close(self) -> None:
        """See :class:`harness.executors.base.Workers`."""
        for worker in self._workers.values():
            worker.kill() if worker.step else worker.end()
        self._workers.clear()
        if self._logs is not None:
            shutil.rmtree(self._logs, ignore_errors=True)


class _Worker:
    """The parent's end of one worker process."""

    def __init__(self, store: Path, slot: Slot, log: Path, isolated: bool, visible: Sequence[str]) -> None:
        context = multiprocessing.get_context("spawn")
        resource_tracker.ensure_running()  # it is this process's own, and must not get the worker's mark
        self.connection, theirs = context.Pipe()
        self.log = log
        self.mark = uuid.uuid4().hex
        self.isolated = isolated
        self.step: Work | None = None
        self.leaving = False  # whether it is about to end by itself
        self.cores = context.RawValue("i", slot.threads)  # in memory that the worker and its forks share
        with _environment(slot, self.mark, visible):
            self.process = context.Process(
                target=work, args=(theirs, store, slot, log, isolated, self.cores), daemon=True
            )
            self.process.start()
        theirs.close()

    def submit(self, step: Work) -> None:
        self.step = step
        # If the worker is dead already, its sentinel reports that, and the step fails.
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(step)

    def receive(self) -> list[Event]:
        events = []
        try:
            while self.connection.poll():
                event: Event = self.connection.recv()
                if self.step is None or event.key != self.step.key:
                    continue  # from a copy of the worker that a component has made
                self.leaving = event.details.pop("leaving", False)
                if event.type not in SIGNS:
                    self.step = None
                events.append(event)
        except (EOFError, OSError):
            pass  # the sentinel reports the rest
        except Exception:  # a component has written to the connection
            self.process.kill()
        return events

    def died(self, reason: str = "") -> Event:
        """Return the event for a step whose worker is gone."""
        assert self.step is not None
        key, self.step = self.step.key, None
        self.process.join(5)
        end_processes(self.mark)
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
            return self.log.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL:]
        except OSError:
            return ""

    def kill(self) -> None:
        self.process.kill()
        self.process.join(5)
        end_processes(self.mark)
        self.connection.close()

    def end(self) -> None:
        if self.isolated:  # it runs no step, but may be loading libraries for the next one
            self.kill()
            return
        self.connection.close()  # an idle worker ends when its connection is closed
        self.process.join(2)
        if self.process.is_alive():
            self.kill()
        end_processes(self.mark)


@contextmanager
def _environment(slot: Slot, mark: str, devices: Sequence[str]) -> Iterator[None]:
    """Set the environment variables that libraries read on import, for a child process started inside.

    A child for a GPU slot sees the GPUs of `devices`, in this order.
    """
    wanted = dict.fromkeys(_ONE_THREAD, str(slot.threads))
    wanted |= {name: os.environ.get(name, value) for name, value in MALLOC.items()}
    wanted |= {"TOKENIZERS_PARALLELISM": "false", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    wanted |= {"CUDA_VISIBLE_DEVICES": "", MARK: mark}
    if slot.is_gpu:  # a slot's index counts the GPUs that this process sees
        indices = [device.partition(":")[2] for device in devices]
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        listed = [visible.split(",")[int(index)] for index in indices] if visible else indices
        wanted["CUDA_VISIBLE_DEVICES"] = ",".join(listed)
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
