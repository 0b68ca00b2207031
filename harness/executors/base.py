"""Define the contract of executors: where steps can run, and how they get there.

The runner decides which step runs next and on which slot. An executor starts workers for the slots, sends
them steps, and passes on what these report. Like a tracker, it is a component outside of the matrix and of
every key: the same suite has the same results with each executor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from harness.api import Component
from harness.devices import Slot

SIGNS = ("progress", "warning", "waiting")  # the types of events after which a step still runs


@dataclass(frozen=True)
class Event:
    """The outcome of a step, or a sign of life: its progress, a warning, or that it waits for another run.

    `details` has "reason" for "failed", "unavailable" and "lost", and "log" for "failed"; "seconds" for
    "done"; "done" and "total" for "progress"; "message" for "warning"; and "waiting", true or false, for
    "waiting". A step is "lost" if its machine or worker went away for a reason outside of the step; it is run
    again.
    """

    type: Literal["progress", "warning", "waiting", "done", "failed", "unavailable", "damaged", "lost"]
    key: str  # of the step
    details: dict[str, Any]


class Work(Protocol):
    """The part of a step that an executor reads. A worker gets the whole step, pickled."""

    @property
    def key(self) -> str:
        """Return the step's key, which names it in events."""

    @property
    def foreign(self) -> tuple[str, ...]:
        """Return its components from other packages; such a step needs a process of its own."""

    @property
    def gpus(self) -> int:
        """Return how many GPUs of one machine it can use at once; it runs alone there if more than one."""


def unsent(step: Work, error: Exception) -> Event:
    """Return the event for a step that cannot be sent to a worker, because of an error of pickle."""
    reason = f"cannot send the step to a worker: {type(error).__name__}: {error}"
    return Event("failed", step.key, {"reason": reason, "log": ""})


class Workers(Protocol):
    """A set of slots, each of which runs one step at a time."""

    @property
    def slots(self) -> Sequence[Slot]:
        """Return the slots, where steps can run; they stay the same."""

    @property
    def gone(self) -> Mapping[int, str]:
        """Return the indices of the slots that will never take a step again, each with the reason."""

    def free(self) -> list[int]:
        """Return the indices of the slots that could take a step now."""

    def submit(self, slot: int, step: Work) -> None:
        """Start a step on a free slot."""

    def lend(self, key: str, cores: int) -> None:
        """Let a running step use `cores` cores from now on: that of its slot, and those of free slots."""

    def wait(self, timeout: float) -> list[Event]:
        """Return the new events; wait for the first one for at most `timeout` seconds."""

    def stop(self, key: str, reason: str) -> Event:
        """Stop a running step; return the event that reports it."""

    def close(self) -> None:
        """Stop all workers and the steps that they run."""


@dataclass(frozen=True)
class Executor(Component):
    """A component that runs steps, on this machine or on others."""

    kind: ClassVar[str] = "executor"

    def slots(self, devices: str, store: Path, notice: Callable[[str], None]) -> tuple[Slot, ...]:
        """Return the slots that `devices` names, the value of ``--devices``, on all machines.

        `store` is the folder of the store, which all machines must see. `notice` receives a message for each
        machine that cannot be used. Raise HarnessError if there is no slot, or if a package is missing.
        """
        raise NotImplementedError

    def start(self, store: Path, slots: Sequence[Slot]) -> Workers:
        """Return workers for these slots, of :meth:`slots`. They may be started on first use."""
        raise NotImplementedError
