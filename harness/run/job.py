"""Perform a step: claim it, make its artefact in a private folder, and publish it.

Each kind of step has a module in :mod:`harness.steps`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from harness.api import Component, HarnessError, Model, Precision, Student, TaskType, Teacher
from harness.devices import Slot, cpu_info, energy_j, energy_uj, gpus
from harness.isolation.global_state import GlobalState, guarded, seed_generators
from harness.plan.planner import Step
from harness.run.memory import peak_memory
from harness.sources.downloads import telling
from harness.storage.store import Artefact, Damaged, Store
from harness.training.checkpoint import seconds_before

if TYPE_CHECKING:
    from harness.featurise.stored import Stored

C = TypeVar("C", bound=Component)
Emit = Callable[[str, dict[str, Any]], None]  # "progress", "warning", "waiting" or "spoiled", and details

_PROGRESS_EVERY_S = 0.2


@dataclass
class Job:
    """A running step: what it needs, where it writes, and the context that its components see."""

    step: Step
    store: Store
    slot: Slot
    folder: Path  # becomes the artefact
    lend_scratch: Callable[[], Path]
    emit: Emit
    lent: Callable[[], int] = int  # cores that the executor lends it now
    history: list[dict[str, float]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    tokens: Stored | None = None  # set by the step of a student
    _last: float = 0.0
    _done: int = -1

    # -- the Context that components see

    @property
    def seed(self) -> int:
        """Return the step's seed, or 0 if it draws nothing at random."""
        return int(self.step.settings.get("seed", 0))

    @property
    def device(self) -> str:
        """Return the torch device to use; a GPU slot sees only its own GPU, which is always number 0."""
        return "cuda:0" if self.slot.is_gpu and self.step.gpu else "cpu"

    @property
    def threads(self) -> int:
        """Return the number of CPU threads that this step may use."""
        return self.slot.threads

    @property
    def cores(self) -> int:
        """Return the number of cores that are free for this step now."""
        return max(self.threads, self.lent())

    @property
    def precision(self) -> Precision:
        """Return the precision that the plan set, which is part of the step's key."""
        return self.step.settings.get("precision", "fp32")  # type: ignore[no-any-return]

    @property
    def scratch(self) -> Path:
        """Return a folder that is removed after the step; it is made on first use."""
        return self.lend_scratch()

    @cached_property
    def teacher(self) -> Model | None:
        """Return the fitted teacher, loaded on first use, or None if the step has none."""
        if not self.has("fitted"):
            return None
        teacher: Teacher = self.component("teacher")
        return teacher.load(self.need("fitted").folder / "model", self)

    @cached_property
    def prior(self) -> Model | None:
        """Return the model that the component starts from, loaded on first use, or None if there is none."""
        if not self.has("prior"):
            return None
        learner: Teacher | Student = self.component("prior")
        return learner.load(self.need("prior").folder / "model", self)

    @property
    def checkpoints(self) -> Path | None:
        """See :class:`harness.api.Context`."""
        return self.store.checkpoints(self.step.key)

    def progress(self, done: int, total: int, **scalars: float) -> None:
        """See :class:`harness.api.Context`."""
        # Plain numbers: numpy's and torch's cannot be sent without their library, or written as JSON.
        plain = {name: float(value) for name, value in scalars.items()}
        if plain:
            self.history.append({"done": float(done), **plain})
        now = time.monotonic()
        # Measured values are always sent, because trackers keep them; counts alone are only for display.
        ends = done >= total and done != self._done  # a last report may be repeated as a sign of life
        if plain or ends or now - self._last >= _PROGRESS_EVERY_S:
            self._last, self._done = now, done
            self.emit("progress", {**plain, "done": int(done), "total": int(total)})

    def warn(self, message: str) -> None:
        """See :class:`harness.api.Context`."""
        self.warnings.append(str(message))
        self.emit("warning", {"message": str(message)})

    # -- for the steps

    def spoil(self) -> None:
        """Report that no other step may run in this process."""
        self.emit("spoiled", {})

    def need(self, role: str) -> Artefact:
        """Return the artefact that fills a role, after verifying its checksums."""
        key = self.step.needs[role]
        return self.store.open(self._kinds[key], key)

    def all(self, role: str) -> list[Artefact]:
        """Return the artefacts of a role that has several: role-0, role-1 and so on."""
        found = (name for name in self.step.needs if name.partition("-")[0] == role and name != role)
        return [self.need(name) for name in found]

    def has(self, role: str) -> bool:
        """Return whether the step needs an artefact in this role."""
        return role in self.step.needs

    def component(self, role: str) -> Any:
        """Return the step's component in this role."""
        return self.step.components[role]

    @property
    def task_type(self) -> TaskType:
        """Return the type of the task that the step belongs to."""
        found = self.step.components["task_type"]
        assert isinstance(found, TaskType)
        return found

    @property
    def learner(self) -> Teacher | Student:
        """Return the teacher or student whose model the step makes or uses."""
        found = self.step.components.get("student") or self.step.components["teacher"]
        assert isinstance(found, Teacher | Student)
        return found

    def model(self, role: str = "model") -> Model:
        """Return the fitted model that fills a role."""
        return self.learner.load(self.need(role).folder / "model", self)

    @cached_property
    def _kinds(self) -> dict[str, str]:
        """Return the kind of step of each need: the name of its role, with some exceptions."""
        learner = "student" if "student" in self.step.components else "teacher"
        special = {
            "model": learner,
            "prior": self.step.components["prior"].kind if self.has("prior") else "",
            "fitted": "teacher",
            "member": "teacher",
            "teacher": "evaluation",
            "hidden": "targets",
            "part": "targets",
        }
        plain = {key: role.partition("-")[0] for role, key in self.step.needs.items()}
        return {key: special.get(role, role) for key, role in plain.items()}


