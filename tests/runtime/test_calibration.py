"""Thresholds are kept beside a model, and what cannot be used is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.api import HarnessError
from harness.exports.onnx import export_module
from harness.featurise.featuriser import Words
from harness.runtime.calibration import FILE, Calibration, abstains, judged, write
from harness.runtime.forms import MANIFEST, load
from harness.runtime.reading import DIGESTS, digests
from harness.runtime.risk import Point
from harness.task_types.classification import Classification
from harness.task_types.regression import Regression
from harness.task_types.tagging import Tagging
from harness_students.modules import AveragedWords

POINTS = (Point(0.02, 0.9, 0.5), Point(0.1, 0.6, 0.8), Point(0.2, 0.0, 1.0))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    words = Words(["sun", "rain"], 8)
    export_module(AveragedWords(words.size, 3, 0, 2, 0.0, 1.0), words, ["bad", "good"], tmp_path)
    write(tmp_path, [Calibration(("onnx", "numpy"), 1000, POINTS)], "validation")
    return tmp_path


def test_which_types_can_abstain() -> None:
    assert abstains(Classification()) and not abstains(Regression()) and not abstains(Tagging())


def test_confidences_are_scores_and_texts_without_a_label_are_left_out() -> None:
    logits = np.log(np.array([[0.7, 0.3], [0.2, 0.8], [0.5, 0.5]])).astype(np.float32)
    confidence, wrong = judged(Classification(), logits, np.array([0, 0, -1]))
    assert confidence.tolist() == [0.7, 0.8] and wrong.tolist() == [False, True]
    confidence, wrong = judged(Classification(), logits, np.array([-1, -1, -1]))
    assert confidence.shape == wrong.shape == (0,)


def test_thresholds_are_read_back(folder: Path) -> None:
    found = Calibration.read(folder, load(folder))
    assert found == Calibration(("onnx", "numpy"), 1000, POINTS)
    assert [found.threshold(risk) for risk in (0.02, 0.05, 0.1, 0.5)] == [0.9, 0.9, 0.6, 0.0]
    written = json.loads((folder / FILE).read_text())
    assert written["columns"] == ["risk", "threshold", "coverage"] and written["split"] == "validation"


def test_what_cannot_be_kept_is_said_with_what_can(folder: Path) -> None:
    found = Calibration.read(folder, load(folder))
    with pytest.raises(HarnessError) as error:
        found.threshold(0.01)
    assert str(error.value) == (
        "cannot keep the error of this model within 1%: the lowest that it can keep is 2.0% "
        "(1,000 held-out texts)"
    )
    with pytest.raises(HarnessError, match="it was calibrated on no texts"):
        Calibration(("onnx",), 0, ()).threshold(0.5)


def test_an_earlier_export_and_another_form_are_said(folder: Path) -> None:
    with pytest.raises(HarnessError, match=r"has no thresholds for the form 'onnx' \(it has: onnx-int8\)"):
        write(folder, [Calibration(("onnx-int8",), 9, POINTS)], "validation")
        Calibration.read(folder, load(folder, "onnx"))
    (folder / FILE).unlink()
    with pytest.raises(HarnessError, match=r"has no calibration\.json.*run harness bench and harness export"):
        Calibration.read(folder, load(folder))
    model = load(folder)
    model.task_type = Regression()
    with pytest.raises(HarnessError, match="cannot abstain: this model is for regression; expected one that"):
        Calibration.read(folder, model)


def test_a_changed_file_is_refused(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, DIGESTS: digests(folder, [FILE])}))
    assert Calibration.read(folder, load(folder)).texts == 1000
    (folder / FILE).write_text((folder / FILE).read_text().replace("0.9", "0.1"))
    with pytest.raises(HarnessError, match=r"calibration\.json is damaged, or from another export"):
        Calibration.read(folder, load(folder))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda found: found.pop("tables"),
        lambda found: found.update(tables=3),
        lambda found: found["tables"][0].update(points=[[0.1, 2.0, 1.0]]),
        lambda found: found["tables"][0].update(points=[[0.1, "x", 1.0]]),
        lambda found: found["tables"][0].update(points=[[0.1, 0.5]]),
        lambda found: found["tables"][0]["points"].reverse(),
        lambda found: found["tables"][0].pop("forms"),
    ],
)
def test_a_damaged_file_is_one_line(spoil: Callable[[Any], Any], folder: Path) -> None:
    found = json.loads((folder / FILE).read_text())
    spoil(found)
    (folder / FILE).write_text(json.dumps(found))
    with pytest.raises(HarnessError, match=r"calibration\.json (is damaged|in .* has no thresholds)"):
        Calibration.read(folder, load(folder))
