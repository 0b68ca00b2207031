"""Define how steps reach devices: the runner decides what runs next, and an executor runs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from harness.devices import Slot
from harness.plan.planner import Step


@dataclass(frozen=True)
class Event:
    """The outcome of a step, or a sign of life: its progress, a warning, or that it waits for another run."""

    type: Literal["progress", "warning", "waiting", "done", "failed", "unavailable", "damaged"]
    key: str  # of the step
    details: dict[str, Any]


class Executor(Protocol):
    """A set of slots, each of which runs one step at a time."""

    @property
    def slots(self) -> Sequence[Slot]:
        """Return the slots, where steps can run."""

    def free(self) -> list[int]:
        """Return the indices of the slots that could take a step now."""

    def submit(self, slot: int, step: Step) -> None:
        """Start a step on a free slot."""

    def lend(self, key: str, cores: int) -> None:
        """Let a running step use `cores` cores from now on: that of its slot, and those of free slots."""

    def wait(self, timeout: float) -> list[Event]:
        """Return the new events; wait for the first one for at most `timeout` seconds."""

    def stop(self, key: str, reason: str) -> Event:
        """Stop a running step; return the event that reports it."""

    def close(self) -> None:
        """Stop all workers and the steps that they run."""
