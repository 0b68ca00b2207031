"""What a distillation ships."""

from __future__ import annotations

from typing import Any

import pytest
from test_compare import Cells, results
from test_intervals import COUNT, scored
from test_recommend import model

from harness.api import HarnessError
from harness.distill.choose import Shipped, decide, sentences
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
    found = decided([student("distilled", "a", 360), student("baseline", "a", 300)])
    assert shipped(found) == ("distilled", "a") and found.helped
    assert found.to_baseline and found.to_baseline.value == pytest.approx(60 / COUNT)
    assert found.to_teacher and found.to_teacher.value == pytest.approx(-20 / COUNT)
    told = sentences(found)
    assert told[0].startswith("ship a taught by ") and "accuracy 90.0 % (95 % interval" in told[0]
    assert told[-1] == "distillation helped: no student without a teacher is as good"


def test_one_that_cannot_be_told_from_its_baseline_gives_way() -> None:
    found = decided([student("distilled", "a", 302), student("baseline", "a", 300)])  # half a point
    assert shipped(found) == ("baseline", "a") and not found.helped
    assert "is not clearly better than the student without a teacher" in sentences(found)[-1]


def test_one_that_may_have_gained_is_shipped_with_a_doubt() -> None:
    found = decided([student("distilled", "a", 304), student("baseline", "a", 300)])  # a point
    assert shipped(found) == ("distilled", "a") and not found.helped
    assert sentences(found)[-1].startswith("distillation seems to help (difference +1.0 points")
    assert sentences(found)[-1].endswith("texts are too few to be sure")


def test_a_baseline_that_is_recommended_is_shipped() -> None:
    found = decided([student("distilled", "a", 250), student("baseline", "a", 300)])
    assert shipped(found) == ("baseline", "a")
    assert "a student without a teacher is as good, so it is shipped" in sentences(found)[-1]


def test_what_has_no_export_is_not_shipped_but_told() -> None:
    cells = [
        student("distilled", "a", 302),
        student("baseline", "b", 320, False),
        student("baseline", "a", 300),
    ]
    found = decided(cells)
    assert shipped(found) == ("baseline", "a")
    assert sentences(found)[-1] == "b on the labels alone is as good (80.0 %), but cannot be exported"
    with pytest.raises(HarnessError, match="no student could be exported"):
        decided([student("baseline", "b", 300, False)])


def test_without_a_taught_student_that_is_told() -> None:
    found = decided([student("baseline", "a", 300)])
    assert shipped(found) == ("baseline", "a")
    assert (
        sentences(found)[-1]
        == "no student learnt from the teacher, so a student without a teacher is shipped"
    )


def test_limits_hold_for_the_simpler_one_too() -> None:
    cells = [student("distilled", "a", 302, p50=1.0), student("baseline", "b", 300, p50=9.0)]
    found = decided(cells, p50_ms=2.0)
    assert shipped(found) == ("distilled", "a")
    assert "no student without a teacher is within the limits" in sentences(found)[-1]
    none = decided(cells, p50_ms=0.001)
    assert none.candidate is None and sentences(none) == [
        "no student is within the limits, so no model was exported; relax a limit"
    ]


def test_other_data_do_not_count() -> None:
    record, answers = student("baseline", "a", 300)
    with pytest.raises(HarnessError, match="has no results for these data"):
        decide(results([(record, answers)]), [record], "sha256:other", Limits())
