"""Products that lose most in 8 bits, and graphs in which they stay in fp32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from harness.exports.onnx import export_module
from harness.exports.quantise import quantise
from harness.exports.sensitivity import losses, worst
from harness.featurise.featuriser import Words
from harness.runtime.forms import GRAPH, INT8, load, open_form

WORDS = Words([f"word{number}" for number in range(498)], 32)
TEXTS = [" ".join(f"word{(7 * text * place) % 498}" for place in range(1 + text % 9)) for text in range(40)]


class Deep(nn.Module):
    """Layers over a text's words, one of which gets a state far larger than the others."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS.size, 16)
        self.layers = nn.ModuleList(nn.Linear(16, 16, bias=False) for _ in range(3))
        self.output = nn.Linear(16, 2, bias=False)
        with torch.no_grad():
            self.layers[0].weight[0] *= 400  # so the grid of the next layer's activations is coarse
            self.layers[1].weight[:, 0] /= 4000

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        states = self.embedding(ids)
        for layer in self.layers:
            states = torch.tanh(layer(states)) if layer is not self.layers[0] else layer(states)
        return self.output(states).amax(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    made = tmp_path_factory.mktemp("deep")
    export_module(Deep(), WORDS, ["a", "b"], made)
    return made


def test_the_layer_after_an_outlier_loses_most(folder: Path) -> None:
    found = losses(folder, WORDS, TEXTS[:8])
    assert len(found) == 4 and all(loss > 0 for loss in found.values())
    (name,) = worst(folder, WORDS, TEXTS[:8])
    assert "layers.1" in name and found[name] > 3 * np.median([*found.values()])


def test_it_stays_in_fp32_and_the_graph_loses_less(folder: Path) -> None:
    exact = load(folder, "onnx").predict(TEXTS)
    quantise(folder)
    rough = open_form(folder, "onnx-int8").predict(TEXTS)
    quantise(folder, worst(folder, WORDS, TEXTS[:8]))
    gentler = open_form(folder, "onnx-int8").predict(TEXTS)
    assert np.abs(gentler - exact).mean() < 0.5 * np.abs(rough - exact).mean()
    kinds = [node.op_type for node in onnx.load(folder / INT8).graph.node]
    assert kinds.count("MatMulInteger") == 3 and kinds.count("MatMul") == 1
    assert not any("Integer" in node.op_type for node in onnx.load(folder / GRAPH).graph.node)
