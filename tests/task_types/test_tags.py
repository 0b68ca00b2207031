"""Tags, entities and their scores, against seqeval and by hand."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from harness.task_types.tags import classes_of, entities, tagging, to_bio

from harness.api import HarnessError, words_before

CLASSES = ("O", "B-loc", "I-loc", "B-per", "I-per")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["O", "B-per", "I-per", "O"], ["O", "B-per", "I-per", "O"]),
        (["I-per", "I-per", "B-per", "I-loc"], ["B-per", "I-per", "B-per", "B-loc"]),  # IOB1
        (["S-per", "B-per", "E-per", "S-loc"], ["B-per", "B-per", "I-per", "B-loc"]),  # IOBES
        (["U-per", "B-per", "I-per", "L-per"], ["B-per", "B-per", "I-per", "I-per"]),  # BILOU
        (["B-creative-work", "I-creative-work"], ["B-creative-work", "I-creative-work"]),
        (["E-per", "I-per"], ["B-per", "B-per"]),
        ([], []),
    ],
)
def test_schemes(given: list[str], expected: list[str]) -> None:
    assert to_bio(given) == expected


@pytest.mark.parametrize("tag", ["per", "X-per", "B-", "-per", "BI-per", "o"])
def test_what_is_no_tag(tag: str) -> None:
    with pytest.raises(HarnessError, match="expected a tag O or X-type, with X one of"):
        to_bio(["O", tag])


def test_classes_have_both_tags_of_each_type() -> None:
    assert classes_of(["O", "B-per", "O", "B-loc", "I-loc"]) == CLASSES


def test_entities_by_hand() -> None:
    #       |             first text            | second   | third
    tags = ["B-per", "I-per", "O", "I-loc", "B-loc", "I-per", "I-loc", "B-loc", "B-loc", "I-loc"]
    numbers = np.array([CLASSES.index(tag) for tag in tags])
    found = entities(numbers, CLASSES, np.array([0, 5, 7, 10]))
    loc, per = 0, 1
    assert found.tolist() == [[0, 2, per], [4, 5, loc], [7, 8, loc], [8, 10, loc]]


def test_an_entity_ends_with_its_text() -> None:
    numbers = np.array([CLASSES.index(tag) for tag in ("B-per", "I-per", "I-per")])
    assert entities(numbers, CLASSES, np.array([0, 2, 3])).tolist() == [[0, 2, 1]]
    assert entities(numbers[:0], CLASSES, np.array([0])).shape == (0, 3)


@pytest.mark.parametrize("seed", range(20))
def test_scores_are_seqevals(seed: int) -> None:
    metrics = pytest.importorskip("seqeval.metrics")
    from seqeval.scheme import IOB2

    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, 9, 30)
    before = np.concatenate([[0], np.cumsum(lengths)])
    labels = generator.integers(0, 5, before[-1])
    logits = generator.normal(size=(before[-1], 5)).astype(np.float32)
    logits[np.arange(before[-1]), labels] += generator.uniform(0, 3)
    found = tagging(labels, logits, CLASSES, before)

    def sentences(tags: Any) -> list[list[str]]:
        return [[CLASSES[t] for t in tags[a:b]] for a, b in pairwise(before)]

    gold, predicted = sentences(labels), sentences(logits.argmax(1))
    strict = {"mode": "strict", "scheme": IOB2, "zero_division": 0}
    for name, function in (
        ("f1", metrics.f1_score),
        ("precision", metrics.precision_score),
        ("recall", metrics.recall_score),
    ):
        assert found[name] == pytest.approx(function(gold, predicted, **strict))
        macro = function(gold, predicted, average="macro", **strict)
        assert found[f"{name}_macro"] == pytest.approx(macro)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(gold, predicted))
    report = metrics.classification_report(gold, predicted, output_dict=True, **strict)
    for kind, scores in found["per_class"].items():
        assert scores["f1"] == pytest.approx(report[kind]["f1-score"])
        assert scores["support"] == report[kind]["support"]


def test_surface_forms_count_once() -> None:
    texts = ["ann met ann", "in oslo"]
    labels = np.array([CLASSES.index(tag) for tag in ("B-per", "O", "B-per", "O", "B-loc")])
    predicted = np.array([CLASSES.index(tag) for tag in ("B-per", "O", "O", "B-loc", "B-loc")])
    found = tagging(labels, np.eye(5, dtype=np.float32)[predicted], CLASSES, words_before(texts), texts)
    assert found["f1"] == pytest.approx(2 * 2 / (3 + 3))
    assert found["f1_surface"] == pytest.approx(2 * 2 / (2 + 3))  # ann, oslo; ann, in, oslo
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert found["accuracy_entities"] == pytest.approx(2 / 3)


def test_nothing_right_is_zero_and_not_an_error() -> None:
    outside = np.eye(5, dtype=np.float32)[np.zeros(3, dtype=int)]
    found = tagging(np.array([3, 0, 1]), outside, CLASSES, np.array([0, 3]))
    assert (found["f1"], found["precision"], found["recall"], found["f1_macro"]) == (0, 0, 0, 0)
    none = tagging(np.zeros(3, dtype=int), outside, CLASSES, np.array([0, 3]))
    assert none["f1"] == 0 and none["accuracy"] == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_outputs_that_are_no_numbers(value: float) -> None:
    logits = np.zeros((2, 5), dtype=np.float32)
    logits[1, 2] = value
    with pytest.raises(HarnessError, match="NaN or infinite"):
        tagging(np.array([0, 1]), logits, CLASSES, np.array([0, 2]))


def test_words_before() -> None:
    assert words_before(["a b", "c", "d e f"]).tolist() == [0, 2, 3, 6]
    assert words_before([]).tolist() == [0]
