"""Tagging through the steps: words and their tags from a task's tables to a model's scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from stepbench import Bench, Makes, Repeater, Says, Spans, Speaker

from harness.api import HarnessError
from harness.steps import data, targets, transfer
from harness.steps.evaluation import PREDICTIONS
from harness.task_types.tagging import Tagging
from harness.testing.tiny import FromLabels

ROWS = [
    (["Ann", "met", "Bo", "Li"], ["B-per", "O", "I-per", "I-per"]),  # IOB1
    (["in", "New York"], ["O", "S-loc"]),  # IOBES, and white space within a word
    (["rain"], ["O"]),
]
TEXTS = ["Ann met Bo Li", "in New_York", "rain"]
CLASSES = ("O", "B-loc", "I-loc", "B-per", "I-per")
GOLD = [3, 0, 3, 4, 0, 1, 0]


def lengths(texts: Sequence[str]) -> Any:
    """(T, 5): each word's length, as the logit of B-per."""
    words = [word for text in texts for word in text.split(" ")]
    logits = np.zeros((len(words), 5), dtype=np.float32)
    logits[:, 3] = [len(word) for word in words]
    return logits


def test_words_and_tags_are_kept(bench: Bench) -> None:
    found = bench.run("data", task=Spans.of(*ROWS))
    assert found.result["classes"] == list(CLASSES) and found.result["rows"]["train"] == 3
    examples = data.load(found, "train", bench.task_type)
    assert list(examples.texts) == TEXTS and examples.task_type == Tagging()
    assert examples.labels is not None and examples.labels.tolist() == GOLD
    assert examples.labels.dtype == np.int64 and len(examples) == 3


def test_rows_that_cannot_be_used_are_dropped_and_told(bench: Bench) -> None:
    found = bench.run("data", task=Spans.of(*ROWS, ([], []), (["a", "b"], ["O"])))
    assert found.result["dropped"]["train"] == {
        "there are no words": 1,
        "the numbers of words and tags differ": 1,
    }
    assert any("the numbers of words and tags differ" in warning for warning in bench.warnings)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (Spans.of((["a"], ["O"])), "must have at least one entity"),
        (
            Spans.of(*ROWS, test=[(["a"], ["B-org"])]),
            "that are not in training: 'org' .1 words.; .* loc, per",
        ),
        (Spans.of(*ROWS, (["a"], ["NOUN"])), "expected a tag O or X-type.* got 'NOUN'"),
    ],
)
def test_tags_that_cannot_be_learned(task: Spans, message: str, bench: Bench) -> None:
    with pytest.raises(HarnessError, match=message):
        bench.run("data", task=task)


def test_new_texts_have_tags_where_they_have_as_many_words(bench: Bench) -> None:
    made = [(0, "Eve met  Bo Li"), (0, "Ann met"), (1, "at Oslo"), (-1, "x y z")]
    source = bench.run("data", task=Spans.of(*ROWS, validation=[ROWS[1]], test=[ROWS[1]]))
    found = bench.run("transfer", {"data": source}, augmenter=Makes(lambda texts, g: made))
    examples = transfer.load(found, CLASSES, bench.task_type)
    assert list(examples.texts)[3:] == ["Eve met Bo Li", "Ann met", "at Oslo", "x y z"]
    assert examples.task_type == Tagging() and examples.labels is not None
    assert examples.labels.tolist() == [*GOLD, 3, 0, 3, 4, -1, -1, 0, 1, -1, -1, -1]


@pytest.mark.parametrize("chunk", [1, 2, 100])
@pytest.mark.parametrize("parts", [1, 2, 5])
def test_each_word_has_its_logits(
    chunk: int, parts: int, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "_CHUNK", chunk)
    source = bench.run("data", task=Spans.of(*ROWS))
    teacher = Speaker(lengths)
    needs = {
        "model": bench.run("teacher", {"data": source}, teacher=teacher),
        "transfer": bench.run("transfer", {"data": source}, augmenter=Makes(lambda texts, g: [])),
    }
    made = {
        f"part-{part}": bench.run("targets", needs, teacher=teacher, part=part, parts=parts)
        for part in range(parts)
    }
    joined = bench.run("targets", made, teacher=teacher)
    logits = targets.load(joined, "logits")
    assert logits[:, 3].tolist() == [3, 3, 2, 2, 2, 8, 4] and joined.result["rows"] == 7
    learns = {"data": source, "transfer": needs["transfer"], "targets": joined}
    student = Repeater(lengths)
    bench.run("student", learns, student=student, loss=FromLabels())
    ((given, *_),) = student.given
    assert given.task_type == Tagging() and given.logits is not None
    assert len(given.logits) == len(given.labels) == 7


def test_a_teacher_that_misses_a_word(bench: Bench) -> None:
    source = bench.run("data", task=Spans.of(*ROWS))
    teacher = Speaker(lambda texts: lengths(texts)[:-1])
    needs = {
        "model": bench.run("teacher", {"data": source}, teacher=teacher),
        "transfer": bench.run("transfer", {"data": source}, augmenter=Makes(lambda texts, g: [])),
    }
    with pytest.raises(HarnessError, match=r"an array of shape \(6, 5\) for 3 texts; expected 7 rows"):
        bench.run("targets", needs, teacher=teacher)


def test_whole_entities_are_scored(bench: Bench) -> None:
    source = bench.run("data", task=Spans.of(*ROWS))

    def outputs(texts: Sequence[str]) -> Any:
        tags = np.array([3, 0, 3, 0, 0, 1, 0])  # Ann and New_York are right, Bo Li is cut short
        return np.eye(5, dtype=np.float32)[tags]

    teacher = Speaker(outputs)
    model = bench.run("teacher", {"data": source}, teacher=teacher)
    task = Spans.of(*ROWS)
    found = bench.run("evaluation", {"data": source, "model": model}, task=task, teacher=teacher)
    scores = found.result["test"]
    assert scores["f1"] == pytest.approx(2 * 2 / 6) and scores["accuracy"] == pytest.approx(6 / 7)
    assert scores["per_class"]["loc"]["f1"] == 1 and scores["f1_surface"] == pytest.approx(2 / 3)


class Decides(Says):
    """A model that knows better than its logits."""

    def decide(self, texts: Sequence[str], logits: Any) -> Any:
        """The gold tags of these texts."""
        assert list(texts) == TEXTS and logits.shape == (7, 5)
        return np.array(GOLD)


def test_the_tags_that_a_model_decides_for_are_scored(bench: Bench) -> None:
    source = bench.run("data", task=Spans.of(*ROWS))
    for model, f1 in ((Says, 2 * 1 / (3 + 7)), (Decides, 1)):
        teacher = Speaker(lengths, model=model)  # all words are names of their own: one is right
        fitted = bench.run("teacher", {"data": source}, teacher=teacher)
        needs = {"data": source, "model": fitted}
        found = bench.run("evaluation", needs, task=Spans.of(*ROWS), teacher=teacher)
        assert found.result["test"]["f1"] == pytest.approx(f1)
        kept = load_file(found.folder / PREDICTIONS)["test-tags"]
        assert kept.dtype == np.int16
        assert kept.tolist() == (GOLD if model is Decides else lengths(TEXTS).argmax(1).tolist())
