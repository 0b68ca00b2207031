"""An exported graph with weights of 8 bits: dynamic quantisation, of embeddings too."""

from __future__ import annotations

import logging
from pathlib import Path

from harness.api import Unsupported
from harness.runtime import GRAPH, INT8

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
            folder / GRAPH,
            folder / INT8,
            op_types_to_quantize=list(OPERATORS),
            per_channel=True,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},  # products of two activations stay in fp32
        )
    except Exception as error:
        (folder / INT8).unlink(missing_ok=True)
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise Unsupported(f"the graph cannot be quantised: {why}") from error
    finally:
        logging.disable(before)
