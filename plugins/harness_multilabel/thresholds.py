"""Choose thresholds: the probabilities from which a label is predicted, by F1 on labelled texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

GRID = np.arange(0.02, 0.99, 0.01)  # candidates
SHRINK = 20.0  # number of positive texts at which own and shared threshold have equal weight


def shared(scores: NDArray[np.float64], gold: NDArray[np.bool_]) -> float:
    """Return the single threshold for all labels with the largest macro F1.

    `scores` are probabilities (N, C); `gold` (N, C) is True for the labels of a text.
    """
    return float(GRID[_f1_by_threshold(scores, gold).mean(axis=1).argmax()])


def per_label(scores: NDArray[np.float64], gold: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return a threshold for each label, (C,): a mean of its own best and the shared one.

    For rare labels the best threshold is mostly chance, so it has the weight n / (n + SHRINK) for n positive
    texts. The mean is taken on the scale of log-odds.
    """
    common = _log_odds(np.float64(shared(scores, gold)))
    own = _log_odds(GRID[_f1_by_threshold(scores, gold).argmax(axis=0)])  # (C,)
    count = gold.sum(axis=0)
    weight = count / (count + SHRINK)
    mean = weight * own + (1 - weight) * common
    return np.asarray(1 / (1 + np.exp(-mean)))


def _f1_by_threshold(scores: NDArray[np.float64], gold: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the F1 of each label at each threshold of the grid, (T, C), smoothed over neighbours."""
    positive = gold.sum(axis=0)  # (C,)
    found = np.empty((len(GRID), scores.shape[1]))
    for label in range(scores.shape[1]):
        order = np.sort(scores[:, label])
        right = np.sort(scores[gold[:, label], label])
        guessed = len(order) - np.searchsorted(order, GRID)
        hits = len(right) - np.searchsorted(right, GRID)
        whole = guessed + positive[label]
        found[:, label] = np.divide(2 * hits, whole, out=np.zeros(len(GRID)), where=whole > 0)
    # One text changes the F1 of a rare label a lot, so the neighbouring thresholds should be good too.
    padded = np.pad(found, ((2, 2), (0, 0)), mode="edge")
    return np.asarray(sum(padded[at : at + len(GRID)] for at in range(5)) / 5)


def _log_odds(p: NDArray[np.float64] | np.float64) -> NDArray[np.float64]:
    return np.asarray(np.log(p / (1 - p)))
