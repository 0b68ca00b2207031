"""How far an exported form is from its model: in its outputs, in what is predicted, and in the score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from harness import metrics
from harness.api import SCORE, Examples, words_before
from harness.spans import spans_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOLERANCE = 1e-3  # largest difference of two logits, relative to their spread
CHANGED = 0.005  # share of predictions that may differ
LOST = 0.01  # of accuracy, of F1, or of the correlation of a regression, that int8 may not lose

Outputs = tuple["NDArray[Any]", "NDArray[Any]"]  # logits, and the class that is decided on in each row


def compare(expected: Outputs, found: Outputs, examples: Examples) -> dict[str, Any]:
    """What a form's outputs for labelled examples differ in from the model's.

    `texts` scored, their `outputs`, one each or one a word, and how many of those are `changed`; the largest
    `difference` of two logits, and their `spread`; the form's `score`, how much it `lost` of the model's, and
    the standard `error` of that.
    """
    assert examples.labels is not None
    (before, decided), (after, decides) = expected, found
    compared: dict[str, Any] = {
        "texts": len(examples),
        "outputs": len(decided),
        "changed": int((decided != decides).sum()),
        "difference": float(np.abs(before - after).max()),
        "spread": max(1.0, float(np.abs(before).max())),
    }
    if examples.of_words:
        old, new, error = _f1(decided, decides, examples)
    elif examples.classes == SCORE:
        known = ~np.isnan(examples.labels)
        gold = examples.labels[known]
        old, new = (metrics.correlation(gold, logits[known, 0]) for logits in (before, after))
        error = 0.0
    else:
        old, new, error = _accuracy(decided, decides, examples.labels)
    return {**compared, "score": new, "lost": old - new, "error": error}


def is_same(compared: dict[str, Any]) -> bool:
    """Whether a form in fp32 is the model itself."""
    # So written that a difference of NaN fails too.
    close = compared["difference"] <= TOLERANCE * compared["spread"]
    return bool(close and compared["changed"] <= CHANGED * compared["outputs"])


def too_much_lost(compared: dict[str, Any]) -> str:
    """Why a form in int8 is rejected; nothing where it is not."""
    lost, error = compared["lost"], compared["error"]
    if not np.isfinite(compared["difference"]):
        return "its outputs are not finite"
    if lost >= LOST and lost > 2 * error:
        return (
            f"it loses {100 * lost:.1f} points of the score on {compared['texts']} texts, "
            f"where less than {100 * LOST:.0f} is allowed"
        )
    return ""


def _accuracy(
    before: NDArray[Any], after: NDArray[Any], labels: NDArray[np.int64]
) -> tuple[float, float, float]:
    """The share of right predictions of both, and the standard error of the difference."""
    known = labels >= 0
    right = [(decided == labels)[known] for decided in (before, after)]
    count = max(1, len(right[0]))
    # Only texts on which one is right and the other wrong tell a difference (McNemar, 1947).
    error = float(np.sqrt((right[0] != right[1]).sum()) / count)
    old, new = (float(each.sum() / count) for each in right)
    return old, new, error


def _f1(before: NDArray[Any], after: NDArray[Any], examples: Examples) -> tuple[float, float, float]:
    """The F1 of whole entities of both, and the standard error of the difference."""
    assert examples.labels is not None
    starts = words_before(examples.texts)
    counted = spans_of([before, after], examples.labels, starts, examples.classes)
    right = 2 * counted.right.sum(1).astype(np.float64)  # (2, N)
    every = (counted.guessed.sum(1) + counted.gold.sum(0)).astype(np.float64)
    whole = np.maximum(every.sum(1), 1)
    f1 = right.sum(1) / whole
    # F1 is a ratio of sums over texts: what each text moves it by, to first order (the delta method).
    moved = (right - f1[:, None] * every) / whole[:, None]
    error = float(np.sqrt(((moved[0] - moved[1]) ** 2).sum()))
    return float(f1[0]), float(f1[1]), error
