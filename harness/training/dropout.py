"""Dropout whose random numbers depend on the micro-batch alone, and cost a quarter of torch's on a CPU.

torch has one generator for all threads of a process. Micro-batches that are computed at the same time would
draw from it in any order, so each of them has its own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

_LEVELS = 65_536  # probabilities are multiples of 1 / 65,536
_drawing = threading.local()


@contextmanager
def own_generators() -> Iterator[None]:
    """Let ``torch.nn.functional.dropout`` draw from the generator of :func:`seeded`, where there is one.

    All dropout layers, and the attention of Hugging Face's transformers, call this function.
    """
    usual = F.dropout

    def dropout(  # with the names of torch
        input: Tensor,  # noqa: A002
        p: float = 0.5,
        training: bool = True,
        inplace: bool = False,
    ) -> Tensor:
        if not training or p == 0 or getattr(_drawing, "generator", None) is None:
            return usual(input, p, training, inplace)
        return dropped(input, p, _drawing.generator)

    F.dropout = dropout
    try:
        yield
    finally:
        F.dropout = usual


@contextmanager
def seeded(*seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Let dropout in this thread draw numbers that only `seed` determines.

    On a GPU, they come from the generator of the `device`, so one thread at a time may use it.
    """
    _drawing.generator = np.random.SFC64(seed)
    if device is not None and device.type == "cuda":
        number = int(_drawing.generator.random_raw() >> 1)
        torch.cuda.default_generators[device.index or 0].manual_seed(number)
        _drawing.generator = None
    try:
        yield
    finally:
        _drawing.generator = None


def dropped(values: Tensor, p: float, generator: np.random.SFC64) -> Tensor:
    """Return values with a share `p` set to zero, and the others divided by 1 - `p`."""
    return _Dropout.apply(values, round(p * _LEVELS), generator)  # type: ignore[no-any-return,no-untyped-call]


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, lost: int, generator: np.random.SFC64) -> Tensor:
        count = values.numel()
        raw = generator.random_raw(-(-count // 4)).view(np.int16)[:count]
        kept = torch.from_numpy(raw).view(values.shape) >= lost - _LEVELS // 2
        factors = kept.to(values.dtype).mul_(_LEVELS / (_LEVELS - lost) if lost < _LEVELS else 0.0)
        ctx.save_for_backward(factors)
        return values * factors

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (factors,) = ctx.saved_tensors
        return gradient * factors, None, None
