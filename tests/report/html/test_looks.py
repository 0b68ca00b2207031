from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from reporting import Results, answers

from harness.report.html import looks
from harness.report.html.sections import sections
from harness.results.board import build
from harness.task_types.base import Prediction
from harness.task_types.classification import Classification
from harness.task_types.regression import Regression


def looked(results: Results) -> dict[str, looks.Look]:
    (section,) = sections(build(results.records), results.records)
    return {
        look.id.removeprefix("emotion-local-"): look
        for look in looks.of_section(section, results.predictions)
    }


def series(results: Results, name: str, row: int = 0) -> Any:
    return looked(results)[name].series[row]


def test_every_look_has_data_for_every_row(results: Results) -> None:
    found = looked(results)
    assert list(found) == [
        *("classes", "confusion", "reliability", "confidence", "selective", "validation", "loss", "timing"),
    ]
    for look in found.values():
        assert all(one is not None for one in look.series)


def test_classes_have_their_scores_and_texts(results: Results) -> None:
    # The teacher: 110 of 120, the last ten wrong: of the classes 0, 1, 2 the rows 110 to 119 in turn.
    gold, predicted = answers(110).gold, answers(110).predicted
    found = series(results, "classes")
    assert found["y"] == ["anger", "joy", "love"]
    for at in range(3):
        right = int(((gold == at) & (predicted == at)).sum())
        f1 = 200 * right / int((gold == at).sum() + (predicted == at).sum())
        assert found["x"][at] == pytest.approx(f1, abs=0.01)
    assert [texts for *_, texts in found["customdata"]] == [40, 40, 40]


def test_confusions_are_summed_over_seeds(results: Results) -> None:
    found = series(results, "confusion", row=1)  # 107 and 108 right
    assert sum(map(sum, found["customdata"])) == 240
    assert sum(found["customdata"][i][i] for i in range(3)) == 215
    assert [sum(row) for row in found["z"]] == pytest.approx([100] * 3, abs=0.05)


def test_many_classes_are_cut_to_those_with_the_most_errors() -> None:
    results = Results(classes=tuple(f"class {n:02}" for n in range(30)))
    found = looked(results)["classes"]
    assert len(found.series[0]["y"]) == looks.MOST_CLASSES
    assert found.series[0]["y"] == sorted(found.series[0]["y"])
    assert "The 20 of 30 classes with the most errors" in found.note
    confusion = looked(results)["confusion"].series[0]
    assert np.shape(confusion["z"]) == (20, 21) and confusion["x"][-1] == looks.OTHERS
    assert np.sum(confusion["z"], axis=1) == pytest.approx(100, abs=0.1)


def test_calibration_is_that_of_the_predictions(results: Results) -> None:
    # Wrong answers have confidence 0.5, right ones 0.9: bins 8 and 14 of 15.
    found = series(results, "reliability", row=1)
    small, large = found.pop("marker")["size"]
    assert small < large
    assert found == {"x": [50.0, 90.0], "y": [0.0, 100.0], "customdata": [25, 215]}
    shares = series(results, "confidence", row=1)["y"]
    assert shares[7] == pytest.approx(100 * 25 / 240, abs=0.01)
    assert shares[13] == pytest.approx(100 * 215 / 240, abs=0.01)
    assert sum(shares) == pytest.approx(100, abs=0.02)


def test_texts_without_a_gold_label_or_a_confidence_do_not_count() -> None:
    results = Results()
    cell = results.records[0]["cell"]
    results.predictions[cell] = Prediction(
        np.array([0, 1, 1, 0], np.int16),
        np.array([0.95, np.nan, 0.95, 0.95], np.float32),
        np.array([0, 1, -1, 1], np.int16),
        Classification(),
    )
    found = series(results, "reliability")
    assert (found["x"], found["y"], found["customdata"]) == ([95.0], [50.0], [2])


def test_without_predictions_there_is_no_calibration() -> None:
    results = Results()
    results.predictions.clear()
    assert list(looked(results)) == ["classes", "confusion", "validation", "loss", "timing"]


def test_a_regression_has_no_classes_nor_calibration() -> None:
    results = Results()
    for record in results.records:
        record["task"] |= {"type": "regression", "headline": "pearson"}
        record["metrics"] = {"pearson": 0.8}
        numbers = np.array([0.5, 1.5], np.float32)
        results.predictions[record["cell"]] = Prediction(
            numbers, np.array([], np.float32), numbers, Regression()
        )
    assert list(looked(results)) == ["loss", "timing"]


def test_curves_are_thinned_and_seeds_kept_apart(results: Results) -> None:
    found = series(results, "validation", row=1)
    gap = found["x"].index(None)
    assert gap == looks.MOST_POINTS
    first = list(zip(found["x"][:gap], found["y"][:gap], strict=True))
    assert first[0] == (600, 50.0)
    assert first[-1] == (60_000, 99.5)
    assert first == sorted(first)
    assert set(found["customdata"][:gap]) == {0}
    assert set(found["customdata"][gap + 1 :]) == {1}


def test_runtimes_are_timed_apart_and_fastest_first() -> None:
    results = Results()
    for record in results.records:
        for run in record["latency"]:
            run |= {"p90_ms": 10 * run["p50_ms"], "p99_ms": None}
        record["latency"][0]["threads"] = 2
        record["latency"].append({**record["latency"][0], "batch": 120})  # all at once: another matter
    found = series(results, "timing")
    assert found == {
        "x": [8.0, 16.0],
        "y": ["onnx, 1 thread", "torch, 2 threads"],
        "customdata": [(80.0, None, None), (160.0, None, None)],
    }


def test_a_look_is_filled_with_one_row_beside_another(results: Results) -> None:
    (section,) = sections(build(results.records), results.records)
    row, other = section.entries[1], section.entries[0]
    look = looked(results)["reliability"]
    chart = look.chart(row, other)
    assert chart is not None
    assert [trace.get("name") for trace in chart.data] == [None, "wide · mask · kl", "big (teacher)"]
    assert chart.data[1]["line"]["color"] == row.colour
    assert chart.data[2]["line"]["color"] == "@muted"
    alone = look.chart(row, row)
    assert alone is not None
    assert len(alone.data) == 2
