"""A model answers what it is sure of; the rest gets no label, or that of a second model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.api import HarnessError
from harness.exports.onnx import export_module
from harness.featurise.featuriser import Words
from harness.runtime.answerer import Answerer
from harness.runtime.forms import Exported, load
from harness.task_types.regression import Regression
from harness_students.modules import AveragedWords


def exported(folder: Path, classes: Sequence[str], *rows: Sequence[float]) -> Exported:
    """Return a model with these logits for padding, other words, "sun" and "rain"."""
    words = Words(["sun", "rain"], 8)
    count = len(classes)
    module = AveragedWords(words.size, count, 0, count, 0.0, 1.0)
    with torch.no_grad():
        module.embedding.weight.copy_(torch.tensor(rows))
        module.output.weight.copy_(torch.eye(count))
        module.output.bias.zero_()
    folder.mkdir()
    export_module(module, words, list(classes), folder)
    return load(folder)


@pytest.fixture
def student(tmp_path: Path) -> Exported:
    """Sure of "sun" (0.88), less of "rain" (0.73), and not at all of other words."""
    return exported(tmp_path / "student", ["dry", "wet"], [0, 0], [0, 0], [2, 0], [0, 1])


@pytest.fixture
def teacher(tmp_path: Path) -> Exported:
    """Every text is wet; its labels are in another order."""
    return exported(tmp_path / "teacher", ["wet", "dry"], *[[3, 0]] * 4)


def test_without_a_threshold_all_is_answered(student: Exported) -> None:
    asked = Answerer(student)
    assert [answer["label"] for answer in asked.answers(["sun", "x"], None)] == ["dry", "dry"]
    assert set(asked.answers(["sun"], None)[0]) == {"label", "score"} and asked.summary == ""


def test_unsure_texts_get_no_label(student: Exported) -> None:
    asked = Answerer(student, 0.8)
    sure, unsure = asked.answers(["sun", "rain"], 2)
    assert sure["label"] == "dry" and sure["abstained"] is False
    assert unsure["label"] is None and unsure["abstained"] is True
    assert unsure["score"] == pytest.approx(0.731059) and unsure["top"][0]["label"] == "wet"
    assert asked.summary == "no label was given to 1 of 2 texts (50.0%): their scores are below 0.8"
    assert asked.as_tsv(unsure, 2) == "\t0.731059\tdry\t0.268941\ttrue"
    (unsure,) = asked.answers(["rain"], None)
    assert asked.as_tsv(unsure, None) == "\t0.731059\ttrue"
    (sure,) = asked.answers(["sun"], None)
    assert asked.as_tsv(sure, None) == "dry\t0.880797\tfalse"


def test_a_score_equal_to_the_threshold_is_an_answer(student: Exported) -> None:
    (answer,) = Answerer(student, 0.731059).answers(["rain"], None)
    assert answer["label"] == "wet"


def test_the_second_model_answers_what_the_first_is_unsure_of(student: Exported, teacher: Exported) -> None:
    asked = Answerer(student, 0.8, teacher)
    found = asked.answers(["sun", "x", "rain"], None)
    assert [(each["label"], each["answered_by"]) for each in found] == [
        ("dry", "student"),
        ("wet", "teacher"),
        ("wet", "teacher"),
    ]
    assert asked.summary == "the second model answered 2 of 3 texts (66.7%): their scores are below 0.8"
    assert asked.as_tsv(found[1], None).endswith("\tteacher")


def test_a_text_on_which_a_model_fails_has_an_error_and_is_not_counted(
    student: Exported, teacher: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = student.predict

    def predict(texts: Sequence[str]) -> Any:
        if "bad" in texts:
            raise RuntimeError("too odd")
        return sound(texts)

    monkeypatch.setattr(student, "predict", predict)
    asked = Answerer(student, 0.8, teacher)
    first, second, third = asked.answers(["sun", "bad", "rain"], None)
    assert second == {"error": "cannot answer: too odd"} and asked.asked == 2
    assert (first["answered_by"], third["answered_by"]) == ("student", "teacher")
    monkeypatch.setattr(teacher, "predict", lambda texts: np.full((len(texts), 2), np.nan))
    assert asked.answers(["x"], None) == [{"error": "the model returned NaN or infinity"}]


def test_models_that_do_not_belong_together(tmp_path: Path, student: Exported) -> None:
    other = exported(tmp_path / "other", ["dry", "foggy"], *[[0, 0]] * 4)
    with pytest.raises(HarnessError, match="with the same labels, but only one of them has 'foggy'"):
        Answerer(student, 0.5, other)
    student.task_type = Regression()
    with pytest.raises(HarnessError, match="cannot abstain: this model is for regression"):
        Answerer(student, 0.5)
