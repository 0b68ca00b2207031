"""Scores of hidden tokens: by hand, and on resamples of texts against the same texts repeated."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from predicted import of_guesses

from harness.api import HarnessError, Masked
from harness.results import predictions
from harness.results.predictions import FILE
from harness.results.statistics import estimate, metrics_of
from harness.task_types.base import Prediction
from harness.task_types.masked_lm import MaskedLanguageModelling
from harness.task_types.token_scores import ON_RESAMPLES, Guesses, language_modelling

TEXTS = 40
HIDDEN = np.tile([0, 3, 1, 5, 2, 4, 1, 6, 3, 2], 4)  # tokens by text; one text in ten has none
ROWS = np.repeat(np.arange(TEXTS), HIDDEN)


def hidden(*tokens: tuple[int, int, float]) -> Masked:
    """Tokens: the gold id, the likeliest one, and the gold one's probability."""
    gold, predicted, probability = (np.array(part) for part in zip(*tokens, strict=True))
    rows = np.zeros(len(gold), np.int64)
    return Masked(rows, gold, predicted, np.log(probability).astype(np.float32))


def test_perplexity_of_known_probabilities() -> None:
    # The geometric mean of 1/2, 1/4 and 1/8 is 1/4.
    found = language_modelling(hidden((7, 7, 0.5), (8, 9, 0.25), (9, 9, 0.125)))
    assert found["perplexity"] == pytest.approx(4, rel=1e-6)
    assert found["nll"] == pytest.approx(math.log(4), rel=1e-6)
    assert found["masked_accuracy"] == pytest.approx(2 / 3) and found["tokens"] == 3
    # A model that knows nothing of V words is as perplexed as there are words.
    assert language_modelling(hidden(*[(1, 0, 1 / 500)] * 5))["perplexity"] == pytest.approx(500, rel=1e-5)


def test_the_same_hidden_tokens_are_told_from_others() -> None:
    one, other = (language_modelling(hidden((7, 7, p), (8, 9, p)))["hidden"] for p in (0.5, 0.25))
    assert one == other  # whatever a model makes of them
    assert language_modelling(hidden((7, 7, 0.5), (9, 9, 0.5)))["hidden"] != one
    elsewhere = hidden((7, 7, 0.5), (8, 9, 0.5))._replace(rows=np.array([0, 1]))
    assert language_modelling(elsewhere)["hidden"] != one


def test_a_hidden_token_that_was_thought_impossible_is_still_a_number() -> None:
    with np.errstate(divide="ignore"):
        found = language_modelling(hidden((1, 0, 0.0), (1, 1, 1.0)))
    assert math.isfinite(found["perplexity"]) and found["perplexity"] > 1e100
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_likelihoods_that_are_no_numbers(wrong: float) -> None:
    given = hidden((1, 1, 0.5), (1, 1, 0.5))._replace(log_likelihood=np.array([-1, wrong], np.float32))
    with pytest.raises(HarnessError, match="NaN or infinite"):
        language_modelling(given)


def test_no_token_was_hidden() -> None:
    empty = np.zeros(0, np.int64)
    with pytest.raises(HarnessError, match="no hidden token"):
        language_modelling(Masked(empty, empty, empty, np.zeros(0, np.float32)))


# -- on resamples of texts -------------------------------------------------------------------------------


def masked(seed: int, knows: float = 0.0) -> Masked:
    """A model that is surer of the tokens the more it knows."""
    rng = np.random.default_rng(seed)
    gold = np.random.default_rng(7).integers(5, 900, len(ROWS))
    predicted = np.where(rng.random(len(ROWS)) < 0.3 + knows / 10, gold, 1)
    likely = np.minimum(rng.normal(knows - 5, 1, len(ROWS)), 0)
    return Masked(ROWS, gold, predicted, likely.astype(np.float32))


def drawn_again(found: Masked, rows: Any) -> Masked:
    """The tokens of some texts, each as often as it stands in `rows`."""
    which = np.concatenate([np.flatnonzero(found.rows == row) for row in rows])
    return Masked(*(part[which] for part in found))


def answers(seed: int, knows: float = 0.0) -> Prediction:
    return of_guesses(masked(seed, knows), TEXTS)


def test_by_hand() -> None:
    tokens = Masked(
        np.array([0, 0, 2]), np.array([7, 8, 9]), np.array([7, 1, 9]), np.log([0.5, 0.25, 0.125]).astype("f4")
    )
    one = of_guesses(tokens, 3)
    assert one.gold.tolist() == [2, 0, 1] and one.predicted.tolist() == [1, 0, 1]
    assert one.numbers is not None and one.numbers == pytest.approx(np.log([8, 1, 8]))
    found = {name: estimate(name, [[one]]) for name in metrics_of(one)}
    assert set(found) == {"perplexity", "nll", "masked_accuracy"}
    assert found["perplexity"].values == pytest.approx([4]) and found["nll"].values == pytest.approx(
        [np.log(4)]
    )
    assert found["masked_accuracy"].values == pytest.approx([2 / 3])
    assert found["perplexity"].examples == 2  # texts with a hidden token
    # Of the two texts, one is drawn twice or both once: 8^(1/2), 8, or 64^(1/3).
    assert {round(draw, 3) for draw in found["perplexity"].draws[0].tolist()} == {2.828, 4.0, 8.0}


