"""Find the task type of records, predictions and exports of earlier versions, which do not name one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from harness.task_types.base import TaskType
from harness.task_types.classification import Classification
from harness.task_types.masked_lm import MaskedLanguageModelling
from harness.task_types.regression import Regression
from harness.task_types.tagging import Tagging
from harness.values import SCORE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.featurise.featuriser import Featuriser


def of_arrays(classes: Sequence[str], labels: NDArray[Any] | None) -> TaskType:
    """Return the type of examples with one row for each text, from their classes and labels."""
    if not classes:
        return MaskedLanguageModelling()
    if tuple(classes) == SCORE or (labels is not None and labels.dtype.kind == "f" and labels.ndim == 1):
        return Regression()
    return Classification()


def of_metrics(names: Collection[str]) -> TaskType:
    """Return the type of a record from the names of its metrics; each type has its own first metric."""
    for name, task_type in (
        ("perplexity", MaskedLanguageModelling),
        ("pearson", Regression),
        ("f1", Tagging),
    ):
        if name in names:
            return task_type()
    return Classification()


def of_prediction(numbers: bool, lengths: bool, scale: bool) -> TaskType:
    """Return the type of a row of ``predictions.parquet`` from its non-empty columns."""
    if scale:
        return MaskedLanguageModelling()
    if lengths:
        return Tagging()
    return Regression() if numbers else Classification()


def of_export(featuriser: Featuriser, classes: Sequence[str]) -> TaskType:
    """Return the type of an export from its classes and from what its featuriser marks."""
    marks = type(featuriser).marks
    if marks == "masks":
        return MaskedLanguageModelling()
    if marks == "words":
        return Tagging()
    return Regression() if tuple(classes) == SCORE else Classification()
