"""Entities and their scores, against seqeval and by hand, and on resamples against repeated texts."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from predicted import of_logits

from harness.api import HarnessError, words_before
from harness.results import predictions
from harness.results.statistics import estimate, metrics_of
from harness.task_types.base import Prediction
from harness.task_types.entities import ON_RESAMPLES, entities, spans_of, tagging

CLASSES = ("O", "B-loc", "I-loc", "B-per", "I-per")
LENGTHS = np.array([3, 1, 5, 2, 4, 1, 6, 3, 2, 8] * 4)
BEFORE = np.concatenate([[0], np.cumsum(LENGTHS)])


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


# -- on resamples of texts -------------------------------------------------------------------------------


def answers(seed: int, known: float = 0.6) -> Prediction:
    """A model that knows a share of the tags and guesses the others."""
    count = int(BEFORE[-1])
    gold = np.random.default_rng(7).integers(0, 5, count)
    rng = np.random.default_rng(seed)
    tags = np.where(rng.random(count) < known, gold, rng.integers(0, 5, count))
    logits = np.eye(5, dtype=np.float32)[tags] * 3
    found = of_logits(logits, gold, CLASSES, lengths=tuple(LENGTHS.tolist()))
    assert found is not None
    return found


def scores(one: Prediction, rows: Any) -> dict[str, Any]:
    """The scores of some texts, each as often as it stands in `rows`, by the evaluation's own function."""
    words = np.concatenate([np.arange(BEFORE[row], BEFORE[row + 1]) for row in rows])
    before = np.concatenate([[0], np.cumsum(LENGTHS[rows])])
    logits = np.eye(5, dtype=np.float32)[one.predicted[words]]
    return tagging(one.gold[words].astype(np.int64), logits, CLASSES, before)


@pytest.mark.parametrize("name", ON_RESAMPLES)
def test_a_resample_is_scored_like_the_repeated_texts(name: str) -> None:
    models = [answers(1), answers(2, 0.9)]
    spans = spans_of([one.predicted for one in models], models[0].gold, BEFORE, CLASSES)
    rng = np.random.default_rng(0)
    drawn = [rng.integers(len(LENGTHS), size=len(LENGTHS)) for _ in range(5)]
    drawn.append(np.array([1] * len(LENGTHS)))  # a text of one word: some types do not occur
    weights = np.stack([np.bincount(rows, minlength=len(LENGTHS)) for rows in drawn], 1).astype(np.float32)
    found = ON_RESAMPLES[name](spans, weights)
    expected = [[scores(one, rows)[name] for rows in drawn] for one in models]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_counts_by_hand() -> None:
    gold = np.array([3, 4, 0, 1, 1])  # texts of 3 and 2 words: per; loc, loc
    guessed = np.array([3, 0, 0, 1, 2])  # per, cut short; loc, too long
    spans = spans_of([guessed, gold], gold, np.array([0, 3, 5]), CLASSES)
    assert spans.gold.tolist() == [[0, 2], [1, 0]]
    assert spans.guessed.tolist() == [[[0, 1], [1, 0]], [[0, 2], [1, 0]]]
    assert spans.right.tolist() == [[[0, 0], [0, 0]], [[0, 2], [1, 0]]]
    assert spans.hits.tolist() == [[2, 1], [3, 2]] and spans.words.tolist() == [3, 2]
    assert spans.hits_inside.tolist() == [[1, 1], [2, 2]] and spans.inside.tolist() == [2, 2]


def test_estimates_are_of_whole_entities_over_texts() -> None:
    rows = [[answers(1), answers(2)], [answers(3, 0.9)]]
    assert set(metrics_of(rows[0][0])) == set(ON_RESAMPLES)
    found = estimate("f1", rows)
    every = np.arange(len(LENGTHS))
    first = np.mean([scores(one, every)["f1"] for one in rows[0]])
    assert found.values == pytest.approx([first, scores(rows[1][0], every)["f1"]])
    assert found.examples == len(LENGTHS) and found.draws.shape == (2, 1000)
    low, high = found.interval(1)
    assert low < found.values[1] < high
    # The bootstrap's spread is that of texts drawn and scored anew.
    rng = np.random.default_rng(1)
    drawn = [scores(rows[1][0], rng.integers(40, size=40))["f1"] for _ in range(300)]
    assert found.draws[1].std() == pytest.approx(np.std(drawn), rel=0.2)
    gap = found.compare(1, 0)
    assert gap.value > 0 and gap.method == "bootstrap" and gap.low < gap.value < gap.high
    same = estimate("f1", [[answers(1)], [answers(1)]]).compare(0, 1)
    assert (same.value, same.p) == (0, 1)


def test_words_of_a_text_are_no_independent_examples() -> None:
    found = estimate("accuracy", [[answers(1)], [answers(3, 0.9)]])
    assert found.compare(0, 1).method == "bootstrap" and found.right == (None, None)


def test_texts_cut_otherwise_are_other_examples() -> None:
    other = answers(1)._replace(lengths=(int(BEFORE[-1]),))
    assert predictions.digest(other) != predictions.digest(answers(1))
    with pytest.raises(ValueError, match="different examples"):
        estimate("f1", [[answers(1)], [other]])


def test_tags_that_a_model_decided_for() -> None:
    logits = np.log(np.array([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2]], dtype=np.float32))
    decided = np.array([0, 1])
    found = of_logits(logits, decided, ("O", "B-x", "I-x"), decided=decided, lengths=(2,))
    assert found is not None and found.predicted.tolist() == [0, 1]
    assert found.confidence == pytest.approx([0.7, 0.3])


def test_what_is_written_is_read(tmp_path: Path) -> None:
    predictions.write(tmp_path, {"a": answers(1), "b": answers(2)})
    again = predictions.read(tmp_path)
    for cell, one in (("a", answers(1)), ("b", answers(2))):
        assert again[cell].lengths == one.lengths and again[cell].classes == CLASSES
        assert np.array_equal(again[cell].predicted, one.predicted)
        assert np.array_equal(again[cell].gold, one.gold)
        assert again[cell].gold.dtype == again[cell].predicted.dtype == np.int16
