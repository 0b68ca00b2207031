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
from harness.values import SCORE, SPLITS, Batch, HarnessError, Model, numbers_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray
    from torch import Tensor

_LARGE = 20.0  # root mean square of scores; larger ones need more steps than most trainings have


@dataclass(frozen=True)
class Regression(TaskType):
    """Regression: one number for each text. Models have one output, and the single class is SCORE."""

    name = "regression"
    headline = "pearson"
    beside = ("spearman",)
    metrics: ClassVar[Mapping[str, Metric]] = {
        "pearson": Metric(low=-1.0),
        "spearman": Metric(low=-1.0),
        "mse": Metric(lower_is_better=True, high=math.inf),
        "mae": Metric(lower_is_better=True, high=math.inf),
    }
    call = "answer"
    pipeline = "text-classification"
    problem = "regression"
    column = "numbers"

    # -- data ----------------------------------------------------------------------------------------------

    def problems(self, tables: Mapping[str, pa.Table]) -> Iterator[str]:
        """Yield each rule that the columns or scores of a task's tables break."""
        yield from labelled_problems(tables, "numbers")
        if len(set(tables["train"]["label"].to_pylist()) - {None}) < 2:
            yield "table 'train' must have at least two scores"

    def clean(self, table: pa.Table) -> Cleaned:
        """Return the rows that have a text and a score."""
        return clean_labelled(table)

    def number(
        self, task: str, labels: Mapping[str, Sequence[Any]]
    ) -> tuple[tuple[str, ...], Mapping[str, Sequence[Any]]]:
        """Return the class SCORE, and each label as a number.

        Raise HarnessError for a label that is not a number, or if all training scores are equal.
        """
        scores = {split: [_number(task, split, label) for label in labels[split]] for split in SPLITS}
        if len(set(scores["train"])) < 2:
            only = f"{scores['train'][0]:g}"
            raise HarnessError(
                f"the training split of task '{task}' must have at least two scores, got only {only}"
            )
        return SCORE, scores

    def stored(self) -> pa.DataType:
        """Return the Arrow type float32: the score, or NaN if there is none."""
        import pyarrow as pa

        return pa.float32()

    def labels(self, column: pa.ChunkedArray, classes: Sequence[str]) -> NDArray[Any]:
        """Return the scores, (N,) float32; NaN for a text without a score."""
        return numbers_of(column).astype("float32")

    def gold(self, train: Examples) -> Callable[[int, str], Any]:
        """Return a function that gives a new text the score of its training text."""
        labels = train.labels
        assert labels is not None
        return lambda row, text: labels[row] if row >= 0 else math.nan

    # -- learning ------------------------------------------------------------------------------------------

    def cautions(self, examples: Examples) -> Iterator[str]:
        """Yield a warning if scores are so large that outputs, which start near 0, cannot reach them."""
        import numpy as np

        given = examples.labels if examples.labels is not None else examples.logits
        targets = np.asarray(given, dtype=np.float64)
        known = targets[np.isfinite(targets)]
        size = math.sqrt(np.square(known).mean()) if len(known) else 0.0
        if size > _LARGE:
            yield (
                f"cannot learn scores with a root mean square of {size:.4g} well; standardise them in the "
                "data (subtract their mean, divide by their standard deviation)"
            )

    def watch(self, asked: Asked, examples: Examples) -> Watched:
        """Return the mean squared error on the validation set; its score is the negative."""
        import numpy as np

        assert examples.labels is not None
        error = float(np.nanmean((asked.logits()[:, 0] - examples.labels) ** 2))
        return Watched(-error, "validation_mse", error)

    def gold_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the mean squared error to the gold scores."""
        assert batch.labels is not None
        known = batch.labels.isfinite()
        errors = logits[:, 0] * known - batch.labels.nan_to_num()
        weights = 1.0 if batch.weights is None else batch.weights
        return (errors.square() * weights).sum() / known.sum().clamp_min(1)

    def targets(self, examples: Examples) -> tuple[NDArray[np.bool_], NDArray[np.float64]] | None:
        """Return which rows have a target, and the scores, (M, 1)."""
        import numpy as np

        if examples.logits is not None:
            return np.ones(len(examples.logits), dtype=bool), examples.logits.astype(np.float64)
        if examples.labels is None:
            return None
        known = np.isfinite(examples.labels)
        return known, examples.labels[known, None]

    def average(self, logits: Sequence[NDArray[np.float64]], shares: Sequence[float]) -> NDArray[np.float64]:
        """Return the weighted mean of the members' scores."""
        import numpy as np

        total = np.zeros_like(logits[0])
        for each, share in zip(logits, shares, strict=True):
            total = total + share * each
        return total / sum(shares)

    # -- scoring -------------------------------------------------------------------------------------------

    def score(self, answers: Answers, examples: Examples) -> dict[str, Any]:
        """Return the metrics of :func:`harness.task_types.number_scores.regression`."""
        from harness.task_types.number_scores import regression

        assert examples.labels is not None
        return regression(examples.labels, answers["logits"])

    def agreement(self, answers: Answers, teacher: Answers) -> float:
        """Return the Pearson correlation of model's and teacher's scores."""
        from harness.task_types.number_scores import correlation

        one, other = answers["logits"], teacher["logits"]
        if one.shape != other.shape or not len(one):
            raise ValueError(f"cannot compare outputs of shapes {one.shape} and {other.shape}")
        return correlation(one[:, 0], other[:, 0])

    # -- keeping and testing -------------------------------------------------------------------------------

    def prediction(self, answers: Answers, examples: Examples) -> Prediction | None:
        """Return the predicted and gold scores; None if a prediction is not finite."""
        import numpy as np

        logits, gold = answers["logits"], examples.labels
        if gold is None or logits.ndim != 2 or gold.shape != (len(logits),) or not np.isfinite(logits).all():
            return None
        empty = np.zeros(0, np.float32)
        return Prediction(logits[:, 0].astype(np.float32), empty, gold.astype(np.float32), self)

    def on_resamples(self, one: Prediction) -> Mapping[str, Scores]:
        """Return the correlations, and the mean squared and absolute errors."""
        from harness.task_types.number_scores import ON_RESAMPLES

        return ON_RESAMPLES

    def stack(self, predictions: Sequence[Prediction]) -> tuple[Any, int]:
        """Return the predicted and gold scores of the texts with a gold score."""
        import numpy as np

        from harness.task_types.number_scores import Cells

        gold = predictions[0].gold
        known = np.isfinite(gold)
        return Cells(np.stack([one.predicted for one in predictions])[:, known], gold[known]), int(
            known.sum()
        )

    # -- shipping ------------------------------------------------------------------------------------------

    def unfit(self, classes: Sequence[str]) -> str:
        """Return why a model cannot have these classes: it has one output."""
        return (
            "" if len(classes) == 1 else f"a model for regression has one output, got {len(classes)} labels"
        )

    def short(self, model: Shipped) -> Callable[[str], float]:
        """Return a function from one text to its number."""
        single, encode = model.single, model.featuriser.encode
        return lambda text: float(single(encode((text,))[0])[0])

    def answers(self, model: Shipped, texts: Sequence[str], top: int | None) -> list[dict[str, Any]]:
        """Return the predicted `score` of each text."""
        import numpy as np

        return [{"score": float(score)} for score in model.predict(texts).astype(np.float64)[:, 0]]

    def parity(self, model: Model, examples: Examples) -> Callable[[Any], dict[str, Any]]:
        """Return a function that compares outputs, and the correlation with gold scores."""
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
        """Return texts about three topics with scores; the last training text has none."""
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
        """Return labels of three scores, some of them NaN (missing)."""
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
    raise HarnessError(f"expected numbers as labels in split '{split}' of task '{task}', got {label!r}")
