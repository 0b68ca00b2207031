"""What a distillation ships."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_compare import Cells, results
from test_intervals import COUNT, scored
from test_recommend import model

from harness.api import HarnessError
from harness.distill.choose import Shipped, _borrows, _own, decide, sentences, verdict
from harness.results.recommend import Limits


def student(role: str, name: str, right: int, exported: bool = True, **fields: Any) -> Any:
    record, answers = model(name, right, **fields)
    record = {**record, "role": role, "cell": f"{role}-{name}", "export": {"exported": exported}}
    record["task"] = {**record["task"], "test": COUNT}
    if role == "baseline":
        record |= {"teacher": None, "augmenter": None}
    return record, answers


def decided(cells: Cells, **limits: Any) -> Shipped:
    teacher, answers = scored("teacher", 380)
    cells = [(teacher, answers), *cells]
    (fingerprint,) = {record["task"]["fingerprint"] for record, _ in cells}
    return decide(results(cells), [record for record, _ in cells], str(fingerprint), Limits(**limits))


def shipped(found: Shipped) -> tuple[str, str]:
    assert found.candidate
    return found.candidate.row.role, found.candidate.row.labels["student"]


def test_a_student_that_gained_is_shipped() -> None:
    cells = [
        student("distilled", "a", 360),
        student("baseline", "a", 300),
        student("baseline", "tfidf-svm", 310),
    ]
    found = decided(cells)
    assert shipped(found) == ("distilled", "a") and found.helped is True
    assert found.gaps["alone"].value == pytest.approx(60 / COUNT)
    assert found.gaps["simple"].value == pytest.approx(50 / COUNT)
    assert found.gaps["teacher"].value == pytest.approx(-20 / COUNT)
    told = sentences(found)
    assert told[0].startswith("ship a taught by ") and "accuracy 90.0 % (95 % interval" in told[0]
    assert [line.split("  ")[1] for line in told[1:5]] == ["costs", "teacher", "simple model", "student"]
    assert told[-1] == "distillation paid: no model without a teacher is as good"


def test_the_verdict_names_other_sizes_and_how_to_get_them() -> None:
    large = student("distilled", "a", 360, size_bytes={"onnx": 800_000})
    small = student("baseline", "tfidf-svm", 300, size_bytes={"onnx": 90_000})
    found = decided([large, small])
    told = verdict(found, "rows.csv", "use it", lambda cell: f"export {cell}")
    titles = [section.title for section in told.sections]
    assert titles[0].startswith("Ship a taught by ") and titles[1] == "Did distillation pay?"
    assert titles[2] == "Smaller: tfidf-svm on the labels alone"
    assert told.sections[2].command == "export baseline-tfidf-svm"
    assert told.sections[1].lines[0] == "distillation paid: no model without a teacher is as good"


def test_the_score_is_that_of_the_exported_model() -> None:
    """Two seeds say little of how much seeds differ, and one model is shipped."""
    first, (record, answers) = student("distilled", "a", 360), student("distilled", "a", 340)
    second = {**record, "seed": 1, "cell": "distilled-a-1"}, answers
    found = decided([first, second, student("baseline", "tfidf-svm", 300)])
    own = _own(found, first[1])
    assert found.candidate is not None and found.candidate.row.interval is not None
    low, high = found.candidate.row.interval
    assert own is not None and own.value == pytest.approx(360 / COUNT)
    assert low < own.low < own.value < own.high < high
    told = sentences(replace(found, own=own))[0]
    assert told.startswith("ship a taught by ") and "accuracy 90.0 % (95 % interval 8" in told
    assert told.endswith(" test texts; 87.5 % on average over 2 seeds")
    assert _own(decided([first]), first[1]) is None


def test_it_must_beat_the_best_simple_model_too() -> None:
    cells = [
        student("distilled", "a", 320),
        student("baseline", "a", 200),
        student("baseline", "tfidf-svm", 318),
    ]
    found = decided(cells)
    assert shipped(found) == ("distilled", "a") and found.helped is None
    assert sentences(found)[-1].startswith("distillation seems to pay, but")


def test_a_simple_model_that_is_best_is_shipped() -> None:
    cells = [student("distilled", "a", 250), student("baseline", "tfidf-svm", 300)]
    found = decided(cells)
    assert shipped(found) == ("baseline", "tfidf-svm") and found.helped is False
    assert "distillation did not pay" in sentences(found)[-1]


def test_what_has_no_export_is_not_shipped() -> None:
    cells = [student("distilled", "a", 302), student("baseline", "b", 320, False)]
    found = decided(cells)
    assert shipped(found) == ("distilled", "a")
    assert found.alone is not None and found.alone.labels["student"] == "b"
    with pytest.raises(HarnessError, match="no student could be exported"):
        decided([student("baseline", "b", 300, False)])


def test_without_a_taught_student_that_is_told() -> None:
    found = decided([student("baseline", "a", 300)])
    assert shipped(found) == ("baseline", "a")
    assert sentences(found)[-1] == "no student learnt from a teacher, so a model without a teacher is shipped"


def test_limits_hold() -> None:
    cells = [student("distilled", "a", 302, p50=1.0), student("baseline", "b", 380, p50=9.0)]
    assert shipped(decided(cells, p50_ms=2.0)) == ("distilled", "a")
    none = decided(cells, p50_ms=0.001)
    assert none.candidate is None and sentences(none) == [
        "no student is within the limits, so no model was exported; relax a limit"
    ]


def test_other_data_do_not_count() -> None:
    record, answers = student("baseline", "a", 300)
    with pytest.raises(HarnessError, match="has no results for these data"):
        decide(results([(record, answers)]), [record], "sha256:other", Limits())


def test_what_the_teacher_would_be_needed_for_is_told() -> None:
    cells = [scored("teacher", 380), student("distilled", "a", 360)]
    found = results(cells)
    sure = {
        cell: one._replace(confidence=np.where(one.predicted == one.gold, 0.9, 0.6).astype(np.float32))
        for cell, one in found.predictions.items()
    }
    (fingerprint,) = {record["task"]["fingerprint"] for record, _ in cells}
    records = [record for record, _ in cells]
    for validation in (sure, {}):
        one = decide(
            found._replace(predictions=sure, validation=validation), records, str(fingerprint), Limits()
        )
        told = [line for line in sentences(one) if line.startswith("  cascade ")]
        assert [line.split()[:4] for line in told] == [["cascade", "the", "teacher", "answers"]] * bool(
            validation
        )


def test_a_student_that_starts_from_the_teacher_has_more_than_the_labels() -> None:
    def given(**params: Any) -> Any:
        return {"student": {"name": "cnn", "params": {"initial": "random", "embeddings": "own", **params}}}

    assert not _borrows(given())
    assert _borrows(given(initial="teacher")) and _borrows(given(embeddings="teacher"))
    assert not _borrows({**given(), "student": None})
