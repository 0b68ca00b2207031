"""How sure a score is, and whether two rows differ: over test examples and over seeds.

A row is a configuration with a model for each seed. Two things make its mean score uncertain:

- *examples*: another test set of the same size would give another score. The bootstrap (Efron, 1979) draws
  the N examples anew with replacement, a thousand times, the same draws for every row: differences between
  rows are paired. A row's score on a draw is the mean over its seeds.
- *seeds*: other seeds would give other models. With the two to five seeds that there are, drawing seeds with
  replacement too would understate this (of two equal rows with three seeds, it calls up to one pair in six
  different at 5 %). So the mean over S seeds has the variance s²/S beside the examples', and Student's t in
  place of the normal. A row's interval joins the percentiles of the bootstrap and Student's half-width with
  S - 1 degrees of freedom by their squares (Zou and Donner, 2008). A difference has the degrees of freedom
  of Welch and Satterthwaite: many where the examples decide, few where the seeds do. Of a row with one seed,
  only the examples are known to vary.

Draws come from a generator with a fixed seed: the same predictions give the same figures. Two rows of one
seed each are compared in accuracy by McNemar's exact test (McNemar, 1947), all others by that t.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from harness.api import HarnessError
from harness.task_types.base import Metric, Prediction, Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVEL = 0.95  # of intervals; what is below 1 - LEVEL counts as a difference
_RESAMPLES = 1000
_FEWEST = 200  # resamples of a test set so large that a thousand would take long
_WORK = 100_000_000  # examples × resamples that are worth the time
_CHUNK = 10_000_000  # of them held at a time


class Difference(NamedTuple):
    """The first row's score less the second's, with its interval and the chance of one as large by luck."""

    value: float
    low: float
    high: float
    p: float
    method: str  # "bootstrap", "mcnemar" or "welch"


class Summary(Protocol):
    """A number over seeds, such as a row's."""

    @property
    def mean(self) -> float:
        """Of the seeds."""

    @property
    def std(self) -> float | None:
        """The sample standard deviation; None for one seed."""

    @property
    def n(self) -> int:
        """How many seeds."""


