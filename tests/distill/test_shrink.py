"""Students within a number of parameters: what distill makes of a limit."""

from __future__ import annotations

import pytest

from harness import HarnessError, catalog
from harness.distill import budget
from harness.distill import shrink as smaller
from harness.distill.budget import Level, Size
from harness.task_types.classification import Classification
from harness.training.model import count_parameters

OFFERED = budget.levels(Size(1000, 200, 20.0), Classification(), catalog.load())


def test_students_know_as_many_telling_words_as_the_limit_has_room_for() -> None:
    levels, settings, told = smaller.within(20_000, 6, OFFERED, catalog.load())
    assert settings["mlp"] == {"vocabulary": 1243, "words": "telling"}  # (20,000 - 16 * 6 - 6) // 16
    assert set(settings) == {"mlp", "cnn", "bigru"}
    assert levels == OFFERED
    assert told.startswith("for 20,000 parameters: mlp with vocabulary 1243, words telling; cnn with")


@pytest.mark.parametrize("name", ["mlp", "cnn", "bigru", "bilstm", "cnn-tagger", "bilstm-tagger"])
def test_the_limit_is_kept_and_used(name: str) -> None:
    student = catalog.load().build("student", {"use": name})
    limit = 90_000 if "tagger" in name else 25_000
    found = student.within(limit, 5)  # type: ignore[attr-defined]
    rows = found.vocabulary
    one = 0
    if "tagger" in name:
        rows += 2 * found.affixes + found.shapes + found.letters
        one = 3 * found.width  # what is rounded down in three tables
    total = count_parameters(found.module(rows, 5)).total
    assert limit - found.width - one < total <= limit
    assert found.within(limit, 5) == found == student.within(limit, 5)  # type: ignore[attr-defined]


def test_what_has_room_enough_or_no_limit_stays_as_it_is() -> None:
    assert smaller.within(None, 6, OFFERED, catalog.load()) == (OFFERED, {}, "")
    assert smaller.within(10_000_000, 6, OFFERED, catalog.load()) == (OFFERED, {}, "")


def test_a_student_that_is_too_large_is_left_out_and_said_to_be() -> None:
    levels, settings, told = smaller.within(4000, 6, OFFERED, catalog.load())
    assert {name for level in levels for name in level.students} == {"tfidf-logreg", "mlp"}
    assert set(settings) == {"mlp"} and "cnn left out as too large; bigru left out as too large" in told
    assert len(levels) == len(set(levels))


def test_no_student_is_an_error_that_names_the_way_out() -> None:
    level = Level(1, 1, 0, ("tfidf-logreg", "mlp"), ("kl",))
    with pytest.raises(
        HarnessError, match=r"^cannot make mlp with at most 500 parameters; raise --max-parameters$"
    ):
        smaller.within(500, 6, [level], catalog.load())


def test_borrowed_embeddings_have_their_size() -> None:
    given = {"use": "lstm", "embeddings": "teacher"}
    student = catalog.load().build("student", given)
    assert student.within(1000, 2) is student  # type: ignore[attr-defined]
