"""Compute confidence intervals of scores, and test differences of rows, over test examples and seeds.

A row is a configuration with a model for each seed. Its mean score is uncertain for two reasons:

- *examples*: another test set of the same size would give another score. The bootstrap (Efron, 1979)
  resamples the N examples with replacement, a thousand times. All rows share the resamples, so that
  differences between rows are paired. A row's score on a resample is the mean over its seeds.
- *seeds*: other seeds would give other models. With the usual two to five seeds, resampling the seeds too
  would underestimate this variation (for two equal rows with three seeds, up to one pair in six would be
  significant at 5 %). The mean over S seeds therefore has the additional variance s²/S, and Student's t
  replaces the normal distribution. A row's interval combines the percentiles of the bootstrap and Student's
  half-width by their squares (Zou and Donner, 2008). A difference has the degrees of freedom of Welch and
  Satterthwaite: many if most variance comes from the examples, few if it comes from the seeds. For a row
  with one seed, only the variation over examples is known.

Two seeds do not show how much a row varies: Student's t is then 12.7 (for three seeds, 4.3). Rows with two
seeds therefore share one estimate of s², see :class:`Pool`.

Resamples come from a generator with a fixed seed, so the same predictions give the same numbers. The
accuracies of two rows with one seed each are compared by McNemar's exact test (McNemar, 1947), all others by
this t test.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from harness.api import HarnessError
from harness.task_types.base import Metric, Prediction, Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVEL = 0.95  # of intervals; a p value below 1 - LEVEL is significant
FEW = 3  # rows with fewer seeds use the pooled variance
_RESAMPLES = 1000
_FEWEST = 200  # resamples of a very large test set, for which a thousand would take too long
_WORK = 100_000_000  # the limit on examples × resamples
_CHUNK = 10_000_000  # examples × resamples in memory at once


class Difference(NamedTuple):
    """The first row's score minus the second's, with its 95 % interval and two-sided p value."""

    value: float
    low: float
    high: float
    p: float
    method: str  # "bootstrap", "mcnemar" or "welch"


@dataclass(frozen=True)
class Pool:
    """The variance of a score between seeds, estimated from all rows of a table together.

    It is the mean square within rows of an analysis of variance (Fisher, 1925): the mean of the rows' s²,
    weighted by their degrees of freedom, which add up. A row with fewer than FEW seeds takes it in place of
    its own s², unless that is larger, with the pool's degrees of freedom. Rows need not vary equally: in
    simulations of 3 to 12 rows with two seeds, without variation over examples, 94 to 97 % of the intervals
    contain the truth if the rows vary equally, if their standard deviations are log-normal (σ 0.5 or 1), or
    if one is three times the others. Of that one row 79 to 87 % do; without the larger s², 61 to 81 %.
    """

    variance: float
    freedom: int  # degrees of freedom; 0: there is nothing to pool

    @classmethod
    def of(cls, rows: Iterable[tuple[float | None, int]]) -> Pool:
        """Return the pool of a table's rows, each with its standard deviation and number of seeds.

        Rows with one seed, or whose seeds have equal scores, are left out.
        """
        parts = [(std**2, seeds - 1) for std, seeds in rows if std]
        freedom = sum(part for _, part in parts)
        return cls(sum(square * part for square, part in parts) / max(1, freedom), freedom)

    def serves(self, seeds: int) -> bool:
        """Return whether a row with `seeds` seeds uses the pool, which must have more than this row."""
        return 1 < seeds < FEW and self.freedom >= seeds


class Summary(Protocol):
    """A number over seeds, such as a statistic of a row."""

    @property
    def mean(self) -> float:
        """Return the mean over seeds."""

    @property
    def std(self) -> float | None:
        """Return the sample standard deviation, or None for one seed."""

    @property
    def n(self) -> int:
        """Return the number of seeds."""


@dataclass(frozen=True)
class Estimates:
    """One metric of R rows on the same examples."""

    metric: str
    reads: Metric  # the metric's range and direction
    exact: bool  # whether the metric is the share of correct texts or words
    values: NDArray[np.float64]  # (R,), means over seeds
    draws: NDArray[np.float64]  # (R, B), means over seeds on each resample of the examples
    spread: NDArray[np.float64]  # (R,), the variance of the mean over seeds: s²/S, 0 for one seed
    freedom: NDArray[np.int64]  # (R,), degrees of freedom of the spread, at least 1
    pooled: NDArray[np.bool_]  # (R,), whether the spread is that of the pool
    scores: tuple[NDArray[np.float64], ...]  # of each row, the score of each seed
    examples: int
    right: tuple[NDArray[np.bool_] | None, ...]  # (N,), correct examples of rows with one seed, for accuracy

    def interval(self, row: int) -> tuple[float, float]:
        """Return the 95 % confidence interval of a row's mean."""
        if self.exact and self.values[row] in (0.0, 1.0):
            return self._of_all(bool(self.values[row]))
        half = 0.0
        if self.spread[row]:
            from scipy.special import stdtrit

            half = float(stdtrit(self.freedom[row], (1 + LEVEL) / 2)) * self.spread[row] ** 0.5
        lower, upper = self._around(self.values[row], self.draws[row], half)
        return max(self.reads.low, lower), min(self.reads.high, upper)

    def _of_all(self, right: bool) -> tuple[float, float]:
        """Return the exact interval if all or no examples are correct (Clopper and Pearson, 1934)."""
        least = ((1 - LEVEL) / 2) ** (1 / self.examples)
        return (least, 1.0) if right else (0.0, 1 - least)

    def compare(self, a: int, b: int, paired: bool = False) -> Difference:
        """Return the difference of row `a` minus row `b`, paired by examples.

        With `paired`, their seeds are paired too: use it for runs of one recipe with the same seeds.
        """
        from scipy.special import ndtri, stdtrit

        value, draws = float(self.values[a] - self.values[b]), self.draws[a] - self.draws[b]
        variance = draws.var(ddof=1)
        spread, own = self._of_seeds(a, b)
        if paired and len(self.scores[a]) > 1:
            gaps = self.scores[a] - self.scores[b]
            spread, own = gaps.var(ddof=1) / len(gaps), len(gaps) - 1
        _, freedom = self._whole(variance, spread, own)
        t = float(stdtrit(min(float(freedom), 1e9), (1 + LEVEL) / 2))
        wider = t / float(ndtri((1 + LEVEL) / 2)) if spread else 1.0
        low, high = self._around(value, draws, t * spread**0.5, wider)
        right, other = self.right[a], self.right[b]
        if right is not None and other is not None:
            return Difference(value, low, high, mcnemar(right, other), "mcnemar")
        p = self._p(np.float64(value), variance, spread, own)
        return Difference(value, low, high, float(p), "bootstrap")

    def p_values(self) -> NDArray[np.float64]:
        """Return the uncorrected p value of every pair of rows, (R, R), with 1 on the diagonal."""
        if len(self.draws) == 1:
            return np.ones((1, 1))
        centred = self.draws - self.draws.mean(axis=1, keepdims=True)
        products = centred @ centred.T / (self.draws.shape[1] - 1)  # (R, R), covariances
        own = products.diagonal()
        variance = np.maximum(own[:, None] + own[None, :] - 2 * products, 0)
        # Rounding errors of two rows with the same answers.
        variance[variance < 1e-12 * (own[:, None] + own[None, :])] = 0
        rows = np.arange(len(self.values))
        spread, freedom = self._of_seeds(rows[:, None], rows[None, :])
        found = self._p(self.values[:, None] - self.values[None, :], variance, spread, freedom)
        single = [(row, right) for row, right in enumerate(self.right) if right is not None]
        if single:
            at = np.ix_(*[[row for row, _ in single]] * 2)
            right = np.stack([right for _, right in single]).astype(np.float32)  # (S, N)
            only = right @ (1 - right).T  # (S, S), the number of texts that only the first row has right
            found[at] = _binomial(only, only.T)
        np.fill_diagonal(found, 1.0)
        return found

    def _of_seeds(self, a: Any, b: Any) -> tuple[Any, Any]:
        """Return the variance of differences over seeds, and its degrees of freedom.

        `a` and `b` are indices of rows, or arrays of them. Two pooled variances are one estimate, whose
        degrees of freedom count once.
        """
        parts = [self.spread[rows] for rows in (a, b)]
        own = parts[0] ** 2 / self.freedom[a] + parts[1] ** 2 / self.freedom[b]
        whole = parts[0] + parts[1]
        with np.errstate(divide="ignore", invalid="ignore"):
            freedom = np.where(own > 0, whole**2 / own, np.inf)
        once = np.minimum(freedom, self.freedom[a])
        return whole, np.where(self.pooled[a] & self.pooled[b], once, freedom)

    def _whole(self, variance: Any, spread: Any, freedom: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the variance over examples and seeds, and its degrees of freedom.

        They are those of Welch and Satterthwaite.
        """
        whole = variance + spread
        parts = variance**2 / max(1, self.examples - 1) + spread**2 / freedom
        with np.errstate(divide="ignore", invalid="ignore"):
            return whole, np.where(parts > 0, whole**2 / parts, np.inf)

    def _p(self, value: Any, variance: Any, spread: Any, freedom: Any) -> NDArray[Any]:
        from scipy.special import stdtr

        whole, freedom = self._whole(variance, spread, freedom)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(whole > 0, np.abs(value) / np.sqrt(whole), np.where(value == 0, 0.0, np.inf))
        # The smallest p value of a test on N pairs: the chance that all N signs agree.
        least = 2.0 ** (1 - min(self.examples, 1000))
        return np.clip(2 * stdtr(np.minimum(freedom, 1e9), -t), least, 1)  # type: ignore[no-any-return]

    @staticmethod
    def _around(
        value: float, draws: NDArray[np.float64], seeds: float, wider: float = 1.0
    ) -> tuple[float, float]:
        """Return the percentiles over examples, combined on both sides with the half-width over seeds."""
        low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        if not seeds:
            return float(low), float(high)
        below, above = (wider * max(0.0, gap) for gap in (value - low, high - value))
        return float(value - np.hypot(below, seeds)), float(value + np.hypot(above, seeds))


def estimate(
    metric: str,
    rows: Sequence[Sequence[Prediction]],
    resamples: int | None = None,
    pool: Pool | None = None,
) -> Estimates:
    """Return estimates of a metric for rows, each a list with one prediction for each seed.

    `pool` is the variance between seeds of the table that the rows are from; by default, of these rows.

    Raise HarnessError for a metric that cannot be computed from predictions (see :func:`metrics_of`), and
    ValueError if the predictions are for different examples.
    """
    first = rows[0][0]
    known = metrics_of(first)
    if metric not in known:
        raise HarnessError(f"cannot compute '{metric}' from predictions (allowed: {', '.join(known)})")
    cells = [one for row in rows for one in row]
    for one in cells:
        same = one.gold is first.gold or np.array_equal(one.gold, first.gold, equal_nan=True)
        if not same or (one.lengths, one.scale) != (first.lengths, first.scale):
            raise ValueError(
                "cannot compare predictions for different examples; pass predictions for the same examples"
            )
    stacked, count = first.task_type.stack(cells)
    if not count:
        raise HarnessError(
            "cannot compare predictions: no example with a gold label; add labels to the test split"
        )
    resamples = resamples or max(_FEWEST, min(_RESAMPLES, _WORK // count))
    generator = np.random.default_rng(0)
    scores = known[metric]
    found = [scores(stacked, np.ones((count, 1), np.float32))]  # each (K, draws)
    per_chunk = max(1, _CHUNK // count)
    for start in range(0, resamples, per_chunk):
        found.append(scores(stacked, _resampled(generator, count, min(per_chunk, resamples - start))))
    table = np.concatenate(found, axis=1)  # (K, 1 + B)
    ends = np.cumsum([len(row) for row in rows])
    means = np.stack([part.mean(axis=0) for part in np.split(table, ends[:-1])])  # (R, 1 + B)
    own = np.split(table[:, 0], ends[:-1])
    hits, reads = first.task_type.hits(metric, stacked), first.task_type.metric(metric)
    if not math.isfinite(reads.high - reads.low):  # rows may vary by orders of magnitude, as in perplexity
        pool = Pool(0.0, 0)
    elif pool is None:
        pool = Pool.of((float(part.std(ddof=1)), len(part)) for part in own if np.ptp(part))
    pooled = np.array([pool.serves(len(row)) and not _agree(row) for row in rows])
    spread = np.array([part.var(ddof=1) if len(part) > 1 else 0.0 for part in own])
    spread = np.where(pooled, np.maximum(spread, pool.variance), spread) / [len(row) for row in rows]
    return Estimates(
        metric=metric,
        reads=reads,
        exact=hits is not None or reads.proportion,
        values=means[:, 0],
        draws=means[:, 1:],
        spread=spread,
        freedom=np.where(pooled, pool.freedom, [max(1, len(row) - 1) for row in rows]),
        pooled=pooled,
        scores=tuple(own),
        examples=count,
        right=tuple(
            hits[end - 1] if hits is not None and len(part) == 1 else None
            for end, part in zip(ends, own, strict=True)
        ),
    )


def _agree(row: Sequence[Prediction]) -> bool:
    """Return whether all seeds of a row give the same answers, as those of a model without chance do."""

    def same(one: Any, other: Any) -> bool:
        return one is other or (one is not None and np.array_equal(one, other, equal_nan=True))

    first = row[0]
    return all(
        same(one.predicted, first.predicted)
        and same(one.confidence, first.confidence)
        and same(one.numbers, first.numbers)
        for one in row[1:]
    )


def _resampled(generator: np.random.Generator, count: int, draws: int) -> NDArray[np.float32]:
    """Return how often each of `count` examples is in each of `draws` resamples, (N, B)."""
    drawn = generator.integers(count, size=(draws, count))
    drawn += np.arange(draws)[:, None] * count
    found = np.bincount(drawn.ravel(), minlength=draws * count)
    return np.ascontiguousarray(found.reshape(draws, count).T, dtype=np.float32)


# -- tests and corrections -----------------------------------------------------------------------------------


def mcnemar(right: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return the exact two-sided p value that two models are right equally often (McNemar, 1947).

    The arguments have shape (N,). The test uses the n examples that only one model has right: the smaller of
    the two numbers is binomial with probability one half.
    """
    return float(_binomial((right & ~other).sum(), (~right & other).sum()))


def _binomial(only: Any, others: Any) -> NDArray[np.float64]:
    from scipy.special import bdtr

    twice = 2 * bdtr(np.minimum(only, others), np.asarray(only + others, int), 0.5)
    return np.where(only == others, 1.0, np.minimum(1.0, twice))


def welch(a: Summary, b: Summary) -> Difference | None:
    """Return the difference of two means over seeds alone (Welch, 1947); None if one has a single seed.

    It is for numbers that do not come from examples, and for results without predictions.
    """
    from scipy.special import stdtr, stdtrit

    if a.std is None or b.std is None:
        return None
    parts = [one.std**2 / one.n for one in (a, b) if one.std is not None]
    value, whole = a.mean - b.mean, sum(parts)
    if not whole:
        return Difference(value, value, value, float(value == 0), "welch")
    freedom = whole**2 / sum(part**2 / (one.n - 1) for part, one in zip(parts, (a, b), strict=True))
    half = float(stdtrit(freedom, (1 + LEVEL) / 2)) * whole**0.5
    p = 2 * float(stdtr(freedom, -abs(value) / whole**0.5))
    return Difference(value, value - half, value + half, p, "welch")


def holm(p: NDArray[np.float64] | Sequence[float], of: int | None = None) -> NDArray[np.float64]:
    """Return p values corrected for their number, in the given order (Holm, 1979).

    The chance of at least one false positive among those below 0.05 is at most 5 %. If only some of a larger
    number of p values are known, `of` is that number, and the others count as if they were larger.
    """
    p = np.asarray(p, np.float64)
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(1, np.maximum.accumulate(p[order] * ((of or len(p)) - np.arange(len(p)))))
    return corrected


def holm_pairs(p: NDArray[np.float64], rows: int | None = None) -> NDArray[np.float64]:
    """Return corrected p values for a symmetric matrix (R, R), in which each pair is one comparison.

    They are corrected for all pairs of `rows` rows, if the matrix is of some of them.
    """
    upper = np.triu_indices(len(p), 1)
    found = np.ones_like(p)
    found[upper] = holm(p[upper], rows and rows * (rows - 1) // 2)
    return np.minimum(found, found.T)


# -- metrics on resamples ------------------------------------------------------------------------------------


def metrics_of(one: Prediction) -> Mapping[str, Scores]:
    """Return the metrics that can be computed from such predictions, by name."""
    return one.task_type.on_resamples(one)
