"""Entities on resamples of texts: against the scores of the same texts repeated, and by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness.task_types.spans import OF_SPANS, spans_of
from harness.task_types.tags import tagging

from harness.results import predictions
from harness.results.statistics import estimate, metrics_of
from harness.task_types.base import Prediction

CLASSES = ("O", "B-loc", "I-loc", "B-per", "I-per")
LENGTHS = np.array([3, 1, 5, 2, 4, 1, 6, 3, 2, 8] * 4)
BEFORE = np.concatenate([[0], np.cumsum(LENGTHS)])


def answers(seed: int, known: float = 0.6) -> Prediction:
    """A model that knows a share of the tags and guesses the others."""
    count = int(BEFORE[-1])
    gold = np.random.default_rng(7).integers(0, 5, count)
    rng = np.random.default_rng(seed)
    tags = np.where(rng.random(count) < known, gold, rng.integers(0, 5, count))
    found = predictions.of_logits(np.eye(5, dtype=np.float32)[tags] * 3, gold, CLASSES)
    assert found is not None
    return found._replace(lengths=tuple(LENGTHS.tolist()))


def scores(one: Prediction, rows: Any) -> dict[str, Any]:
    """The scores of some texts, each as often as it stands in `rows`, by the evaluation's own function."""
    words = np.concatenate([np.arange(BEFORE[row], BEFORE[row + 1]) for row in rows])
    before = np.concatenate([[0], np.cumsum(LENGTHS[rows])])
    logits = np.eye(5, dtype=np.float32)[one.predicted[words]]
    return tagging(one.gold[words].astype(np.int64), logits, CLASSES, before)


@pytest.mark.parametrize("name", OF_SPANS)
def test_a_resample_is_scored_like_the_repeated_texts(name: str) -> None:
    models = [answers(1), answers(2, 0.9)]
    spans = spans_of([one.predicted for one in models], models[0].gold, BEFORE, CLASSES)
    rng = np.random.default_rng(0)
    drawn = [rng.integers(len(LENGTHS), size=len(LENGTHS)) for _ in range(5)]
    drawn.append(np.array([1] * len(LENGTHS)))  # a text of one word: some types do not occur
    weights = np.stack([np.bincount(rows, minlength=len(LENGTHS)) for rows in drawn], 1).astype(np.float32)
    found = OF_SPANS[name](spans, weights)
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
    assert set(metrics_of(rows[0][0])) == set(OF_SPANS)
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
    with pytest.raises(ValueError, match="other examples"):
        estimate("f1", [[answers(1)], [other]])


def test_tags_that_a_model_decided_for() -> None:
    logits = np.log(np.array([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2]], dtype=np.float32))
    found = predictions.of_logits(logits, np.array([0, 1]), ("O", "B-x", "I-x"), "", np.array([0, 1]))
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
