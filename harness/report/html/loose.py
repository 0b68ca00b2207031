"""Read the parts of records that the schema does not check, because plugins write them too.

Values of an unexpected form count as missing: a chart is then left out, but the page is still written.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from harness.results.record import Record

SCORES = ("precision", "recall", "f1", "support")


def number(value: Any) -> float | None:
    """Return the value if it is a finite number, or None."""
    sound = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if sound else None


def field(record: Record, name: str) -> Mapping[str, Any]:
    """Return a part of a record if it is a dictionary, or an empty one."""
    value = dict(record).get(name)
    return value if isinstance(value, Mapping) else {}


def per_class(record: Record) -> dict[str, dict[str, float]]:
    """Return those SCORES of each class that are numbers."""
    found = field(record, "metrics").get("per_class")
    if not isinstance(found, Mapping) or not all(isinstance(scores, Mapping) for scores in found.values()):
        return {}
    return {
        str(name): {key: value for key in SCORES if (value := number(scores.get(key))) is not None}
        for name, scores in found.items()
    }


def confusion(record: Record) -> list[list[int]]:
    """Return the confusion matrix of counts, with a row for each gold class, or an empty list."""
    found = field(record, "metrics").get("confusion")
    if not isinstance(found, list):
        return []
    square = all(isinstance(row, list) and len(row) == len(found) for row in found)
    return found if square and all(number(n) is not None for row in found for n in row) else []


def history(record: Record) -> list[Mapping[str, Any]]:
    """Return the points of the training's history."""
    found = dict(record).get("history")
    return [point for point in found if isinstance(point, Mapping)] if isinstance(found, list) else []


def thinned(points: Sequence[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """Return at most `most` points, evenly spread, including the first and last."""
    if len(points) <= most:
        return list(points)
    step = (len(points) - 1) / (most - 1)
    return [points[round(i * step)] for i in range(most)]
