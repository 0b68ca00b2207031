"""Regression: each text has one number."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from harness.task_types.base import (
    Answers,
    Asked,
    Cleaned,
    Examples,
    Metric,
    Prediction,
    Scores,
    Shipped,
    TaskType,
    Watched,
)
from harness.task_types.classification import TINY, clean_labelled, labelled_problems, topical
from harness.values import SCORE, SPLITS, Batch, HarnessError, Model

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray
    from torch import Tensor

_LARGE = 20.0  # root mean square of scores; larger ones take more steps to reach than most trainings have


@dataclass(frozen=True)
class Regression(TaskType):
    """One number for each text; models have one output, and the one "class" is named SCORE."""

    name = "regression"
    headline = "pearson"
    beside = ("spearman",)
    metrics: ClassVar[Mapping[str, Metric]] = {
        "pearson": Metric(low=-1.0),
        "spearman": Metric(low=-1.0),
        "mse": Metric(lower_is_better=True, high=math.inf),
        "mae": Metric(lower_is_better=True, high=math.inf),
    }
    call = "label"
    column = "numbers"

    # -- data ----------------------------------------------------------------------------------------------

    def problems(self, tables: Mapping[str, pa.Table]) -> Iterator[str]:
        """See :class:`TaskType`."""
        yield from labelled_problems(tables, "numbers")
        if len(set(tables["train"]["label"].to_pylist()) - {None}) < 2:
            yield "training must have two scores or more"

    def clean(self, table: pa.Table) -> Cleaned:
        """See :class:`TaskType`."""
        return clean_labelled(table)

    def number(
        self, task: str, labels: Mapping[str, Sequence[Any]]
    ) -> tuple[tuple[str, ...], Mapping[str, Sequence[Any]]]:
        """See :class:`TaskType`: SCORE, and each label as a number."""
        scores = {split: [_number(task, split, label) for label in labels[split]] for split in SPLITS}
        if len(set(scores["train"])) < 2:
            only = f"{scores['train'][0]:g}"
            raise HarnessError(f"the training split of task '{task}' has one score only: {only}")
        return SCORE, scores

    def stored(self) -> pa.DataType:
        """See :class:`TaskType`: the score, NaN for none."""
        import pyarrow as pa

        return pa.float32()

    def labels(self, column: pa.ChunkedArray, classes: Sequence[str]) -> NDArray[Any]:
        """See :class:`TaskType`: (N,) float32, NaN for a text without a score."""
        import numpy as np

        return np.asarray(column.to_numpy(), dtype=np.float32)

    def gold(self, train: Examples) -> Callable[[int, str], Any]:
        """See :class:`TaskType`: the score of the training text."""
        labels = train.labels
        assert labels is not None
        return lambda row, text: labels[row] if row >= 0 else math.nan

    # -- learning ------------------------------------------------------------------------------------------

    def cautions(self, examples: Examples) -> Iterator[str]:
        """See :class:`TaskType`: outputs begin near 0, and would not reach scores in the thousands."""
        import numpy as np

        given = examples.labels if examples.labels is not None else examples.logits
        targets = np.asarray(given, dtype=np.float64)
        known = targets[np.isfinite(targets)]
        size = math.sqrt(np.square(known).mean()) if len(known) else 0.0
        if size > _LARGE:
            yield (
                f"cannot learn scores with a root mean square of {size:.4g} well: standardise them in the "
                "data (subtract their mean, divide by their standard deviation)"
            )

    def watch(self, asked: Asked, examples: Examples) -> Watched:
        """See :class:`TaskType`: the mean squared error."""
        import numpy as np

        assert examples.labels is not None
        error = float(np.nanmean((asked.logits()[:, 0] - examples.labels) ** 2))
        return Watched(-error, "validation_mse", error)

    def gold_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """See :class:`TaskType`: the mean squared error."""
        assert batch.labels is not None
        known = batch.labels.isfinite()
        errors = logits[:, 0] * known - batch.labels.nan_to_num()
        weights = 1.0 if batch.weights is None else batch.weights
        return (errors.square() * weights).sum() / known.sum().clamp_min(1)

    def targets(self, examples: Examples) -> tuple[NDArray[np.bool_], NDArray[np.float64]] | None:
        """See :class:`TaskType`: (M, 1), scores."""
        import numpy as np

        if examples.logits is not None:
            return np.ones(len(examples.logits), dtype=bool), examples.logits.astype(np.float64)
        if examples.labels is None:
            return None
        known = np.isfinite(examples.labels)
        return known, examples.labels[known, None]

    def average(self, logits: Sequence[NDArray[np.float64]], shares: Sequence[float]) -> NDArray[np.float64]:
        """See :class:`TaskType`: the mean of scores."""
        import numpy as np

        total = np.zeros_like(logits[0])
        for each, share in zip(logits, shares, strict=True):
            total = total + share * each
        return total / sum(shares)

    # -- scoring -------------------------------------------------------------------------------------------

    def score(self, answers: Answers, examples: Examples) -> dict[str, Any]:
        """See :class:`TaskType` and :func:`harness.task_types.number_scores.regression`."""
        from harness.task_types.number_scores import regression

        assert examples.labels is not None
        return regression(examples.labels, answers["logits"])

    def agreement(self, answers: Answers, teacher: Answers) -> float:
        """See :class:`TaskType`: the correlation of the scores."""
        from harness.task_types.number_scores import correlation

        one, other = answers["logits"], teacher["logits"]
        if one.shape != other.shape or not len(one):
            raise ValueError(f"cannot compare outputs of shapes {one.shape} and {other.shape}")
        return correlation(one[:, 0], other[:, 0])

    # -- keeping and testing -------------------------------------------------------------------------------

    def prediction(self, answers: Answers, examples: Examples) -> Prediction | None:
        """See :class:`TaskType`."""
        import numpy as np

        logits, gold = answers["logits"], examples.labels
        if gold is None or logits.ndim != 2 or gold.shape != (len(logits),) or not np.isfinite(logits).all():
            return None
        empty = np.zeros(0, np.float32)
        return Prediction(logits[:, 0].astype(np.float32), empty, gold.astype(np.float32), self)

    def on_resamples(self, one: Prediction) -> Mapping[str, Scores]:
        """See :class:`TaskType`."""
        from harness.task_types.number_scores import ON_RESAMPLES

        return ON_RESAMPLES

    def stack(self, predictions: Sequence[Prediction]) -> tuple[Any, int]:
        """See :class:`TaskType`: the texts with a gold score."""
        import numpy as np

        from harness.task_types.number_scores import Cells

        gold = predictions[0].gold
        known = np.isfinite(gold)
        return Cells(np.stack([one.predicted for one in predictions])[:, known], gold[known]), int(
            known.sum()
        )

    # -- shipping ------------------------------------------------------------------------------------------

    def short(self, model: Shipped) -> Callable[[str], str]:
        """See :class:`TaskType`."""
        classes, single, encode = model.classes, model.single, model.featuriser.encode
        return lambda text: classes[single(encode((text,))[0]).argmax()]

    def answers(self, model: Shipped, texts: Sequence[str], top: int | None) -> list[dict[str, Any]]:
        """See :class:`TaskType`: the predicted `score`."""
        import numpy as np

        return [{"score": float(score)} for score in model.predict(texts).astype(np.float64)[:, 0]]

    def parity(self, model: Model, examples: Examples) -> Callable[[Any], dict[str, Any]]:
        """See :class:`TaskType`: the score is the correlation with gold scores."""
        import numpy as np

        from harness.task_types.differences import outputs_differ
        from harness.task_types.number_scores import correlation

        labels = examples.labels
        assert labels is not None
        known = ~np.isnan(labels)
        before = model.predict(examples.texts)
        decided = model.decide(examples.texts, before)

        def compare(form: Any) -> dict[str, Any]:
            after = form.predict(examples.texts)
            decides = form.decide(examples.texts, after)
            old, new = (correlation(labels[known], logits[known, 0]) for logits in (before, after))
            found = outputs_differ(examples, (before, decided), (after, decides))
            return {**found, "score": new, "lost": old - new, "error": 0.0}

        return compare

    # -- checking ------------------------------------------------------------------------------------------

    def tiny(self) -> tuple[Examples, Examples]:
        """See :class:`TaskType`: the texts of three topics, with scores; one has none."""
        import numpy as np

        def part(times: Sequence[str], training: bool) -> Examples:
            texts, topics = topical(TINY[:3], times, training)
            gold = np.array([1.5 * topic for topic in topics], dtype=np.float32)
            logits = gold[:, None] + np.float32(0.25)
            if training:
                gold[-1] = np.nan
            return Examples(texts, SCORE, gold, logits if training else None, task_type=self)

        return part(("again", "in may"), True), part(("now", "then"), False)

    def table(self, examples: Examples) -> pa.Table:
        """See :class:`TaskType`: scores, null for a text without one."""
        import pyarrow as pa

        assert examples.labels is not None
        scores = [None if score != score else score for score in examples.labels.tolist()]
        return pa.table({"text": list(examples.texts), "label": pa.array(scores, pa.float64())})

    def draw_labels(self, rows: int, unlabelled: bool, generator: Any) -> Tensor:
        """See :class:`TaskType`: of three scores."""
        import torch

        labels = torch.randint(0, 3, (rows,), generator=generator).float()
        labels[0 if unlabelled else rows // 2 + 1 :] = torch.nan
        return labels


def _number(task: str, split: str, label: str) -> float:
    try:
        if math.isfinite(number := float(label)):
            return number
    except ValueError:
        pass
    raise HarnessError(f"split '{split}' of task '{task}' has a label that is not a number: {label!r}")
