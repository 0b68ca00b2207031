"""Write an exported graph with smaller numbers: 8-bit weights (dynamic quantisation), or 16-bit floats."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.api import Unsupported
from harness.runtime.graphs import FP16, GRAPH, INT8

if TYPE_CHECKING:
    import onnx

# Operators to quantise: lookups of embeddings, and products with weights.
OPERATORS = ("Gather", "MatMul", "LSTM", "Attention")


def quantise(folder: Path, spared: Sequence[str] = ()) -> None:
    """Write ``model.int8.onnx`` beside ``model.onnx``, with one scale for each output channel of a weight.

    The scale of activations is computed for each batch. The nodes whose names are `spared` stay in fp32.
    Raise Unsupported if ONNX Runtime cannot quantise the graph.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it would recommend a preprocessing that these graphs do not need
    try:
        quantize_dynamic(
            _unshared(folder / GRAPH),
            folder / INT8,
            op_types_to_quantize=list(OPERATORS),
            nodes_to_exclude=[*spared],
            per_channel=True,
            reduce_range=True,  # otherwise, sums of two products in 16 bits overflow on CPUs without VNNI
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},  # products of two activations remain in fp32
        )
    except Exception as error:
        (folder / INT8).unlink(missing_ok=True)
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise Unsupported(f"cannot quantise the graph: {why}") from error
    finally:
        logging.disable(before)


def halve(folder: Path) -> None:
    """Write ``model.fp16.onnx`` beside ``model.onnx``, for GPUs; its inputs and outputs keep their types.

    Raise Unsupported if ONNX Runtime cannot convert the graph.
    """
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it would name each number that is rounded to zero
    try:
        model = convert_float_to_float16(onnx.load(folder / GRAPH), keep_io_types=True)
        onnx.save(model, folder / FP16)
    except Exception as error:
        (folder / FP16).unlink(missing_ok=True)
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise Unsupported(f"cannot convert the graph to fp16: {why}") from error
    finally:
        logging.disable(before)


def _unshared(path: Path) -> onnx.ModelProto:
    """Return the graph with a separate weight for each Gemm.

    A language model's Gemm may share the table of embeddings, and ONNX Runtime's quantiser transposes a
    Gemm's weight in place, which would break the other nodes that read it.
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
