"""Predictions as task types make them, from arrays alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.task_types.base import Examples, Prediction, TaskType
from harness.task_types.classification import Classification
from harness.task_types.masked_lm import MaskedLanguageModelling
from harness.task_types.regression import Regression
from harness.task_types.tagging import Tagging
from harness.values import Masked


def of_logits(
    logits: NDArray[Any],
    gold: NDArray[Any],
    classes: Sequence[str] = (),
    positive: str = "",
    decided: NDArray[Any] | None = None,
    lengths: Sequence[int] = (),
) -> Prediction | None:
    """Return a prediction from logits (R, C): numbers if gold labels are, tags if texts have `lengths`."""
    texts = [" ".join("w" * length) for length in lengths or np.ones(len(gold), np.int64)]
    answers = {"logits": logits}
    task_type: TaskType
    if gold.dtype.kind == "f":
        task_type = Regression()
    elif lengths:
        task_type = Tagging()
        answers["tags"] = (logits.argmax(axis=1) if decided is None else decided).astype(np.int16)
    else:
        task_type = Classification(positive)
    return task_type.prediction(answers, Examples(texts, tuple(classes), gold, task_type=task_type))


def of_guesses(masked: Masked, texts: int) -> Prediction:
    """Return a prediction from what a language model predicted for the hidden tokens of `texts` texts."""
    task_type = MaskedLanguageModelling()
    return task_type.prediction(masked._asdict(), Examples(["w"] * texts, (), task_type=task_type))
