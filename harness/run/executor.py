"""How steps get onto devices. The runner decides what runs next; an executor runs it somewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from harness.devices import Slot
from harness.plan.planner import Step


@dataclass(frozen=True)
class Event:
    """What became of a step, or how far it is."""

    type: Literal["progress", "warning", "done", "failed", "unavailable", "damaged"]
    key: str  # of the step
    details: dict[str, Any]


class Executor(Protocol):
    """A set of slots that take a step each."""

    @property
    def slots(self) -> Sequence[Slot]:
        """Where steps can run."""

    def free(self) -> list[int]:
        """The indices of the slots that could take a step now."""

    def submit(self, slot: int, step: Step) -> None:
        """Start a step on a free slot."""

    def wait(self, timeout: float) -> list[Event]:
        """What happened, waiting at most `timeout` seconds for something to."""

    def stop(self, key: str, reason: str) -> Event:
        """End a step that runs; the event that says so."""

    def close(self) -> None:
        """End all workers and whatever they do."""
