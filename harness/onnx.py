"""The exported form of a model: ``model.onnx``, ``featuriser.json`` and ``labels.json``.

The graph maps ``ids`` (batch, length), int64, to ``logits`` (batch, classes), float32; padding is part of
the graph. :class:`OnnxModel` runs it from text to logits, without torch.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.api import Model, Parameters, Unsupported
from harness.featurise import Featuriser, batches_by_length

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

GRAPH, LABELS = "model.onnx", "labels.json"
_OPSET = 18


def export_module(
    module: torch.nn.Module, featuriser: Featuriser, classes: Sequence[str], folder: Path
) -> None:
    """Write a module's graph, with both axes of its input free, and what stands beside it."""
    import torch

    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    ids = torch.arange(18).view(2, 9) % max(1, featuriser.size - 1) + 1
    ids[1, 6:] = featuriser.padding
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            # The tracing exporter takes 0.03 s where the newer one takes 1 to 8.
            torch.onnx.export(
                module.to("cpu").eval(),
                (ids,),
                str(folder / GRAPH),
                input_names=["ids"],
                output_names=["logits"],
                dynamic_axes={"ids": {0: "batch", 1: "length"}, "logits": {0: "batch"}},
                opset_version=_OPSET,
                dynamo=False,
            )
        except Exception as error:
            why = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise Unsupported(f"the module has no ONNX form: {why}") from error
        finally:
            module.to(device)  # the model goes on predicting where it was
    save_beside(featuriser, classes, folder)


def save_beside(featuriser: Featuriser, classes: Sequence[str], folder: Path) -> None:
    """Write what turns texts into the graph's inputs, and its outputs into labels."""
    featuriser.save(folder)
    (folder / LABELS).write_text(json.dumps(list(classes), ensure_ascii=False), encoding="utf-8")


class OnnxModel(Model):
    """An exported model under ONNX Runtime, from text to logits."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            str(folder / GRAPH), options, providers=["CPUExecutionProvider"]
        )
        self.featuriser = Featuriser.load(folder)
        self.classes: list[str] = json.loads((folder / LABELS).read_text(encoding="utf-8"))

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See :class:`harness.api.Model`."""
        if len(texts) == 1:  # the case whose latency is measured: no sorting, no copies
            ids = np.array(self.featuriser.encode(texts), dtype=np.int64)
            return self.session.run(None, {"ids": ids})[0]  # type: ignore[no-any-return]
        tokens = self.featuriser.tokens(texts)
        logits = np.empty((len(texts), len(self.classes)), dtype=np.float32)
        for rows in batches_by_length(tokens, 16_384):
            logits[rows] = self.session.run(None, {"ids": tokens.batch(rows)})[0]
        return logits

    def save(self, folder: Path) -> None:
        """Not needed: an exported model is its folder."""
        raise Unsupported("an exported model is saved as it is: copy its folder")

    def parameters(self) -> Parameters:
        """Not known: a graph holds constants of its own, and may hold weights in another form."""
        raise Unsupported("parameters are counted before the export")
