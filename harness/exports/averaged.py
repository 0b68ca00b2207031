"""Export a module that is a mean of embeddings and dense layers in a smaller form for NumPy.

A linear layer on a mean of rows equals the mean of that layer's outputs. So the first layer is multiplied
into the table if this makes it no wider: a table of 5,002 × 16 with six classes becomes one of 5,002 × 6.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.runtime.tables import AVERAGED, AveragedModel, TableModel

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

Arrays = dict[str, "NDArray[np.float32]"]

_ROWS, _LONGEST = 64, 48  # shape of the ids for the comparison
_TOLERANCE = 1e-5  # largest difference, relative to the largest logit


def recognise(module: torch.nn.Module, size: int, padding: int) -> Arrays | None:
    """Return the arrays for :class:`harness.runtime.tables.AveragedModel`, or None if the module differs.

    The module must consist of one embedding and linear layers, with ReLU between them. Its code is not read:
    its outputs are compared on random ids, with and without padding.
    """
    arrays = _arrays(module, padding)
    if arrays is None or len(arrays["table"]) != size:
        return None
    ids = trial(size, padding)
    return arrays if alike(module, ids, outputs(AveragedModel, arrays, ids, padding)) else None


def _arrays(module: torch.nn.Module, padding: int) -> Arrays | None:
    from torch import nn

    held = [layer for layer in module.modules() if next(layer.parameters(recurse=False), None) is not None]
    tables = [layer for layer in held if type(layer) is nn.Embedding]
    linear = [layer for layer in held if type(layer) is nn.Linear]
    if len(tables) != 1 or not linear or len(held) != 1 + len(linear) or [*module.buffers()]:
        return None
    widths = [tables[0].embedding_dim, *(layer.out_features for layer in linear)]
    if any(layer.in_features != width for layer, width in zip(linear, widths, strict=False)):
        return None
    arrays: dict[str, Any] = {}
    table = tables[0].weight.detach().cpu().double().numpy()
    for number, layer in enumerate(linear):
        weight = layer.weight.detach().cpu().double().numpy().T  # (in, out)
        bias = None if layer.bias is None else layer.bias.detach().cpu().numpy()
        arrays[f"bias_{number}"] = np.zeros(weight.shape[1]) if bias is None else bias
        if number == 0 and weight.shape[1] <= weight.shape[0]:
            table = table @ weight
        else:
            arrays[f"weight_{number}"] = weight
    arrays["table"] = table.copy()
    if 0 <= padding < len(table):
        arrays["table"][padding] = 0
    return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}


def trial(size: int, padding: int, inside: bool = True) -> NDArray[np.int64]:
    """Return random ids (B, L). The last row is all padding; others have it behind and perhaps `inside`."""
    generator = np.random.default_rng(0)
    ids = generator.integers(0, size, (_ROWS, _LONGEST))
    if not inside:
        ids[ids == padding] = (padding + 1) % size
    ids[np.arange(_LONGEST) >= generator.integers(1, _LONGEST + 1, (_ROWS, 1))] = padding
    ids[-1] = padding
    return ids


def alike(module: torch.nn.Module, ids: NDArray[np.int64], found: NDArray[np.float32]) -> bool:
    """Return whether a module's outputs for ids (B, L) are these, (B, C), up to rounding."""
    import torch

    try:
        with torch.no_grad():
            expected = np.asarray(module(torch.from_numpy(ids)).numpy())
    except Exception:  # it does not accept these ids, so it is another kind of module
        return False
    if expected.shape != found.shape:
        return False
    largest = max(1.0, float(np.abs(expected).max()))
    return bool(np.abs(expected - found).max() <= _TOLERANCE * largest)  # NaN is not close either


def outputs(form: type[TableModel], arrays: Arrays, ids: NDArray[np.int64], padding: int) -> Any:
    """Return the outputs of a form for NumPy with these arrays, for ids (B, L)."""
    model = form.__new__(form)
    model.padding = padding
    model.use(arrays)
    return model.block(ids.ravel().astype(np.int32), ids.shape[1] * np.arange(len(ids) + 1))


def write(arrays: Arrays, folder: Path) -> None:
    """Write the arrays for NumPy into a folder."""
    np.savez(folder / AVERAGED, **arrays)  # type: ignore[arg-type]


def graph(arrays: Arrays, padding: int, opset: int) -> bytes:
    """Return the same model as ONNX: Gather, a mean over ids except padding, then dense layers."""
    from onnx import TensorProto, checker, helper, numpy_helper

    node = helper.make_node
    held = {**arrays, "padding": np.int64(padding), "words": np.array([1]), "one": np.float32(1)}
    nodes = [
        node("Gather", ["table", "input_ids"], ["rows"]),  # (B, L, W)
        node("ReduceSum", ["rows", "words"], ["total"], keepdims=0),  # (B, W)
        node("Equal", ["input_ids", "padding"], ["absent"]),
        node("Not", ["absent"], ["present"]),
        node("Cast", ["present"], ["counted"], to=TensorProto.FLOAT),
        node("ReduceSum", ["counted", "words"], ["known"], keepdims=1),  # (B, 1)
        node("Max", ["known", "one"], ["count"]),
        node("Div", ["total", "count"], ["mean"]),
    ]
    last = "mean"
    layers = sum(name.startswith("bias_") for name in arrays)
    for number in range(layers):
        if number:
            nodes.append(node("Relu", [last], [f"positive_{number}"]))
            last = f"positive_{number}"
        if f"weight_{number}" in arrays:
            nodes.append(node("MatMul", [last, f"weight_{number}"], [f"product_{number}"]))
            last = f"product_{number}"
        out = "logits" if number == layers - 1 else f"layer_{number}"
        nodes.append(node("Add", [last, f"bias_{number}"], [out]))
        last = out
    made = helper.make_graph(
        nodes,
        "averaged",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "length"])],
        [
            helper.make_tensor_value_info(
                "logits", TensorProto.FLOAT, ["batch", len(arrays[f"bias_{layers - 1}"])]
            )
        ],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in held.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    checker.check_model(model)
    return model.SerializeToString()  # type: ignore[no-any-return]
