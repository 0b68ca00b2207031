"""The tokens step: the ids of a transfer set and of the validation texts, once for several students."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from stepbench import Bench, Makes

import harness
from harness.featurise.featuriser import Featuriser
from harness.storage.store import Artefact
from harness.testing.tiny import FromLabels, FromLogits
from harness_students.convolutional import Cnn
from harness_students.fasttext import FastText
from harness_students.words import Mlp, WordStudent

ROWS = [("the sun is up", "x"), ("a cold rain", "y"), ("sun and wind", "x"), ("rain again", "y")] * 3
SMALL: dict[str, Any] = {"min_examples": 0, "epochs": 2, "width": 3}


def tokens_of(bench: Bench, student: harness.Student, needs: dict[str, Artefact]) -> Artefact:
    return bench.run("tokens", needs, tokeniser=student.tokeniser())


def weights(artefact: Artefact) -> bytes:
    return (artefact.folder / "model" / "model.safetensors").read_bytes()


@pytest.fixture
def needs(bench: Bench) -> dict[str, Artefact]:
    data = bench.data(ROWS, [("a sun", "x"), ("wet", "y")])
    new = [(1, "more cold rain"), (2, "some sun")]
    return {
        "data": data,
        "transfer": bench.run("transfer", {"data": data}, augmenter=Makes(lambda t, g: new)),
    }


def test_ids_of_both_sets_are_stored(bench: Bench, needs: dict[str, Artefact]) -> None:
    found = tokens_of(bench, Mlp(vocabulary=8), needs)
    featuriser = Featuriser.load(found.folder)
    assert found.result == {"size": featuriser.size, "ids": {"transfer": 41, "validation": 3}}
    assert set(found.files) == {
        "featuriser.json",
        *(f"{name}-{part}.npy" for name in ("transfer", "validation") for part in ("ids", "offsets")),
    }
    ids = np.load(found.folder / "validation-ids.npy")
    assert ids.dtype == np.int32 and ids.tolist() == featuriser.tokens(["a sun", "wet"]).ids.tolist()


@pytest.mark.parametrize(
    "student",
    [Mlp(vocabulary=8, **SMALL), Cnn(vocabulary=8, filters=2, **SMALL), FastText(buckets=9, **SMALL)],
)
def test_a_student_is_the_same_on_stored_ids(
    bench: Bench, needs: dict[str, Artefact], student: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = {"student": student, "loss": FromLabels(bench.task_type)}
    alone = bench.run("student", needs, **parts)
    stored = tokens_of(bench, student, needs)
    monkeypatch.setattr(Featuriser, "tokens", None)  # nothing becomes ids again
    shared = bench.run("student", {**needs, "tokens": stored}, **parts, tokeniser=student.tokeniser())
    assert weights(shared) == weights(alone) and shared.result["parameters"] == alone.result["parameters"]
    names = ("featuriser.json", "model.json")
    assert [(shared.folder / "model" / name).read_text() for name in names] == [
        (alone.folder / "model" / name).read_text() for name in names
    ]


def test_informative_words_are_of_the_labels_or_of_the_logits(
    bench: Bench, needs: dict[str, Artefact]
) -> None:
    student = Mlp(vocabulary=5, words="telling", **SMALL)
    by_labels = tokens_of(bench, student, needs)
    folder = bench.store.root / "targets" / "given"
    folder.mkdir(parents=True)
    logits = np.zeros((len(ROWS) + 2, 2), dtype=np.float32)
    logits[-1] = 9, -9
    np.save(folder / "logits.npy", logits)
    given = bench.store.publish("targets", "given", folder, {"rows": len(logits)}, {})
    by_logits = tokens_of(bench, student, {**needs, "targets": given})
    words = [
        json.loads((one.folder / "featuriser.json").read_text())["vocabulary"]
        for one in (by_labels, by_logits)
    ]
    assert "some" in words[1] and "some" not in words[0]
    shared = {**needs, "targets": given, "tokens": by_logits}
    found = bench.run("student", shared, student=student, loss=FromLogits(), tokeniser=student.tokeniser())
    assert json.loads((found.folder / "model" / "featuriser.json").read_text())["vocabulary"] == words[1]


class Filtered(Mlp):
    """A student that learns from a part of the transfer set."""

    name = "filtered"

    def fit(self, transfer: Any, validation: Any, loss: Any, context: Any) -> Any:
        rows = range(2)
        part = replace(transfer, texts=[transfer.texts[row] for row in rows], labels=transfer.labels[:2])
        return super().fit(part, validation, loss, context)


def test_a_part_of_the_set_has_its_own_vocabulary(bench: Bench, needs: dict[str, Artefact]) -> None:
    student: WordStudent = Filtered(vocabulary=99, **SMALL)
    stored = tokens_of(bench, student, needs)
    parts = {"student": student, "loss": FromLabels(bench.task_type), "tokeniser": student.tokeniser()}
    found = bench.run("student", {**needs, "tokens": stored}, **parts)
    words = json.loads((found.folder / "model" / "featuriser.json").read_text())["vocabulary"]
    assert set(words) == {"the", "sun", "is", "up", "a", "cold", "rain"}
