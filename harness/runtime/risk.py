"""Choose how sure a classifier must be, so that few of its answers are wrong.

A model that abstains answers only the texts whose confidence reaches a threshold. The error among its answers
is its selective risk (El-Yaniv & Wiener, 2010; Geifman & El-Yaniv, 2017). Thresholds are chosen on held-out
texts by fixed sequence testing from two starts, as in Learn then Test (Angelopoulos et al., 2021; the
procedure is that of Bauer, 1991), with the exact binomial test of Clopper and Pearson (1934):

Sort the n texts by confidence. Of the m surest ones, k are wrong. The hypothesis that the risk at this
confidence is above `risk` is rejected if the upper confidence bound of k errors in m texts is at most `risk`.
Test one m after the other, from the surest texts on, until one is not rejected; the last rejected one gives
the threshold. The sequence may begin at two places that do not depend on the errors, each with half of the
error probability: at the first m at which a few errors would still pass, and at half of the texts.

With a probability of at least LEVEL over the choice of the n texts, the risk on texts of the same kind is
then at most `risk`. This is exact if no lower threshold brings the risk back below `risk` once it is above:
the texts above a threshold that is a rank are a random sample of all texts above it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVEL = 0.95  # probability with which a threshold keeps its risk
STEPS = 1000  # risks are multiples of 1/STEPS
_RANKS = 500  # numbers of texts that are tested, at most
_FEW, _TEXTS_EACH = 3, 300  # errors that pass at the first start: one for each 300 texts, at most 3
_SMALL = 1e-9


class Point(NamedTuple):
    """A threshold, and what was found for it on the held-out texts."""

    risk: float  # the share of wrong answers that it keeps
    threshold: float  # the lowest confidence of an answered text; 0 if all texts are answered
    coverage: float  # the share of the held-out texts that are answered


def thresholds(
    confidence: NDArray[np.float64], wrong: NDArray[np.bool_], level: float = LEVEL
) -> list[Point]:
    """Return the threshold for each risk that can be kept, from the lowest risk on.

    The arrays, (N,), have the confidence in the answer to each held-out text, and whether it is wrong. A risk
    that is missing has the threshold of the next lower one. Without texts, there are no thresholds.
    """
    count = len(confidence)
    if not count:
        return []
    order = np.argsort(-confidence, kind="stable")
    ordered, errors = confidence[order], np.cumsum(wrong[order])
    every = -(-count // _RANKS)
    ends = np.append(np.flatnonzero(ordered[1:] < ordered[:-1]) + 1, count)  # equal ones stay together
    ranks = np.unique(ends[np.searchsorted(ends, np.append(np.arange(every, count, every), count))])
    half = 1 - (1 - level) / 2  # the level of each of the two sequences
    bounds = upper_bound(errors[ranks - 1], ranks, half)
    few = np.full(len(ranks), min(_FEW, count // _TEXTS_EACH))
    passing, middle = upper_bound(few, ranks, half), int(np.searchsorted(ranks, count / 2))
    found: list[Point] = []
    for step in range(1, STEPS + 1):
        risk = step / STEPS
        rejected = bounds <= risk + _SMALL
        starts = [middle, *np.flatnonzero(passing <= risk + _SMALL)[:1].tolist()]
        last = max(_run(rejected, start) for start in starts)
        if last < 0:
            continue
        rank = int(ranks[last])
        threshold = 0.0 if rank == count else float(ordered[rank - 1])
        if not found or threshold < found[-1].threshold:
            found.append(Point(risk, threshold, rank / count))
        if rank == count:
            break
    return found


def _run(rejected: NDArray[np.bool_], start: int) -> int:
    """Return the last place of the sequence of rejections that begins at `start`; -1 without one."""
    kept = np.flatnonzero(~rejected[start:])
    return start + int(kept[0] if len(kept) else len(rejected) - start) - 1 if rejected[start] else -1


def upper_bound(errors: NDArray[np.int64], counts: NDArray[np.int64], level: float) -> NDArray[np.float64]:
    """Return the upper confidence bounds of shares, of which `errors` in `counts` were observed, (N,)."""
    from scipy.special import betaincinv

    right = np.maximum(counts - errors, _SMALL)
    return np.where(errors < counts, betaincinv(errors + 1.0, right, level), 1.0)


def within(points: Sequence[Point], risk: float) -> Point | None:
    """Return the point that keeps a risk and answers most texts, or None if no point keeps it."""
    return next((point for point in reversed(points) if point.risk <= risk + _SMALL), None)


def observed(
    confidence: NDArray[np.float64], wrong: NDArray[np.bool_], threshold: float
) -> tuple[float, float | None]:
    """Return the share of texts that are answered at a threshold, and the share of these that are wrong.

    The second one is None if no text is answered.
    """
    answered = confidence >= threshold
    error = float(wrong[answered].mean()) if answered.any() else None
    return (float(answered.mean()) if len(answered) else 0.0), error


def curve(
    confidence: NDArray[np.float64], wrong: NDArray[np.bool_], most: int = 100
) -> list[tuple[float, float]]:
    """Return pairs of the coverage and the error of the answered texts, for thresholds from high to low.

    At most `most` of them are returned, evenly spaced, and the last one answers all texts.
    """
    order = np.argsort(-confidence, kind="stable")
    ordered, errors = confidence[order], np.cumsum(wrong[order])
    count = len(ordered)
    if not count:
        return []
    ends = np.append(np.flatnonzero(ordered[1:] < ordered[:-1]) + 1, count)
    wanted = np.ceil(np.arange(1, most + 1) * count / most).astype(np.int64)
    ranks = np.unique(ends[np.searchsorted(ends, wanted)])
    return [(int(rank) / count, int(errors[rank - 1]) / int(rank)) for rank in ranks]
