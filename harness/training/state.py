"""The complete state of a training: its position, the tensors of torch, and the sums so far."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.api import Batch
from harness.training.optimiser import AdamW


@dataclass
class Place:
    """The position of a training, as JSON values."""

    epoch: int = 1
    done: int = 0  # steps in this epoch
    step: int = 0  # steps in total
    texts: int = 0  # texts in this epoch
    rows: int = 0  # rows in the sums
    best: float = -math.inf
    since_best: int = 0
    order: dict[str, Any] = field(
        default_factory=dict
    )  # state of the generator of batches at the start of the epoch
    told: list[tuple[int, dict[str, float]]] = field(default_factory=list)  # measurements, with their steps


class Sums:
    """The sums of the loss and its parts over rows; the numbers stay on their device."""

    def __init__(self) -> None:
        self.rows = 0
        self.totals: dict[str, Tensor] = {}

    def add(self, value: Tensor, batch: Batch) -> None:
        """Add the means of a batch, weighted by its rows."""
        self.rows += batch.size
        for name, part in {"loss": value, **{f"loss_{name}": p for name, p in batch.parts.items()}}.items():
            added = part.detach() * batch.size
            before = self.totals.get(name)
            self.totals[name] = added if before is None else before + added

    def means(self) -> dict[str, float]:
        """Return the means over rows: "loss", and "loss_" and the name for each part."""
        return {name: float(total) / self.rows for name, total in self.totals.items()}


class State:
    """The state of a training, which :meth:`restore` reproduces bit for bit."""

    def __init__(
        self,
        modules: Mapping[str, torch.nn.Module],  # the trained modules, by name
        optimizer: AdamW,
        generator: np.random.Generator,
        device: torch.device,
    ) -> None:
        self.modules = modules
        self.optimizer = optimizer
        self.generator = generator  # of the batches' order; hidden tokens are drawn without a state
        self.device = device
        self.at = Place()
        self.sums = Sums()
        self.best: dict[str, Tensor] | None = None  # the weights with the best validation score, by name

    def weights(self) -> dict[str, Tensor]:
        """Return parameters and buffers by name; shared ones only once."""
        found: dict[str, Tensor] = {}
        for prefix, module in self.modules.items():
            for named in (module.named_parameters(), module.named_buffers()):
                found |= {f"{prefix}.{name}": value for name, value in named}
        return found

    def keep_best(self) -> None:
        """Store a copy of the current weights."""
        self.best = {name: value.detach().clone() for name, value in self.weights().items()}

    def take_best(self) -> None:
        """Restore the stored weights."""
        assert self.best is not None
        _copy(self.best, self.weights())

    def place(self) -> dict[str, Any]:
        """Return the part of the state that is not in tensors, as JSON values."""
        self.at.rows = self.sums.rows
        return asdict(self.at)

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors of the state by name."""
        found = {f"now.{name}": value for name, value in self.weights().items()}
        found |= {f"best.{name}": value for name, value in (self.best or {}).items()}
        found |= {f"sums.{name}": value for name, value in self.sums.totals.items()}
        found |= {f"optimizer.{name}": value for name, value in self.optimizer.tensors().items()}
        found["random"] = torch.get_rng_state()
        if self.device.type == "cuda":
            found["random.cuda"] = torch.cuda.get_rng_state(self.device)
        return found

    def restore(self, place: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Restore the state from the results of :meth:`place` and :meth:`tensors`."""
        self.at = Place(**place)
        self.generator.bit_generator.state = self.at.order

        def part(prefix: str) -> dict[str, Tensor]:
            start = len(prefix)
            return {name[start:]: value for name, value in tensors.items() if name.startswith(prefix)}

        _copy(part("now."), self.weights())
        best = {name: value.to(self.device) for name, value in part("best.").items()}
        self.best = best or None
        self.sums.rows = self.at.rows
        self.sums.totals = {name: value.to(self.device) for name, value in part("sums.").items()}
        self.optimizer.restore(self.at.step, part("optimizer."))
        torch.set_rng_state(tensors["random"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.cuda"], self.device)


def _copy(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, value in target.items():
            value.copy_(source[name])
