"""Scores of labels and of numbers on resamples of texts, for :mod:`harness.results.statistics`.

Each is of cells and weights (N, B) to (K, B), as :mod:`harness.task_types.metrics` defines it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Scores = Callable[["Cells", "NDArray[np.float32]"], "NDArray[np.float64]"]


class Cells(NamedTuple):
    """The predictions of several models for the same N examples, all of which have a gold label."""

    predicted: NDArray[Any]  # (K, N)
    gold: NDArray[Any]  # (N,)
    positive: int


def _accuracy(cells: Cells, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    right = (cells.predicted == cells.gold).astype(np.float32)
    hits = right @ weights  # counts: exact in float32
    return np.asarray(hits / np.float64(len(cells.gold)))


def _of_confusion(name: str, cells: Cells, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """A metric of the confusion counts, (C, B) each: right, gold and guessed."""
    count = 1 + max(int(cells.gold.max()), int(cells.predicted.max()), cells.positive)
    classes = np.arange(count)[:, None]
    gold = (cells.gold == classes).astype(np.float32) @ weights  # (C, B)
    found = np.empty((len(cells.predicted), weights.shape[1]))
    for k, predicted in enumerate(cells.predicted):
        chosen = predicted == classes  # (C, N)
        guessed = chosen.astype(np.float32) @ weights
        right = (chosen & (cells.gold == predicted)).astype(np.float32) @ weights
        found[k] = _CONFUSION[name](
            right.astype(np.float64), gold.astype(np.float64), guessed.astype(np.float64), cells.positive
        )
    return found


def _macro(part: NDArray[Any], whole: NDArray[Any], occurs: NDArray[np.bool_]) -> NDArray[Any]:
    """The mean over the classes that occur, 0/0 counting as 0."""
    ratio = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return np.asarray((ratio * occurs).sum(axis=0) / occurs.sum(axis=0))


def _matthews(right: Any, gold: Any, guessed: Any, _: int) -> NDArray[Any]:
    rows = gold.sum(axis=0)
    spread = (rows**2 - (guessed**2).sum(axis=0)) * (rows**2 - (gold**2).sum(axis=0))
    over = right.sum(axis=0) * rows - (gold * guessed).sum(axis=0)
    return np.asarray(over / np.sqrt(np.where(spread > 0, spread, np.inf)))


_CONFUSION: dict[str, Callable[[Any, Any, Any, int], NDArray[Any]]] = {
    "f1_macro": lambda right, gold, guessed, _: _macro(2 * right, gold + guessed, gold + guessed > 0),
    "precision_macro": lambda right, gold, guessed, _: _macro(right, guessed, gold + guessed > 0),
    "recall_macro": lambda right, gold, guessed, _: _macro(right, gold, gold + guessed > 0),
    "matthews": _matthews,
    "f1": lambda right, gold, guessed, one: _macro(
        2 * right[one : one + 1], (gold + guessed)[one : one + 1], np.ones((1, right.shape[1]), bool)
    ),
}


def _errors(power: int, cells: Cells, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    off = np.abs(cells.predicted.astype(np.float64) - cells.gold) ** power
    return np.asarray(off @ weights / len(cells.gold))


def _pearson(cells: Cells, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    gold = cells.gold.astype(np.float64)[:, None]
    return np.stack(
        [_weighted_correlation(one.astype(np.float64)[:, None], gold, weights) for one in cells.predicted]
    )


def _spearman(cells: Cells, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    gold = _ranks(cells.gold, weights)
    return np.stack([_weighted_correlation(_ranks(one, weights), gold, weights) for one in cells.predicted])


def _ranks(numbers: NDArray[Any], weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """The place of each number in each resample, (N, B), equal ones sharing the mean of their places."""
    order = np.argsort(numbers, kind="stable")
    starts = np.flatnonzero(np.diff(numbers[order], prepend=np.nan) != 0)
    groups = np.add.reduceat(weights[order].astype(np.float64), starts, axis=0)  # (U, B)
    places = np.cumsum(groups, axis=0) - (groups - 1) / 2
    found = np.empty(weights.shape)
    found[order] = np.repeat(places, np.diff(starts, append=len(order)), axis=0)
    return found


def _weighted_correlation(a: NDArray[Any], b: NDArray[Any], weights: NDArray[Any]) -> NDArray[Any]:
    """Pearson's in each resample, of columns (N, 1) or (N, B); 0 where either is constant."""
    total = weights.sum(axis=0)
    a, b = (x - (x * weights).sum(axis=0) / total for x in (a, b))
    lengths = ((a * a * weights).sum(axis=0)) * ((b * b * weights).sum(axis=0))
    over = (a * b * weights).sum(axis=0)
    return np.asarray(np.clip(over / np.sqrt(np.where(lengths > 0, lengths, np.inf)), -1, 1))


# With one label a text, every micro average is the accuracy.
ACCURACIES = ("accuracy", "f1_micro", "precision_micro", "recall_micro")
OF_CLASSES: dict[str, Scores] = {
    **dict.fromkeys(ACCURACIES, _accuracy),
    **{name: partial(_of_confusion, name) for name in _CONFUSION},
}
OF_NUMBERS: dict[str, Scores] = {
    "pearson": _pearson,
    "spearman": _spearman,
    "mse": partial(_errors, 2),
    "mae": partial(_errors, 1),
}
