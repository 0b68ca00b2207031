"""AdamW, its learning rate schedule, and the clipping of gradients.

The numbers are bit for bit those of torch's optimiser, scheduler and ``clip_grad_norm_``. Their bookkeeping
takes longer than a step of the smallest models; here, a step is little more than torch's fused kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from harness.training.cores import Cores
    from harness.training.settings import Training

_BETAS = 0.9, 0.999
_LARGE = 500_000  # parameters that are worth another core


class _Part(NamedTuple):
    """Parameters with the same weight decay, by their numbers."""

    numbers: list[int]
    decay: float


class AdamW:
    """AdamW (Loshchilov & Hutter, 2019) for the parameters of a module and of the maps.

    Weight decay is for matrices only, not for embeddings. The learning rate of step n, from 0, is that of the
    settings times `factor(n)`.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        maps: torch.nn.Module,
        settings: Training,
        factor: Callable[[int], float],
        cores: Cores,
    ) -> None:
        embeddings = {
            id(layer.weight)
            for layer in module.modules()
            if isinstance(layer, torch.nn.Embedding | torch.nn.EmbeddingBag)
        }
        self.parameters = [p for p in (*module.parameters(), *maps.parameters()) if p.requires_grad]
        self.settings = settings
        self.factor = factor
        self.cores = cores
        self.steps = 0
        self._means = [torch.zeros_like(p, memory_format=torch.preserve_format) for p in self.parameters]
        self._squares = [torch.zeros_like(mean) for mean in self._means]
        self._step = torch.zeros((), device=self.parameters[0].device if self.parameters else None)
        decays = [
            settings.weight_decay if p.ndim > 1 and id(p) not in embeddings else 0.0 for p in self.parameters
        ]
        groups = {decay: [n for n, own in enumerate(decays) if own == decay] for decay in sorted({*decays})}
        self._parts = [
            _Part(numbers, decay) for decay, group in groups.items() for numbers in self._shared_out(group)
        ]

    def step(self, gradients: Sequence[Tensor | None]) -> None:
        """Clip the gradients and change the parameters; those without a gradient stay as they are."""
        rate = self.settings.learning_rate * self.factor(self.steps)
        self.steps += 1
        self._step += 1
        with torch.no_grad():
            if self.settings.clip is not None:
                clip_gradients([g for g in gradients if g is not None], self.settings.clip)
            if len(self._parts) == 1:
                self._change(self._parts[0], gradients, rate)
            else:
                self.cores.run([partial(self._change, part, gradients, rate) for part in self._parts])

    def _change(self, part: _Part, gradients: Sequence[Tensor | None], rate: float) -> None:
        numbers = [n for n in part.numbers if gradients[n] is not None]
        if not numbers:
            return
        with torch.no_grad():  # each thread has its own mode
            torch._fused_adamw_(
                [self.parameters[n] for n in numbers],
                [gradients[n] for n in numbers],  # type: ignore[misc]
                [self._means[n] for n in numbers],
                [self._squares[n] for n in numbers],
                [],
                [self._step] * len(numbers),
                lr=rate,
                beta1=_BETAS[0],
                beta2=_BETAS[1],
                weight_decay=part.decay,
                eps=self.settings.epsilon,
                amsgrad=False,
                maximize=False,
            )

    def _shared_out(self, group: Sequence[int]) -> list[list[int]]:
        """Return a group's numbers in two parts of similar size, for two cores, if it is large."""
        if self.parameters[0].device.type != "cpu" or sum(self._numel(n) for n in group) < _LARGE:
            return [list(group)]
        halves: list[list[int]] = [[], []]
        sizes = [0, 0]
        for number in sorted(group, key=self._numel, reverse=True):
            smaller = int(sizes[1] < sizes[0])
            halves[smaller].append(number)
            sizes[smaller] += self._numel(number)
        return [sorted(half) for half in halves if half]

    def _numel(self, number: int) -> int:
        return self.parameters[number].numel()

    # -- checkpoints

    def tensors(self) -> dict[str, Tensor]:
        """Return the moments of all parameters, by name."""
        held = {"mean": self._means, "square": self._squares}
        return {f"{n}.{name}": value for name, values in held.items() for n, value in enumerate(values)}

    def restore(self, steps: int, tensors: Mapping[str, Tensor]) -> None:
        """Continue after `steps` steps, with the result of :meth:`tensors`."""
        self.steps = steps
        self._step.fill_(steps)
        for name, value in self.tensors().items():
            value.copy_(tensors[name])


def clip_gradients(gradients: Sequence[Tensor], largest: float) -> None:
    """Scale gradients down, in place, to a norm of at most `largest`."""
    if not gradients:
        return
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))  # type: ignore[arg-type]
    factor = largest / (norm + 1e-6)
    if factor.device.type != "cpu" or not factor >= 1:  # to read it from a GPU, the GPU would have to wait
        torch._foreach_mul_(gradients, factor.clamp(max=1.0))  # type: ignore[call-overload]


def rate_factor(settings: Training, steps: int) -> Callable[[int], float]:
    """Return a function from the step to the factor of the learning rate."""
    rising = max(1, round(settings.warmup * steps))

    def factor(step: int) -> float:
        if settings.schedule == "constant":
            return min(1.0, (step + 1) / rising) if settings.warmup else 1.0
        if step < rising:
            share = (step + 1) / rising
            return (
                share
                if settings.schedule != "one-cycle"
                else 0.04 + 0.96 * (1 - math.cos(math.pi * share)) / 2
            )
        share = (step - rising) / max(1, steps - rising)
        return (
            max(0.0, 1 - share)
            if settings.schedule == "linear"
            else (1 + math.cos(math.pi * min(1.0, share))) / 2
        )

    return factor
