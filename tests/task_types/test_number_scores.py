"""Scores of numbers, against SciPy's and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.api import HarnessError
from harness.task_types.number_scores import regression
from harness.task_types.regression import Regression


def test_agreement_of_numbers_is_their_correlation() -> None:
    numbers = np.array([[1.0], [2.0], [4.0]])
    agreement = Regression().agreement
    assert agreement({"logits": numbers}, {"logits": 3 - 2 * numbers}) == pytest.approx(-1)
    assert agreement({"logits": numbers}, {"logits": np.ones((3, 1))}) == 0
    with pytest.raises(ValueError, match="shapes"):
        agreement({"logits": numbers}, {"logits": numbers[:2]})
    with pytest.raises(ValueError, match="shapes"):
        agreement({"logits": numbers[:0]}, {"logits": numbers[:0]})


@pytest.mark.parametrize("seed", range(20))
def test_regression_is_scipys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, 25, 80).astype(np.float32) / 5  # with ties
    found = (gold + rng.normal(size=80)).round(1).astype(np.float32)
    gold[rng.random(80) < 0.1] = np.nan
    known = ~np.isnan(gold)
    scores = regression(gold, found[:, None])
    assert scores["pearson"] == pytest.approx(stats.pearsonr(gold[known], found[known]).statistic)
    assert scores["spearman"] == pytest.approx(stats.spearmanr(gold[known], found[known]).statistic)
    assert scores["mse"] == pytest.approx(np.mean((gold[known].astype(float) - found[known]) ** 2))
    assert scores["mae"] == pytest.approx(np.mean(np.abs(gold[known].astype(float) - found[known])))


def test_regression_by_hand() -> None:
    scores = regression(np.array([1.0, 2.0, np.nan, 3.0]), np.array([[2.0], [2.0], [9.0], [5.0]]))
    assert scores["mse"] == pytest.approx(5 / 3) and scores["mae"] == pytest.approx(1)
    assert scores["pearson"] == pytest.approx(3 / np.sqrt(2 * 6))
    assert scores["spearman"] == pytest.approx(1.5 / np.sqrt(2 * 1.5))


@pytest.mark.filterwarnings("error")
def test_what_is_constant_has_no_correlation() -> None:
    for gold, found in (([1, 2, 3], [4, 4, 4]), ([2, 2, 2], [1, 2, 3]), ([1], [1])):
        scores = regression(np.array(gold, dtype=np.float32), np.array(found, dtype=np.float32)[:, None])
        assert scores["pearson"] == scores["spearman"] == 0
    tiny = np.array([1e-30, 2e-30, 4e-30], dtype=np.float32)
    assert regression(np.array([1.0, 2.0, 4.0]), tiny[:, None])["pearson"] == pytest.approx(1)


def test_a_regression_that_cannot_be_scored() -> None:
    with pytest.raises(HarnessError, match="gold label"):
        regression(np.array([np.nan]), np.zeros((1, 1)))
    with pytest.raises(HarnessError, match="NaN or infinite"):
        regression(np.array([1.0, 2.0]), np.array([[np.nan], [1.0]]))
    with pytest.raises(ValueError, match="shape"):
        regression(np.array([1.0, 2.0]), np.zeros(2))
