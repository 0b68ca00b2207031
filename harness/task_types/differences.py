"""Compare an exported form's outputs with its model's, for any type of task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.task_types.base import Examples

Outputs = tuple["NDArray[Any]", "NDArray[Any]"]  # logits and decisions


def outputs_differ(examples: Examples, expected: Outputs, found: Outputs) -> dict[str, Any]:
    """Return the number of `texts` and `outputs`, how many outputs `changed`, and how far logits differ.

    `difference` is the largest absolute difference between two logits; `spread` is the largest absolute logit
    of the model, at least 1.
    """
    (before, decided), (after, decides) = expected, found
    return {
        "texts": len(examples),
        "outputs": decided.size,
        "changed": int((decided != decides).sum()),
        "difference": float(np.abs(before - after).max()),
        "spread": max(1.0, float(np.abs(before).max())),
    }


def f1_lost(right: NDArray[np.float64], every: NDArray[np.float64]) -> dict[str, float]:
    """Return the form's F1 as `score`, how much it has `lost` against the model, and the `error` of that.

    Row 0 is the model's and row 1 the form's, with a column for each text: `right` is twice the number of its
    correct answers, and `every` the number of its answers plus that of its gold labels, both (2, N).
    """
    whole = np.maximum(every.sum(1), 1)
    f1 = right.sum(1) / whole
    # F1 is a ratio of sums over texts; this is each text's first-order effect on it (delta method).
    moved = (right - f1[:, None] * every) / whole[:, None]
    error = float(np.sqrt(((moved[0] - moved[1]) ** 2).sum()))
    return {"score": float(f1[1]), "lost": float(f1[0]) - float(f1[1]), "error": error}
