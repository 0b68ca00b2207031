"""The transfer step: the training texts, what an augmenter makes, and nothing that will be asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from stepbench import Bench, Makes, Rows

from harness import arrow
from harness.api import HarnessError
from harness.steps import transfer
from harness.store import Artefact

TRAIN: Rows = [("sun today", "good"), ("rain today", "bad"), ("sun today", "good"), ("fog", "bad")]
VALIDATION: Rows = [("Held  Out", "good"), ("x", "bad")]
TEST: Rows = [("asked later", "bad"), ("fog", "bad")]


@pytest.fixture
def data(bench: Bench) -> Artefact:
    return bench.data(TRAIN, VALIDATION, TEST)


def made(bench: Bench, data: Artefact, new: Any, seed: int = 0) -> Artefact:
    return bench.run("transfer", {"data": data}, augmenter=Makes(new), seed=seed)


def rows(artefact: Artefact) -> list[tuple[str, int, int]]:
    table = arrow.read(artefact.folder / "transfer.arrow").to_pylist()
    return [(row["text"], row["label"], row["source"]) for row in table]


def test_training_texts_come_first_all_of_them(bench: Bench, data: Artefact) -> None:
    found = made(bench, data, lambda texts, g: [])
    assert found.result == {"rows": 4, "added": 0, "dropped": {}}
    # Repeated ones, and one that stands in the test split, are as published.
    assert rows(found) == [("sun today", 1, 0), ("rain today", 0, 1), ("sun today", 1, 2), ("fog", 0, 3)]


def test_new_texts_inherit_the_label_and_name_their_source(bench: Bench, data: Artefact) -> None:
    found = made(bench, data, lambda texts, g: [(1, "rain"), (0, "sun"), (np.int64(1), "drizzle")])
    assert rows(found)[4:] == [("rain", 0, 1), ("sun", 1, 0), ("drizzle", 0, 1)]
    assert found.result == {"rows": 7, "added": 3, "dropped": {}}
    loaded = transfer.load(found, ("bad", "good"))
    assert list(loaded.texts) == [text for text, _, _ in rows(found)]
    assert loaded.labels is not None and loaded.labels.tolist() == [1, 0, 1, 0, 0, 1, 0]
    assert loaded.classes == ("bad", "good") and loaded.logits is None


def test_what_the_set_has_is_not_added_again(bench: Bench, data: Artefact) -> None:
    new = [(0, "sun"), (0, "sun"), (1, " SUN "), (0, "Sun  Today"), (0, "sun!"), (1, "sun")]
    found = made(bench, data, lambda texts, g: new)
    assert [text for text, _, _ in rows(found)[4:]] == ["sun", "sun!"]
    assert found.result["dropped"] == {"stands in the set already": 4}


def test_held_out_texts_never_enter(bench: Bench, data: Artefact) -> None:
    new = [(0, "held out"), (0, "HELD\tout"), (1, "asked later"), (1, "asked"), (3, "fog"), (3, "X")]
    found = made(bench, data, lambda texts, g: new)
    assert [text for text, _, _ in rows(found)[4:]] == ["asked"]
    assert found.result["dropped"] == {"stands in validation or test": 5}
    assert found.result["rows"] == 5 and found.result["added"] == 1


def test_empty_texts_never_enter(bench: Bench, data: Artefact) -> None:
    found = made(bench, data, lambda texts, g: [(0, ""), (1, " \n")])
    assert found.result == {"rows": 4, "added": 0, "dropped": {"empty": 2}}


@pytest.mark.parametrize("row", [-1, 4, 99])
def test_rows_that_do_not_exist(row: int, bench: Bench, data: Artefact) -> None:
    with pytest.raises(
        HarnessError, match=f"augmenter 'makes' gave a text of row {row}; rows go from 0 to 3"
    ):
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
