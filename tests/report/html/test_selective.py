"""The curve of error by coverage, and its points, are counts of the predictions."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from reporting import Results

from harness.report.html.figures import painted
from harness.report.html.page import render
from harness.report.html.sections import sections
from harness.report.html.selective import selective
from harness.results.board import build
from harness.task_types.base import Prediction
from harness.task_types.classification import Classification
from harness.task_types.regression import Regression


def predicted(seed: int, count: int = 3000) -> Prediction:
    """Predictions of two classes whose confidences are true."""
    rng = np.random.default_rng(seed)
    sure = (1 - 0.5 * rng.random(count) ** 3).astype(np.float32)
    gold = rng.integers(0, 2, count).astype(np.int16)
    right = rng.random(count) < sure
    return Prediction(
        np.where(right, gold, 1 - gold).astype(np.int16), sure, gold, Classification(), ("a", "b")
    )


def looked(results: Results, test: dict[str, Any], validation: dict[str, Any]) -> Any:
    (section,) = sections(build(results.records), results.records)
    look = selective(section, test, validation)
    json.dumps(painted(look.layout))
    return look


def test_the_curve_ends_at_the_error_of_all_and_points_follow_it() -> None:
    results = Results()
    test = {cell: predicted(i) for i, cell in enumerate(results.predictions)}
    validation = {cell: predicted(100 + i) for i, cell in enumerate(results.predictions)}
    look = looked(results, test, validation)
    teacher = next(record["cell"] for record in results.records if record["role"] == "teacher")
    found, one = look.series[0], test[teacher]
    gap = found["x"].index(None)
    assert found["x"][gap - 1] == 100 and found["y"][gap] is None
    assert found["y"][gap - 1] == pytest.approx(100 * (one.predicted != one.gold).mean(), abs=0.01)
    assert max(found["y"][: gap // 2]) < found["y"][gap - 1]
    points = list(zip(found["text"], found["x"], found["y"], found["marker"]["size"], strict=True))[
        gap + 1 :: 2
    ]
    assert [point[0] for point in points] == ["1 %", "5 %", "10 %"]
    for (text, coverage, error, size), most in zip(points, (1, 5, 10), strict=True):
        assert error <= most + 1 and 0 < coverage <= 100 and size > 0 and text == f"{most} %"
    assert set(found["marker"]["size"][:gap]) == {0} and found["x"][gap::2] == [None] * 3
    assert found["customdata"][gap + 1] == ", with 1 % allowed"


def test_without_the_validation_split_there_is_the_curve_alone() -> None:
    results = Results()
    look = looked(results, {cell: predicted(0) for cell in results.predictions}, {})
    assert all(None not in one["x"] and set(one["text"]) == {""} for one in look.series)


def test_a_risk_that_a_seed_cannot_keep_has_no_point() -> None:
    results = Results()
    test = {cell: predicted(0) for cell in results.predictions}
    look = looked(results, test, {cell: predicted(1, 50) for cell in results.predictions})
    assert "1 %" not in look.series[1]["text"]


def test_other_types_of_task_have_no_curve() -> None:
    results = Results()
    empty = np.zeros(0, np.float32)
    numbers = np.ones(3, np.float32)
    one = Prediction(numbers, empty, numbers, Regression())
    assert looked(results, dict.fromkeys(results.predictions, one), {}).series == [None] * 8
    assert looked(results, {}, {}).series == [None] * 8


def test_the_page_has_it() -> None:
    results = Results()
    held = {cell: predicted(7) for cell in results.predictions}
    page = render(results.board, results.records, results.predictions, results.suite, validation=held)
    assert "Error among sure answers" in page
