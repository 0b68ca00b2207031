"""A loss with its gradient by hand: autograd's own steps take longer than the arithmetic of small models."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness_losses.tensors import divergence, log_probabilities


def divergences(p: Tensor, student: Tensor, temperature: float) -> Tensor:
    """Return KL(p || student) of each row, (B,), given log-probabilities p (B, C) and logits (B, C).

    The logits are divided by the temperature first. There is no gradient for p.
    """
    return _Divergences.apply(p, student, temperature)  # type: ignore[no-any-return,no-untyped-call]


class _Divergences(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, p: Tensor, student: Tensor, temperature: float) -> Tensor:
        q = log_probabilities(student, temperature)
        ctx.save_for_backward(p, q)
        ctx.temperature, ctx.dtype = temperature, student.dtype
        return divergence(p, q)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, None]:
        p, q = ctx.saved_tensors
        found = (q.exp() - p.exp()).mul_((gradient / ctx.temperature).unsqueeze(-1))
        return None, found.to(ctx.dtype), None