@dataclass(frozen=True)
class Estimates:
    """One metric of R rows on the same examples."""

    metric: str
    reads: Metric  # how the metric is read
    exact: bool  # it is the share of texts or words that are right
    values: NDArray[np.float64]  # (R,), means over seeds
    draws: NDArray[np.float64]  # (R, B), the same on each resample of the examples
    spread: NDArray[np.float64]  # (R,), the variance of the mean that the seeds add: s²/S, 0 for one seed
    seeds: tuple[int, ...]  # how many each row has
    scores: tuple[NDArray[np.float64], ...]  # of each row, by seed
    examples: int
    right: tuple[NDArray[np.bool_] | None, ...]  # of rows with one seed, which examples (N,), for accuracy

    def interval(self, row: int) -> tuple[float, float]:
        """The 95 % interval of a row's mean."""
        from scipy.special import stdtrit

        if self.exact and self.values[row] in (0.0, 1.0):
            return self._of_all(bool(self.values[row]))
        t = float(stdtrit(max(1, self.seeds[row] - 1), (1 + LEVEL) / 2))
        lower, upper = self._around(self.values[row], self.draws[row], t * self.spread[row] ** 0.5)
        return max(self.reads.low, lower), min(self.reads.high, upper)

    def _of_all(self, right: bool) -> tuple[float, float]:
        """Where all or no examples are right, of which resamples say nothing (Clopper & Pearson, 1934)."""
        least = ((1 - LEVEL) / 2) ** (1 / self.examples)
        return (least, 1.0) if right else (0.0, 1 - least)

    def compare(self, a: int, b: int, paired: bool = False) -> Difference:
        """Row `a` less row `b`, example by example; `paired` where they are one recipe with the same seeds,
        whose luck is shared then.
        """
        from scipy.special import ndtri, stdtrit

        value, draws = float(self.values[a] - self.values[b]), self.draws[a] - self.draws[b]
        variance, spread = draws.var(ddof=1), [self.spread[row] for row in (a, b)]
        counts = [self.seeds[row] for row in (a, b)]
        if paired and counts[0] > 1:
            gaps = self.scores[a] - self.scores[b]
            spread, counts = [gaps.var(ddof=1) / len(gaps)], counts[:1]
        _, freedom = self._freedom(variance, spread, counts)
        t = float(stdtrit(min(float(freedom), 1e9), (1 + LEVEL) / 2))
        wider = t / float(ndtri((1 + LEVEL) / 2)) if any(spread) else 1.0
        low, high = self._around(value, draws, t * sum(spread) ** 0.5, wider)
        right, other = self.right[a], self.right[b]
        if right is not None and other is not None:
            return Difference(value, low, high, mcnemar(right, other), "mcnemar")
        p = self._p(np.float64(value), variance, spread, counts)
        return Difference(value, low, high, float(p), "bootstrap")

    def p_values(self) -> NDArray[np.float64]:
        """The p of every pair of rows, (R, R), before any correction; 1 on the diagonal."""
        centred = self.draws - self.draws.mean(axis=1, keepdims=True)
        products = centred @ centred.T / (self.draws.shape[1] - 1)  # (R, R), covariances
        own = products.diagonal()
        variance = np.maximum(own[:, None] + own[None, :] - 2 * products, 0)
        # What rounding leaves of two rows that answered the same.
        variance[variance < 1e-12 * (own[:, None] + own[None, :])] = 0
        count = np.array(self.seeds)
        spread = [self.spread[:, None] + 0 * variance, self.spread[None, :] + 0 * variance]
        found = self._p(
            self.values[:, None] - self.values[None, :], variance, spread, [count[:, None], count[None, :]]
        )
        single = [(row, right) for row, right in enumerate(self.right) if right is not None]
        if single:
            at = np.ix_(*[[row for row, _ in single]] * 2)
            right = np.stack([right for _, right in single]).astype(np.float32)  # (S, N)
            only = right @ (1 - right).T  # (S, S), how many texts the one has right and the other wrong
            found[at] = _binomial(only, only.T)
        np.fill_diagonal(found, 1.0)
        return found

    def _freedom(
        self, variance: Any, spread: Sequence[Any], seeds: Sequence[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """The whole variance, and its degrees of freedom by Welch and Satterthwaite."""
        whole = variance + sum(spread)
        parts = variance**2 / max(1, self.examples - 1)
        for part, count in zip(spread, seeds, strict=True):
            parts = parts + part**2 / np.maximum(1, np.asarray(count) - 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return whole, np.where(parts > 0, whole**2 / parts, np.inf)

    def _p(self, value: Any, variance: Any, spread: Sequence[Any], seeds: Sequence[Any]) -> NDArray[Any]:
        from scipy.special import stdtr

        whole, freedom = self._freedom(variance, spread, seeds)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(whole > 0, np.abs(value) / np.sqrt(whole), np.where(value == 0, 0.0, np.inf))
        # No test on N pairs can be surer than that all N signs agree by luck.
        least = 2.0 ** (1 - min(self.examples, 1000))
        return np.clip(2 * stdtr(np.minimum(freedom, 1e9), -t), least, 1)  # type: ignore[no-any-return]

    @staticmethod
    def _around(
        value: float, draws: NDArray[np.float64], seeds: float, wider: float = 1.0
    ) -> tuple[float, float]:
        """The percentiles over examples, joined on either side by the half-width over seeds."""
        low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        if not seeds:
            return float(low), float(high)
        below, above = (wider * max(0.0, gap) for gap in (value - low, high - value))
        return float(value - np.hypot(below, seeds)), float(value + np.hypot(above, seeds))


def estimate(metric: str, rows: Sequence[Sequence[Prediction]], resamples: int | None = None) -> Estimates:
    """A metric of rows, each a list of its seeds' predictions, all for the same examples.

    Raises HarnessError for a metric that predictions do not tell (see :func:`metrics_of`), and ValueError
    for predictions of other examples.
    """
    first = rows[0][0]
    known = metrics_of(first)
    if metric not in known:
        raise HarnessError(f"'{metric}' cannot be had from predictions; these can: {', '.join(known)}")
    cells = [one for row in rows for one in row]
    for one in cells:
        same = one.gold is first.gold or np.array_equal(one.gold, first.gold, equal_nan=True)
        if not same or (one.lengths, one.scale) != (first.lengths, first.scale):
            raise ValueError("predictions for other examples cannot be compared")
    stacked, count = first.task_type.stack(cells)
    if not count:
        raise HarnessError("no example with a gold label to compare on")
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
    return Estimates(
        metric=metric,
        reads=reads,
        exact=hits is not None or reads.proportion,
        values=means[:, 0],
        draws=means[:, 1:],
        spread=np.array([part.var(ddof=1) / len(part) if len(part) > 1 else 0.0 for part in own]),
        seeds=tuple(len(part) for part in own),
        scores=tuple(own),
        examples=count,
        right=tuple(
            hits[end - 1] if hits is not None and len(part) == 1 else None
            for end, part in zip(ends, own, strict=True)
        ),
    )


def _resampled(generator: np.random.Generator, count: int, draws: int) -> NDArray[np.float32]:
    """How often each of `count` examples is in each of some resamples, (N, B)."""
    drawn = generator.integers(count, size=(draws, count))
    drawn += np.arange(draws)[:, None] * count
    found = np.bincount(drawn.ravel(), minlength=draws * count)
    return np.ascontiguousarray(found.reshape(draws, count).T, dtype=np.float32)


# -- tests and corrections -----------------------------------------------------------------------------------


def mcnemar(right: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """The exact two-sided p that two models (N,) are right equally often, from where only one of them is.

    Of n such examples, the smaller share is binomial with probability one half.
    """
    return float(_binomial((right & ~other).sum(), (~right & other).sum()))


def _binomial(only: Any, others: Any) -> NDArray[np.float64]:
    from scipy.special import bdtr

    twice = 2 * bdtr(np.minimum(only, others), np.asarray(only + others, int), 0.5)
    return np.where(only == others, 1.0, np.minimum(1.0, twice))


def welch(a: Summary, b: Summary) -> Difference | None:
    """The difference of two means over seeds alone (Welch, 1947); None where one has a single seed.

    For numbers that do not come from examples, and results without predictions.
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


def holm(p: NDArray[np.float64] | Sequence[float]) -> NDArray[np.float64]:
    """P values corrected for their number, in their own order (Holm, 1979).

    Of those that stay below 0.05, the chance that any is a mistake is 5 %.
    """
    p = np.asarray(p, np.float64)
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return corrected


def holm_pairs(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same for a symmetric table (R, R) of pairs: each pair is one comparison."""
    upper = np.triu_indices(len(p), 1)
    found = np.ones_like(p)
    found[upper] = holm(p[upper])
    return np.minimum(found, found.T)


# -- metrics on resamples ------------------------------------------------------------------------------------


def metrics_of(one: Prediction) -> Mapping[str, Scores]:
    """Return the metrics that can be computed from such predictions, by name."""
    return one.task_type.on_resamples(one)
