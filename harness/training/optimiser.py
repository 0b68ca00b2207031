"""The optimiser, its learning rate schedule, and gradient clipping."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.training.settings import Training


def clip_gradients(parameters: Sequence[Tensor], largest: float) -> None:
    """Scale the gradients down to a norm of at most `largest`.

    The results are bit for bit those of torch's ``clip_grad_norm_``, whose checks take as long as the
    backward pass of some models.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if gradients:
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        torch._foreach_mul_(gradients, (largest / (norm + 1e-6)).clamp(max=1.0))


def make_optimizer(
    module: torch.nn.Module, settings: Training, maps: torch.nn.Module
) -> torch.optim.Optimizer:
    """Return AdamW for the parameters of a module and of the maps; weight decay is for matrices only."""
    trained = [p for p in (*module.parameters(), *maps.parameters()) if p.requires_grad]
    embeddings = {
        id(layer.weight)
        for layer in module.modules()
        if isinstance(layer, torch.nn.Embedding | torch.nn.EmbeddingBag)
    }
    decayed = [p for p in trained if p.ndim > 1 and id(p) not in embeddings]
    plain = [p for p in trained if p.ndim <= 1 or id(p) in embeddings]
    if not settings.weight_decay:  # for small models, a group's overhead is as large as its arithmetic
        decayed, plain = [], decayed + plain
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, eps=settings.epsilon, fused=True)


def rate_factor(settings: Training, steps: int):  # type: ignore[no-untyped-def]
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
