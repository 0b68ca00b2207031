"""The data step: what is kept of a task's splits, and what stops a run before it costs anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from stepbench import Bench, Given, Rows, Scored, table

from harness.api import HarnessError
from harness.sources.opening import note
from harness.steps import data
from harness.storage import arrow
from harness.task_types.masked_lm import MaskedLanguageModelling

TRAIN: Rows = [("b text", "yes"), ("a text", "no"), ("Ünïcode 🙂", "yes"), ("more", "maybe")]
TEST: Rows = [("one", "no"), ("two", "maybe")]


def test_splits_are_kept_as_they_are(bench: Bench) -> None:
    found = bench.data(TRAIN, TEST, TEST[:1])
    assert found.result == {
        "classes": ["maybe", "no", "yes"],
        "rows": {"train": 4, "validation": 2, "test": 1},
        "dropped": {},
        "shared": {"validation&test": 1},
        "warnings": bench.warnings,
    }
    train = data.load(found, "train", bench.task_type)
    assert list(train.texts) == [text for text, _ in TRAIN]
    assert train.classes == ("maybe", "no", "yes")
    assert train.labels is not None and train.labels.tolist() == [2, 1, 2, 0]
    assert train.labels.dtype == np.int64 and train.logits is None
    assert len(data.load(found, "test", bench.task_type)) == 1


def test_classes_are_those_of_training_in_order(bench: Bench) -> None:
    found = bench.data([("a", "b"), ("b", "10"), ("c", "9"), ("d", "É"), ("e", "Z")])
    assert found.result["classes"] == sorted(["b", "10", "9", "É", "Z"])


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_an_absent_split(split: str, bench: Bench) -> None:
    tables = {name: table(TRAIN) for name in ("train", "validation", "test") if name != split}
    with pytest.raises(HarnessError, match=f"task 'given' has no split '{split}'; found: "):
        bench.run("data", task=Given(tables))


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([], "it has no rows"),
        ([("", "yes"), (" ", "no")], "the text is empty in 2 rows"),
        (
            [("a", None), (None, "yes"), ("b", " ")],
            "the label is empty in 2 rows; the text is empty in 1 rows",
        ),
    ],
)
def test_an_empty_split(split: str, rows: Rows, why: str, bench: Bench) -> None:
    tables = {name: table(TRAIN) for name in ("train", "validation", "test")}
    with pytest.raises(HarnessError, match=f"split '{split}' of task 'given' is empty: ") as caught:
        bench.run("data", task=Given(tables | {split: table(rows)}))
    assert set(str(caught.value).partition("empty: ")[2].split("; ")) == set(why.split("; "))


def test_empty_texts_and_labels_are_dropped_and_counted(bench: Bench) -> None:
    rows: Rows = [("", "yes"), ("a", "yes"), (None, "no"), (" \n", "no"), ("b", "no"), ("c", None), ("d", "")]
    found = bench.data(rows, TRAIN[:2], TRAIN[:2])
    assert found.result["rows"]["train"] == 2
    assert found.result["dropped"] == {"train": {"the text is empty": 3, "the label is empty": 2}}
    assert list(data.load(found, "train", bench.task_type).texts) == ["a", "b"]
    assert bench.warnings[:2] == [
        "given: 3 rows of 'train' dropped: the text is empty",
        "given: 2 rows of 'train' dropped: the label is empty",
    ]
    assert found.result["warnings"] == bench.warnings


def test_one_class_is_nothing_to_learn(bench: Bench) -> None:
    with pytest.raises(HarnessError, match="must have at least two classes, got only 'yes'"):
        bench.data([("a", "yes"), ("b", "yes"), ("c", None)])


@pytest.mark.parametrize("split", ["validation", "test"])
def test_labels_that_training_lacks(split: str, bench: Bench) -> None:
    rows: Rows = [("x", "yes"), ("y", "perhaps"), ("z", "perhaps"), ("w", "never")]
    with pytest.raises(HarnessError) as caught:
        bench.data(TRAIN, **{split: rows})
    assert str(caught.value) == (
        f"split '{split}' of task 'given' has labels that are not in training: "
        "'perhaps' (2 rows), 'never' (1 rows); expected: maybe, no, yes"
    )


def test_a_class_may_be_absent_from_test(bench: Bench) -> None:
    assert bench.data(TRAIN, TEST, TEST).result["classes"] == ["maybe", "no", "yes"]


def test_texts_in_two_splits_are_said_and_kept(bench: Bench) -> None:
    validation: Rows = [("b text", "yes"), ("a text", "no"), ("new", "no")]
    test: Rows = [("a text", "no"), ("a text", "no"), ("other", "no")]
    found = bench.data(TRAIN, validation, test)
    assert found.result["shared"] == {"train&validation": 2, "train&test": 1, "validation&test": 1}
    assert found.result["rows"] == {"train": 4, "validation": 3, "test": 3}
    (told,) = bench.warnings
    assert "train and validation 2" in told and "train and test 1" in told and "validation and test 1" in told


def test_nothing_is_said_of_clean_data(bench: Bench) -> None:
    found = bench.data(TRAIN, TEST, [("three", "no")])
    assert bench.warnings == [] and "warnings" not in found.result and found.result["shared"] == {}


def test_what_readers_decide_and_labels_that_look_alike_are_noted(bench: Bench) -> None:
    @dataclass(frozen=True)
    class Noting(Given):
        def read(self, source: Any) -> Any:
            note("a.csv was read with semicolons between its cells")
            return super().read(source)

    rows: Rows = [("a", "Joy"), ("b", "joy"), ("c", "anger")]
    found = bench.run("data", task=Noting(dict.fromkeys(("train", "validation", "test"), table(rows))))
    notes = ["a.csv was read with semicolons between its cells", "the labels 'Joy', 'joy' look alike"]
    for noted, expected in zip(found.result["notes"], notes, strict=True):
        assert noted.startswith(expected) and f"given: {noted}" in found.result["warnings"]


def test_unlabelled_texts_are_kept_beside(bench: Bench) -> None:
    extra: dict[str, Any] = {split: table(TRAIN) for split in ("train", "validation", "test")}
    extra["unlabelled"] = pa.table({"text": ["one ", "", None, "two"]})
    found = bench.run("data", task=Given(extra))
    assert arrow.read(found.folder / "unlabelled.arrow")["text"].to_pylist() == ["one", "two"]
    assert not (bench.data(TRAIN).folder / "unlabelled.arrow").exists()


@pytest.mark.parametrize("kind", [float, str])
def test_scores_are_kept_as_numbers(kind: type, bench: Bench) -> None:
    rows = [("a", kind(2.5)), ("b", kind(0)), ("c", None)]
    found = bench.run("data", task=Scored.of(*rows))
    assert found.result["classes"] == ["score"] and found.result["rows"]["train"] == 2
    assert found.result["dropped"]["train"] == {"the label is empty": 1}
    train = data.load(found, "train", bench.task_type)
    assert train.labels is not None and train.labels.dtype == np.float32
    assert train.labels.tolist() == [2.5, 0.0] and train.classes == ("score",)


@pytest.mark.parametrize("label", ["good", "nan", "inf"])
def test_a_score_that_is_no_number(label: str, bench: Bench) -> None:
    with pytest.raises(
        HarnessError, match=f"expected numbers as labels in split 'train' of task 'scored', got '{label}'"
    ):
        bench.run("data", task=Scored.of(("a", "1"), ("b", label)))


def test_one_score_only(bench: Bench) -> None:
    with pytest.raises(HarnessError, match="task 'scored' must have at least two scores, got only 2"):
        bench.run("data", task=Scored.of(("a", 2.0), ("b", 2.0)))


@dataclass(frozen=True)
class Raw(Given):
    """These texts, to model."""

    name = "raw"
    task_type = "language-modelling"

    @classmethod
    def of(cls, *texts: str | None, **counts: int) -> Raw:
        """The same texts in every split, with what cleaning told of training."""
        part = pa.table({"text": pa.array(texts, pa.string())})
        return cls({"train": arrow.cleaned(part, counts), "validation": part, "test": part})


def test_texts_to_model_have_no_labels(bench: Bench) -> None:
    found = bench.run("data", task=Raw.of("a b", "", None, "c [MASK] d", " e"))
    why = {"the text is empty": 2, "the text contains [MASK], which is reserved for hidden words": 1}
    assert found.result == {
        "classes": [],
        "rows": dict.fromkeys(("train", "validation", "test"), 2),
        "dropped": dict.fromkeys(("train", "validation", "test"), why),
        "shared": dict.fromkeys(("train&validation", "train&test", "validation&test"), 2),
        "warnings": bench.warnings,
    }
    train = data.load(found, "train", bench.task_type)
    assert list(train.texts) == ["a b", " e"]
    assert train.classes == () and train.labels is None and train.task_type == MaskedLanguageModelling()
    assert arrow.read(found.folder / "train.arrow").column_names == ["text"]


def test_what_cleaning_did_is_kept(bench: Bench) -> None:
    assert bench.run("data", task=Raw.of("a", urls=2, short=0)).result["cleaning"] == {
        "train": {"urls": 2, "short": 0}
    }
    assert "cleaning" not in bench.run("data", task=Raw.of("a")).result


def test_a_split_that_cleaning_emptied(bench: Bench) -> None:
    with pytest.raises(HarnessError) as caught:
        bench.run("data", task=Raw.of(texts=9, urls=0, short=8, duplicates=1))
    assert str(caught.value) == (
        "split 'train' of task 'raw' is empty: cleaning removed all rows (9 texts, 8 short, 1 duplicates)"
    )
