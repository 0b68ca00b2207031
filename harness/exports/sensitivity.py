"""Find the products of a graph that lose most in 8 bits, so that they can stay in fp32.

Each product with a weight is computed on real activations twice: in fp32, and with its weight and activations
rounded as dynamic quantisation rounds them. No other product is rounded meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.featurise.featuriser import Featuriser
from harness.runtime.graphs import GRAPH

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WEIGHT, _ACTIVATION = 63, 255  # steps to the largest weight (7 bits, signed), and over all activations


def worst(folder: Path, featuriser: Featuriser, texts: Sequence[str]) -> list[str]:
    """Return the names of the sixth of the products that lose most, at least one if there is any."""
    found = losses(folder, featuriser, texts)
    return sorted(found, key=found.__getitem__, reverse=True)[: -(-len(found) // 6)]


def losses(folder: Path, featuriser: Featuriser, texts: Sequence[str]) -> dict[str, float]:
    """Return for each product with a weight, by its node's name, its error in 8 bits relative to its output.

    The error is a root mean square over the texts, each of which is run alone.
    """
    import onnx
    import onnxruntime
    from onnx import numpy_helper

    model = onnx.load(folder / GRAPH)
    weights = {one.name: one for one in model.graph.initializer}
    nodes = [n for n in model.graph.node if n.op_type == "MatMul" and n.input[1] in weights and n.name]
    inputs = list(dict.fromkeys(node.input[0] for node in nodes))
    known = {one.name for one in (*model.graph.input, *model.graph.output)}
    model.graph.output.extend(
        onnx.helper.make_empty_tensor_value_info(name) for name in inputs if name not in known
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    given = [one.name for one in session.get_inputs()]
    exact = {node.name: numpy_helper.to_array(weights[node.input[1]]) for node in nodes}
    rough = {name: _rounded_weight(weight) for name, weight in exact.items()}
    wrong, every = dict.fromkeys(exact, 0.0), dict.fromkeys(exact, 0.0)
    tokens = featuriser.tokens(texts)
    for row in range(len(tokens)):
        ids = tokens.batch(np.array([row]))
        mask = (ids != featuriser.padding).astype(np.int64)
        found = session.run(inputs, dict(zip(given, (ids, mask), strict=False)))
        seen = dict(zip(inputs, found, strict=True))
        for node in nodes:
            states = seen[node.input[0]]
            output = states @ exact[node.name]
            wrong[node.name] += float(((_rounded(states) @ rough[node.name] - output) ** 2).sum())
            every[node.name] += float((output**2).sum())
    return {name: float(np.sqrt(wrong[name] / max(every[name], 1e-30))) for name in exact}


def _rounded_weight(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a weight (in, out) on a grid of 7 bits for each output."""
    scale = np.maximum(np.abs(weight).max(axis=0), 1e-12) / _WEIGHT
    return np.asarray(np.rint(weight / scale) * scale, dtype=np.float32)


def _rounded(states: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return activations on one grid of 8 bits that has a zero."""
    low, high = min(float(states.min()), 0.0), max(float(states.max()), 0.0)
    scale = max(high - low, 1e-12) / _ACTIVATION
    return np.asarray(np.rint(states / scale) * scale, dtype=np.float32)
