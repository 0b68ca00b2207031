"""Choose the thresholds above which labels are given, so that F1 is highest on labelled texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

GRID = np.arange(0.02, 0.99, 0.01)  # the thresholds from which a shared one is chosen
RESAMPLES = 20  # bootstrap samples of texts on which each label's threshold is chosen


def shared(scores: NDArray[np.float64], gold: NDArray[np.bool_]) -> float:
    """Return the threshold that gives the highest macro F1 if all labels have the same one.

    `scores` are probabilities (N, C), and `gold` tells which labels a text has (N, C).
    """
    every = np.stack([_f1_on_grid(scores[:, label], gold[:, label]) for label in range(scores.shape[1])])
    return float(GRID[every.mean(axis=0).argmax()])


def per_label(scores: NDArray[np.float64], gold: NDArray[np.bool_], seed: int = 0) -> NDArray[np.float64]:
    """Return a threshold for each label, (C,), as the mean over bootstrap samples (bagging: Breiman, 1996).

    The threshold with the highest F1 on a few texts is mostly luck. The mean of the best thresholds on
    resampled texts varies less. It is taken on the scale of log-odds. A label without texts gets the shared
    threshold.
    """
    common = shared(scores, gold)
    generator = np.random.default_rng(seed)
    count = len(gold)
    drawn = generator.multinomial(count, np.full(count, 1 / count), RESAMPLES)  # (B, N)
    found = np.full(scores.shape[1], common)
    for label in range(scores.shape[1]):
        if gold[:, label].any():
            best = _best(scores[:, label], gold[:, label], drawn)
            found[label] = 1 / (1 + np.exp(-_log_odds(best).mean())) if len(best) else common
    return found


def _best(
    scores: NDArray[np.float64], gold: NDArray[np.bool_], drawn: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return a label's best threshold on each resample that has a text with the label.

    A threshold is in the middle between two neighbouring scores, on the scale of log-odds. `drawn` has how
    often each text is in each resample, (B, N).
    """
    order = np.argsort(-scores, kind="stable")
    sorted_scores = _log_odds(np.clip(scores[order], 1e-6, 1 - 1e-6))
    counts = drawn[:, order]
    right = np.cumsum(counts * gold[order], axis=1)
    given = np.cumsum(counts, axis=1)
    positive = right[:, -1:]
    f1 = 2 * right / np.maximum(given + positive, 1)
    f1[:, :-1][:, sorted_scores[:-1] == sorted_scores[1:]] = -1  # equal scores are on one side of a threshold
    last = f1.argmax(axis=1)  # of the texts that get the label
    below = sorted_scores[np.minimum(last + 1, len(scores) - 1)]
    cut = (sorted_scores[last] + below) / 2
    return np.asarray(1 / (1 + np.exp(-cut[positive[:, 0] > 0])))


def _f1_on_grid(scores: NDArray[np.float64], gold: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return a label's F1 at each threshold of the grid, (T,); 0 if it has neither texts nor guesses."""
    given = len(scores) - np.searchsorted(np.sort(scores), GRID)
    right = int(gold.sum()) - np.searchsorted(np.sort(scores[gold]), GRID)
    whole = given + gold.sum()
    return np.asarray(np.divide(2 * right, whole, out=np.zeros(len(GRID)), where=whole > 0))


def _log_odds(p: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.log(p / (1 - p)))


def unfit(threshold: Any, chosen: Any, count: int) -> str:
    """Return why these cannot be the thresholds of `count` labels; "" if they can."""
    if not isinstance(chosen, tuple):
        return f"expected a list of thresholds, got {chosen!r:.40}"
    for one in (threshold, *chosen):
        if isinstance(one, bool) or not isinstance(one, int | float) or not 0 <= one <= 1:
            return f"expected a threshold from 0 to 1, got {one!r:.40}"
    return "" if len(chosen) in (0, count) else f"there are {len(chosen)} thresholds for {count} labels"
