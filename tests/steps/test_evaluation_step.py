"""The evaluation step: scores, agreement, and predictions that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from stepbench import Bench, Given, Repeater, Scored, Speaker

from harness.api import HarnessError, Unavailable
from harness.steps.evaluation import PREDICTIONS
from harness.storage.store import Artefact
from harness.testing.tiny import FromLabels

TRAIN = [("no", "bad"), ("yes", "good")]
VALIDATION = [("yes", "good"), ("no", "bad")]
TEST = [("yes", "good"), ("yes yes", "bad"), ("no", "bad"), ("no no", "bad")]


def says_yes(texts: Sequence[str]) -> Any:
    return np.array([[0.0, 1.0 if "yes" in text else -1.0] for text in texts], dtype=np.float32)


def evaluated(bench: Bench, outputs: Any, teacher: Artefact | None = None) -> Artefact:
    data = bench.store.find("data", "data1") or bench.data(TRAIN, VALIDATION, TEST)
    if teacher is None:
        learner = Speaker(outputs)
        model = bench.run("teacher", {"data": data}, teacher=learner)
        return bench.run("evaluation", {"data": data, "model": model}, teacher=learner)
    student = Repeater(outputs)
    model = bench.run("student", {"data": data}, student=student, loss=FromLabels())
    needs = {"data": data, "model": model, "teacher": teacher}
    return bench.run("evaluation", needs, student=student)


def test_scores_by_split(bench: Bench) -> None:
    found = evaluated(bench, says_yes).result
    assert set(found) == {"validation", "test"}
    assert found["validation"]["accuracy"] == 1 and found["test"]["accuracy"] == 0.75
    assert found["test"]["f1_macro"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert found["test"]["per_class"]["good"]["support"] == 1
    assert found["test"]["texts_per_s"] > 0
    assert "agreement" not in found["test"]


def test_predictions_are_kept(bench: Bench) -> None:
    found = load_file(evaluated(bench, says_yes).folder / PREDICTIONS)
    assert set(found) == {"validation-logits", "test-logits"}
    assert found["test-logits"].tolist() == [[0, 1], [0, 1], [0, -1], [0, -1]]
    assert found["validation-logits"].dtype == np.float32


def test_agreement_with_the_teacher(bench: Bench) -> None:
    teacher = evaluated(bench, says_yes)
    found = evaluated(bench, lambda texts: says_yes(texts)[:, ::-1], teacher).result
    assert found["test"]["agreement"] == 0
    found = evaluated(bench, lambda texts: says_yes(texts) * 3 + 1, teacher).result
    assert found["test"]["agreement"] == 1
    found = evaluated(
        bench, lambda texts: says_yes([t.replace("yes yes", "") for t in texts]), teacher
    ).result
    assert found["test"]["agreement"] == 0.75 and found["test"]["accuracy"] == 1


@pytest.mark.parametrize(
    ("wrong", "shape"),
    [
        (lambda logits: logits[:, :1], r"\(2, 1\)"),
        (lambda logits: logits[:-1], r"\(1, 2\)"),
        (lambda logits: logits.argmax(1), r"\(2,\)"),
        (lambda logits: logits.T.copy() if len(logits) != 2 else logits[None], r"\(1, 2, 2\)"),
    ],
)
def test_predictions_of_another_shape(wrong: Any, shape: str, bench: Bench) -> None:
    message = rf"^'speaker' returned predictions of shape {shape}; expected \(2, 2\)$"
    with pytest.raises(HarnessError, match=message):
        evaluated(bench, lambda texts: wrong(says_yes(texts)))


def test_what_a_model_says_is_passed_on_as_it_is(bench: Bench) -> None:
    def refuses(texts: Sequence[str]) -> Any:
        raise Unavailable("the answers are elsewhere")

    with pytest.raises(Unavailable, match=r"^the answers are elsewhere$"):
        evaluated(bench, refuses)


def test_predictions_that_are_no_numbers(bench: Bench) -> None:
    with pytest.raises(HarnessError, match="NaN or infinite"):
        evaluated(bench, lambda texts: says_yes(texts) * np.float32("nan"))


def test_other_number_types_are_made_float32(bench: Bench) -> None:
    found = evaluated(bench, lambda texts: np.asfortranarray(says_yes(texts).astype(np.float64)))
    assert load_file(found.folder / PREDICTIONS)["test-logits"].tolist() == [[0, 1], [0, 1], [0, -1], [0, -1]]


def test_scores_of_a_regression(bench: Bench) -> None:
    task = Scored.of(("1", 1.0), ("2", 2.0), ("3", 4.0))
    data = bench.run("data", task=task)

    def twice(texts: Sequence[str]) -> Any:
        return np.array([[2 * float(text)] for text in texts], dtype=np.float32)

    learner = Speaker(twice)
    model = bench.run("teacher", {"data": data}, teacher=learner)
    teacher = bench.run("evaluation", {"data": data, "model": model}, teacher=learner, task=task)
    assert teacher.result["test"]["mse"] == pytest.approx((1 + 4 + 4) / 3)
    assert teacher.result["test"]["spearman"] == 1
    student = Repeater(lambda texts: -twice(texts))
    fitted = bench.run("student", {"data": data}, student=student, loss=FromLabels())
    needs = {"data": data, "model": fitted, "teacher": teacher}
    found = bench.run("evaluation", needs, student=student, task=task).result
    assert found["validation"]["agreement"] == pytest.approx(-1)


def test_f1_of_the_class_that_a_task_calls_positive(bench: Bench) -> None:
    class Positive(Given):
        name = "positive"
        positive = "good"

    data, learner = bench.data(TRAIN, VALIDATION, TEST), Speaker(says_yes)
    model = bench.run("teacher", {"data": data}, teacher=learner)
    needs = {"data": data, "model": model}
    found = bench.run("evaluation", needs, teacher=learner, task=Positive({})).result
    assert found["test"]["f1"] == pytest.approx(2 / 3)
