"""What an exported form's outputs differ in from its model's, whatever the type of task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.task_types.base import Examples

Outputs = tuple["NDArray[Any]", "NDArray[Any]"]  # logits, and what is decided


def outputs_differ(examples: Examples, expected: Outputs, found: Outputs) -> dict[str, Any]:
    """Return how many `outputs` there are and how many of them are `changed`, and how far logits differ.

    `difference` is the largest difference of two logits, `spread` their size.
    """
    (before, decided), (after, decides) = expected, found
    return {
        "texts": len(examples),
        "outputs": decided.size,
        "changed": int((decided != decides).sum()),
        "difference": float(np.abs(before - after).max()),
        "spread": max(1.0, float(np.abs(before).max())),
    }
