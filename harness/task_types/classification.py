"""Classification: each text has one class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from harness.task_types.base import (
    Answers,
    Asked,
    ClassWeights,
    Cleaned,
    Examples,
    Metric,
    Overview,
    Prediction,
    Scores,
    Shipped,
    TaskType,
    Watched,
    ranked,
    softmax,
)
from harness.values import SPLITS, Batch, HarnessError, Model, numbers_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray
    from torch import Tensor

TINY = ("sun", "rain", "wind", "snow")  # topics of the texts that components are checked with
SHAPES = ("the {} is here", "so much {} today !", "i like {} and more {}", "{}", "no {} , she said", "a {}")


@dataclass(frozen=True)
class Classification(TaskType):
    """Classification: one class for each text."""

    name = "classification"
    headline = "accuracy"
    beside = ("accuracy", "f1_macro")
    metrics: ClassVar[Mapping[str, Metric]] = {
        "f1_macro": Metric("macro F1"),
        "f1": Metric("F1"),
        "matthews": Metric(low=-1.0),
        "nll": Metric("negative log-likelihood", lower_is_better=True, high=float("inf")),
        "ece": Metric("calibration error", lower_is_better=True),
    }
    legend = (
        "macro F1: the mean of the classes' F1, so that a small class counts as much as a large one. F1 is "
        "the harmonic mean of recall (the share of a class's texts that are found) and precision (the share "
        "of the answers with that class that are right)."
    )
    call = "label"
    pipeline = "text-classification"
    problem = "single_label_classification"
    diagnosed = "accuracy"

    positive: str = ""  # the class whose F1 is the metric "f1", if there are two classes; "": none

    # -- data ----------------------------------------------------------------------------------------------

    def problems(self, tables: Mapping[str, pa.Table]) -> Iterator[str]:
        """Yield each rule that the columns, labels or classes of a task's tables break."""
        yield from labelled_problems(tables, "strings")
        labels = {split: set(tables[split]["label"].to_pylist()) - {None} for split in SPLITS}
        if len(labels["train"]) < 2:
            yield "table 'train' must have at least two classes"
        for split in SPLITS[1:]:
            if extra := sorted(labels[split] - labels["train"]):
                yield f"table '{split}' must have only labels of 'train', got also {extra}"

    def clean(self, table: pa.Table) -> Cleaned:
        """Return the rows that have a text and a label; labels are strings."""
        return clean_labelled(table)

    def number(
        self, task: str, labels: Mapping[str, Sequence[Any]]
    ) -> tuple[tuple[str, ...], Mapping[str, Sequence[Any]]]:
        """Return the sorted classes of the training split, and the number of each label.

        Raise HarnessError if training has fewer than two classes, or if another split has further labels.
        """
        classes = tuple(sorted(set(labels["train"])))
        if len(classes) < 2:
            raise HarnessError(
                f"the training split of task '{task}' must have at least two classes, got only '{classes[0]}'"
            )
        numbers = {name: number for number, name in enumerate(classes)}
        for split in SPLITS[1:]:
            unknown = Counter(label for label in labels[split] if label not in numbers)
            if unknown:
                listed = ", ".join(f"'{label}' ({count} rows)" for label, count in unknown.most_common(5))
                raise HarnessError(
                    f"split '{split}' of task '{task}' has labels that are not in training: {listed}; "
                    f"expected: {', '.join(classes[:20])}"
                )
        return classes, {split: [numbers[label] for label in every] for split, every in labels.items()}

    def stored(self) -> pa.DataType:
        """Return the Arrow type int32: the number of the class, or -1 if there is no label."""
        import pyarrow as pa

        return pa.int32()

    def labels(self, column: pa.ChunkedArray, classes: Sequence[str]) -> NDArray[Any]:
        """Return the numbers of classes, (N,) int64; -1 for a text without a label."""
        return numbers_of(column).astype("int64")

    def gold(self, train: Examples) -> Callable[[int, str], Any]:
        """Return a function that gives a new text the label of its training text."""
        labels = train.labels
        assert labels is not None
        return lambda row, text: labels[row] if row >= 0 else -1

    def named(self, examples: Examples) -> list[tuple[str, ...]]:
        """Return the name of each text's class."""
        assert examples.labels is not None
        return [(examples.classes[number],) for number in examples.labels.tolist()]

    def overview(self, labels: Sequence[Any], where: str) -> Overview:
        """Return the number of classes and the largest one."""
        counts = Counter(labels)
        if len(counts) < 2:
            raise HarnessError(
                f"expected at least two classes in {where}, got only {next(iter(counts))!r}; name another "
                "column with --label"
            )
        if len(counts) > len(labels) / 5:
            raise HarnessError(
                f"{where} has {len(counts)} different values in {len(labels)} rows, too many for classes; "
                "name another column with --label"
            )
        largest, most = counts.most_common(1)[0]
        told = f"{len(counts)} classes (largest: {largest}, {most / len(labels):.0%})"
        return Overview(len(counts), counts, told)

    # -- learning ------------------------------------------------------------------------------------------

    def watch(self, asked: Asked, examples: Examples) -> Watched:
        """Return the accuracy on the validation set."""
        accuracy = float((asked.logits().argmax(axis=1) == examples.labels).mean())
        return Watched(accuracy, "validation_accuracy", accuracy)

    def row_weights(
        self, examples: Examples, how: ClassWeights, device: Any
    ) -> Callable[[Tensor | None, Tensor | None], Tensor] | None:
        """Return weights by gold class, or by the teacher's class for a row without a gold label."""
        return weights_by_class(examples, how, device)

    def gold_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the mean cross-entropy with the gold labels."""
        return cross_entropy(logits, batch)

    def targets(self, examples: Examples) -> tuple[NDArray[np.bool_], NDArray[np.float64]] | None:
        """Return which rows have a target, and the probabilities of the classes, (M, C)."""
        import numpy as np

        if examples.logits is not None:
            every = np.ones(len(examples.logits), dtype=bool)
            return every, softmax(examples.logits.astype(np.float64))
        if examples.labels is None:
            return None
        known = examples.labels >= 0
        return known, np.eye(len(examples.classes))[examples.labels[known]]

    def average(self, logits: Sequence[NDArray[np.float64]], shares: Sequence[float]) -> NDArray[np.float64]:
        """Return the logarithm of the members' mean probabilities."""
        return mean_log_probabilities(logits, shares)

    # -- scoring -------------------------------------------------------------------------------------------

    def score(self, answers: Answers, examples: Examples) -> dict[str, Any]:
        """Return the metrics of :func:`harness.task_types.label_scores.classification`."""
        from harness.task_types.label_scores import classification

        assert examples.labels is not None
        return classification(examples.labels, answers["logits"], examples.classes, self.positive)

    def agreement(self, answers: Answers, teacher: Answers) -> float:
        """Return the share of texts for which model and teacher predict the same class."""
        return same_largest(answers["logits"], teacher["logits"])

    # -- keeping and testing -------------------------------------------------------------------------------

    def prediction(self, answers: Answers, examples: Examples) -> Prediction | None:
        """Return the predicted classes and their probabilities; None for more than 32,767 classes."""
        return class_prediction(self, answers["logits"], examples, None, self.positive)

    def on_resamples(self, one: Prediction) -> Mapping[str, Scores]:
        """Return accuracy, F1, precision, recall and Matthews correlation."""
        from harness.task_types.label_scores import ON_RESAMPLES

        return {name: score for name, score in ON_RESAMPLES.items() if name != "f1" or one.positive >= 0}

    def stack(self, predictions: Sequence[Prediction]) -> tuple[Any, int]:
        """Return the predicted and gold classes of the texts with a gold label."""
        import numpy as np

        from harness.task_types.label_scores import Cells

        first = predictions[0]
        known = first.gold >= 0
        predicted = np.stack([one.predicted for one in predictions])
        return Cells(predicted[:, known], first.gold[known], first.positive), int(known.sum())

    def hits(self, metric: str, stacked: Any) -> NDArray[np.bool_] | None:
        """Return which texts are right if `metric` is the accuracy or a micro average, which equals it."""
        from harness.task_types.label_scores import ACCURACIES

        return stacked.predicted == stacked.gold if metric in ACCURACIES else None

    # -- shipping ------------------------------------------------------------------------------------------

    def short(self, model: Shipped) -> Callable[[str], str]:
        """Return a function from one text to the name of its class."""
        classes, single, encode = model.classes, model.single, model.featuriser.encode
        return lambda text: classes[single(encode((text,))[0]).argmax()]

    def answers(self, model: Shipped, texts: Sequence[str], top: int | None) -> list[dict[str, Any]]:
        """Return `label`, its probability `score` and, if `top` is above 1, the `top` labels."""
        import numpy as np

        count = top or 1
        scores = softmax(model.predict(texts).astype(np.float64))
        return [
            {**best[0], **({"top": best} if count > 1 else {})}
            for best in ranked(scores, model.classes, count, "label")
        ]

    def parity(self, model: Model, examples: Examples) -> Callable[[Any], dict[str, Any]]:
        """Return a function that compares predictions and accuracy."""
        import numpy as np

        from harness.task_types.differences import outputs_differ

        labels = examples.labels
        assert labels is not None
        before = model.predict(examples.texts)
        decided = model.decide(examples.texts, before)
        known = labels >= 0

        def compare(form: Any) -> dict[str, Any]:
            after = form.predict(examples.texts)
            decides = form.decide(examples.texts, after)
            right = [(each == labels)[known] for each in (decided, decides)]
            count = max(1, len(right[0]))
            old, new = (float(each.sum() / count) for each in right)
            # Only texts on which one is right and the other wrong show a difference (McNemar, 1947).
            error = float(np.sqrt((right[0] != right[1]).sum()) / count)
            found = outputs_differ(examples, (before, decided), (after, decides))
            return {**found, "score": new, "lost": old - new, "error": error}

        return compare

    # -- checking ------------------------------------------------------------------------------------------

    def tiny(self) -> tuple[Examples, Examples]:
        """Return examples of three classes; the last training text has no label."""
        return self.tiny_of(3)

    def tinier(self) -> Iterator[tuple[Examples, Examples]]:
        """See :class:`TaskType`: two classes, for which some models have one output."""
        yield self.tiny_of(2)

    def tiny_of(self, classes: int) -> tuple[Examples, Examples]:
        """Return examples of up to four classes: 10 training and 4 validation texts for each class."""
        import numpy as np

        topics = TINY[:classes]
        names = tuple(f"it's {topic}" for topic in topics)

        def part(times: Sequence[str], training: bool) -> Examples:
            texts, labels = topical(topics, times, training)
            gold = np.array(labels, dtype=np.int64)
            logits = np.where(gold[:, None] == np.arange(classes), 2.0, -1.0).astype(np.float32)
            if training:
                gold[-1] = -1
            return Examples(texts, names, gold, logits if training else None, task_type=self)

        return part(("again", "in may"), True), part(("now", "then"), False)

    def table(self, examples: Examples) -> pa.Table:
        """See :class:`TaskType`: names of classes, null for a text without a label."""
        import pyarrow as pa

        assert examples.labels is not None
        names = [examples.classes[number] if number >= 0 else None for number in examples.labels.tolist()]
        return pa.table({"text": list(examples.texts), "label": pa.array(names, pa.string())})

    def draw_labels(self, rows: int, unlabelled: bool, generator: Any) -> Tensor:
        """Return labels of three classes, some of them -1 (missing)."""
        import torch

        labels = torch.randint(0, 3, (rows,), generator=generator)
        labels[0 if unlabelled else rows // 2 + 1 :] = -1
        return labels


# -- what other types share --------------------------------------------------------------------------------


def labelled_problems(tables: Mapping[str, pa.Table], labels: str) -> Iterator[str]:
    """Yield each rule that tables of texts and labels break; `labels` names the labels' type."""
    import pyarrow as pa

    for name, table in tables.items():
        for column in ("text",) if name == "unlabelled" else ("text", "label"):
            if column not in table.column_names:
                yield f"table '{name}' must have the column '{column}'"
                continue
            kind = table.schema.field(column).type
            string = pa.types.is_string(kind) or pa.types.is_large_string(kind)
            number = pa.types.is_floating(kind) or pa.types.is_integer(kind)
            wanted = labels if column == "label" else "strings"
            if not (number if wanted == "numbers" else string):
                yield f"column '{column}' of table '{name}' must contain {wanted}, got {kind}"
        if table.num_rows == 0:
            yield f"table '{name}' must have rows"


def clean_labelled(table: pa.Table) -> Cleaned:
    """Return the rows that have a text and a label, with labels as strings."""
    texts: list[str] = []
    labels: list[str] = []
    dropped: Counter[str] = Counter()
    for text, label in zip(table["text"].to_pylist(), table["label"].to_pylist(), strict=True):
        label = "" if label is None or label != label else str(label)  # a missing number may be NaN
        if not text or not text.strip():
            dropped["the text is empty"] += 1
        elif not label.strip():
            dropped["the label is empty"] += 1
        else:
            texts.append(text)
            labels.append(label)
    return Cleaned(texts, labels, dict(dropped))


def cross_entropy(logits: Tensor, batch: Batch) -> Tensor:
    """Return the mean cross-entropy with gold labels, (); 0 if no row has a label."""
    from torch.nn import functional

    assert batch.labels is not None
    reduction = "sum" if batch.weights is None else "none"
    losses = functional.cross_entropy(logits, batch.labels, ignore_index=-1, reduction=reduction)
    weights = 1.0 if batch.weights is None else batch.weights
    return (losses * weights).sum() / (batch.labels >= 0).sum().clamp_min(1)


def weights_by_class(
    examples: Examples, how: ClassWeights, device: Any
) -> Callable[[Tensor | None, Tensor | None], Tensor] | None:
    """Return the function for :meth:`TaskType.row_weights`, for rows with one class each.

    The weights average 1 over the labelled rows.
    """
    import numpy as np
    import torch

    if how == "uniform" or examples.labels is None:
        return None
    labels = examples.labels[examples.labels >= 0]
    counts = np.bincount(labels, minlength=len(examples.classes)).astype(np.float64)
    wanted = np.divide(1.0, counts, out=np.zeros_like(counts), where=counts > 0)
    if how == "square-root":
        wanted = np.sqrt(wanted)
    mean = (wanted * counts).sum() / max(1.0, counts.sum())
    if not mean:
        return None
    weights = torch.from_numpy((wanted / mean).astype(np.float32)).to(device)

    def of_rows(gold: Tensor | None, teacher: Tensor | None) -> Tensor:
        assert gold is not None
        if teacher is not None:
            return weights[torch.where(gold >= 0, gold, teacher.argmax(1))]
        found = weights[gold.clamp(min=0)]
        return torch.where(gold >= 0, found, torch.ones_like(found))

    return of_rows


def same_largest(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Return the share of rows for which two models have the largest logit in the same class."""
    if one.shape != other.shape or not len(one):
        raise ValueError(f"cannot compare outputs of shapes {one.shape} and {other.shape}")
    return float((one.argmax(axis=1) == other.argmax(axis=1)).mean())


def mean_log_probabilities(
    logits: Sequence[NDArray[np.float64]], shares: Sequence[float]
) -> NDArray[np.float64]:
    """Return the logarithm of mean probabilities (R, C), ignoring a member's rows of zeros."""
    import numpy as np

    total = np.full_like(logits[0], -np.inf)
    heard = np.zeros((len(logits[0]), 1))
    for each, share in zip(logits, shares, strict=True):
        says = each.any(axis=1, keepdims=True)
        heard = heard + share * says
        shifted = each - each.max(axis=1, keepdims=True)
        logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        total = np.logaddexp(total, np.where(says, logs + np.log(share), -np.inf))
    shares_heard = np.where(heard, heard, 1.0)
    return np.where(heard, total - np.log(shares_heard), 0.0)


def class_prediction(
    task_type: TaskType,
    logits: NDArray[Any],
    examples: Examples,
    decided: NDArray[Any] | None,
    positive: str = "",
) -> Prediction | None:
    """Return the classes to store: those `decided`, or those with the largest logits (R, C)."""
    import numpy as np

    gold = examples.labels
    if gold is None or logits.ndim != 2 or gold.shape != (len(logits),):
        return None
    if not np.isfinite(logits.max(axis=1)).all():
        return None
    if logits.shape[1] > np.iinfo(np.int16).max:  # int16 would turn them into other classes
        return None
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    answers = np.asarray(logits.argmax(axis=1) if decided is None else decided, dtype=np.int16)
    mine = np.take_along_axis(shifted, answers[:, None].astype(np.int64), axis=1)[:, 0]
    sure = (np.exp(mine) / np.exp(shifted).sum(axis=1)).astype(np.float32)
    chosen = examples.classes.index(positive) if positive in examples.classes else -1
    return Prediction(answers, sure, gold.astype(np.int16), task_type, tuple(examples.classes), chosen)


def topical(topics: Sequence[str], times: Sequence[str], training: bool) -> tuple[list[str], list[int]]:
    """Return texts about topics, to check components with, and the numbers of their topics."""
    rows = [
        (f"{shape.format(topic, topic)} {time}", number)
        for time in times
        for shape in SHAPES[: 5 if training else 2]
        for number, topic in enumerate(topics)
    ]
    return [text for text, _ in rows], [number for _, number in rows]
