"""Averaged words are recognised by what they compute, and their two short forms compute the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from weather import CLASSES, TEXTS, WORDS, check_predictions, logits_of

from harness.exports.averaged import recognise
from harness.exports.onnx import export_module
from harness.runtime.forms import AVERAGED, GRAPH, AveragedModel, OnnxModel
from harness_students.modules import AveragedWords, Convolutions
from harness_students.recurrence import RecurrentClassifier, Shape


@pytest.mark.parametrize(
    ("width", "hidden", "table"),
    [(16, 0, 3), (2, 0, 2), (8, 5, 5), (4, 9, 4)],  # the table's width, once the first layer is folded in
)
def test_both_forms_compute_what_the_module_does(width: int, hidden: int, table: int, tmp_path: Path) -> None:
    module = AveragedWords(WORDS.size, width, hidden, 3, 0.3, 1.0).eval()
    export_module(module, WORDS, CLASSES, tmp_path)
    right = logits_of(module)
    models: list[Any] = [AveragedModel(tmp_path), OnnxModel(tmp_path)]
    for model in models:
        check_predictions(model, right)
    assert models[0].table.shape == (WORDS.size, table)
    kinds = {node.op_type for node in onnx.load(tmp_path / GRAPH).graph.node}
    assert kinds <= {"Gather", "ReduceSum", "Equal", "Not", "Cast", "Max", "Div", "MatMul", "Add", "Relu"}


def test_many_texts_are_computed_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_module(AveragedWords(WORDS.size, 4, 0, 3, 0.0, 1.0), WORDS, CLASSES, tmp_path)
    model = AveragedModel(tmp_path)
    whole = model.predict(TEXTS)
    for budget in (1, 50, 300):
        monkeypatch.setattr("harness.runtime.tables._AT_ONCE", budget)
        np.testing.assert_allclose(model.predict(TEXTS), whole, rtol=1e-6)


def test_another_padding_is_respected() -> None:
    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rows = nn.Embedding(9, 4)
            self.last = nn.Linear(4, 2, bias=False)

        def forward(self, ids: Tensor) -> Tensor:
            known = (ids != 5).unsqueeze(-1).float()
            return self.last((self.rows(ids) * known).sum(1) / known.sum(1).clamp(min=1))  # type: ignore[no-any-return]

    arrays = recognise(Mean(), 9, 5)
    assert arrays is not None and not arrays["table"][5].any() and not arrays["bias_0"].any()
    assert recognise(Mean(), 9, 0) is None  # what it pads with is not what texts are padded with
    assert recognise(Mean(), 10, 5) is None  # ids that it has no row for


class Odd(AveragedWords):
    """Averaged words with something more."""

    def __init__(self, what: str) -> None:
        super().__init__(WORDS.size, 4, 0, 3, 0.0, 1.0)
        self.what = what
        if what == "buffer":
            self.register_buffer("scale", torch.ones(1))
        if what == "parameter":
            self.scale = nn.Parameter(torch.ones(1))

    def forward(self, ids: Tensor) -> Tensor:
        if self.what == "raises":
            raise IndexError(ids.shape)
        if self.what == "maximum":
            return self.output(self.embedding(ids).amax(1))  # type: ignore[no-any-return]
        if self.what == "position":
            return self.output(self.embedding(ids)[:, 0])  # type: ignore[no-any-return]
        if self.what == "softmax":
            return super().forward(ids).softmax(1)
        if self.what == "nan":
            return super().forward(ids) * torch.nan
        return super().forward(ids)


@pytest.mark.parametrize("what", ["buffer", "parameter", "raises", "maximum", "position", "softmax", "nan"])
def test_something_more_is_something_else(what: str) -> None:
    assert recognise(Odd("nothing").eval(), WORDS.size, 0) is not None
    assert recognise(Odd(what).eval(), WORDS.size, 0) is None


def test_other_models_are_left_to_torch(tmp_path: Path) -> None:
    shape = Shape(WORDS.size, 4, 3, 1, 3, "gru", False, "mean", 1.0)
    for module in (Convolutions(WORDS.size, 4, 5, (1,), 3, 0.0, 1.0), RecurrentClassifier(shape)):
        assert recognise(module.eval(), WORDS.size, 0) is None
    export_module(Convolutions(WORDS.size, 4, 5, (1,), 3, 0.0, 1.0), WORDS, CLASSES, tmp_path)
    assert not (tmp_path / AVERAGED).exists()
