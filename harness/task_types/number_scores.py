"""Scores of predicted numbers, on all texts and on resamples."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from harness.task_types.base import Scores
from harness.values import HarnessError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def regression(labels: NDArray[np.floating[Any]], predictions: NDArray[np.floating[Any]]) -> dict[str, Any]:
    """Return the scores of predicted numbers (N, 1) against gold numbers (N,), as JSON values.

    Rows without a gold label (NaN) are ignored. ``pearson`` and ``spearman`` are the correlations of the
    numbers and of their ranks, 0 if either side is constant; ``mse`` and ``mae`` are the mean squared and
    absolute errors. Raise HarnessError if no text has a gold label, or if a prediction is NaN or infinite.
    """
    if predictions.shape != (len(labels), 1):
        raise ValueError(f"expected predictions of shape {(len(labels), 1)}, got {predictions.shape}")
    known = np.isfinite(labels)
    gold, found = labels[known].astype(np.float64), predictions[known, 0].astype(np.float64)
    if not len(gold):
        raise HarnessError("cannot score: no text has a gold label")
    if not np.isfinite(found).all():
        raise HarnessError("cannot score: the model's outputs are NaN or infinite")
    errors = found - gold
    return {
        "pearson": correlation(gold, found),
        "spearman": correlation(_ranks(gold), _ranks(found)),
        "mse": float((errors**2).mean()),
        "mae": float(np.abs(errors).mean()),
    }


def correlation(a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]]) -> float:
    """Return Pearson's correlation of two arrays of numbers (N,); 0 if either is constant."""
    if not len(a) or (a == a[0]).all() or (b == b[0]).all():
        return 0.0
    a, b = a.astype(np.float64) - a.mean(dtype=np.float64), b.astype(np.float64) - b.mean(dtype=np.float64)
    # Scale first: the square of a tiny number could underflow to 0.
    a, b = a / np.abs(a).max(), b / np.abs(b).max()
    return float(np.clip((a @ b) / math.sqrt((a @ a) * (b @ b)), -1, 1))


def _ranks(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rank of each number, (N,); ties get the mean of their ranks."""
    _, inverse, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[inverse])


# -- on resamples of texts: (K, B) from cells and weights (N, B) -----------------------------------------


class Cells(NamedTuple):
    """The predictions of several models for the same N examples, all of which have a gold label."""

    predicted: NDArray[Any]  # (K, N)
    gold: NDArray[Any]  # (N,)


def _errors(power: int, cells: Cells, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    off = np.abs(cells.predicted.astype(np.float64) - cells.gold) ** power
    return np.asarray(off @ weights / len(cells.gold))


def _pearson(cells: Cells, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    gold = cells.gold.astype(np.float64)[:, None]
    return np.stack(
        [_weighted_correlation(one.astype(np.float64)[:, None], gold, weights) for one in cells.predicted]
    )


def _spearman(cells: Cells, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    gold = _ranks_on_resamples(cells.gold, weights)
    return np.stack(
        [_weighted_correlation(_ranks_on_resamples(one, weights), gold, weights) for one in cells.predicted]
    )


def _ranks_on_resamples(numbers: NDArray[Any], weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the rank of each number in each resample, (N, B); ties get the mean of their ranks."""
    order = np.argsort(numbers, kind="stable")
    starts = np.flatnonzero(np.diff(numbers[order], prepend=np.nan) != 0)
    groups = np.add.reduceat(weights[order].astype(np.float64), starts, axis=0)  # (U, B)
    places = np.cumsum(groups, axis=0) - (groups - 1) / 2
    found = np.empty(weights.shape)
    found[order] = np.repeat(places, np.diff(starts, append=len(order)), axis=0)
    return found


def _weighted_correlation(a: NDArray[Any], b: NDArray[Any], weights: NDArray[Any]) -> NDArray[Any]:
    """Return Pearson's correlation in each resample, of (N, 1) or (N, B); 0 if either is constant."""
    total = weights.sum(axis=0)
    a, b = (x - (x * weights).sum(axis=0) / total for x in (a, b))
    lengths = ((a * a * weights).sum(axis=0)) * ((b * b * weights).sum(axis=0))
    over = (a * b * weights).sum(axis=0)
    return np.asarray(np.clip(over / np.sqrt(np.where(lengths > 0, lengths, np.inf)), -1, 1))


ON_RESAMPLES: dict[str, Scores] = {
    "pearson": _pearson,
    "spearman": _spearman,
    "mse": partial(_errors, 2),
    "mae": partial(_errors, 1),
}
