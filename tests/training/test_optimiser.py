"""AdamW, its learning rate and the clipping of gradients, beside torch's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harness.testing.tiny import CheckContext
from harness.training import optimiser
from harness.training.cores import Cores
from harness.training.optimiser import AdamW, clip_gradients, rate_factor
from harness.training.settings import Training

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("schedule", "rise", "fall"),
    [
        ("linear", lambda t: t, lambda t: 1 - t),
        ("cosine", lambda t: t, lambda t: (1 + np.cos(np.pi * t)) / 2),
        (
            "one-cycle",
            lambda t: 0.52 - 0.48 * np.cos(np.pi * t),
            lambda t: (1 + np.cos(np.pi * t)) / 2,
        ),
        ("constant", lambda t: t, lambda t: 1.0),
    ],
)
def test_schedules(schedule: Any, rise: Callable[[float], float], fall: Callable[[float], float]) -> None:
    factor = rate_factor(Training(schedule=schedule, warmup=0.2), 100)
    expected = [rise((step + 1) / 20) for step in range(20)] + [fall(step / 80) for step in range(80)]
    assert [factor(step) for step in range(100)] == pytest.approx(expected)
    assert factor(19) == pytest.approx(1)  # the peak
    assert factor(100) == pytest.approx(1.0 if schedule == "constant" else 0.0)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "one-cycle", "constant"])
@pytest.mark.parametrize("warmup", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_run_of_few_steps_has_a_peak(schedule: Any, warmup: float, steps: int) -> None:
    factor = rate_factor(Training(schedule=schedule, warmup=warmup), steps)
    factors = [factor(step) for step in range(steps)]
    assert max(factors) == pytest.approx(1) and min(factors) > 0


# -- steps ----------------------------------------------------------------------------------------------


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(30, 8), nn.Linear(8, 6), nn.LayerNorm(6), nn.Linear(6, 4))


def gradients_of(module: nn.Module, steps: int, size: float = 1.0) -> list[list[Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        [torch.randn(p.shape, generator=generator) * size for p in module.parameters()] for _ in range(steps)
    ]


def ours(module: nn.Module, settings: Training, tmp_path: Path, cores: int = 1) -> AdamW:
    context = CheckContext(tmp_path, cores=cores)
    return AdamW(module, nn.ModuleDict(), settings, rate_factor(settings, 10), Cores(context))


def torchs(module: nn.Module, settings: Training, gradients: Sequence[Sequence[Tensor | None]]) -> None:
    """The same by torch's optimiser, scheduler and clipping."""
    matrices = [p for name, p in module.named_parameters() if p.ndim > 1 and not name.startswith("0.")]
    others = [p for p in module.parameters() if not any(p is matrix for matrix in matrices)]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": others}]
    theirs = torch.optim.AdamW(
        groups, lr=settings.learning_rate, eps=settings.epsilon, weight_decay=0.0, fused=True
    )
    scheduler = torch.optim.lr_scheduler.LambdaLR(theirs, rate_factor(settings, 10))
    for step in gradients:
        for parameter, gradient in zip(module.parameters(), step, strict=True):
            parameter.grad = None if gradient is None else gradient.clone()
        if settings.clip is not None:
            nn.utils.clip_grad_norm_(module.parameters(), settings.clip)
        theirs.step()
        scheduler.step()


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(
    "settings",
    [
        Training(weight_decay=0.1),
        Training(clip=None, schedule="constant", epsilon=1e-3),
        Training(learning_rate=0.5, schedule="linear", warmup=0.5, clip=0.1),
    ],
    ids=["decay", "no clipping", "linear"],
)
@pytest.mark.parametrize("large", [False, True])
def test_steps_are_torchs_to_the_bit(
    settings: Training, large: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimiser, "_LARGE", 1 if large else 10**9)
    mine, other = network(), network()
    gradients = gradients_of(mine, 6)
    step = ours(mine, settings, tmp_path, cores=2).step
    for each in gradients:
        step([gradient.clone() for gradient in each])
    torchs(other, settings, gradients)
    assert same(mine, other) and not same(mine, network())


def test_a_parameter_without_a_gradient_stays(tmp_path: Path) -> None:
    module = network()
    before = [p.detach().clone() for p in module.parameters()]
    optimizer = ours(module, Training(weight_decay=0.1), tmp_path)
    optimizer.step([None, *gradients_of(module, 1)[0][1:]])
    moved = [not torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True)]
    assert moved == [False] + [True] * (len(moved) - 1)
    optimizer.step([None] * len(before))


def test_it_continues_from_its_tensors(tmp_path: Path) -> None:
    gradients = gradients_of(network(), 6)
    whole, part = network(), network()
    for module, count in ((whole, 6), (part, 3)):
        optimizer = ours(module, Training(), tmp_path)
        for each in gradients[:count]:
            optimizer.step([gradient.clone() for gradient in each])
    held = {name: value.clone() for name, value in optimizer.tensors().items()}
    again = ours(part, Training(), tmp_path)
    again.restore(3, held)
    for each in gradients[3:]:
        again.step([gradient.clone() for gradient in each])
    assert same(whole, part)


@pytest.mark.parametrize("size", [1e-3, 1.0, 50.0])
def test_clipping_is_torchs_to_the_bit(size: float) -> None:
    (found,) = gradients_of(network(), 1, size)
    theirs = [nn.Parameter(torch.zeros_like(gradient)) for gradient in found]
    for parameter, gradient in zip(theirs, found, strict=True):
        parameter.grad = gradient.clone()
    clip_gradients(found, 1.0)
    nn.utils.clip_grad_norm_(theirs, 1.0)
    for parameter, gradient in zip(theirs, found, strict=True):
        assert parameter.grad is not None and torch.equal(parameter.grad, gradient)
    clip_gradients([], 1.0)
