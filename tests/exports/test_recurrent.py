"""Recurrent classifiers are recognised by what they compute, and get a graph of few operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from torch import Tensor, nn
from weather import CLASSES, TEXTS, WORDS, check_predictions, logits_of

from harness.exports.onnx import export_module
from harness.exports.quantise import quantise
from harness.exports.recurrent import recognise
from harness.runtime.forms import GRAPH, OnnxModel, open_form
from harness_students.modules import Convolutions
from harness_students.recurrence import RecurrentClassifier, Shape


def shape(**options: Any) -> Shape:
    plain = {"size": WORDS.size, "width": 5, "hidden": 4, "layers": 1, "classes": 3, "scale": 1.0}
    usual = {"cell": "gru", "bidirectional": True, "pooling": "max"}
    return Shape(**plain | usual | options)


@pytest.mark.parametrize("pooling", ["max", "last", "mean"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("cell", "layers", "feedforward"), [("gru", 1, 0), ("lstm", 2, 6)])
def test_the_graph_computes_what_the_module_does(
    cell: str, layers: int, feedforward: int, bidirectional: bool, pooling: str, tmp_path: Path
) -> None:
    options = {"cell": cell, "layers": layers, "feedforward": feedforward, "pooling": pooling}
    module = RecurrentClassifier(shape(bidirectional=bidirectional, **options)).eval()
    export_module(module, WORDS, CLASSES, tmp_path)
    kinds = [node.op_type for node in onnx.load(tmp_path / GRAPH).graph.node]
    assert kinds.count(cell.upper()) == layers and len(kinds) < 25
    model = OnnxModel(tmp_path)
    model.check(tmp_path)
    check_predictions(model, logits_of(module))


def test_its_weights_can_be_quantised(tmp_path: Path) -> None:
    export_module(RecurrentClassifier(shape(hidden=24, width=16)).eval(), WORDS, CLASSES, tmp_path)
    quantise(tmp_path)
    exact, coarse = (open_form(tmp_path, form).predict(TEXTS) for form in ("onnx", "onnx-int8"))
    np.testing.assert_allclose(coarse, exact, atol=0.05)


def test_other_pooling_is_traced(tmp_path: Path) -> None:
    module = RecurrentClassifier(shape(pooling="attention")).eval()
    export_module(module, WORDS, CLASSES, tmp_path)
    assert len(onnx.load(tmp_path / GRAPH).graph.node) > 25


class Odd(RecurrentClassifier):
    """A recurrent classifier with something more."""

    def forward(self, ids: Tensor) -> Tensor:
        return super().forward(ids) + (ids == 3).any(1, keepdim=True)


def test_other_modules_are_not_recognised() -> None:
    size = WORDS.size
    assert recognise(Odd(shape()).eval(), size, 0, 18) is None
    assert recognise(Convolutions(size, 5, 4, (1, 2), 3, 0.0, 1.0).eval(), size, 0, 18) is None
    assert recognise(RecurrentClassifier(shape(projection=3)).eval(), size, 0, 18) is None
    assert recognise(RecurrentClassifier(shape()).eval(), size + 1, 0, 18) is None
    assert recognise(RecurrentClassifier(shape()).eval(), size, 0, 18) is not None


def test_a_cell_of_several_layers_is_traced() -> None:
    class Deep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(WORDS.size, 4)
            self.cell = nn.GRU(4, 4, num_layers=2, batch_first=True)
            self.output = nn.Linear(4, 3)

        def forward(self, ids: Tensor) -> Tensor:
            return self.output(self.cell(self.table(ids))[0].amax(1))  # type: ignore[no-any-return]

    assert recognise(Deep().eval(), WORDS.size, 0, 18) is None