@pytest.mark.parametrize("name", ON_RESAMPLES)
def test_a_resample_is_scored_like_the_repeated_texts(name: str) -> None:
    models = [masked(1), masked(2, 2)]
    rng = np.random.default_rng(0)
    drawn = [rng.integers(TEXTS, size=TEXTS) for _ in range(5)]
    weights = np.stack([np.bincount(rows, minlength=TEXTS) for rows in drawn], 1).astype(np.float32)
    ours = [of_guesses(one, TEXTS) for one in models]
    guesses = Guesses(
        np.stack([one.predicted for one in ours]).astype(float),
        np.stack([np.asarray(one.numbers, float) for one in ours]),
        ours[0].gold.astype(float),
    )
    expected = [[language_modelling(drawn_again(one, rows))[name] for rows in drawn] for one in models]
    np.testing.assert_allclose(ON_RESAMPLES[name](guesses, weights), expected, rtol=1e-6)


def test_estimates_are_over_texts() -> None:
    rows = [[answers(1), answers(2)], [answers(3, 1)]]
    found = estimate("perplexity", rows)
    every = [language_modelling(masked(*of))["perplexity"] for of in ((1,), (2,), (3, 1))]
    assert found.values == pytest.approx([(every[0] + every[1]) / 2, every[2]], rel=1e-6)
    low, high = found.interval(1)
    assert 1 <= low < found.values[1] < high
    rng = np.random.default_rng(1)
    again = [
        language_modelling(drawn_again(masked(3, 1), rng.integers(TEXTS, size=TEXTS)))["perplexity"]
        for _ in range(300)
    ]
    assert found.draws[1].std() == pytest.approx(np.std(again), rel=0.2)
    gap = found.compare(1, 0)
    assert gap.value < 0 and gap.method == "bootstrap" and gap.low < gap.value < gap.high
    assert gap.p < 0.05  # the one that knows more is surely less perplexed
    same = estimate("masked_accuracy", [[answers(1)], [answers(1)]]).compare(0, 1)
    assert (same.value, same.p) == (0, 1)


def test_other_tokens_are_other_examples() -> None:
    found = masked(1)
    other = of_guesses(found._replace(gold=found.gold + 1), TEXTS)
    assert predictions.digest(other) != predictions.digest(answers(1))
    assert predictions.digest(answers(2)) == predictions.digest(answers(1))
    with pytest.raises(ValueError, match="different examples"):
        estimate("perplexity", [[answers(1)], [other]])
    with pytest.raises(HarnessError, match="allowed: perplexity, nll, masked_accuracy"):
        estimate("accuracy", [[answers(1)]])


def test_what_is_written_is_read(tmp_path: Path) -> None:
    given = {"a": answers(1), "b": answers(2), "c": of_guesses(drawn_again(masked(1), [1]), 3)}
    predictions.write(tmp_path, given)
    again = predictions.read(tmp_path)
    assert list(again) == list(given) and again["a"].gold is again["b"].gold
    for cell, one in given.items():
        read = again[cell]
        assert np.array_equal(read.predicted, one.predicted) and np.array_equal(read.gold, one.gold)
        assert (
            read.numbers is not None and one.numbers is not None and np.array_equal(read.numbers, one.numbers)
        )
        assert read.numbers.dtype == np.float32 and read.gold.dtype == np.int16
        assert (
            read.scale == one.scale
            and not len(read.confidence)
            and read.task_type == MaskedLanguageModelling()
        )
    before = estimate("perplexity", [[given["a"]], [given["b"]]])
    assert np.array_equal(estimate("perplexity", [[again["a"]], [again["b"]]]).draws, before.draws)


def test_ten_thousand_texts_take_less_than_100_kilobytes_a_model(tmp_path: Path) -> None:
    rows, gold = np.repeat(np.arange(10_000), 3), np.full(30_000, 5)
    rng = np.random.default_rng(0)
    given = {}
    for cell in "abcd":
        likely = -rng.random(len(rows)).astype(np.float32)
        one = Masked(rows, gold, rng.integers(4, 7, len(rows)), likely)
        given[cell] = of_guesses(one, 10_000)
    predictions.write(tmp_path, given)
    assert (tmp_path / FILE).stat().st_size < 4 * 100_000
