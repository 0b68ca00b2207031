"""Test the cascade of a student and its teacher against results by hand and by brute force."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from test_compare import Cells
from test_intervals import COUNT, scored
from test_leaderboard import latency, part
from test_recommend import model, shown

from harness.report.advice import to_json
from harness.results.board import build
from harness.results.cascade import Cascade, cascade, lowest_threshold, teacher_of, told
from harness.results.compare import Results
from harness.results.recommend import Advice, Limits, recommend
from harness.task_types.base import Prediction
from harness.task_types.classification import Classification


def test_the_threshold_is_the_lowest_that_reaches_the_second_model() -> None:
    confidence = np.array([0.9, 0.5, 0.7, 0.6])
    right, other = np.array([True, False, False, True]), np.array([True, True, True, True])
    assert lowest_threshold(confidence, right, other) == 0.9  # below it: 0.5, 0.6 and 0.7
    assert lowest_threshold(confidence, right, np.array([True, True, False, True])) == 0.6
    assert lowest_threshold(confidence, other, other) == 0.0  # no text needs the second model
    threshold = lowest_threshold(confidence, np.array([False, True, True, True]), other)
    assert threshold > 0.9 and threshold == pytest.approx(0.9)  # all texts do


def test_equal_confidences_go_together() -> None:
    confidence = np.array([0.5, 0.5, 0.9])
    right, other = np.array([True, False, True]), np.array([False, True, True])
    assert lowest_threshold(confidence, right, other) == 0.0  # both right twice
    assert lowest_threshold(confidence, right, np.array([True, True, True])) == 0.9


def test_the_threshold_is_that_of_trying_all() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        confidence = np.round(rng.random(30), 1)
        right, other = rng.random(30) < confidence, rng.random(30) < 0.9
        found = lowest_threshold(confidence, right, other)
        places = [0.0, *np.unique(confidence).tolist()[1:], 2.0]
        wins = [where for where in places if np.where(confidence < where, other, right).sum() >= other.sum()]
        assert np.array_equal(confidence < found, confidence < wins[0])


def predicted(right: Any, confidence: Any) -> Prediction:
    gold = np.zeros(len(right), np.int16)
    answers = np.where(np.asarray(right, bool), 0, 1).astype(np.int16)
    return Prediction(answers, np.array(confidence, np.float32), gold, Classification(), ("a", "b"))


def rows_of(cells: Cells) -> Results:
    (table,) = build([record for record, _ in cells]).tables
    return Results("here", (table,), {record["cell"]: one for record, one in cells})


def test_figures_are_those_of_the_test_split() -> None:
    cells = [scored("teacher", 390), model("small", 300)]
    table = rows_of(cells).tables[0]
    student, teacher = (next(r for r in table.rows if r.role == role) for role in ("distilled", "teacher"))
    small, large = student.cells[0], teacher.cells[0]
    sure = [0.9, 0.8, 0.6, 0.4]
    validation = {small: predicted([1, 1, 0, 0], sure), large: predicted([1, 1, 1, 1], sure)}
    test = {small: predicted([1, 0, 0, 1], [0.9, 0.7, 0.5, 0.85]), large: predicted([1, 1, 1, 0], sure)}
    found = cascade(student, teacher, test, validation)
    # On validation, the texts at 0.4 and 0.6 go to the teacher; on test, those at 0.5 and 0.7.
    assert found is not None and found[:4] == (0.5, 1.0, 0.75, 0.5)
    assert found.thresholds == (pytest.approx(0.8),)
    assert cascade(student, teacher, test, {}) is None and cascade(student, teacher, {}, validation) is None
    other = {**test, large: predicted([1, 1, 1], sure[:3])}  # of other texts
    assert cascade(student, teacher, other, validation) is None


def advised(seeds: int = 1, **fields: Any) -> Advice:
    """Advice on a student and its teacher, whose answers to both splits are alike."""
    teacher = scored("teacher", 390, validation={"accuracy": 0.5}, latency=[latency("torch", 20.0)])
    teacher[0]["latency"].append(latency("onnx-int8", 5.0))
    cells = [teacher, *(model("small", 320, 1.0, seed, 0.9, **fields) for seed in range(seeds))]
    found = rows_of(cells)
    sure = {
        cell: one._replace(confidence=np.where(one.predicted == one.gold, 0.9, 0.6).astype(np.float32))
        for cell, one in found.predictions.items()
    }
    (advice,) = recommend(found._replace(predictions=sure, validation=sure), Limits())
    return advice


def test_a_recommendation_says_what_the_teacher_would_be_needed_for() -> None:
    advice = advised()
    assert advice.cascade is not None and 0 < advice.cascade.share < 1
    assert advice.cascade.accuracy >= advice.cascade.teacher == 390 / COUNT
    # The teacher's form with its own answers: not int8.
    assert advice.cascade.p50_ms == pytest.approx(1.0 + 20 * advice.cascade.share)
    assert "with its teacher, on test: the teacher answers the" in " ".join(shown(advice).split())
    assert json.loads(to_json([advice]))["tasks"][0]["cascade"]["share"] == advice.cascade.share


def test_a_cascade_of_several_seeds_is_their_mean() -> None:
    advice = advised(2)
    assert advice.cascade is not None and len(advice.cascade.thresholds) == 2
    assert told(advice.cascade).endswith("(means of 2 seeds)")


def test_words() -> None:
    one = Cascade(0.123, 0.93, 0.935, 0.9, (0.5,), 0.5, 7.0)
    assert told(one) == (
        "the teacher answers the 12.3 % of texts that the student is least sure of: accuracy 93.0 %, for "
        "93.5 % of the teacher alone, at 0.5 ms a text in place of 7"
    )
    assert (
        told(one._replace(share=0.0))
        == "no text needs the teacher: on validation, the student is as accurate"
    )
    assert told(one._replace(p50_ms=None)).endswith("of the teacher alone")


def test_a_students_own_teacher_is_taken() -> None:
    own, other = part("own"), part("better")
    cells = [
        scored("teacher", 380, teacher=own),
        scored("teacher", 390, teacher=other),
        model("small", 300, teacher=own),
        scored("baseline", 310, student=part("alone")),
    ]
    (table,) = rows_of(cells).tables
    found = {row.labels["student"]: teacher_of(row, table) for row in table.rows}
    assert found["small"] is not None and found["small"].labels["teacher"] == "own"
    assert found["alone"] is not None and found["alone"].labels["teacher"] == "better"
    assert found[""] is None
