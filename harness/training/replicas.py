"""Compute the gradient of a batch on several GPUs of one machine (data parallelism).

A batch has as many parts as the component asks for GPUs, each with its own random numbers, and the gradients
of the parts are added in order. So the result is the same on fewer GPUs of the same kind, where the parts
take turns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from harness.training.micro_batches import Part, add_gradients, gradient_of
from harness.training.outputs import Signals


@dataclass(frozen=True)
class Replica:
    """A copy of the module on a device, and what the loss needs there."""

    device: torch.device
    module: torch.nn.Module
    signals: Signals
    weigh: Callable[[Tensor | None, Tensor | None], Tensor] | None  # weights of a batch's rows; None: equal

    def parameters(self) -> list[Tensor]:
        """Return the parameters that are trained."""
        return [parameter for parameter in self.module.parameters() if parameter.requires_grad]


def gpus_for(device: torch.device, wanted: int) -> list[torch.device]:
    """Return the device, and behind it the other GPUs that this process sees, up to `wanted` in total."""
    if device.type != "cuda":
        return [device]
    others = [torch.device("cuda", n) for n in range(torch.cuda.device_count()) if n != (device.index or 0)]
    return [device, *others[: wanted - 1]]


class Replicas:
    """Copies of a module in training; the first is the module itself, which the optimiser changes."""

    def __init__(self, replicas: Sequence[Replica]) -> None:
        self.replicas = tuple(replicas)
        self._parameters = [replica.parameters() for replica in self.replicas]
        self._pool = ThreadPoolExecutor(len(self.replicas), "replicas")

    def of(self, parts: Sequence[Callable[[Replica], Part]]) -> tuple[list[Part], list[Tensor | None]]:
        """Return the computed parts of a batch, and for each parameter the gradient of their weighed sum.

        Part n is computed by replica n modulo their number; all results are on the first device.
        """
        count = len(self.replicas)
        shares = [self._pool.submit(self._compute, at, parts[at::count]) for at in range(count)]
        found = [share.result() for share in shares]
        total: list[Tensor | None] = [None] * len(self._parameters[0])
        computed = []
        for number in range(len(parts)):
            part, gradients = found[number % count][number // count]
            computed.append(self._first(part))
            moved = [None if one is None else one.to(self.replicas[0].device) for one in gradients]
            total = moved if not number else add_gradients(total, moved)
        return computed, total

    def spread(self) -> None:
        """Copy the parameters of the first replica to the others, after a step of the optimiser."""
        with torch.no_grad():
            for own in self._parameters[1:]:
                torch._foreach_copy_(own, self._parameters[0])

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def _compute(
        self, at: int, parts: Sequence[Callable[[Replica], Part]]
    ) -> list[tuple[Part, list[Tensor | None]]]:
        replica = self.replicas[at]
        with _on(replica.device):
            return [gradient_of(partial(part, replica), self._parameters[at]) for part in parts]

    def _first(self, part: Part) -> Part:
        """Return a part whose loss is on the first device."""
        device = self.replicas[0].device
        part.batch.parts = {name: value.to(device) for name, value in part.batch.parts.items()}
        return Part(part.value.to(device), part.weighed.to(device), part.batch)


def _on(device: torch.device) -> AbstractContextManager[Any]:
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
