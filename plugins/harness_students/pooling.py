"""Pooling over the words of texts, whose backward passes are fast on a CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

_HUGE = 1e38  # times the distance of two different numbers, it is far below -1


def trains_on_cpu(values: Tensor) -> bool:
    """Return whether values are computed in training on a CPU, in fp32."""
    return values.requires_grad and values.device.type == "cpu" and values.dtype == torch.float32


def max_over_time(states: Tensor) -> Tensor:
    """Return the largest of states (B, L, H) in each dimension, (B, H)."""
    return _Maximum.apply(states) if trains_on_cpu(states) else states.amax(1)  # type: ignore[no-untyped-call]


class _Maximum(torch.autograd.Function):
    """The maximum; equal ones share the gradient, as in torch, whose backward pass takes 4 times as long."""

    @staticmethod
    def forward(ctx: Any, states: Tensor) -> Tensor:
        largest: Tensor = states.amax(1)
        ctx.save_for_backward(states, largest)
        return largest

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        states, largest = ctx.saved_tensors
        chosen = (states - largest.unsqueeze(1)).mul_(_HUGE).add_(1).clamp_(min=0)  # 1 for a maximum, else 0
        found: Tensor = chosen.mul_((gradient / chosen.sum(1)).unsqueeze(1))
        return found


class MeanOfRows:
    """The mean of rows of a table (V, W) over the ids of each text, as a product with a sparse matrix."""

    def __init__(self) -> None:
        self._matrices: dict[tuple[int, int], tuple[Any, Any]] = {}  # by texts and rows: made once

    def __call__(self, table: Tensor, ids: Tensor, kept: Tensor) -> Tensor:
        """Return the means (B, W) over the kept ids, given ids (B, L) and booleans (B, L); 0 without any."""
        return _Mean.apply(table, ids, kept, self._matrices)  # type: ignore[no-any-return,no-untyped-call]


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, table: Tensor, ids: Tensor, kept: Tensor, matrices: dict[tuple[int, int], tuple[Any, Any]]
    ) -> Tensor:
        from scipy.sparse import csc_array, csr_array

        known = kept.numpy()
        counts = known.sum(1, dtype=np.int32)
        ends = np.zeros(len(ids) + 1, dtype=np.int32)
        np.cumsum(counts, out=ends[1:])
        rows = ids.numpy()[known].astype(np.int32)
        shares = np.repeat(np.float32(1) / np.maximum(counts, 1).astype(np.float32), counts)
        shape = len(ids), table.shape[0]
        if shape not in matrices:  # to make one takes longer than to multiply with it
            parts = (shares, rows, ends)
            matrices[shape] = csr_array(parts, shape=shape), csc_array(parts, shape=shape[::-1])
        ctx.matrices = matrices[shape]
        ctx.parts = shares, rows, ends
        return torch.from_numpy(_filled(ctx.matrices[0], ctx.parts) @ table.detach().numpy())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        found = _filled(ctx.matrices[1], ctx.parts) @ gradient.numpy()
        return torch.from_numpy(found), None, None, None


def _filled(matrix: Any, parts: tuple[Any, Any, Any]) -> Any:
    """Return a sparse matrix after setting its values, its indices and its ends of rows or columns."""
    matrix.data, matrix.indices, matrix.indptr = parts
    return matrix


def turned(states: Tensor, places: Tensor) -> Tensor:
    """Return states (B, L, H) at places (B, L) that are their own inverse, such as those in reverse order."""
    if trains_on_cpu(states):
        flat = places + torch.arange(len(places)).unsqueeze(1) * places.shape[1]
        return _Turned.apply(states, flat.view(-1))  # type: ignore[no-any-return,no-untyped-call]
    return states.gather(1, places.unsqueeze(-1).expand(-1, -1, states.shape[2]))


class _Turned(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, places: Tensor) -> Tensor:
        ctx.places = places
        return states.reshape(-1, states.shape[2]).index_select(0, places).view(states.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        flat = gradient.reshape(-1, gradient.shape[2])
        return flat.index_select(0, ctx.places).view(gradient.shape), None
