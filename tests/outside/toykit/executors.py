"""An executor of another package: the workers of this machine, said to be on several nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import harness
from harness.devices import Slot
from harness.executors.base import Executor
from harness.run.local import LocalWorkers


@dataclass(frozen=True)
class ToyExecutor(Executor):
    """One worker for each node."""

    name = "toy-executor"

    nodes: int = 2

    def slots(self, devices: str, store: Path, notice: Callable[[str], None]) -> tuple[Slot, ...]:
        """Refuse the node that is one too many."""
        if self.nodes < 1:
            raise harness.Unavailable("the toy cluster has no nodes")
        if self.nodes > 2:
            notice("the toy cluster has two nodes")
        return tuple(Slot(devices, 1, f"toy-{number}") for number in range(min(2, self.nodes)))

    def start(self, store: Path, slots: Sequence[Slot]) -> LocalWorkers:
        """Start them on first use."""
        return LocalWorkers(store, slots)
