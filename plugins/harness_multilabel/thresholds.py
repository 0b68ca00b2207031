"""Thresholds: from which probability on a label is given, chosen to maximise F1 on labelled texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

GRID = np.arange(0.02, 0.99, 0.01)  # the thresholds to choose from
SHRINK = 20.0  # positive texts for which a label's own choice weighs as much as the shared one


def shared(scores: NDArray[np.float64], gold: NDArray[np.bool_]) -> float:
    """Return the threshold that gives the largest macro F1 when it is used for all labels.

    `scores` are probabilities (N, C), `gold` says which labels a text has (N, C).
    """
    return float(GRID[_f1_by_threshold(scores, gold).mean(axis=1).argmax()])


def per_label(scores: NDArray[np.float64], gold: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return a threshold for each label, (C,): its own best one, drawn towards the shared one.

    The fewer texts have a label, the more its best threshold is luck: its own choice has the weight
    n / (n + SHRINK) for n positive texts. The mean is taken on the scale of log-odds.
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
    # A single text moves the F1 of a rare label a lot: a threshold should be good in its neighbourhood too.
    padded = np.pad(found, ((2, 2), (0, 0)), mode="edge")
    return np.asarray(sum(padded[at : at + len(GRID)] for at in range(5)) / 5)


def _log_odds(p: NDArray[np.float64] | np.float64) -> NDArray[np.float64]:
    return np.asarray(np.log(p / (1 - p)))
