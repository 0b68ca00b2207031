"""Export a recurrent classifier as a graph of few operators, which takes about half the time of a traced one.

A trace has an operator for each direction, and others that turn texts around. The operators of ONNX read in
both directions themselves, given the number of words of each text.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from harness.exports.averaged import alike, trial

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

_POOLING = ("max", "last", "mean")
_GATES = {"GRU": (1, 0, 2), "LSTM": (0, 3, 1, 2)}  # of ONNX, by their places among those of torch
_LOWEST = -1e4  # stands for padding in a maximum


class _Parts(NamedTuple):
    table: NDArray[np.float32]  # (V, W)
    layers: list[list[Any]]  # the cells of each layer, one for each direction
    linear: list[Any]


def recognise(module: torch.nn.Module, size: int, padding: int, opset: int) -> bytes | None:
    """Return a graph that computes what a module does, if padding is at the ends of texts only; else None.

    The module must consist of an embedding, layers of GRUs or LSTMs in one direction or both, and linear
    layers with ReLU between them. Its code is not read: its outputs are compared on random ids, for each way
    of pooling over time.
    """
    import onnxruntime

    ids = trial(size, padding, inside=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    for parts, pooling in product((_parts(module, size, directions) for directions in (1, 2)), _POOLING):
        if parts is None:
            continue
        made = _graph(parts, pooling, padding, opset)
        session = onnxruntime.InferenceSession(made, options, providers=["CPUExecutionProvider"])
        if alike(module, ids, session.run(["logits"], {"input_ids": ids})[0]):
            return made
    return None


def _parts(module: torch.nn.Module, size: int, directions: int) -> _Parts | None:
    """Return the parts of a module whose layers read in one or two directions; None if they do not fit."""
    from torch import nn

    held = [layer for layer in module.modules() if next(layer.parameters(recurse=False), None) is not None]
    tables = [layer for layer in held if type(layer) is nn.Embedding]
    cells: list[Any] = [layer for layer in held if type(layer) in (nn.GRU, nn.LSTM)]
    linear: list[Any] = [layer for layer in held if type(layer) is nn.Linear]
    if len(tables) != 1 or not cells or not linear or len(held) != 1 + len(cells) + len(linear):
        return None
    simple = all(
        cell.num_layers == 1 and cell.bias and not cell.bidirectional and not getattr(cell, "proj_size", 0)
        for cell in cells
    )
    alike_ones = len({(type(cell), cell.hidden_size) for cell in cells}) == 1
    state = directions * cells[0].hidden_size
    layers = [cells[at : at + directions] for at in range(0, len(cells), directions)]
    inputs = [tables[0].embedding_dim, *(state for _ in layers)]
    ends = [state, *(layer.out_features for layer in linear)]
    fit = (
        tables[0].num_embeddings == size
        and len(cells) == directions * len(layers)
        and all(c.input_size == wide for cells, wide in zip(layers, inputs, strict=False) for c in cells)
        and all(layer.in_features == wide for layer, wide in zip(linear, ends, strict=False))
        and all(layer.bias is not None for layer in linear)
    )
    return _Parts(_plain(tables[0].weight), layers, linear) if simple and alike_ones and fit else None


def _plain(value: Any) -> NDArray[np.float32]:
    return np.ascontiguousarray(value.detach().cpu().float().numpy())


def _graph(parts: _Parts, pooling: str, padding: int, opset: int) -> bytes:
    """Return the graph; states are (L, directions, B, H), as the operators of ONNX return them."""
    from onnx import TensorProto, checker, helper, numpy_helper

    node = helper.make_node
    cell = parts.layers[0][0]
    kind, hidden, directions = type(cell).__name__, cell.hidden_size, len(parts.layers[0])
    held: dict[str, Any] = {
        "table": parts.table,
        "padding": np.int64(padding),
        "time": np.array([0]),
        "fewest": np.array([1], dtype=np.int32),
        "beside": np.array([1, 3]),
        "nothing": np.float32(_LOWEST if pooling == "max" else 0),
        "flat": np.array([0, directions * hidden]),
        "flat_steps": np.array([0, 0, directions * hidden]),
    }
    nodes = [
        node("Transpose", ["input_ids"], ["turned"], perm=[1, 0]),  # (L, B)
        node("Gather", ["table", "turned"], ["states_0"]),  # (L, B, W)
        node("Equal", ["turned", "padding"], ["absent"]),
        node("Not", ["absent"], ["present"]),
        node("Cast", ["present"], ["counted"], to=TensorProto.INT32),
        node("ReduceSum", ["counted", "time"], ["known"], keepdims=0),
        node("Max", ["known", "fewest"], ["lengths"]),  # (B,)
    ]
    options = {"linear_before_reset": 1} if kind == "GRU" else {}
    for number, cells in enumerate(parts.layers):
        own = {name: f"{name}_{number}" for name in ("weights", "recurrent", "biases")}
        held |= {own[name]: array for name, array in zip(own, _arrays(cells, _GATES[kind]), strict=True)}
        nodes.append(
            node(
                kind,
                [f"states_{number}", *own.values(), "lengths"],
                [f"found_{number}", f"last_{number}"],
                hidden_size=hidden,
                direction="bidirectional" if directions == 2 else "forward",
                **options,
            )
        )
        if number < len(parts.layers) - 1:
            nodes += [
                node("Transpose", [f"found_{number}"], [f"beside_{number}"], perm=[0, 2, 1, 3]),
                node("Reshape", [f"beside_{number}", "flat_steps"], [f"states_{number + 1}"]),
            ]
    end = len(parts.layers) - 1
    if pooling == "last":
        pooled = f"last_{end}"  # (directions, B, H)
    else:
        pooled = "pooled"
        nodes += [
            node("Unsqueeze", ["absent", "beside"], ["left_out"]),  # (L, 1, B, 1)
            node("Where", ["left_out", "nothing", f"found_{end}"], ["kept"]),
        ]
        if pooling == "max":
            nodes.append(node("ReduceMax", ["kept", "time"], [pooled], keepdims=0))
        else:
            held |= {"last_axis": np.array([1])}
            nodes += [
                node("ReduceSum", ["kept", "time"], ["total"], keepdims=0),
                node("Cast", ["lengths"], ["shares"], to=TensorProto.FLOAT),
                node("Unsqueeze", ["shares", "last_axis"], ["each"]),  # (B, 1)
                node("Div", ["total", "each"], [pooled]),
            ]
    nodes += [
        node("Transpose", [pooled], ["by_text"], perm=[1, 0, 2]),
        node("Reshape", ["by_text", "flat"], ["layer_0"]),
    ]
    last = "layer_0"
    for number, layer in enumerate(parts.linear, start=1):
        held |= {f"weight_{number}": _plain(layer.weight.T), f"bias_{number}": _plain(layer.bias)}
        out = "logits" if number == len(parts.linear) else f"layer_{number}"
        if number > 1:
            nodes.append(node("Relu", [last], [f"positive_{number}"]))
            last = f"positive_{number}"
        nodes.append(node("Gemm", [last, f"weight_{number}", f"bias_{number}"], [out]))
        last = out
    used = {name for one in nodes for name in one.input}
    made = helper.make_graph(
        nodes,
        "recurrent",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "length"])],
        [
            helper.make_tensor_value_info(
                "logits", TensorProto.FLOAT, ["batch", parts.linear[-1].out_features]
            )
        ],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in held.items() if name in used],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    checker.check_model(model)
    return model.SerializeToString()  # type: ignore[no-any-return]


def _arrays(cells: list[Any], gates: tuple[int, ...]) -> list[NDArray[np.float32]]:
    """Return the input weights, the recurrent weights and the biases of the directions of a layer."""

    def sorted_gates(value: Any) -> NDArray[np.float32]:
        parts = np.split(_plain(value), len(gates))
        return np.concatenate([parts[gate] for gate in gates])

    inputs, recurrent = (
        [sorted_gates(getattr(cell, f"weight_{name}_l0")) for cell in cells] for name in ("ih", "hh")
    )
    biases = [
        np.concatenate([sorted_gates(getattr(cell, f"bias_{name}_l0")) for name in ("ih", "hh")])
        for cell in cells
    ]
    return [np.stack(inputs), np.stack(recurrent), np.stack(biases)]
