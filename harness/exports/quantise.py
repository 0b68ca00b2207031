"""An exported graph with weights of 8 bits: dynamic quantisation, of embeddings too."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from harness.api import Unsupported
from harness.runtime.forms import GRAPH, INT8

if TYPE_CHECKING:
    import onnx

# What is quantised: the tables of words, and products with weights. All else stays as it is.
OPERATORS = ("Gather", "MatMul", "LSTM", "Attention")


def quantise(folder: Path) -> None:
    """Write ``model.int8.onnx`` beside ``model.onnx``; a scale for each output channel of a weight.

    Activations get their scale from each batch. Raises Unsupported where ONNX Runtime cannot.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it would advise a preparation that these graphs do not need
    try:
        quantize_dynamic(
            _unshared(folder / GRAPH),
            folder / INT8,
            op_types_to_quantize=list(OPERATORS),
            per_channel=True,
            reduce_range=True,  # sums of two products in 16 bits overflow on CPUs without VNNI, else
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},  # products of two activations stay in fp32
        )
    except Exception as error:
        (folder / INT8).unlink(missing_ok=True)
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise Unsupported(f"the graph cannot be quantised: {why}") from error
    finally:
        logging.disable(before)


def _unshared(path: Path) -> onnx.ModelProto:
    """The graph, with a weight of its own for each Gemm: of a language model, its table of embeddings.

    ONNX Runtime's tool turns a Gemm's weight round where it lies, whoever else reads it.
    """
    import onnx

    model = onnx.load(path)
    graph = model.graph
    weights = {weight.name: weight for weight in graph.initializer}
    readers = Counter(name for node in graph.node for name in node.input)
    for number, node in enumerate(graph.node):
        if node.op_type == "Gemm" and readers[name := node.input[1]] > 1 and name in weights:
            copy = graph.initializer.add()
            copy.CopyFrom(weights[name])
            node.input[1] = copy.name = f"{name}_{number}"
            readers[name] -= 1
    return model
