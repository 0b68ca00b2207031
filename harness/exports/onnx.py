"""The exported form of a module: ``model.onnx``, ``featuriser.json``, ``labels.json`` and ``export.json``.

The graph maps ``ids`` (batch, length), int64, to ``logits`` (batch, classes), float32, or to tag words to
(batch, length, classes); padding is part of the graph. Words' first ids are marked, by being raised by the
vocabulary's size, and the graph passes over that. Of a language model it maps ids of which those to tell are
marked so to (marked ids, vocabulary), text by text: all others would have cost as much for nothing.
:mod:`harness.runtime.forms` runs it from text to logits, without torch.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.api import Unsupported
from harness.featurise.featuriser import Featuriser
from harness.runtime.forms import GRAPH, LABELS, MANIFEST, OnnxModel

if TYPE_CHECKING:
    import torch

__all__ = ["GRAPH", "LABELS", "OnnxModel", "export_module", "save_beside"]

_OPSET = 18


def export_module(
    module: torch.nn.Module, featuriser: Featuriser, classes: Sequence[str], folder: Path
) -> None:
    """Write a module's graph, with both axes of its input free, and what stands beside it.

    Of averaged words the graph is a shorter one than torch's, and their table for NumPy is written too.
    """
    import torch

    from harness.exports import averaged

    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    try:
        arrays = averaged.recognise(module.to("cpu").eval(), featuriser.size, featuriser.padding)
        if arrays is None:
            _trace(module, featuriser, folder)
        else:
            (folder / GRAPH).write_bytes(averaged.graph(arrays, featuriser.padding, _OPSET))
            averaged.write(arrays, folder)
    finally:
        module.to(device)  # the model goes on predicting where it was
    save_beside(featuriser, classes, folder)


def _trace(module: torch.nn.Module, featuriser: Featuriser, folder: Path) -> None:
    """Write the graph that torch makes of a module."""
    import torch

    ids = torch.from_numpy(featuriser.sample())
    free = {"words": {0: "batch", 1: "length"}, "masks": {0: "marked"}}.get(featuriser.marks, {0: "batch"})
    if featuriser.marks == "masks":
        module = _told(module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            # The tracing exporter takes 0.03 s where the newer one takes 1 to 8.
            torch.onnx.export(
                module,
                (ids,),
                str(folder / GRAPH),
                input_names=["ids"],
                output_names=["logits"],
                dynamic_axes={"ids": {0: "batch", 1: "length"}, "logits": free},
                opset_version=_OPSET,
                dynamo=False,
            )
        except Exception as error:
            why = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise Unsupported(f"the module has no ONNX form: {why}") from error


def _told(module: torch.nn.Module) -> torch.nn.Module:
    """A language model as what tells its marked ids: (B, L) to logits (R, V)."""
    from torch import Tensor, nn

    class Told(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = module

        def forward(self, ids: Tensor) -> Tensor:
            return self.model.outputs(ids, ())["logits"]  # type: ignore[no-any-return, operator]

    return Told().eval()


def save_beside(featuriser: Featuriser, classes: Sequence[str], folder: Path) -> None:
    """Write what turns texts into the graph's inputs, and its outputs into labels."""
    featuriser.save(folder)
    (folder / LABELS).write_text(json.dumps(list(classes), ensure_ascii=False), encoding="utf-8")
    manifest = {"format": 1, "featuriser": type(featuriser).__module__}
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
