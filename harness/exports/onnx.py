"""Export a module as ``model.onnx``, ``featuriser.json``, ``labels.json`` and ``export.json``.

The graph maps ``input_ids`` (batch, length), int64, to ``logits`` (batch, classes), float32, or for tagging
to (batch, length, classes); it handles padding. A transformer's graph also has the input ``attention_mask``
(batch, length), int64: 0 for padding, else 1.

For tagging, the first id of each word is marked: the vocabulary's size is added to it, and the graph removes
it. For a language model, the ids to predict are marked in the same way, and the logits are
(1, marked ids, vocabulary), text by text: logits for all ids would cost far more. Without any mark, as other
programs ask it, they are (batch, length, vocabulary). :mod:`harness.runtime.forms` runs the graph from text
to logits, without torch.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.api import Unsupported
from harness.exports.beside import save_beside
from harness.featurise.featuriser import Featuriser
from harness.runtime.forms import GRAPH, LABELS, OnnxModel

if TYPE_CHECKING:
    import torch

__all__ = ["GRAPH", "LABELS", "OPSET", "OnnxModel", "export_module", "save_beside", "trace"]

OPSET = 18


def export_module(
    module: torch.nn.Module, featuriser: Featuriser, classes: Sequence[str], folder: Path
) -> None:
    """Write a module's graph, with free batch size and length, and the other files of the export.

    Means of embeddings and recurrent layers over words get a smaller graph than torch's. Means and
    convolutions are written for NumPy too. Raise Unsupported if torch cannot export the module.
    """
    import torch

    from harness.exports import averaged, convolved, recurrent

    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    try:
        size, padding = featuriser.size, featuriser.padding
        if (arrays := averaged.recognise(module.to("cpu").eval(), size, padding)) is not None:
            (folder / GRAPH).write_bytes(averaged.graph(arrays, padding, OPSET))
            averaged.write(arrays, folder)
        elif not featuriser.marks and (graph := recurrent.recognise(module, size, padding, OPSET)):
            (folder / GRAPH).write_bytes(graph)
        else:
            trace(_told(module) if featuriser.marks == "masks" else module, featuriser, folder)
            if (arrays := convolved.recognise(module, size, padding)) is not None:
                convolved.write(arrays, folder)
    finally:
        module.to(device)  # the model is still used on its device
    save_beside(featuriser, classes, folder)


def trace(
    module: torch.nn.Module, featuriser: Featuriser, folder: Path, inputs: Sequence[str] = ("input_ids",)
) -> None:
    """Write the graph that torch traces of a module, which must be on the CPU.

    `inputs` are the names of the module's arguments: ids, and the attention mask if it has one. Raise
    Unsupported if torch cannot export the module.
    """
    import torch

    ids = torch.from_numpy(featuriser.sample())
    given = (ids, (ids != featuriser.padding).long())[: len(inputs)]
    both = {0: "batch", 1: "length"}
    free = {"words": both, "masks": {0: "batch", 1: "row"}}.get(featuriser.marks, {0: "batch"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            # The tracing exporter takes 0.03 s, the newer one 1 to 8 s.
            torch.onnx.export(
                module,
                given,
                str(folder / GRAPH),
                input_names=list(inputs),
                output_names=["logits"],
                dynamic_axes={**dict.fromkeys(inputs, both), "logits": free},
                opset_version=OPSET,
                dynamo=False,
            )
        except Exception as error:
            why = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise Unsupported(f"cannot export the module to ONNX: {why}") from error


def _told(module: torch.nn.Module) -> torch.nn.Module:
    """Return a language model as a module from ids (B, L) to the logits (1, R, V) of the marked ones."""
    from torch import Tensor, nn

    class Told(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = module

        def forward(self, ids: Tensor) -> Tensor:
            return self.model.outputs(ids, ())["logits"].unsqueeze(0)  # type: ignore[no-any-return, operator]

    return Told().eval()
