"""Tiny examples of texts with several labels, on which components are checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness import Examples, TaskType

if TYPE_CHECKING:
    import pyarrow as pa

LABELS = ("rain", "sun", "wind")
SHAPES = ("the {} is here", "so much {} today !", "i like {} and more", "no {} , she said", "a {}")
SETS = (("rain",), ("sun",), ("wind",), ("rain", "wind"), ())


def tiny(task_type: TaskType) -> tuple[Examples, Examples]:
    """Return 50 training examples with a teacher's logits, and 20 validation examples.

    A text has two labels, one or none. The labels of the last training text are unknown.
    """
    training = _part(task_type, ("again", "in may"), SHAPES, training=True)
    return training, _part(task_type, ("now", "then"), SHAPES[:2], training=False)


def _part(task_type: TaskType, times: Sequence[str], shapes: Sequence[str], training: bool) -> Examples:
    import numpy as np

    texts, rows = [], []
    for time in times:
        for shape in shapes:
            for labels in SETS:
                texts.append(f"{shape.format(' with '.join(labels) or 'day')} {time}")
                rows.append([float(name in labels) for name in LABELS])
    gold = np.array(rows, dtype=np.float32)
    logits = np.where(gold > 0, 2.0, -2.0).astype(np.float32)
    if training:
        gold[-1] = np.nan
    return Examples(texts, LABELS, gold, logits if training else None, task_type=task_type)


def table(examples: Examples) -> pa.Table:
    """Return examples as a table of texts and lists of labels, null for unknown labels."""
    import pyarrow as pa

    assert examples.labels is not None
    given: list[list[str] | None] = []
    for row in examples.labels.tolist():
        applies = [name for name, value in zip(examples.classes, row, strict=True) if value == 1]
        given.append(applies if all(value == value for value in row) else None)
    return pa.table({"text": list(examples.texts), "labels": pa.array(given, pa.list_(pa.string()))})