def perform(
    step: Step,
    store: Store,
    slot: Slot,
    emit: Emit,
    state: GlobalState | None = None,
    lent: Callable[[], int] = int,
) -> Artefact:
    """Perform a step, unless another process has done it in the meantime; return its artefact.

    `lent` returns the number of cores that it may use now; 0 means those of its slot.

    If the step changes the global state of the process, e.g. torch's default dtype, that is undone and
    emitted as "spoiled" with `changes`. `state` is the state before, by default the present one.
    """
    with store.claim(step.key, lambda waits: emit("waiting", {"waiting": waits})):
        store.forget(step.key)
        with suppress(Damaged):  # it was set aside; make it again
            if (done := store.find(step.kind, step.key)) is not None:
                store.drop_checkpoints(step.key)
                return done
        with store.workspace(step.key) as folder, ExitStack() as stack:
            lend = cache(lambda: stack.enter_context(store.workspace(f"{step.key}.scratch")))
            job = Job(step, store, slot, folder, lend, emit, lent)
            run: Callable[[Job], dict[str, Any]] = import_module(f"harness.steps.{step.kind}").run
            if torch := _torch_on_gpu():
                torch.cuda.reset_peak_memory_stats()
            energy = energy_uj()
            started, clock = datetime.now(UTC), time.perf_counter()
            seed_generators(job.seed)
            with (
                guarded(lambda changes: emit("spoiled", {"changes": changes}), state),
                peak_memory() as memory,
                telling(lambda message: emit("warning", {"message": message})),
                _no_copies(),
            ):
                result = run(job)
            before = seconds_before(store.checkpoints(step.key))
            seconds = time.perf_counter() - clock + before
            if job.history:
                result["history"] = job.history
            if job.warnings:
                result["warnings"] = job.warnings
            made = {
                "started": started.isoformat(timespec="seconds"),
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "seconds": round(seconds, 6),
                "peak_rss_bytes": memory.rss_bytes,
                "peak_anonymous_bytes": memory.anonymous_bytes,
                "peak_mapped_bytes": memory.mapped_bytes,
                "peak_gpu_bytes": _peak_gpu_memory(job.device),
                "energy_j": None if before else energy_j(energy, energy_uj()),
                "device": job.device,
                "threads": job.threads,
                "precision": job.precision,
                "cpu": cpu_info()[0],
                "gpu": gpus()[0] if job.device != "cpu" and gpus() else None,
            }
            artefact = store.publish(step.kind, step.key, folder, result, made)
        try:
            artefact = store.share(artefact)
        except (HarnessError, OSError) as error:
            kept = f"the result is kept in {str(store.root)!r}, and the next run sends it"
            emit("warning", {"message": f"{error}; {kept}"})
        _release_gpu_memory()
        store.drop_checkpoints(step.key)
        store.add_timing(step.work, step.likes, seconds, step.rated)
        return artefact


@contextmanager
def _no_copies() -> Iterator[None]:
    """End a copy of this process that a component has made by a fork, before it does the rest of the step."""
    process = os.getpid()
    try:
        yield
    finally:
        if os.getpid() != process:
            os._exit(1)


def _torch_on_gpu() -> Any:
    """Return torch if this process has used a GPU through it, else None."""
    torch = sys.modules.get("torch")  # if nothing has loaded it, nothing is on a GPU
    return torch if torch is not None and torch.cuda.is_initialized() else None


def _release_gpu_memory() -> None:
    """Free the memory that torch caches, because other workers may share the GPU."""
    if torch := _torch_on_gpu():
        torch.cuda.empty_cache()


def _peak_gpu_memory(device: str) -> int | None:
    """Return the peak number of bytes that torch allocated on the GPU; None for a step on a CPU."""
    torch = _torch_on_gpu()
    return int(torch.cuda.max_memory_allocated()) if torch and device != "cpu" else None
