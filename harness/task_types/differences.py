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
