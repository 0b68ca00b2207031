"""Export a module that is convolutions over word embeddings in a form for NumPy.

A filter over a span of words is a sum of products, one for each word: the form looks them up in a table.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.exports.averaged import alike, outputs, trial
from harness.runtime.tables import CONVOLVED, ConvolvedModel

if TYPE_CHECKING:
    import torch

    from harness.runtime.tables import Arrays

_MOST = 1 << 22  # products of words and filters: 16 MB


def recognise(module: torch.nn.Module, size: int, padding: int) -> Arrays | None:
    """Return the arrays for :class:`harness.runtime.tables.ConvolvedModel`, or None if the module differs.

    The module must consist of one embedding, a linear layer for each span over its words' embeddings, and a
    linear layer over the maxima. Its code is not read: its outputs are compared on random ids, with and
    without padding.
    """
    arrays = _arrays(module)
    if arrays is None or len(arrays["table"]) != size:
        return None
    ids = trial(size, padding)
    return arrays if alike(module, ids, outputs(ConvolvedModel, arrays, ids, padding)) else None


def _arrays(module: torch.nn.Module) -> Arrays | None:
    from torch import nn

    held = [layer for layer in module.modules() if next(layer.parameters(recurse=False), None) is not None]
    tables = [layer for layer in held if type(layer) is nn.Embedding]
    linear = [layer for layer in held if type(layer) is nn.Linear]
    if len(tables) != 1 or len(linear) < 2 or len(held) != 1 + len(linear) or [*module.buffers()]:
        return None
    *filters, last = linear
    width = tables[0].embedding_dim
    if any(layer.in_features % width or layer.bias is None for layer in filters) or last.bias is None:
        return None
    if last.in_features != sum(layer.out_features for layer in filters):
        return None
    products = sum(layer.weight.numel() for layer in filters) // width
    if products * tables[0].num_embeddings > _MOST:
        return None

    def plain(value: Any) -> Any:
        return np.ascontiguousarray(value.detach().cpu().float().numpy())

    arrays = {"table": plain(tables[0].weight), "weight": plain(last.weight.T), "bias": plain(last.bias)}
    for number, layer in enumerate(filters):
        arrays |= {f"filters_{number}": plain(layer.weight.T), f"shift_{number}": plain(layer.bias)}
    return arrays


def write(arrays: Arrays, folder: Path) -> None:
    """Write the arrays for NumPy into a folder."""
    np.savez(folder / CONVOLVED, **arrays)  # type: ignore[arg-type]
