"""Rows of embeddings, and pooling over them, with backward passes that are fast on a CPU."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

Parts = tuple[
    NDArray[np.float32], NDArray[np.int32], NDArray[np.int32]
]  # values, their columns, ends of rows

_HUGE = 1e38  # times the distance of two different numbers, it is far below -1


def trains_on_cpu(module: nn.Module, values: Tensor) -> bool:
    """Return whether a module that computes values is in training on a CPU, in fp32.

    Otherwise it may be traced for an export, which must contain plain operations only.
    """
    return (
        module.training
        and values.requires_grad
        and values.device.type == "cpu"
        and values.dtype == torch.float32
    )


def max_over_time(module: nn.Module, states: Tensor) -> Tensor:
    """Return the largest of states (B, L, H) of a module in each dimension, (B, H)."""
    return _Maximum.apply(states) if trains_on_cpu(module, states) else states.amax(1)  # type: ignore[no-untyped-call]


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


class Sparse:
    """Products with sparse matrices, kept by their shapes: to make one takes longer than a product."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], tuple[Any, Any]] = {}

    def product(
        self, parts: Parts, shape: tuple[int, int], other: Tensor, transposed: bool = False
    ) -> Tensor:
        """Return a matrix of a shape, or its transpose, times another one; `parts` are its CSR form."""
        from scipy.sparse import csc_array, csr_array

        if shape not in self._known:
            self._known[shape] = csr_array(parts, shape=shape), csc_array(parts, shape=shape[::-1])
        matrix = self._known[shape][transposed]
        matrix.data, matrix.indices, matrix.indptr = parts
        return torch.from_numpy(matrix @ other.detach().numpy())


def mean_of_rows(table: Tensor, ids: Tensor, kept: Tensor, sparse: Sparse) -> Tensor:
    """Return the means (B, W) of rows of a table (V, W), given ids (B, L) and which of them count, (B, L).

    The mean of no rows is 0.
    """
    return _Mean.apply(table, ids, kept, sparse)  # type: ignore[no-any-return,no-untyped-call]


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, ids: Tensor, kept: Tensor, sparse: Sparse) -> Tensor:
        known = kept.numpy()
        counts = known.sum(1, dtype=np.int32)
        ends = np.zeros(len(ids) + 1, dtype=np.int32)
        np.cumsum(counts, out=ends[1:])
        rows = ids.numpy()[known].astype(np.int32)
        shares = np.repeat(np.float32(1) / np.maximum(counts, 1).astype(np.float32), counts)
        ctx.given = (shares, rows, ends), (len(ids), len(table)), sparse
        return sparse.product(ctx.given[0], ctx.given[1], table)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        parts, shape, sparse = ctx.given
        return sparse.product(parts, shape, gradient, transposed=True), None, None, None


def rows_of(table: nn.Embedding, ids: Tensor, sparse: Sparse) -> Tensor:
    """Return the rows (B, L, W) of a table for ids (B, L)."""
    if trains_on_cpu(table, table.weight):
        return _Rows.apply(table.weight, ids, sparse)  # type: ignore[no-any-return,no-untyped-call]
    return table(ids)  # type: ignore[no-any-return]


class _Rows(torch.autograd.Function):
    """The rows of a table, whose gradient torch adds up in twice the time."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, ids: Tensor, sparse: Sparse) -> Tensor:
        ctx.given = ids, len(table), sparse
        return F.embedding(ids, table)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        ids, size, sparse = ctx.given
        count = ids.numel()
        parts = _ones(count), ids.view(-1).numpy().astype(np.int32), _numbers(count)
        flat = gradient.reshape(count, -1)
        return sparse.product(parts, (count, size), flat, transposed=True), None, None


@lru_cache(maxsize=64)
def _ones(count: int) -> NDArray[np.float32]:
    return np.ones(count, dtype=np.float32)


@lru_cache(maxsize=64)
def _numbers(count: int) -> NDArray[np.int32]:
    return np.arange(count + 1, dtype=np.int32)


def turned(module: nn.Module, states: Tensor, places: Tensor) -> Tensor:
    """Return states (B, L, H) of a module at places (B, L) that are their own inverse, e.g. in reverse."""
    if trains_on_cpu(module, states):
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
