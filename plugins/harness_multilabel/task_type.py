"""The type of task in which a text has any number of labels, none of which excludes another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from harness import Batch, Examples, HarnessError, Interval, Model, TaskType
from harness.api import SPLITS
from harness.task_types.base import (
    DIGITS,
    ONE_ROW,
    Answers,
    Asked,
    ClassWeights,
    Cleaned,
    Metric,
    Overview,
    Prediction,
    Scores,
    Shipped,
    Watched,
)

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray
    from torch import Tensor

Rule = Literal["per-label", "shared", "fixed"]


@dataclass(frozen=True)
class MultiLabel(TaskType):
    """Any number of labels for each text; a label is given if its probability reaches a threshold.

    Logits (N, C) become probabilities by the logistic function. Thresholds are chosen on the validation set,
    and shipped with the model.
    """

    name = "multi-label"
    headline = "f1_macro"
    beside = ("f1_micro", "f1_samples", "map", "subset_accuracy", "hamming_loss")
    metrics: ClassVar[Mapping[str, Metric]] = {
        "f1_macro": Metric("macro F1"),
        "f1_micro": Metric("micro F1"),
        "f1_samples": Metric("samples F1"),
        "map": Metric("mAP"),
        "hamming_loss": Metric("Hamming loss", lower_is_better=True),
        "labels_per_text": Metric(high=float("inf")),
    }
    legend = (
        "With several labels for each text: macro F1 is the mean over labels, micro F1 counts all decisions, "
        "samples F1 is the mean over texts; mAP is the mean over labels of the average precision; subset "
        "accuracy is the share of texts whose labels are all right; Hamming loss is the share of wrong "
        "decisions. Thresholds were chosen on the validation set."
    )
    counted = ("label", "texts")
    fits = ONE_ROW  # components that give each text one row of numbers, whatever these mean
    tunes = True
    diagnosed = "f1_macro"

    thresholds: Rule = "per-label"  # one for each label, one for all, or `threshold`
    threshold: Annotated[float, Interval(gt=0, lt=1)] = 0.5  # for "fixed", and before any was chosen
    chosen: tuple[float, ...] = ()  # one for each label, chosen on the validation set

    # -- data ----------------------------------------------------------------------------------------------

    def problems(self, tables: Mapping[str, pa.Table]) -> Iterator[str]:
        """See :class:`harness.TaskType`."""
        import pyarrow as pa

        for name, table in tables.items():
            for column in ("text",) if name == "unlabelled" else ("text", "labels"):
                if column not in table.column_names:
                    yield f"table '{name}' must have the column '{column}'"
                    return
                kind = table.schema.field(column).type
                right = pa.types.is_list(kind) if column == "labels" else pa.types.is_string(kind)
                if not right:
                    wanted = "lists of strings" if column == "labels" else "strings"
                    yield f"column '{column}' of table '{name}' must hold {wanted}, not {kind}"
            if table.num_rows == 0:
                yield f"table '{name}' must have rows"
        labels = {
            split: {label for row in tables[split]["labels"].to_pylist() for label in row or ()}
            for split in SPLITS
        }
        if not labels["train"]:
            yield "training must have a label"
        for split in SPLITS[1:]:
            if extra := sorted(labels[split] - labels["train"]):
                yield f"'{split}' must have no label that training lacks, got {extra}"

    def clean(self, table: pa.Table) -> Cleaned:
        """See :class:`harness.TaskType`: a column ``labels`` of lists; an empty list: no label applies."""
        texts: list[str] = []
        labels: list[list[str]] = []
        dropped: Counter[str] = Counter()
        for text, given in zip(table["text"].to_pylist(), table["labels"].to_pylist(), strict=True):
            if not text or not text.strip():
                dropped["the text is empty"] += 1
            elif given is None:
                dropped["the labels are missing"] += 1
            else:
                texts.append(text)
                labels.append(sorted({label.strip() for label in given if label and label.strip()}))
        return Cleaned(texts, labels, dict(dropped))

    def number(
        self, task: str, labels: Mapping[str, Sequence[Any]]
    ) -> tuple[tuple[str, ...], Mapping[str, Sequence[Any]]]:
        """See :class:`harness.TaskType`: the labels of the training split, sorted, and their numbers."""
        classes = tuple(sorted({label for row in labels["train"] for label in row}))
        if not classes:
            raise HarnessError(f"the training split of task '{task}' has no label")
        numbers = {name: number for number, name in enumerate(classes)}
        for split in SPLITS[1:]:
            unknown = Counter(label for row in labels[split] for label in row if label not in numbers)
            if unknown:
                listed = ", ".join(f"'{label}' ({count} rows)" for label, count in unknown.most_common(5))
                raise HarnessError(
                    f"split '{split}' of task '{task}' has labels that training lacks: {listed}; "
                    f"training has: {', '.join(classes[:20])}"
                )
        return classes, {
            split: [[numbers[label] for label in row] for row in every] for split, every in labels.items()
        }

    def stored(self) -> pa.DataType:
        """See :class:`harness.TaskType`: the numbers of a text's labels; null if they are not known."""
        import pyarrow as pa

        return pa.list_(pa.int32())

    def labels(self, column: pa.ChunkedArray, classes: Sequence[str]) -> NDArray[Any]:
        """See :class:`harness.TaskType`: (N, C) float32 of 0 and 1, NaN for a text without gold labels."""
        import numpy as np
        from pyarrow import compute as pc

        lengths = np.asarray(pc.fill_null(pc.list_value_length(column), -1).to_numpy(), dtype=np.int64)
        found = np.zeros((len(column), len(classes)), dtype=np.float32)
        rows = np.repeat(np.arange(len(column)), np.maximum(lengths, 0))
        found[rows, np.asarray(pc.list_flatten(column).to_numpy(), dtype=np.int64)] = 1
        found[lengths < 0] = np.nan
        return found

    def gold(self, train: Examples) -> Callable[[int, str], Any]:
        """See :class:`harness.TaskType`: the labels of the training text."""
        import numpy as np

        labels = train.labels
        assert labels is not None

        def of(row: int, text: str) -> list[int] | None:
            if row < 0 or np.isnan(labels[row]).any():
                return None
            return np.flatnonzero(labels[row]).tolist()

        return of

    def named(self, examples: Examples) -> list[tuple[str, ...]]:
        """Return the labels of each text."""
        assert examples.labels is not None
        return [
            tuple(name for name, has in zip(examples.classes, row, strict=True) if has)
            for row in (examples.labels > 0.5).tolist()
        ]

    def overview(self, labels: Sequence[Any], where: str) -> Overview:
        """Return the number of labels, the most frequent one, and the mean number of labels of a text."""
        counts = Counter(label for row in labels for label in row)
        if not counts:
            raise HarnessError(f"expected labels in {where}, got none; name another column with --label")
        if len(counts) > len(labels) / 5:
            raise HarnessError(
                f"{where} has {len(counts)} different labels in {len(labels)} rows, too many to learn; "
                "name another column with --label"
            )
        largest, most = counts.most_common(1)[0]
        mean = counts.total() / len(labels)
        told = f"{len(counts)} labels, {mean:.2f} a text (most frequent: {largest}, {most / len(labels):.0%})"
        return Overview(len(counts), counts, told)

    # -- learning ------------------------------------------------------------------------------------------

    def watch(self, asked: Asked, examples: Examples) -> Watched:
        """Return the mean average precision, which needs no thresholds."""
        from harness_multilabel.scores import multilabel

        assert examples.labels is not None
        scores = sigmoid(asked.logits())
        value = float(multilabel(examples.labels, scores, scores >= 0.5, examples.classes)["map"])
        return Watched(value, "validation_map", value)

    def row_weights(
        self, examples: Examples, how: ClassWeights, device: Any
    ) -> Callable[[Tensor | None, Tensor | None], Tensor] | None:
        """See :class:`harness.TaskType`: the mean weight of a text's labels; rare labels weigh more."""
        import numpy as np
        import torch

        if how == "uniform" or examples.labels is None:
            return None
        known = examples.labels[np.isfinite(examples.labels).all(axis=1)]
        counts = known.sum(axis=0, dtype=np.float64)
        wanted = np.divide(1.0, counts, out=np.zeros_like(counts), where=counts > 0)
        if how == "square-root":
            wanted = np.sqrt(wanted)
        total = (wanted * counts).sum()
        if not total:
            return None
        weights = torch.from_numpy((wanted * counts.sum() / total).astype(np.float32)).to(device)

        def of_rows(gold: Tensor | None, teacher: Tensor | None) -> Tensor:
            assert gold is not None
            has = gold.nan_to_num() if teacher is None else torch.where(gold.isnan(), teacher.sigmoid(), gold)
            count = has.sum(1)
            return torch.where(count > 0, has @ weights / count.clamp_min(1e-6), torch.ones_like(count))

        return of_rows

    def gold_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """See :class:`harness.TaskType`: binary cross-entropy."""
        return binary_cross_entropy(logits, batch)

    def targets(self, examples: Examples) -> tuple[NDArray[np.bool_], NDArray[np.float64]] | None:
        """See :class:`harness.TaskType`: (M, 2C), the shares of having and of lacking each label."""
        import numpy as np

        if examples.logits is not None:
            known = np.ones(len(examples.logits), dtype=bool)
            scores = sigmoid(examples.logits)
        elif examples.labels is not None:
            known = np.isfinite(examples.labels).all(axis=1)
            scores = examples.labels[known].astype(np.float64)
        else:
            return None
        return known, np.concatenate([scores, 1 - scores], axis=1) / scores.shape[1]

    def average(self, logits: Sequence[NDArray[np.float64]], shares: Sequence[float]) -> NDArray[np.float64]:
        """See :class:`harness.TaskType`: the log-odds of mean probabilities."""
        import numpy as np

        total = sum(share * sigmoid(each) for each, share in zip(logits, shares, strict=True))
        mean = np.clip(np.asarray(total) / sum(shares), 1e-12, 1 - 1e-12)
        return np.log(mean / (1 - mean))

    # -- scoring -------------------------------------------------------------------------------------------

    def tuned(self, answers: Answers, validation: Examples) -> MultiLabel:
        """See :class:`harness.TaskType`: with the thresholds that are best on the validation set."""
        import numpy as np

        from harness_multilabel.thresholds import per_label, shared

        labels = validation.labels
        assert labels is not None
        known = np.isfinite(labels).all(axis=1)
        scores, gold = sigmoid(answers["logits"])[known], labels[known] > 0.5
        if self.thresholds == "fixed" or not len(gold):
            found = np.full(gold.shape[1], self.threshold)
        elif self.thresholds == "shared":
            found = np.full(gold.shape[1], shared(scores, gold))
        else:
            found = per_label(scores, gold)
        # Of a rare label the best threshold may be far below 0.0001, so digits are counted from the first.
        return replace(self, chosen=tuple(float(f"{value:.6g}") for value in found.tolist()))

    def settle(self, answers: Answers) -> Answers:
        """See :class:`harness.TaskType`: with the labels that are "decided", (N, C) uint8."""
        import numpy as np

        return {**answers, "decided": self._decided(answers["logits"]).astype(np.uint8)}

    def decide(self, model: Model, texts: Sequence[str], logits: NDArray[np.float32]) -> NDArray[Any]:
        """See :class:`harness.TaskType`: (N, C) bool, the labels whose probability reaches its threshold."""
        return self._decided(logits)

    def _decided(self, logits: NDArray[np.float32]) -> NDArray[np.bool_]:
        return logits >= self._cut(logits.shape[1])

    def _cut(self, count: int) -> NDArray[np.float32]:
        """Return the thresholds on the scale of logits, (C,)."""
        import numpy as np

        chosen = np.array(self.chosen or (self.threshold,) * count)
        return np.asarray(np.log(chosen / (1 - chosen)), dtype=np.float32)

    def score(self, answers: Answers, examples: Examples) -> dict[str, Any]:
        """See :class:`harness.TaskType` and :func:`harness_multilabel.scores.multilabel`."""
        from harness_multilabel.scores import multilabel

        assert examples.labels is not None
        scores, decided = sigmoid(answers["logits"]), answers["decided"].astype(bool)
        return multilabel(examples.labels, scores, decided, examples.classes)

    def agreement(self, answers: Answers, teacher: Answers) -> float:
        """See :class:`harness.TaskType`: the share of texts with the very same labels."""
        return float((answers["decided"] == teacher["decided"]).all(axis=1).mean())

    def confidence(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """See :class:`harness.TaskType`: the mean over labels."""
        import numpy as np

        scores = sigmoid(logits)
        return np.asarray(np.maximum(scores, 1 - scores).mean(axis=1))

    # -- keeping and testing -------------------------------------------------------------------------------

    def prediction(self, answers: Answers, examples: Examples) -> Prediction | None:
        """See :class:`harness.TaskType`: 0 or 1 for each text and label, text by text; -1: not known."""
        import numpy as np

        gold = examples.labels
        if gold is None or gold.shape != answers["decided"].shape:
            return None
        return Prediction(
            predicted=answers["decided"].astype(np.int16).ravel(),
            confidence=np.zeros(0, np.float32),
            gold=np.nan_to_num(gold, nan=-1).astype(np.int16).ravel(),
            task_type=self,
            classes=tuple(examples.classes),
        )

    def on_resamples(self, one: Prediction) -> Mapping[str, Scores]:
        """See :class:`harness.TaskType`."""
        from harness_multilabel.scores import ON_RESAMPLES

        return ON_RESAMPLES

    def stack(self, predictions: Sequence[Prediction]) -> tuple[Any, int]:
        """See :class:`harness.TaskType`: the texts with gold labels."""
        import numpy as np

        from harness_multilabel.scores import Decisions

        first = predictions[0]
        shape = -1, len(first.classes)
        gold = first.gold.reshape(shape)
        known = (gold >= 0).all(axis=1)
        found = np.stack([one.predicted.reshape(shape)[known] > 0 for one in predictions])
        return Decisions(found, gold[known] > 0), int(known.sum())

    def hits(self, metric: str, stacked: Any) -> NDArray[np.bool_] | None:
        """See :class:`harness.TaskType`."""
        return (stacked.found == stacked.right).all(axis=2) if metric == "subset_accuracy" else None

    # -- shipping ------------------------------------------------------------------------------------------

    def short(self, model: Shipped) -> Callable[[str], list[str]]:
        """See :class:`harness.TaskType`: the labels of one text."""
        classes, single, encode = model.classes, model.single, model.featuriser.encode
        cut = self._cut(len(classes))
        return lambda text: [classes[i] for i in (single(encode((text,))[0]) >= cut).nonzero()[0]]

    def answers(self, model: Shipped, texts: Sequence[str], top: int | None) -> list[dict[str, Any]]:
        """See :class:`harness.TaskType`: the `labels` of a text, the most probable first, and their `scores`.

        With `top`, also the most probable labels, whether or not they reach their thresholds.
        """
        import numpy as np

        logits = model.predict(texts)
        found = []
        for scores, given in zip(sigmoid(logits), self._decided(logits), strict=True):
            order = np.argsort(-scores, kind="stable")
            named = [
                {"label": model.classes[i], "score": round(float(scores[i]), DIGITS)} for i in order.tolist()
            ]
            labels = [one for one, i in zip(named, order.tolist(), strict=True) if given[i]]
            answer: dict[str, Any] = {
                "labels": [one["label"] for one in labels],
                "scores": [one["score"] for one in labels],
            }
            found.append(answer if top is None else {**answer, "top": named[:top]})
        return found

    def as_tsv(self, answer: Mapping[str, Any]) -> str:
        """See :class:`harness.TaskType`: the labels."""
        return "\t".join(" ".join(label.split()) for label in answer["labels"])

    def parity(self, model: Model, examples: Examples) -> Callable[[Any], dict[str, Any]]:
        """See :class:`harness.TaskType`: the score is micro F1, which a few texts can tell."""
        import numpy as np

        from harness.task_types.differences import outputs_differ

        labels = examples.labels
        assert labels is not None
        gold, known = labels > 0.5, np.isfinite(labels).all(axis=1)
        before = model.predict(examples.texts)
        decided = self._decided(before)

        def compare(form: Any) -> dict[str, Any]:
            after = form.predict(examples.texts)
            decides = self._decided(after)
            right = [2.0 * (each & gold)[known].sum(axis=1) for each in (decided, decides)]
            every = [
                (each.sum(axis=1) + gold.sum(axis=1))[known].astype(float) for each in (decided, decides)
            ]
            f1 = [float(a.sum() / max(1.0, b.sum())) for a, b in zip(right, every, strict=True)]
            # F1 is a ratio of sums over texts: what each text moves it by, to first order (the delta method).
            moved = [(a - f * b) / max(1.0, b.sum()) for a, b, f in zip(right, every, f1, strict=True)]
            error = float(np.sqrt(((moved[0] - moved[1]) ** 2).sum()))
            found = outputs_differ(examples, (before, decided), (after, decides))
            return {**found, "score": f1[1], "lost": f1[0] - f1[1], "error": error}

        return compare

    def card(self, classes: Sequence[str]) -> str:
        """See :class:`harness.TaskType`."""
        chosen = self.chosen or (self.threshold,) * len(classes)
        listed = ", ".join(f"{name} ({cut:.2f})" for name, cut in zip(classes, chosen, strict=True))
        return (
            "It gives a text each label whose probability reaches the threshold in brackets. "
            "Labels: "
            f"{listed}. The thresholds were chosen on the validation set and are in `export.json`."
        )

    # -- checking ------------------------------------------------------------------------------------------

    def tiny(self) -> tuple[Examples, Examples]:
        """See :class:`harness.TaskType`: three labels; some texts have two, some none, and one is unknown."""
        import numpy as np

        classes = ("rain", "sun", "wind")

        def part(times: Sequence[str], training: bool) -> Examples:
            shapes = (
                "the {} is here",
                "so much {} today !",
                "i like {} and more",
                "no {} , she said",
                "a {}",
            )
            texts, rows = [], []
            for time in times:
                for shape in shapes[: 5 if training else 2]:
                    for topics in (("rain",), ("sun",), ("wind",), ("rain", "wind"), ()):
                        texts.append(f"{shape.format(' with '.join(topics) or 'day')} {time}")
                        rows.append([float(name in topics) for name in classes])
            gold = np.array(rows, dtype=np.float32)
            logits = np.where(gold > 0, 2.0, -2.0).astype(np.float32)
            if training:
                gold[-1] = np.nan
            return Examples(texts, classes, gold, logits if training else None, task_type=self)

        return part(("again", "in may"), True), part(("now", "then"), False)

    def table(self, examples: Examples) -> pa.Table:
        """See :class:`harness.TaskType`: lists of labels, null for a text whose labels are unknown."""
        import pyarrow as pa

        assert examples.labels is not None
        given: list[list[str] | None] = []
        for row in examples.labels.tolist():
            applies = [name for name, value in zip(examples.classes, row, strict=True) if value == 1]
            given.append(applies if all(value == value for value in row) else None)
        return pa.table({"text": list(examples.texts), "labels": pa.array(given, pa.list_(pa.string()))})

    def draw_labels(self, rows: int, unlabelled: bool, generator: Any) -> Tensor:
        """See :class:`harness.TaskType`: of three labels."""
        import torch

        labels = torch.randint(0, 2, (rows, 3), generator=generator).float()
        labels[0 if unlabelled else rows // 2 + 1 :] = torch.nan
        return labels


def sigmoid(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Return probabilities, by the logistic function."""
    import numpy as np

    return np.asarray(1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -60, 60))))


def binary_cross_entropy(
    logits: Tensor, batch: Batch, positive_weight: float = 1.0, smoothing: float = 0.0
) -> Tensor:
    """Return the mean over labels, and over the rows that have gold labels; 0 if none has."""
    import torch
    from torch.nn import functional

    assert batch.labels is not None
    known = batch.labels.isfinite().all(dim=1)  # (B,)
    target = batch.labels.nan_to_num()
    target = target * (1 - smoothing) + smoothing / 2
    weight = None if positive_weight == 1.0 else torch.as_tensor(positive_weight, device=logits.device)
    losses = functional.binary_cross_entropy_with_logits(
        logits, target.to(logits.dtype), reduction="none", pos_weight=weight
    ).mean(1)
    counted = known if batch.weights is None else known * batch.weights
    return (losses * counted).sum() / known.sum().clamp_min(1)
