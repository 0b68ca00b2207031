"""Export a linear model on TF-IDF, as ONNX and for NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.runtime.linear import LINEAR

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from harness.featurise.featuriser import Featuriser


def export(
    arrays: Mapping[str, NDArray[np.generic]], featuriser: Featuriser, classes: Sequence[str], folder: Path
) -> None:
    """Write both forms of a model, given the arrays of :class:`harness.runtime.linear.LinearModel`."""
    from harness.exports.onnx import GRAPH, OPSET, save_beside

    np.savez_compressed(folder / LINEAR, **arrays)  # type: ignore[arg-type]
    (folder / GRAPH).write_bytes(graph(arrays, featuriser.padding, OPSET))
    save_beside(featuriser, classes, folder)


def graph(arrays: Mapping[str, NDArray[np.generic]], padding: int, opset: int) -> bytes:
    """Return the model as ONNX.

    An id that occurs c times in a text is read c times, each time with the c-th part of its weight.
    """
    from onnx import TensorProto, checker, helper, numpy_helper

    node = helper.make_node
    table = arrays["table"].astype(np.float32) * arrays["scale"].astype(np.float32)
    held = {
        "table": table,
        "idf": arrays["idf"].astype(np.float32),
        "bias": arrays["bias"].astype(np.float32),
        "padding": np.int64(padding),
        "one": np.float32(1),
        "first": np.array([1]),
        "second": np.array([2]),
    }
    nodes = [
        node("Unsqueeze", ["input_ids", "second"], ["column"]),  # (B, L, 1)
        node("Unsqueeze", ["input_ids", "first"], ["row"]),  # (B, 1, L)
        node("Equal", ["column", "row"], ["same"]),
        node("Cast", ["same"], ["alike"], to=TensorProto.FLOAT),
        node("ReduceSum", ["alike", "second"], ["count"], keepdims=0),  # (B, L)
        node("Equal", ["input_ids", "padding"], ["absent"]),
        node("Not", ["absent"], ["present"]),
        node("Cast", ["present"], ["known"], to=TensorProto.FLOAT),
        node("Gather", ["idf", "input_ids"], ["inverse"]),
        node("Mul", ["inverse", "known"], ["rare"]),
        *(
            [node("Log", ["count"], ["log"]), node("Add", ["log", "one"], ["often"])]
            if bool(arrays["sublinear"].item())
            else [node("Identity", ["count"], ["often"])]
        ),
        node("Mul", ["rare", "often"], ["whole"]),
        node("Div", ["whole", "count"], ["part"]),  # (B, L)
        node("Mul", ["whole", "part"], ["square"]),
        node("ReduceSum", ["square", "first"], ["squares"], keepdims=1),  # (B, 1)
        node("Equal", ["squares", "zero"], ["empty"]),
        node("Where", ["empty", "one", "squares"], ["positive"]),
        node("Sqrt", ["positive"], ["norm"]),
        node("Div", ["part", "norm"], ["weights"]),
        node("Unsqueeze", ["weights", "first"], ["weight"]),  # (B, 1, L)
        node("Gather", ["table", "input_ids"], ["rows"]),  # (B, L, C)
        node("MatMul", ["weight", "rows"], ["sum"]),  # (B, 1, C)
        node("Squeeze", ["sum", "first"], ["total"]),
        node("Add", ["total", "bias"], ["logits"]),
    ]
    held["zero"] = np.float32(0)
    made = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "length"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", table.shape[1]])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in held.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    checker.check_model(model)
    return model.SerializeToString()  # type: ignore[no-any-return]
