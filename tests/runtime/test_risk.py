"""Thresholds keep their risk: against known bounds, by hand, and in a simulation of the guarantee."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.runtime.risk import LEVEL, Point, curve, observed, thresholds, upper_bound, within


@pytest.mark.parametrize(
    ("errors", "count", "level", "bound"),
    [
        (0, 300, 0.95, 1 - 0.05 ** (1 / 300)),  # no error: about 3/n, the rule of three
        (0, 1, 0.9, 0.9),
        (1, 10, 0.95, 0.3941633),  # Clopper & Pearson's tables: 0.394 of 10 with 1
        (5, 20, 0.975, 0.4910459),  # the 95 % interval of 5 of 20 is 8.66 % to 49.10 %
        (10, 10, 0.95, 1.0),
    ],
)
def test_bounds_are_those_of_clopper_and_pearson(errors: int, count: int, level: float, bound: float) -> None:
    (found,) = upper_bound(np.array([errors]), np.array([count]), level)
    assert found == pytest.approx(bound, abs=1e-6)


def test_at_its_bound_so_few_errors_are_as_improbable_as_the_level_says() -> None:
    (bound,) = upper_bound(np.array([3]), np.array([200]), 0.95)
    below = sum(math.comb(200, k) * bound**k * (1 - bound) ** (200 - k) for k in range(4))
    assert below == pytest.approx(0.05, abs=1e-9)


def texts(count: int, wrong: int = 0) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return confidences that fall evenly, and errors in the last ones."""
    return np.linspace(1, 0.5, count), np.arange(count) >= count - wrong


def test_without_errors_all_is_answered_at_the_bound_of_half_of_the_texts() -> None:
    # The sequence that begins at 500 texts, at a level of 97.5 %, is rejected there first.
    assert 0.007 < 1 - 0.025 ** (1 / 500) < 0.008
    assert thresholds(*texts(1000)) == [Point(0.008, 0.0, 1.0)]


def test_few_texts_allow_only_large_risks() -> None:
    (point,) = thresholds(*texts(10))
    assert point.risk == math.ceil(1000 * (1 - 0.025 ** (1 / 10))) / 1000 and point.threshold == 0
    assert thresholds(np.zeros(0), np.zeros(0, bool)) == []


def test_a_threshold_leaves_out_the_texts_that_are_wrong() -> None:
    confidence, wrong = texts(1000, 100)
    points = thresholds(confidence, wrong)
    assert [point.risk for point in points] == sorted({point.risk for point in points})
    assert all(a.threshold > b.threshold for a, b in pairwise(points))
    chosen = within(points, 0.01)
    assert chosen is not None and 0.9 <= chosen.coverage < 0.91
    assert observed(confidence, wrong, chosen.threshold)[0] == pytest.approx(chosen.coverage)
    every = within(points, 0.2)
    assert every is not None and every.threshold == 0 and every.coverage == 1
    (bound,) = upper_bound(np.array([100]), np.array([1000]), 0.975)
    assert every.risk == math.ceil(1000 * bound) / 1000


def test_equal_confidences_are_answered_together_or_not_at_all() -> None:
    confidence = np.repeat([0.9, 0.8, 0.7], 400)
    wrong = np.concatenate([np.zeros(400), np.arange(400) < 60, np.ones(400)]).astype(bool)
    points = thresholds(confidence, wrong)
    assert {(point.threshold, round(point.coverage, 6)) for point in points} == {
        (0.9, round(1 / 3, 6)),
        (0.8, round(2 / 3, 6)),
        (0.0, 1.0),
    }


def test_errors_among_the_surest_texts_do_not_end_it_all() -> None:
    confidence, wrong = texts(2000)
    wrong[:8] = True  # texts with a wrong label, say
    chosen = within(thresholds(confidence, wrong), 0.02)
    assert chosen is not None and chosen.threshold == 0


def test_a_risk_that_cannot_be_kept_has_no_point() -> None:
    points = thresholds(*texts(1000, 500))
    assert within(points, points[0].risk - 0.001) is None
    assert within(points, points[0].risk) == points[0]
    assert within([], 0.5) is None


@pytest.mark.parametrize("shape", ["steep", "flat", "stepped"])
@pytest.mark.parametrize("risk", [0.05, 0.1])
def test_the_guarantee_holds_in_a_simulation(shape: str, risk: float) -> None:
    """Of many draws of held-out texts, at most 5 % lead to a threshold whose true risk is too high."""
    rng = np.random.default_rng(0)
    grid = np.linspace(0, 1, 10_001)

    def error(u: NDArray[Any]) -> NDArray[Any]:  # the probability of an error at a confidence
        if shape == "steep":
            return 0.5 * (1 - u) ** 3 + 0.003
        return 0.12 * (1 - u) + 0.01 if shape == "flat" else np.where(u > 0.5, 0.03, 0.25)

    # The risk of all texts above each place of the grid.
    true = np.cumsum(error(grid)[::-1])[::-1] / np.arange(len(grid), 0, -1)
    draws, count, broken, answered = 300, 1500, 0, 0.0
    for _ in range(draws):
        sure = rng.random(count)
        chosen = within(thresholds(sure, rng.random(count) < error(sure)), risk)
        if chosen is not None:
            broken += true[int(chosen.threshold * 10_000)] > risk
            answered += chosen.coverage
    allowed = 1 - LEVEL
    assert broken / draws <= allowed + 2 * math.sqrt(allowed * LEVEL / draws)
    assert answered / draws > 0.1  # it is not kept by answering nothing


def test_observed_and_curve_are_counts() -> None:
    confidence = np.array([0.9, 0.7, 0.8, 0.7])
    wrong = np.array([False, True, True, False])
    assert observed(confidence, wrong, 0.8) == (0.5, 0.5)
    assert observed(confidence, wrong, 0.95) == (0.0, None)
    assert observed(np.zeros(0), np.zeros(0, bool), 0.5) == (0.0, None)
    assert curve(confidence, wrong) == [(0.25, 0.0), (0.5, 0.5), (1.0, 0.5)]
    assert curve(np.zeros(0), np.zeros(0, bool)) == []
    many = curve(*texts(5000, 1000), 50)
    assert len(many) == 50 and many[-1] == (1.0, 0.2) and many[0] == (0.02, 0.0)
