"""Multi-label classification: each text has any number of labels."""

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
from harness.values import numbers_of
from harness.wording import tsv
from harness_multilabel.outputs import binary_cross_entropy, sigmoid

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray
    from torch import Tensor

Rule = Literal["per-label", "shared", "fixed"]


@dataclass(frozen=True)
class MultiLabel(TaskType):
    """Multi-label classification: a label is predicted if its probability reaches a threshold.

    Probabilities are the logistic function of logits (N, C). Thresholds are chosen on the validation set, and
    are exported with the model.
    """

    name = "multi-label"
    exclusive = False
    headline = "f1_macro"
    pipeline = "text-classification"
    problem = "multi_label_classification"
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
        "decisions. Unless the task fixes the thresholds, they were chosen on the validation set."
    )
    counted = ("label", "texts")
    fits = ONE_ROW  # components with one row of outputs for each text fit, whatever the outputs mean
    tunes = True
    diagnosed = "f1_macro"

    thresholds: Rule = "per-label"  # one for each label, one for all labels, or `threshold`
    threshold: Annotated[float, Interval(gt=0, lt=1)] = 0.5  # for "fixed", and until thresholds are chosen
    chosen: tuple[float, ...] = ()  # one for each label, chosen on the validation set

    # -- data ----------------------------------------------------------------------------------------------

    def problems(self, tables: Mapping[str, pa.Table]) -> Iterator[str]:
        """Yield each rule that the columns or labels of a task's tables break."""
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
                    yield f"column '{column}' of table '{name}' must contain {wanted}, got {kind}"
            if table.num_rows == 0:
                yield f"table '{name}' must have rows"
        labels = {
            split: {label for row in tables[split]["labels"].to_pylist() for label in row or ()}
            for split in SPLITS
        }
        if not labels["train"]:
            yield "table 'train' must have at least one label"
        for split in SPLITS[1:]:
            if extra := sorted(labels[split] - labels["train"]):
                yield f"table '{split}' must have only labels of 'train', got also {extra}"

    def clean(self, table: pa.Table) -> Cleaned:
        """Return the rows with a text and a list of labels; an empty list means that no label applies."""
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
        """Return the sorted labels of the training split, and the numbers of each text's labels.

        Raise HarnessError if training has no label, or if another split has further labels.
        """
        classes = tuple(sorted({label for row in labels["train"] for label in row}))
        if not classes:
            raise HarnessError(f"the training split of task '{task}' must have at least one label, got none")
        numbers = {name: number for number, name in enumerate(classes)}
        for split in SPLITS[1:]:
            unknown = Counter(label for row in labels[split] for label in row if label not in numbers)
            if unknown:
                listed = ", ".join(f"'{label}' ({count} rows)" for label, count in unknown.most_common(5))
                raise HarnessError(
                    f"split '{split}' of task '{task}' has labels that are not in training: {listed}; "
                    f"expected: {', '.join(classes[:20])}"
                )
        return classes, {
            split: [[numbers[label] for label in row] for row in every] for split, every in labels.items()
        }

    def stored(self) -> pa.DataType:
        """Return the Arrow type list<int32>: the numbers of a text's labels, or null if they are unknown."""
        import pyarrow as pa

        return pa.list_(pa.int32())

    def labels(self, column: pa.ChunkedArray, classes: Sequence[str]) -> NDArray[Any]:
        """Return the labels as 0 and 1, (N, C) float32; NaN for a text without gold labels."""
        import numpy as np
        from pyarrow import compute as pc

        lengths = numbers_of(pc.fill_null(pc.list_value_length(column), -1))
        found = np.zeros((len(column), len(classes)), dtype=np.float32)
        rows = np.repeat(np.arange(len(column)), np.maximum(lengths, 0))
        found[rows, numbers_of(pc.list_flatten(column))] = 1
        found[lengths < 0] = np.nan
        return found

    def gold(self, train: Examples) -> Callable[[int, str], Any]:
        """Return a function that gives a new text the labels of its training text."""
        import numpy as np

        labels = train.labels
        assert labels is not None

        def of(row: int, text: str) -> list[int] | None:
            if row < 0 or np.isnan(labels[row]).any():
                return None
            return np.flatnonzero(labels[row]).tolist()

        return of

    def named(self, examples: Examples) -> list[tuple[str, ...]]:
        """Return the names of each text's labels."""
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
        from harness_multilabel.scores import known_rows, mean_average_precision

        assert examples.labels is not None
        scores = sigmoid(asked.logits())
        known = known_rows(examples.labels, scores)
        value = mean_average_precision(examples.labels[known] > 0.5, scores[known])
        return Watched(value, "validation_map", value)

    def row_weights(
        self, examples: Examples, how: ClassWeights, device: Any
    ) -> Callable[[Tensor | None, Tensor | None], Tensor] | None:
        """Return weights that are the mean over a text's labels; rare labels weigh more."""
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
        """Return the mean binary cross-entropy with the gold labels."""
        return binary_cross_entropy(logits, batch)

    def targets(self, examples: Examples) -> tuple[NDArray[np.bool_], NDArray[np.float64]] | None:
        """Return which rows have a target, (N,) bool, and the targets, (M, 2C).

        A target has the probabilities of each label and of its absence, divided by C.
        """
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
        """Return the log-odds of the members' mean probabilities."""
        import numpy as np

        total = sum(share * sigmoid(each) for each, share in zip(logits, shares, strict=True))
        mean = np.clip(np.asarray(total) / sum(shares), 1e-12, 1 - 1e-12)
        return np.log(mean / (1 - mean))

    # -- scoring -------------------------------------------------------------------------------------------

    def tuned(self, answers: Answers, validation: Examples) -> MultiLabel:
        """Return a copy with the thresholds that are best on the validation set."""
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
        """Return the answers with the labels that are "decided" added, (N, C) uint8."""
        import numpy as np

        return {**answers, "decided": self._decided(answers["logits"]).astype(np.uint8)}

    def decide(self, model: Model, texts: Sequence[str], logits: NDArray[np.float32]) -> NDArray[Any]:
        """Return which labels reach their thresholds, (N, C) bool."""
        return self._decided(logits)

    def _decided(self, logits: NDArray[np.float32]) -> NDArray[np.bool_]:
        return logits >= self._cut(logits.shape[1])

    def _cut(self, count: int) -> NDArray[np.float32]:
        """Return the thresholds on the scale of logits, (C,)."""
        import numpy as np

        chosen = np.array(self.chosen or (self.threshold,) * count)
        with np.errstate(divide="ignore"):  # 0 gives a label always, 1 never
            return np.asarray(np.log(chosen / (1 - chosen)), dtype=np.float32)

    def score(self, answers: Answers, examples: Examples) -> dict[str, Any]:
        """Return the metrics of :func:`harness_multilabel.scores.multilabel`."""
        from harness_multilabel.scores import multilabel

        assert examples.labels is not None
        scores, decided = sigmoid(answers["logits"]), answers["decided"].astype(bool)
        return multilabel(examples.labels, scores, decided, examples.classes)

    def agreement(self, answers: Answers, teacher: Answers) -> float:
        """Return the share of texts for which model and teacher predict exactly the same labels."""
        return float((answers["decided"] == teacher["decided"]).all(axis=1).mean())

    def confidence(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the probability of each text's decisions, averaged over labels, (N,)."""
        import numpy as np

        scores = sigmoid(logits)
        return np.asarray(np.maximum(scores, 1 - scores).mean(axis=1))

    # -- keeping and testing -------------------------------------------------------------------------------

    def prediction(self, answers: Answers, examples: Examples) -> Prediction | None:
        """Return 0 or 1 for each label of each text, text by text; gold labels are -1 if unknown."""
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
        """Return F1, precision, recall, subset accuracy and Hamming loss."""
        from harness_multilabel.scores import ON_RESAMPLES

        return ON_RESAMPLES

    def stack(self, predictions: Sequence[Prediction]) -> tuple[Any, int]:
        """Return the decisions and gold labels of the texts with gold labels."""
        import numpy as np

        from harness_multilabel.scores import Decisions

        first = predictions[0]
        shape = -1, len(first.classes)
        gold = first.gold.reshape(shape)
        known = (gold >= 0).all(axis=1)
        found = np.stack([one.predicted.reshape(shape)[known] > 0 for one in predictions])
        return Decisions(found, gold[known] > 0), int(known.sum())

    def hits(self, metric: str, stacked: Any) -> NDArray[np.bool_] | None:
        """Return which texts have exactly the gold labels, if `metric` is the subset accuracy."""
        return (stacked.found == stacked.right).all(axis=2) if metric == "subset_accuracy" else None

    # -- shipping ------------------------------------------------------------------------------------------

    def short(self, model: Shipped) -> Callable[[str], list[str]]:
        """Return a function from one text to the names of its labels."""
        classes, single, encode = model.classes, model.single, model.featuriser.encode
        cut = self._cut(len(classes))
        return lambda text: [classes[i] for i in (single(encode((text,))[0]) >= cut).nonzero()[0]]

    def unfit(self, classes: Sequence[str]) -> str:
        """Return why a model cannot have these classes: each needs a threshold between 0 and 1."""
        from harness_multilabel.thresholds import unfit

        return super().unfit(classes) or unfit(self.threshold, self.chosen, len(classes))

    def answers(self, model: Shipped, texts: Sequence[str], top: int | None) -> list[dict[str, Any]]:
        """Return each text's `labels`, best first, their `scores`, and the `top` labels of all."""
        import numpy as np

        logits = model.predict(texts)
        found = []
        for scores, given in zip(sigmoid(logits), self._decided(logits), strict=True):
            order = np.argsort(-scores, kind="stable").tolist()
            named = [{"label": model.classes[i], "score": round(float(scores[i]), DIGITS)} for i in order]
            mine = [one for one, i in zip(named, order, strict=True) if given[i]]
            answer: dict[str, Any] = {f"{key}s": [one[key] for one in mine] for key in ("label", "score")}
            found.append(answer if top is None else {**answer, "top": named[:top]})
        return found

    def as_tsv(self, answer: Mapping[str, Any], top: int | None = None) -> str:
        """Return the labels, separated by tabs; with `top`, the most probable ones with their scores."""
        return tsv(answer["labels"]) if top is None else super().as_tsv(answer, top)

    def parity(self, model: Model, examples: Examples) -> Callable[[Any], dict[str, Any]]:
        """Return a function that compares decisions, and micro F1, which is reliable on few texts."""
        import numpy as np

        from harness.task_types.differences import f1_lost, outputs_differ

        labels = examples.labels
        assert labels is not None
        gold, known = labels > 0.5, np.isfinite(labels).all(axis=1)
        decided = self._decided(before := model.predict(examples.texts))

        def compare(form: Any) -> dict[str, Any]:
            after = form.predict(examples.texts)
            decides = self._decided(after)
            both = np.stack([decided, decides])[:, known]  # (2, M, C)
            right = 2.0 * (both & gold[known]).sum(axis=2)
            every = (both.sum(axis=2) + gold[known].sum(axis=1)).astype(np.float64)
            differ = outputs_differ(examples, (before, decided), (after, decides))
            return {**differ, **f1_lost(right, every)}

        return compare

    def card(self, classes: Sequence[str]) -> str:
        """Return the labels with their thresholds."""
        chosen = self.chosen or (self.threshold,) * len(classes)
        listed = ", ".join(f"{name} ({cut:.2f})" for name, cut in zip(classes, chosen, strict=True))
        how = "fixed in the suite" if self.thresholds == "fixed" else "chosen on the validation set"
        return (
            "It predicts each label whose probability reaches the threshold in brackets. "
            f"Labels: {listed}. The thresholds were {how}, and are in `export.json`."
        )

    # -- checking ------------------------------------------------------------------------------------------

    def tiny(self) -> tuple[Examples, Examples]:
        """Return examples of three labels: texts have two, one or none, and the last has unknown labels."""
        from harness_multilabel.tiny import tiny

        return tiny(self)

    def table(self, examples: Examples) -> pa.Table:
        """Return a table of texts and lists of labels, null for a text whose labels are unknown."""
        from harness_multilabel.tiny import table

        return table(examples)

    def draw_labels(self, rows: int, unlabelled: bool, generator: Any) -> Tensor:
        """Return labels of three classes, some of them NaN (missing)."""
        import torch

        labels = torch.randint(0, 2, (rows, 3), generator=generator).float()
        labels[0 if unlabelled else rows // 2 + 1 :] = torch.nan
        return labels
