"""Convolutions are recognised by what they compute, and their form for NumPy computes the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torch import Tensor, nn
from weather import CLASSES, TEXTS, WORDS, check_predictions, logits_of

from harness import HarnessError
from harness.exports.convolved import recognise
from harness.exports.onnx import export_module
from harness.runtime.forms import FORMS, load, open_form
from harness.runtime.tables import CONVOLVED, ConvolvedModel
from harness_students.modules import AveragedWords, Convolutions


def convolutions(*spans: int) -> nn.Module:
    return Convolutions(WORDS.size, 5, 4, spans, 3, 0.3, 1.0).eval()


@pytest.mark.parametrize("spans", [(1,), (1, 2, 3), (3, 1, 2), (5, 5), (4, 2)])
def test_the_form_computes_what_the_module_does(spans: tuple[int, ...], tmp_path: Path) -> None:
    export_module(module := convolutions(*spans), WORDS, CLASSES, tmp_path)
    right = logits_of(module)
    model = load(tmp_path)
    assert isinstance(model, ConvolvedModel) and FORMS[model.form] == CONVOLVED
    check_predictions(model, right)
    for text, row in zip(TEXTS, right, strict=True):
        single = model.single(WORDS.encode([text])[0])
        np.testing.assert_allclose(single, row, rtol=1e-5, atol=1e-5)
        assert single.dtype == np.float32


def test_many_texts_are_computed_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_module(convolutions(1, 2, 3), WORDS, CLASSES, tmp_path)
    model = load(tmp_path)
    whole = model.predict(TEXTS)
    for budget in (1, 50, 300):
        monkeypatch.setattr("harness.runtime.tables._AT_ONCE", budget)
        np.testing.assert_allclose(model.predict(TEXTS), whole, rtol=1e-6, atol=1e-6)


def test_padding_is_left_out(tmp_path: Path) -> None:
    export_module(convolutions(1, 3), WORDS, CLASSES, tmp_path)
    model = load(tmp_path)
    assert isinstance(model, ConvolvedModel)
    np.testing.assert_allclose(model.single([2, 3, 0, 0]), model.single([2, 3]), rtol=1e-6)
    np.testing.assert_array_equal(model.single([0, 0]), model.bias)
    padded = model.block(np.array([2, 3, 0, 0], np.int32), np.array([0, 4]))
    np.testing.assert_allclose(padded[0], model.single([2, 3]), rtol=1e-5, atol=1e-6)


class Odd(Convolutions):
    """Convolutions with something more."""

    def forward(self, ids: Tensor) -> Tensor:
        return super().forward(ids) + (ids == 3).any(1, keepdim=True)


def test_other_modules_are_not_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    size = WORDS.size
    assert recognise(Odd(size, 5, 4, (1, 2), 3, 0.3, 1.0).eval(), size, 0) is None
    assert recognise(AveragedWords(size, 4, 4, 3, 0.0, 1.0).eval(), size, 0) is None
    assert recognise(convolutions(1, 2), size + 1, 0) is None
    assert recognise(convolutions(1, 2), size, 3) is None  # another padding
    assert recognise(convolutions(1, 2), size, 0) is not None
    monkeypatch.setattr("harness.exports.convolved._MOST", 11 * 4 * 3 - 1)
    assert recognise(convolutions(1, 2), size, 0) is None  # its products would take too much memory


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"bias": None}, "has the arrays filters_0, .*; expected a table and filters"),
        ({"table": (10, 5)}, "has a table of 10 rows"),
        ({"filters_0": (7, 4)}, r"do not fit together: filters_0 \(7, 4\)"),
        ({"shift_1": (3,)}, "do not fit together: filters_1"),
        ({"weight": (9, 3)}, r"do not fit together: weight \(9, 3\)"),
        ({"weight": (8, 4), "bias": (4,)}, "has 4 outputs, but labels.json has 3 labels"),
    ],
)
def test_files_of_other_models_are_refused(
    change: dict[str, tuple[int, ...] | None], why: str, tmp_path: Path
) -> None:
    export_module(convolutions(1, 2), WORDS, CLASSES, tmp_path)
    with np.load(tmp_path / CONVOLVED) as stored:
        arrays = {name: stored[name] for name in stored.files}
    arrays |= {name: np.zeros(shape, np.float32) for name, shape in change.items() if shape is not None}
    kept = {name: array for name, array in arrays.items() if change.get(name, ()) is not None}
    np.savez(tmp_path / CONVOLVED, **kept)  # type: ignore[arg-type]
    with pytest.raises(HarnessError, match=why):
        open_form(tmp_path, "numpy-convolved").check(tmp_path)
