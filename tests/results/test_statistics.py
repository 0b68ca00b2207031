"""Intervals and tests, against scipy, hand computation, and what they promise of repeated experiments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats
from predicted import of_logits

from harness.api import HarnessError
from harness.results.ranking import Stat
from harness.results.statistics import (
    Estimates,
    Pool,
    estimate,
    holm,
    holm_pairs,
    mcnemar,
    metrics_of,
    welch,
)
from harness.task_types.base import Metric, Prediction
from harness.task_types.classification import Classification
from harness.task_types.label_scores import classification
from harness.task_types.regression import Regression

CLASSES = ("a", "b", "c", "d")


def classes(gold: Any, predicted: Any, positive: int = -1, names: tuple[str, ...] = CLASSES) -> Prediction:
    gold, predicted = np.asarray(gold, np.int16), np.asarray(predicted, np.int16)
    return Prediction(predicted, np.ones(len(gold), np.float32), gold, Classification(), names, positive)


def numbers(gold: Any, predicted: Any) -> Prediction:
    empty = np.zeros(0, np.float32)
    return Prediction(np.asarray(predicted, np.float32), empty, np.asarray(gold, np.float32), Regression())


def drawn(rng: np.random.Generator, count: int, share: float, gold: Any = None) -> Prediction:
    """A model that knows a share of the answers, and guesses the others."""
    gold = rng.integers(0, 4, count) if gold is None else gold
    return classes(gold, np.where(rng.random(count) < share, gold, rng.integers(0, 4, count)))


def binary(right: Any) -> Prediction:
    """A model that is right on some examples."""
    return classes(np.zeros(len(right)), np.where(right, 0, 1), names=("a", "b"))


# -- the figures themselves ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_values_are_those_of_the_records(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gold = rng.integers(-1, 2, 40)  # some without a label, and two of the four classes absent from gold
    models = [rng.normal(size=(40, 4)) for _ in range(3)]
    cells = [classes(gold, logits.argmax(1)) for logits in models]
    recorded = [classification(gold, logits, CLASSES) for logits in models]
    for name in metrics_of(cells[0]):
        found = estimate(name, [cells, cells[:1]], resamples=5).values
        assert found[0] == pytest.approx(np.mean([one[name] for one in recorded]))
        assert found[1] == pytest.approx(recorded[0][name])


def test_the_positive_class_has_an_f1_of_its_own() -> None:
    rng = np.random.default_rng(0)
    gold, logits = rng.integers(0, 2, 50), rng.normal(size=(50, 2))
    one = classes(gold, logits.argmax(1), positive=1, names=("no", "yes"))
    expected = classification(gold, logits, ("no", "yes"))["per_class"]["yes"]["f1"]
    assert estimate("f1", [[one]], resamples=5).values[0] == pytest.approx(expected)
    without = classes(gold, logits.argmax(1), names=("no", "yes"))
    with pytest.raises(HarnessError, match=r"cannot compute 'f1' from predictions \(allowed: accuracy, "):
        estimate("f1", [[without]])


@pytest.mark.parametrize("seed", range(3))
def test_regressions_too(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, 6, 60).astype(np.float32)  # ties
    found = np.round(gold + rng.normal(size=60), 1).astype(np.float32)
    one = numbers(np.append(gold, np.nan), np.append(found, 3.0))

    def value(name: str) -> float:
        return float(estimate(name, [[one]], resamples=5).values[0])

    assert value("pearson") == pytest.approx(scipy.stats.pearsonr(gold, found).statistic)
    assert value("spearman") == pytest.approx(scipy.stats.spearmanr(gold, found).statistic)
    assert value("mse") == pytest.approx(np.mean((gold - found) ** 2))
    assert value("mae") == pytest.approx(np.mean(np.abs(gold - found)))


@pytest.mark.parametrize("name", ["accuracy", "f1_macro", "precision_macro", "recall_macro", "matthews"])
def test_a_resample_is_scored_like_the_repeated_examples(name: str) -> None:
    rng = np.random.default_rng(3)
    one = drawn(rng, 12, 0.4)  # so few that classes fall out of some resamples
    found = estimate(name, [[one]], resamples=20)
    again = np.random.default_rng(0).integers(12, size=(20, 12))
    for draw, rows in enumerate(again):
        logits = np.eye(4)[one.predicted[rows]]
        expected = classification(one.gold[rows].astype(int), logits, CLASSES)[name]
        assert found.draws[0, draw] == pytest.approx(expected)


@pytest.mark.parametrize("name", ["spearman", "pearson"])
def test_correlations_of_resamples(name: str) -> None:
    rng = np.random.default_rng(4)
    gold = rng.integers(0, 4, 15).astype(np.float32)
    one = numbers(gold, np.round(gold + rng.normal(size=15)))
    found = estimate(name, [[one]], resamples=10)
    reference = {"spearman": scipy.stats.spearmanr, "pearson": scipy.stats.pearsonr}[name]
    for draw, rows in enumerate(np.random.default_rng(0).integers(15, size=(10, 15))):
        expected = reference(one.gold[rows], one.predicted[rows]).statistic
        assert found.draws[0, draw] == pytest.approx(expected)


def test_a_model_that_says_one_thing_only_correlates_with_nothing() -> None:
    found = estimate("pearson", [[numbers([1, 2, 3], [2, 2, 2])]], resamples=20)
    assert found.values[0] == 0 and (found.draws == 0).all()


# -- intervals ---------------------------------------------------------------------------------------------


def test_one_seed_is_the_bootstrap_over_examples() -> None:
    rng = np.random.default_rng(0)
    one = drawn(rng, 500, 0.7)
    right = (one.predicted == one.gold).astype(float)
    reference = scipy.stats.bootstrap(
        (right,), np.mean, n_resamples=4000, method="percentile", random_state=rng
    ).confidence_interval
    low, high = estimate("accuracy", [[one]], resamples=4000).interval(0)
    assert (low, high) == pytest.approx((reference.low, reference.high), abs=0.004)


def test_paired_differences_are_the_paired_bootstrap() -> None:
    rng = np.random.default_rng(1)
    a = drawn(rng, 400, 0.8)
    b = drawn(rng, 400, 0.7, a.gold)

    def difference(a: Any, b: Any, axis: int) -> Any:
        return np.mean(a, axis) - np.mean(b, axis)

    reference = scipy.stats.bootstrap(
        tuple((one.predicted == one.gold).astype(float) for one in (a, b)),
        difference,
        paired=True,
        n_resamples=4000,
        method="percentile",
        random_state=rng,
    )
    found = estimate("accuracy", [[a], [b]], resamples=4000).compare(0, 1)
    interval = reference.confidence_interval
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=0.006)
    assert found.value == pytest.approx(np.mean(a.predicted == a.gold) - np.mean(b.predicted == b.gold))


def test_where_seeds_decide_the_interval_is_students() -> None:
    rng = np.random.default_rng(2)
    gold = np.zeros(40_000, int)
    shares = [0.70, 0.74, 0.81]  # far apart for so many examples
    row = [classes(gold, rng.random(len(gold)) >= share) for share in shares]
    scores = [float(np.mean(one.predicted == 0)) for one in row]
    low, high = estimate("accuracy", [row], resamples=300).interval(0)
    reference = scipy.stats.t.interval(0.95, 2, np.mean(scores), scipy.stats.sem(scores))
    assert (low, high) == pytest.approx(reference, abs=0.004)


def test_seeds_that_agree_to_the_bit_add_nothing() -> None:
    one = drawn(np.random.default_rng(0), 300, 0.8)
    found = estimate("accuracy", [[one, one, one], [one]])
    assert found.interval(0) == pytest.approx(found.interval(1))
    assert found.spread[0] == pytest.approx(0)


def test_a_pool_is_the_mean_square_within_rows() -> None:
    rng = np.random.default_rng(0)
    rows = [rng.normal(place, 1, seeds) for place, seeds in ((0.0, 2), (5.0, 3), (-2.0, 5))]
    pool = Pool.of((row.std(ddof=1), len(row)) for row in rows)
    within = sum(((row - row.mean()) ** 2).sum() for row in rows)
    assert (pool.variance, pool.freedom) == (pytest.approx(within / 7), 7)
    # One seed, and seeds with equal scores, show nothing.
    more = [(row.std(ddof=1), len(row)) for row in rows] + [(None, 1), (0.0, 3)]
    assert Pool.of(more) == pool
    assert Pool.of([]) == Pool(0.0, 0)


def few(shares: tuple[float, ...], count: int = 40_000) -> list[Prediction]:
    """A row with a seed for each share of right answers; the seeds are right on different examples."""
    rng = np.random.default_rng(round(1e6 * sum(shares)))
    return [binary(rng.permutation(count) < share * count) for share in shares]


def test_rows_with_few_seeds_share_their_variance() -> None:
    rows = [few((0.70, 0.72)), few((0.50, 0.58)), few((0.8, 0.81, 0.82))]
    found = estimate("accuracy", rows, resamples=300)
    squares = [np.var([float(np.mean(one.predicted == 0)) for one in row], ddof=1) for row in rows]
    pool = (squares[0] + squares[1] + 2 * squares[2]) / 4
    assert squares[0] < pool < squares[1]
    assert found.spread == pytest.approx([pool / 2, squares[1] / 2, squares[2] / 3])
    assert found.freedom.tolist() == [4, 4, 2]
    low, high = found.interval(0)
    half = scipy.stats.t.ppf(0.975, 4) * (pool / 2) ** 0.5
    assert (low, high) == pytest.approx((0.71 - half, 0.71 + half), abs=0.002)
    alone = estimate("accuracy", rows[:1], resamples=300)  # has nothing to share
    assert alone.spread == pytest.approx(squares[0] / 2) and alone.freedom.tolist() == [1]


def test_the_pool_may_be_of_more_rows_than_are_estimated() -> None:
    row = few((0.70, 0.72))
    found = estimate("accuracy", [row], pool=Pool(0.01, 6))
    assert found.spread == pytest.approx(0.005) and found.freedom.tolist() == [6]
    three = estimate("accuracy", [few((0.70, 0.72, 0.71))], pool=Pool(0.01, 6))  # enough for its own
    assert three.spread == pytest.approx(1e-4 / 3) and three.freedom.tolist() == [2]


def test_equal_scores_of_unequal_models_are_chance() -> None:
    one = drawn(np.random.default_rng(0), 300, 0.8)
    chance = few((0.75, 0.75), 400)
    found = estimate("accuracy", [chance, few((0.7, 0.74), 400), few((0.6, 0.63), 400)])
    assert found.spread[0] > 0 and found.freedom.tolist() == [2, 2, 2]
    found = estimate("accuracy", [[one, one]], pool=Pool(0.01, 6))  # a model without chance
    assert found.spread[0] == 0


def test_scores_without_bounds_are_not_pooled() -> None:
    gold = np.arange(50.0)
    rows = [[numbers(gold, gold + off) for off in offs] for offs in ((1.0, 1.1), (90.0, 140.0))]
    found = estimate("mae", rows)
    assert found.spread == pytest.approx([0.1**2 / 4, 50.0**2 / 4], rel=1e-4)
    assert found.freedom.tolist() == [1, 1]


@pytest.mark.parametrize("spreads", [(0.2,) * 5, (0.1, 0.2, 0.1, 0.3, 0.1)])
def test_pooled_intervals_hold_the_truth(spreads: tuple[float, ...]) -> None:
    """Of a table with two seeds; and they are shorter than those that do not pool, and tests are honest."""
    rng = np.random.default_rng(3)
    held, called, pooled, alone = 0, 0, 0.0, 0.0
    trials, count = 120, 300
    for _ in range(trials):
        ease = rng.normal(1.2, 1, count)
        rows = [
            [binary(ease + rng.normal(0, spread) + rng.normal(0, 0.5, count) > 0) for _ in range(2)]
            for spread in spreads
        ]
        found = estimate("accuracy", rows, resamples=200)
        own = estimate("accuracy", rows, resamples=200, pool=Pool(0.0, 0))
        for i, spread in enumerate(spreads):
            truth = scipy.stats.norm.cdf(1.2 / np.sqrt(1 + spread**2 + 0.25))
            low, high = found.interval(i)
            held += low <= truth <= high
            pooled += high - low
            alone += own.interval(i)[1] - own.interval(i)[0]
        called += found.compare(0, 2).p < 0.05  # they are equal
    assert 0.93 <= held / (trials * len(spreads)) <= 0.99
    assert called / trials <= 0.085
    assert pooled < 0.6 * alone


def test_intervals_stay_within_what_a_metric_can_be() -> None:
    rng = np.random.default_rng(0)
    row = [binary(rng.random(50) < share) for share in (0.9, 0.99, 1.0)]
    found = estimate("accuracy", [row])
    assert found.interval(0)[1] == 1.0
    assert found.interval(0)[0] > 0.5


def coverage(seeds: int, spread: float, trials: int = 150) -> tuple[float, float]:
    """How often the interval holds the truth, and how often equal rows are called different."""
    rng = np.random.default_rng(7)
    held = called = 0
    for _ in range(trials):
        # An example is right where its ease, the seed's luck and their meeting come out above 0. Over
        # unlimited examples and seeds that is so with the probability below.
        ease = rng.normal(1.2, 1, 300)

        def row(ease: Any = ease) -> list[Prediction]:
            return [binary(ease + rng.normal(0, spread) + rng.normal(0, 0.5, 300) > 0) for _ in range(seeds)]

        truth = scipy.stats.norm.cdf(1.2 / np.sqrt(1 + spread**2 + 0.25))
        found = estimate("accuracy", [row(), row()], resamples=300)
        low, high = found.interval(0)
        held += low <= truth <= high
        called += found.compare(0, 1).p < 0.05
    return held / trials, called / trials


@pytest.mark.parametrize(("seeds", "spread"), [(1, 0.0), (3, 0.0), (3, 0.1), (3, 0.25), (5, 0.25)])
def test_intervals_hold_the_truth_and_tests_do_not_cry_wolf(seeds: int, spread: float) -> None:
    held, called = coverage(seeds, spread)
    assert held >= 0.92  # 0.95, less two standard errors of 150 trials
    assert called <= 0.085


def test_draws_are_the_same_every_time_and_whatever_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.results import statistics

    rng = np.random.default_rng(0)
    one = drawn(rng, 100, 0.6)
    other = drawn(rng, 100, 0.6, one.gold)
    found = estimate("f1_macro", [[one, other]])
    assert np.array_equal(estimate("f1_macro", [[one, other]]).draws, found.draws)
    monkeypatch.setattr(statistics, "_CHUNK", 700)
    assert np.array_equal(estimate("f1_macro", [[one, other]]).draws, found.draws)


# -- tests ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("only", "others"), [(0, 0), (5, 5), (9, 1), (1, 9), (30, 12), (0, 1), (0, 20)])
def test_mcnemar_is_the_exact_binomial_test(only: int, others: int) -> None:
    right = np.array([True] * only + [False] * others + [True] * 7 + [False] * 3)
    other = np.array([False] * only + [True] * others + [True] * 7 + [False] * 3)
    count = only + others
    expected = scipy.stats.binomtest(only, count, 0.5).pvalue if count else 1.0
    assert mcnemar(right, other) == pytest.approx(expected)


def test_mcnemar_by_hand() -> None:
    # Of 6 examples that only one gets right, the first has 5: (6 choose 0) + (6 choose 1) = 7 of 64, twice.
    right, other = np.array([True] * 5 + [False]), np.array([False] * 5 + [True])
    assert mcnemar(right, other) == pytest.approx(14 / 64)


def test_single_seeds_are_compared_exactly_and_others_by_t() -> None:
    rng = np.random.default_rng(5)
    a = drawn(rng, 200, 0.8)
    b, c = (drawn(rng, 200, 0.6, a.gold) for _ in range(2))
    found = estimate("accuracy", [[a], [b], [b, c]])
    exact = found.compare(0, 1)
    assert exact.method == "mcnemar"
    assert exact.p == mcnemar(a.predicted == a.gold, b.predicted == b.gold)
    assert found.compare(0, 2).method == "bootstrap"
    assert estimate("f1_macro", [[a], [b]]).compare(0, 1).method == "bootstrap"
    table = found.p_values()
    assert table[0, 1] == table[1, 0] == exact.p
    assert table[0, 2] == pytest.approx(found.compare(0, 2).p)
    assert (table.diagonal() == 1).all()


def test_p_by_welch_and_satterthwaite() -> None:
    draws = np.array([[0.0, 2.0], [0.0, 0.0]])  # the variance of their difference is 2
    values, spread, none = np.array([5.0, 1.0]), np.array([1.0, 3.0]), np.zeros(0)
    for own, pooled, of_seeds in (
        ((2, 4), (False, False), (1 + 3) ** 2 / (1**2 / 2 + 3**2 / 4)),
        ((9, 4), (True, False), (1 + 3) ** 2 / (1**2 / 9 + 3**2 / 4)),
        ((9, 9), (True, True), 9),  # one estimate, and not two
    ):
        rest = (np.array(own), np.array(pooled), (none, none), 11, (None, None))
        found = Estimates("mse", Metric(), False, values, draws, spread, *rest)
        whole = 2 + 1 + 3
        freedom = whole**2 / (2**2 / 10 + (1 + 3) ** 2 / of_seeds)
        expected = 2 * scipy.stats.t.sf(4 / whole**0.5, freedom)
        assert found.compare(0, 1).p == pytest.approx(expected)
        assert found.p_values()[1, 0] == pytest.approx(expected)


def test_the_same_seeds_share_their_luck() -> None:
    rng = np.random.default_rng(6)
    gold = rng.integers(0, 4, 5000)
    row = [drawn(rng, 5000, share, gold) for share in (0.5, 0.6, 0.7)]
    # Each seed's model again, right on a hundred more texts.
    better = []
    for one in row:
        mended = one.predicted.copy()
        wrong = np.flatnonzero(one.predicted != gold)[:100]
        mended[wrong] = gold[wrong]
        better.append(classes(gold, mended))
    found = estimate("accuracy", [better, row])
    apart, paired = found.compare(0, 1), found.compare(0, 1, paired=True)
    assert apart.value == paired.value
    assert apart.p > 0.5
    assert paired.p < 0.01
    assert paired.high - paired.low < (apart.high - apart.low) / 5
    same = estimate("accuracy", [row, row]).compare(0, 1, paired=True)
    assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)


def test_the_same_answers_are_no_difference() -> None:
    rng = np.random.default_rng(0)
    one = drawn(rng, 100, 0.7)
    other = drawn(rng, 100, 0.7, one.gold)
    for metric in ("accuracy", "f1_macro"):
        found = estimate(metric, [[one], [one], [one, other], [one, other]])
        assert found.p_values()[0, 1] == 1
        same = found.compare(0, 1)
        assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)
        assert found.compare(2, 3).p == 1


@pytest.mark.parametrize("count", [1, 8, 500])
def test_all_or_none_right_leaves_room_for_luck(count: int) -> None:
    found = estimate("accuracy", [[binary([True] * count)], [binary([False] * count)]])
    for row, right in ((0, count), (1, 0)):
        exact = scipy.stats.binomtest(right, count).proportion_ci(0.95, "exact")
        assert found.interval(row) == pytest.approx((exact.low, exact.high))


def test_all_or_no_tags_right_leave_room_for_luck_too() -> None:
    tags, names = np.array([0, 1, 2, 0, 0, 1]), ("O", "B-x", "I-x")
    models = [of_logits(np.eye(3)[found], tags, names, lengths=(4, 2)) for found in (tags, (tags + 1) % 3)]
    found = estimate("accuracy", [[one] for one in models if one is not None])
    for row, right in ((0, 2), (1, 0)):  # of two texts
        exact = scipy.stats.binomtest(right, 2).proportion_ci(0.95, "exact")
        assert found.interval(row) == pytest.approx((exact.low, exact.high))
    assert found.right == (None, None)  # words of one text are not independent: no McNemar


def test_a_few_examples_prove_little() -> None:
    # Every resample says the same; but four coins may all fall alike.
    a, b = binary([True] * 4), binary([False] * 4)
    found = estimate("f1_macro", [[a], [b]])
    assert found.values[0] - found.values[1] > 0.9
    assert found.compare(0, 1).p >= 2 * 0.5**4


def over(scores: list[float]) -> Stat:
    return Stat(
        float(np.mean(scores)), float(np.std(scores, ddof=1)) if len(scores) > 1 else None, len(scores)
    )


def test_welch_is_scipys() -> None:
    a, b = [0.91, 0.92, 0.90], [0.88, 0.89, 0.86, 0.87]
    found, expected = welch(over(a), over(b)), scipy.stats.ttest_ind(a, b, equal_var=False)
    interval = expected.confidence_interval()
    assert found is not None and found.method == "welch"
    assert (found.low, found.high, found.p) == pytest.approx((interval.low, interval.high, expected.pvalue))
    assert welch(over([0.9]), over(b)) is None
    same, apart = welch(over([0.5, 0.5]), over([0.5, 0.5])), welch(over([0.5, 0.5]), over([0.4, 0.4]))
    assert same is not None and same.p == 1
    assert apart is not None and apart.p == 0


def test_holm_by_hand() -> None:
    # Sorted: 0.005 × 4, 0.01 × 3, 0.03 × 2, 0.04 × 1, none below the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1, 1])
    assert len(holm([])) == 0
    assert holm([0.01, 0.001], of=5) == pytest.approx([0.04, 0.005])
    assert holm_pairs(np.array([[1, 0.01], [0.01, 1]]), rows=4)[0, 1] == pytest.approx(0.06)


def test_holm_of_pairs_counts_each_pair_once() -> None:
    table = np.array([[1, 0.01, 0.04], [0.01, 1, 0.02], [0.04, 0.02, 1]])
    expected = np.array([[1, 0.03, 0.04], [0.03, 1, 0.04], [0.04, 0.04, 1]])
    assert holm_pairs(table) == pytest.approx(expected)
    assert holm_pairs(np.ones((1, 1))).tolist() == [[1]]


def test_what_cannot_be_compared() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="different examples"):
        estimate("accuracy", [[drawn(rng, 10, 0.5)], [drawn(rng, 10, 0.5)]])
    with pytest.raises(HarnessError, match=r"cannot compute 'perplexity' from predictions \(allowed: accur"):
        estimate("perplexity", [[drawn(rng, 10, 0.5)]])
    with pytest.raises(HarnessError, match="no example with a gold label"):
        estimate("accuracy", [[classes([-1, -1], [0, 1])]])


def test_a_row_alone_has_no_other_to_differ_from() -> None:
    rng = np.random.default_rng(0)
    one = of_logits(rng.normal(size=(30, 2)), rng.integers(0, 2, 30), ("a", "b"))
    assert one is not None
    assert estimate("accuracy", [[one]]).p_values().tolist() == [[1.0]]
