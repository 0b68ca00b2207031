"""The transfer step: the training texts, what an augmenter makes, and nothing that will be asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from stepbench import Bench, Given, Makes, Rows, Scored, table

import harness
from harness.api import HarnessError
from harness.steps import transfer
from harness.storage import arrow
from harness.storage.store import Artefact

TRAIN: Rows = [("sun today", "good"), ("rain today", "bad"), ("sun today", "good"), ("fog", "bad")]
VALIDATION: Rows = [("Held  Out", "good"), ("x", "bad")]
TEST: Rows = [("asked later", "bad"), ("fog", "bad")]


@pytest.fixture
def data(bench: Bench) -> Artefact:
    return bench.data(TRAIN, VALIDATION, TEST)


def made(bench: Bench, data: Artefact, new: Any, seed: int = 0) -> Artefact:
    return bench.run("transfer", {"data": data}, augmenter=Makes(new), seed=seed)


def rows(artefact: Artefact) -> list[tuple[str, int, int]]:
    found = arrow.read(artefact.folder / "transfer.arrow").to_pylist()
    return [(row["text"], row["label"], row["source"]) for row in found]


def test_training_texts_come_first_all_of_them(bench: Bench, data: Artefact) -> None:
    found = made(bench, data, lambda texts, g: [])
    assert found.result == {"rows": 4, "added": 0, "dropped": {}}
    # Repeated ones, and one that stands in the test split, are as published.
    assert rows(found) == [("sun today", 1, 0), ("rain today", 0, 1), ("sun today", 1, 2), ("fog", 0, 3)]


def test_new_texts_inherit_the_label_and_name_their_source(bench: Bench, data: Artefact) -> None:
    found = made(bench, data, lambda texts, g: [(1, "rain"), (0, "sun"), (np.int64(1), "drizzle")])
    assert rows(found)[4:] == [("rain", 0, 1), ("sun", 1, 0), ("drizzle", 0, 1)]
    assert found.result == {"rows": 7, "added": 3, "dropped": {}}
    loaded = transfer.load(found, ("bad", "good"), bench.task_type)
    assert list(loaded.texts) == [text for text, _, _ in rows(found)]
    assert loaded.labels is not None and loaded.labels.tolist() == [1, 0, 1, 0, 0, 1, 0]
    assert loaded.classes == ("bad", "good") and loaded.logits is None


def test_what_the_set_has_is_not_added_again(bench: Bench, data: Artefact) -> None:
    new = [(0, "sun"), (0, "sun"), (1, " SUN "), (0, "Sun  Today"), (0, "sun!"), (1, "sun")]
    found = made(bench, data, lambda texts, g: new)
    assert [text for text, _, _ in rows(found)[4:]] == ["sun", "sun!"]
    assert found.result["dropped"] == {"already in the set": 4}


def test_held_out_texts_never_enter(bench: Bench, data: Artefact) -> None:
    new = [(0, "held out"), (0, "HELD\tout"), (1, "asked later"), (1, "asked"), (3, "fog"), (3, "X")]
    found = made(bench, data, lambda texts, g: new)
    assert [text for text, _, _ in rows(found)[4:]] == ["asked"]
    assert found.result["dropped"] == {"in validation or test": 5}
    assert found.result["rows"] == 5 and found.result["added"] == 1


def test_empty_texts_never_enter(bench: Bench, data: Artefact) -> None:
    found = made(bench, data, lambda texts, g: [(0, ""), (1, " \n")])
    assert found.result == {"rows": 4, "added": 0, "dropped": {"empty": 2}}


def test_held_out_texts_are_told_of(bench: Bench, data: Artefact) -> None:
    made(bench, data, lambda texts, g: [(0, "sun"), (0, "sun")])
    assert not [message for message in bench.warnings if "makes" in message]
    made(bench, data, lambda texts, g: [(0, "held out"), (1, "sun"), (3, "X")])
    assert "makes: 2 new texts were dropped, because they are in validation or test" in bench.warnings


def test_texts_of_no_training_text_have_no_label(bench: Bench, data: Artefact) -> None:
    found = made(bench, data, lambda texts, g: [(-1, "storm"), (1, "rain"), (-1, "Rain "), (-1, "x")])
    assert rows(found)[4:] == [("storm", -1, -1), ("rain", 0, 1)]
    assert found.result["dropped"] == {"already in the set": 1, "in validation or test": 1}
    labels = transfer.load(found, ("bad", "good"), bench.task_type).labels
    assert labels is not None and labels.tolist() == [1, 0, 1, 0, -1, 0]


@pytest.mark.parametrize("row", [-2, 4, 99])
def test_rows_that_do_not_exist(row: int, bench: Bench, data: Artefact) -> None:
    message = f"augmenter 'makes' returned a text made from row {row}; expected a row from 0 to 3, or -1"
    with pytest.raises(HarnessError, match=message):
        made(bench, data, lambda texts, g: [(row, "new")])


def test_the_seed_is_the_generators(bench: Bench, data: Artefact) -> None:
    def new(texts: Any, generator: np.random.Generator) -> Any:
        return [(0, f"number {number}") for number in generator.integers(0, 10**9, 3)]

    first = [rows(made(bench, data, new, seed)) for seed in (1, 1, 2)]
    assert first[0] == first[1] != first[2]


def test_augmenters_see_the_training_texts_alone(bench: Bench, data: Artefact) -> None:
    seen: list[str] = []
    made(bench, data, lambda texts, g: seen.extend(texts) or [])
    assert seen == [text for text, _ in TRAIN]


def test_new_texts_inherit_a_score(bench: Bench) -> None:
    data = bench.run("data", task=Scored.of(("sun", 1.5), ("rain", 4.0)))
    found = transfer.load(made(bench, data, lambda texts, g: [(1, "more rain")]), ("score",), bench.task_type)
    assert found.labels is not None and found.labels.dtype == np.float32
    assert found.labels.tolist() == [1.5, 4.0, 4.0]


def test_a_text_of_no_training_text_has_no_score(bench: Bench) -> None:
    data = bench.run("data", task=Scored.of(("sun", 1.5), ("rain", 4.0)))
    found = made(bench, data, lambda texts, g: [(-1, "more rain")])
    labels = transfer.load(found, ("score",), bench.task_type).labels
    assert labels is not None and labels.tolist()[:2] == [1.5, 4.0] and np.isnan(labels[2])


@dataclass(frozen=True)
class Draws(harness.Augmenter):
    """An augmenter that keeps what it may draw on, and gives all of the pool."""

    name = "draws"

    seen: list[Any] = field(default_factory=list)

    def draw(
        self, train: harness.Examples, unlabelled: Sequence[str], context: harness.Context
    ) -> Iterator[tuple[int, str]]:
        assert train.labels is not None
        self.seen.append((list(train.texts), train.labels.tolist(), list(unlabelled), context.seed))
        return ((-1, text) for text in unlabelled)


def test_augmenters_may_draw_on_labels_and_unlabelled_texts(bench: Bench, data: Artefact) -> None:
    splits = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
    tables = {split: table(some) for split, some in splits.items()}
    pool = pa.table({"text": ["storm", " asked LATER", "sun today", "storm "]})
    with_pool = bench.run("data", task=Given(tables | {"unlabelled": pool}))
    found = bench.run("transfer", {"data": with_pool}, augmenter=(augmenter := Draws()), seed=7)
    expected = ["storm", "asked LATER", "sun today", "storm"]
    assert augmenter.seen == [([text for text, _ in TRAIN], [1, 0, 1, 0], expected, 7)]
    assert rows(found)[4:] == [("storm", -1, -1)]
    assert found.result["dropped"] == {"already in the set": 2, "in validation or test": 1}
    bench.run("transfer", {"data": data}, augmenter=augmenter, seed=7)
    assert augmenter.seen[1][2] == []


def test_without_an_augmenter_the_set_is_the_training_texts(bench: Bench, data: Artefact) -> None:
    found = bench.run("transfer", {"data": data})
    assert found.result == {"rows": 4, "added": 0, "dropped": {}}
    assert rows(found) == rows(made(bench, data, lambda texts, g: []))


def test_texts_to_model_have_no_labels(bench: Bench) -> None:
    class Raw(Given):
        task_type = "language-modelling"

    parts = {split: pa.table({"text": [f"{split} one", "two"]}) for split in ("train", "validation", "test")}
    source = bench.run("data", task=Raw(parts))
    found = made(bench, source, lambda texts, g: [(0, "three"), (-1, "test  ONE"), (1, "two")])
    assert found.result["dropped"] == {"in validation or test": 2}
    loaded = transfer.load(found, (), bench.task_type)
    assert list(loaded.texts) == ["train one", "two", "three"]
    assert loaded.labels is None and loaded.classes == ()
    assert arrow.read(found.folder / "transfer.arrow")["source"].to_pylist() == [0, 1, 0]
