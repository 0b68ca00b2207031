"""The candidates of distill for each type of task, language and teacher."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import HarnessError, Unavailable, catalog
from harness.distill.candidates import Candidates, full, looks_english, recipe
from harness.task_types.classification import Classification
from harness.task_types.tagging import Tagging
from harness.training.model import count_parameters
from harness_multilabel.task_type import MultiLabel

INSTALLED = catalog.load()
TEXTS = Candidates(Classification(), INSTALLED)
OFFERED = [{"use": "mlp"}, {"use": "cnn"}, {"use": "bigru", "hidden": 32}]


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No hub, and nothing in its cache."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))


def names(tables: list[dict[str, object]]) -> list[object]:
    return [table["use"] for table in tables]


def test_simple_models_are_those_for_the_type() -> None:
    assert names(TEXTS.simple(2)) == ["tfidf-svm", "tfidf-logreg"]
    assert names(TEXTS.simple(150)) == ["tfidf-svm"]  # regression would take long
    types = (Classification(), MultiLabel(), Tagging())
    found = [Candidates(one, INSTALLED).bags()[:1] for one in types]
    assert found == [[{"use": "tfidf-svm"}], [{"use": "mlp"}], []]
    assert Candidates(Tagging(), INSTALLED).simple(2) == Candidates(MultiLabel(), INSTALLED).simple(2) == []


def test_every_table_of_the_recipe_builds() -> None:
    rest = recipe()
    for kind, tables in (
        ("student", [*rest["simple"]["models"], *rest["student"]]),
        ("teacher", [*rest["teachers"]["english"], *rest["teachers"]["other"], *rest["teachers"]["offline"]]),
        ("augmenter", [*rest["transfer"]["pretrained"], *rest["transfer"]["plain"]]),
        ("loss", [rest["transfer"]["loss"]]),
    ):
        for table in tables:
            assert INSTALLED.build(kind, table).name == table["use"]


def test_students_that_borrow_need_a_teacher_that_lends() -> None:
    of_minilm = TEXTS.students({"use": "minilm"})
    assert names(of_minilm) == names(recipe()["student"])
    assert any(table.get("embeddings") == "teacher" for table in of_minilm)
    for teacher in (None, {"use": "student", "student": {"use": "tfidf-svm"}}):
        found = TEXTS.students(teacher)
        assert found and not any(table.get("embeddings") == "teacher" for table in found)


def test_types_with_components_of_their_own_get_these() -> None:
    tags = Candidates(Tagging(), INSTALLED)
    assert names(tags.students(None)) == ["cnn-tagger", "bilstm-tagger"]
    assert tags.loss(9) == {"use": "kl"}
    assert Candidates(MultiLabel(), INSTALLED).loss(9) == {"use": "binary-kl"}


def test_many_classes_need_a_lower_temperature() -> None:
    assert TEXTS.loss(2) == TEXTS.loss(29) == {"use": "kl", "temperature": 2.0}
    assert TEXTS.loss(30) == TEXTS.loss(150) == {"use": "kl", "temperature": 1.0}


def test_new_words_come_from_a_pretrained_model_if_there_is_one() -> None:
    lent, mask = TEXTS.augmenters({"use": "minilm"})
    assert lent["embeddings"] == {"use": "minilm"} and mask["use"] == "mask"
    assert "language" not in lent
    assert TEXTS.augmenters(None)[0] == {"use": "replace", "probability": 0.3}


def test_new_words_are_of_the_texts_language(monkeypatch: pytest.MonkeyPatch) -> None:
    """A multilingual model has words of other languages too, but the list of words may be missing."""
    other, mask = TEXTS.augmenters({"use": "minilm"}, english=False)
    assert other["language"] == "auto" and "language" not in mask

    def missing(code: str) -> str:
        raise Unavailable("no list")

    monkeypatch.setattr("harness_augmenters.embeddings.list_of", missing)
    lent, _ = TEXTS.augmenters({"use": "minilm"}, english=False)
    assert lent == TEXTS.augmenters({"use": "minilm"})[0]


def test_a_teacher_is_the_one_that_was_named() -> None:
    assert TEXTS.teachers(True, "minilm").tables == ({"use": "minilm"},)
    pupil = TEXTS.teachers(True, "cnn")
    assert pupil.tables == ({"use": "student", "student": {"use": "cnn"}},) and pupil.why == "as asked for"
    with pytest.raises(HarnessError, match=r"unknown student 'minilmm'|unknown teacher 'minilmm'"):
        TEXTS.teachers(True, "minilmm")
    labels = Candidates(MultiLabel(), INSTALLED)
    with pytest.raises(HarnessError, match=r"student 'tfidf-svm' cannot learn multi-label; name another"):
        labels.teachers(True, "tfidf-svm")


def test_without_a_hub_other_languages_get_simple_models(offline: None) -> None:
    found = TEXTS.teachers(False, None)
    assert names(list(found.tables)) == ["ensemble"]
    assert found.why == "the texts do not look English, and no pretrained model for them is available"
    tags = Candidates(Tagging(), INSTALLED).teachers(False, None)
    assert names(list(tags.tables)) == ["bilstm-crf"]


def test_few_texts_get_more_passes_and_copies() -> None:
    epochs, copies = recipe()["teachers"]["epochs"], recipe()["transfer"]["copies"]
    assert (full(epochs, 800), full(epochs, 3000), full(epochs, 16_000)) == (10, 4, 3)
    assert (full(copies, 800), full(copies, 16_000)) == (30, 4)


def test_english_is_told_from_others() -> None:
    assert looks_english(["I was not sure that it is what you want", "the best of them"])
    assert not looks_english(["das ist nicht gut und wir wissen", "le temps est mauvais aujourd'hui"])
    assert not looks_english([])


# -- limits -------------------------------------------------------------------------------------------------


def test_students_know_as_many_telling_words_as_the_limit_has_room_for() -> None:
    mlp, cnn, bigru = TEXTS.within(20_000, 6, OFFERED)
    assert mlp == {"use": "mlp", "vocabulary": 1243, "words": "telling"}  # (20,000 - 16 * 6 - 6) // 16
    assert cnn["words"] == bigru["words"] == "telling" and bigru["hidden"] == 32


@pytest.mark.parametrize("name", ["mlp", "cnn", "bigru", "bilstm", "cnn-tagger", "bilstm-tagger"])
def test_the_limit_is_kept_and_used(name: str) -> None:
    student = INSTALLED.build("student", {"use": name})
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
    assert TEXTS.within(None, 6, OFFERED) == OFFERED
    assert TEXTS.within(10_000_000, 6, OFFERED) == OFFERED


def test_a_student_that_is_too_large_is_left_out() -> None:
    assert [table["use"] for table in TEXTS.within(4000, 6, OFFERED)] == ["mlp"]
    assert TEXTS.within(500, 6, OFFERED) == []


def test_borrowed_embeddings_have_their_size() -> None:
    student = INSTALLED.build("student", {"use": "lstm", "embeddings": "teacher"})
    assert student.within(1000, 2) is student  # type: ignore[attr-defined]
