"""Run steps in jobs of Slurm: each has the workers of one node, and takes steps until the run ends."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from harness import Gt
from harness.api import HarnessError, Unavailable
from harness.devices import Slot, cpu_count
from harness.executors.base import SIGNS, Event, Executor, Work, unsent
from harness.run.relay import Sealed, Surroundings, Traits
from harness.storage import files
from harness.storage.store import Store
from harness_slurm.jobs import TICK_S, Mailbox, serve

_TRIES = 3  # to start a job
_LOOKS_EVERY_S = 2.0  # at the state of the jobs
_SAYS_EVERY_S = 20.0  # that it is still there
_ENDS_WITHIN_S = 3.0
_STOPS_WITHIN_S = 30.0  # a step; a network file system may show a message late


@dataclass(frozen=True)
class Slurm(Executor):
    """Workers in jobs of Slurm, each of which has a node."""

    name = "slurm"

    jobs: Annotated[int, Gt(0)] = 1  # number of jobs
    minutes: Annotated[int, Gt(0)] = 240  # time limit of a job; a job that reaches it is submitted again
    partition: str = ""  # partition for the jobs; by default that of the cluster
    account: str = ""  # account for the jobs
    memory_gb: Annotated[int, Gt(-1)] = 0  # memory of a job in GB; 0 for the default of the cluster
    exclusive: bool = True  # whether a job has its node for itself, which measurements of latency need
    cluster: Literal["slurm", "local"] = "slurm"  # local: jobs are processes on this machine, to try it out

    def slots(self, devices: str, store: Path, notice: Callable[[str], None]) -> tuple[Slot, ...]:
        """See :class:`harness.executors.base.Executor`."""
        try:
            import submitit  # noqa: F401
        except ImportError as error:
            message = "the executor 'slurm' needs the extra 'slurm': pip install 'distil-harness[slurm]'"
            raise Unavailable(f"{message} ({error})") from None
        given = re.fullmatch(r"auto|cuda|cpu(?::([1-9]\d{0,3}))?", devices, re.ASCII)
        if given is None:
            raise HarnessError(
                "--devices must be auto, cpu, cpu:<workers of a job> or cuda with the executor 'slurm', "
                f"got {devices!r}"
            )
        each = ["cuda:0"] if devices == "cuda" else ["cpu"] * int(given[1] or cpu_count())
        return tuple(Slot(device, 1, f"job {job + 1}") for job in range(self.jobs) for device in each)

    def start(self, store: Path, slots: Sequence[Slot]) -> SlurmWorkers:
        """See :class:`harness.executors.base.Executor`."""
        return SlurmWorkers(self, store, slots)


@dataclass
class _Job:
    """A submitted job, and the folders through which it is heard."""

    submitted: Any
    inbox: Mailbox  # of the job
    outbox: Mailbox
    slots: list[int]
    ready: bool = False
    steps: dict[str, int] = field(default_factory=dict)  # running steps, each with its slot


class SlurmWorkers:
    """The jobs of some slots, which are submitted on first use."""

    def __init__(self, executor: Slurm, store: Path, slots: Sequence[Slot]) -> None:
        self.slots = tuple(slots)
        self.gone: dict[int, str] = {}
        self._executor = executor
        self._store = store.absolute()
        self._folder: Path | None = None
        self._jobs: dict[str, _Job] = {}  # by node
        self._tries: dict[str, int] = {}
        self._lent: dict[str, int] = {}
        self._events: list[Event] = []  # to be returned by `wait`
        self._looked = self._said = time.monotonic()

    def free(self) -> list[int]:
        """See :class:`harness.executors.base.Workers`."""
        if self._folder is None:
            self._begin()
        idle = (set(job.slots) - set(job.steps.values()) for job in self._jobs.values() if job.ready)
        return sorted(set().union(*idle))

    def submit(self, slot: int, step: Work) -> None:
        """See :class:`harness.executors.base.Workers`."""
        try:
            sealed = Sealed.of(step)
        except Exception as error:  # from pickle
            self._events.append(unsent(step, error))
            return
        job = self._jobs[self.slots[slot].node]
        job.steps[step.key] = slot
        job.inbox.send(("run", job.slots.index(slot), sealed.parts))

    def lend(self, key: str, cores: int) -> None:
        """See :class:`harness.executors.base.Workers`."""
        if self._lent.get(key, 1) != cores:
            self._lent[key] = cores
            self._tell("lend", key, cores)

    def wait(self, timeout: float) -> list[Event]:
        """See :class:`harness.executors.base.Workers`."""
        ends = time.monotonic() + timeout
        while True:
            self._look()
            events, self._events = self._events, []
            if events or (left := ends - time.monotonic()) <= 0:
                return events
            time.sleep(min(TICK_S / 2, left))

    def stop(self, key: str, reason: str) -> Event:
        """See :class:`harness.executors.base.Workers`."""
        self._tell("stop", key, reason)
        ends = time.monotonic() + _STOPS_WITHIN_S
        while True:
            for event in self._events:
                if event.key == key and event.type not in SIGNS:
                    self._events.remove(event)
                    return event
            if time.monotonic() > ends:
                break
            time.sleep(TICK_S / 2)
            self._look()
        node, job = next((node, job) for node, job in self._jobs.items() if key in job.steps)
        del job.steps[key]
        self._lose(node, "does not answer")
        return Event("failed", key, {"reason": reason, "log": ""})

    def close(self) -> None:
        """See :class:`harness.executors.base.Workers`."""
        import shutil

        jobs = list(self._jobs.values())
        for job in jobs:
            job.inbox.send(("close",))
        ends = time.monotonic() + _ENDS_WITHIN_S
        while time.monotonic() < ends and not all(job.submitted.done() for job in jobs):
            time.sleep(TICK_S)
        for job in jobs:
            if not job.submitted.done():
                job.submitted.cancel(check=False)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _begin(self) -> None:
        """Submit all jobs."""
        self._folder = Store(self._store).root / "tmp" / files.owned(f"jobs.{uuid.uuid4().hex[:8]}")
        self._folder.mkdir(mode=0o700)
        self._sign = self._folder / "sign"
        self._sign.touch()
        self._own, self._surroundings = Traits.here(), Surroundings.here()
        for node in dict.fromkeys(slot.node for slot in self.slots):
            self._send(node)

    def _send(self, node: str) -> None:
        """Submit the job of a node."""
        import submitit

        assert self._folder is not None
        mine = [index for index, slot in enumerate(self.slots) if slot.node == node]
        gpus = sum(self.slots[index].is_gpu for index in mine)
        self._tries[node] = self._tries.get(node, 0) + 1
        box = self._folder / f"{node.replace(' ', '-')}-{uuid.uuid4().hex[:8]}"
        for name in ("in", "out"):
            (box / name).mkdir(parents=True)
        wanted = self._executor
        try:
            queue = submitit.AutoExecutor(self._folder / "submitted", cluster=wanted.cluster)
            queue.update_parameters(
                name="harness",
                timeout_min=wanted.minutes,
                cpus_per_task=len(mine),
                gpus_per_node=gpus or None,
                mem_gb=wanted.memory_gb or None,
                slurm_partition=wanted.partition or None,
                slurm_account=wanted.account or None,
                slurm_exclusive=True if wanted.exclusive else None,
            )
            places = [self.slots[index] for index in mine]
            job = queue.submit(serve, box, self._store, places, self._surroundings, self._sign)
        except (submitit.core.utils.FailedJobError, OSError, RuntimeError) as error:
            told = next(iter(str(error).splitlines()), type(error).__name__)
            raise HarnessError(f"cannot submit a job to Slurm: {told}") from None
        self._jobs[node] = _Job(job, Mailbox(box / "in"), Mailbox(box / "out"), mine)

    def _tell(self, what: str, key: str, *details: Any) -> None:
        """Send a message about a running step to its job."""
        for job in self._jobs.values():
            if key in job.steps:
                job.inbox.send((what, job.slots.index(job.steps[key]), key, *details))

    def _look(self) -> None:
        """Read what the jobs have reported, and look for those that have ended."""
        for node, job in list(self._jobs.items()):
            for message in job.outbox.receive():
                if isinstance(message, Traits):
                    self._greet(node, job, message)
                elif message.key in job.steps:
                    self._events.append(message)
                    if message.type not in SIGNS:
                        del job.steps[message.key]
                        self._lent.pop(message.key, None)
        now = time.monotonic()
        if now - self._said > _SAYS_EVERY_S:
            self._said = now
            for job in self._jobs.values():
                job.inbox.send(("here",))
        if now - self._looked > _LOOKS_EVERY_S:
            self._looked = now
            for node, job in list(self._jobs.items()):
                if job.submitted.done():
                    self._lose(node, f"ended ({job.submitted.state})")

    def _greet(self, node: str, job: _Job, traits: Traits) -> None:
        """Use a job that runs now, if its machine is like this one."""
        if other := self._own.difference(traits):
            self._jobs.pop(node)
            job.inbox.send(("close",))
            self.gone |= dict.fromkeys(job.slots, f"{node} cannot be used: {other}")
        else:
            job.ready, self._tries[node] = True, 0

    def _lose(self, node: str, what: str) -> None:
        """Give back the steps of a job that has ended, and submit another one."""
        job = self._jobs.pop(node)
        job.submitted.cancel(check=False)
        for key in job.steps:
            self._lent.pop(key, None)
            self._events.append(Event("lost", key, {"reason": f"{node} {what}"}))
        if self._tries[node] < _TRIES:
            self._send(node)
        else:
            self.gone |= dict.fromkeys(job.slots, f"{node} {what}")
