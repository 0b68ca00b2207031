"""The contract of task types: what a type of task defines for data, training, scores and exports.

A task type is a component: a frozen dataclass, registered by the hook ``register_task_types`` and named by
:attr:`harness.Task.task_type`. Everything that differs between types of task is a method or an attribute of
it. The defaults suit tasks with one row of outputs for each text. torch, NumPy and Arrow are imported inside
methods, so that planning stays quick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol

from harness.values import Batch, Component, HarnessError, Masked, Model
from harness.wording import tsv

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray
    from torch import Tensor

    from harness.featurise.featuriser import Featuriser

Answers = dict[str, "NDArray[Any]"]  # a model's answers to a split, by name, such as "logits"
Scores = Callable[[Any, "NDArray[np.float32]"], "NDArray[np.float64]"]  # stacked, weights (N, B) → (K, B)
ClassWeights = Literal["uniform", "balanced", "square-root"]
GOLD = frozenset({"labels"})
RECORDED = frozenset({"labels", "logits", "hidden"})  # inputs of losses that a step can store
DEFAULT = "classification"  # for tasks and components that do not name a type
ONE_ROW = frozenset({"classification", "regression"})  # components for both return one row for each text


class WrongShape(HarnessError):
    """A model returned another number of answers than its texts and classes need."""


class Metric(NamedTuple):
    """How to read a metric: its title, its direction and its range."""

    title: str = ""  # default: the name with spaces
    lower_is_better: bool = False
    low: float = 0.0  # the smallest possible value
    high: float = 1.0
    proportion: bool = False  # of texts or words that are right: if all or none are, its interval is exact


class Overview(NamedTuple):
    """A summary of the labels in a user's file."""

    outputs: int  # how many outputs a model for them has
    counts: Mapping[str, int]  # how many texts or entities each label has
    told: str  # the number of labels and the most frequent ones, in words


class Cleaned(NamedTuple):
    """The usable rows of a split."""

    texts: list[str]
    labels: list[Any]  # as in the task's tables; empty if there are none
    dropped: dict[str, int]  # reason → number of dropped rows


class Watched(NamedTuple):
    """The validation score of a model during training."""

    score: float  # higher is better
    name: str  # the series in the history, such as "validation_accuracy"
    value: float  # the value in that series


class Probe(NamedTuple):
    """Facts about a model that its answers do not contain."""

    name: str  # the field of the record for `shown`
    scores: dict[str, float]  # added to the metrics of the test split
    kept: dict[str, Any]  # JSON values, stored for the students of this model
    shown: dict[str, Any]  # the part of it that goes into the record


class Prediction(NamedTuple):
    """A model's answers to the test split, in its order, as ``predictions.parquet`` stores them."""

    predicted: NDArray[Any]  # one value for each row of outputs
    confidence: NDArray[np.float32]  # the probability of each prediction; may be empty
    gold: NDArray[Any]  # as many values as `predicted`
    task_type: TaskType
    classes: tuple[str, ...] = ()  # names, by number
    positive: int = -1  # number of the positive class, for the metric "f1"; -1: none
    lengths: tuple[int, ...] = ()  # number of rows of each text, if not 1
    numbers: NDArray[np.float32] | None = None  # one more number for each row
    scale: str = ""  # a digest; scores are comparable only if it is the same


class Asked(Protocol):
    """A module in training that predicts the validation set."""

    def logits(self) -> NDArray[np.float32]:
        """Return the logits of all rows of outputs, (R, C)."""

    def masked(self, most: int) -> Masked:
        """Return the predictions for tokens hidden in at most `most` texts, evenly spaced."""


class Shipped(Protocol):
    """An exported model; see :class:`harness.runtime.forms.Exported`."""

    featuriser: Featuriser
    classes: list[str]

    def single(self, ids: list[int]) -> NDArray[np.float32]:
        """Return the outputs for the ids of one text."""

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the logits of texts, (R, C)."""

    def best(self, logits: NDArray[np.float32], counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the class of each row, (R,); some models search for each text's best sequence."""

    def answered(self, texts: Sequence[str]) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Return the decisions for texts, and the logits, from a single run of the model."""


@dataclass(frozen=True)
class Examples:
    """Texts to learn from or to score, with their labels and a teacher's outputs.

    ``texts`` may be a lazy, memory-mapped sequence: index it, slice it or iterate over it. The task type
    defines which rows of labels and logits belong to a text: see :meth:`TaskType.rows_before`.
    """

    texts: Sequence[str]  # N
    classes: tuple[str, ...]  # C names; column c of `logits` is for classes[c]
    labels: NDArray[Any] | None = None  # (R,) or (R, C); None if the task has no labels
    logits: NDArray[np.float32] | None = None  # (R, C), the teacher's, if any
    hidden: NDArray[np.float16] | None = None  # (R, H), the teacher's, if a loss needs them
    task_type: TaskType = None  # type: ignore[assignment]  # default: found from classes and labels

    def __post_init__(self) -> None:
        if self.task_type is None:
            # Imported by name, because the types import this module.
            found = import_module("harness.task_types.former").of_arrays(self.classes, self.labels)
            object.__setattr__(self, "task_type", found)

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class TaskType(Component):
    """A type of task. Its fields are set by tasks, in :attr:`harness.Task.type_options`."""

    kind: ClassVar[str] = "task type"
    known: ClassVar[dict[str, type[TaskType]]] = {}  # every imported class, by name

    marks: ClassVar[Literal["", "words", "masks"]] = ""  # the parts of a text with a row of outputs
    headline: ClassVar[str] = "accuracy"  # the default metric of tasks
    metrics: ClassVar[Mapping[str, Metric]] = {}  # metrics that are not plain shares from 0 to 1
    beside: ClassVar[tuple[str, ...]] = ()  # metrics shown beside the headline in tables
    legend: ClassVar[str] = ""  # explanation of these metrics, shown below a table
    learns_from: ClassVar[str] = "labels"  # the training signal without a teacher, in words
    recorded: ClassVar[frozenset[str]] = RECORDED  # teacher outputs that are stored for transfer sets
    exclusive: ClassVar[bool] = True  # a row has one answer, so that its logits are those of a softmax
    fits: ClassVar[frozenset[str]] = frozenset()  # components for all of these types support this one too
    call: ClassVar[str] = "answer"  # the method of an exported model that answers one text
    pipeline: ClassVar[str] = ""  # the task's name in pipelines of Transformers and on the hub; "": unknown
    problem: ClassVar[str] = ""  # `problem_type` in the configuration of Transformers; "": none
    example: ClassVar[str] = "a text"  # an example of an input, in words
    # The unit that `per_class` scores, and the unit of its support.
    counted: ClassVar[tuple[str, str]] = ("class", "texts")
    scaled: ClassVar[frozenset[str]] = frozenset()  # metrics that are comparable only on the same scale
    scale_note: ClassVar[str] = ""  # why scores may be on different scales, in words
    scale_column: ClassVar[tuple[str, str] | None] = None  # title and metric of a column that shows the scale
    tunes: ClassVar[bool] = False  # whether `tuned` chooses options on the validation set
    column: ClassVar[Literal["labels", "numbers"]] = "labels"  # the column of ``predictions.parquet``
    diagnosed: ClassVar[str] = ""  # the metric by which ``harness diagnose`` compares models; "": unsupported
    inputs: ClassVar[str] = "texts"  # the name of texts in messages
    reads_words: ClassVar[bool] = False  # whether an input may be a list of words

    def __init_subclass__(cls) -> None:
        if "name" in vars(cls):
            TaskType.known.setdefault(cls.name, cls)

    def accepts(self, component: Component) -> bool:
        """Return whether a teacher, student, augmenter or loss supports tasks of this type."""
        types: frozenset[str] = getattr(component, "task_types", frozenset())
        return self.name in types or bool(self.fits and self.fits <= types)

    # -- data ----------------------------------------------------------------------------------------------

    def problems(self, tables: Mapping[str, pa.Table]) -> Iterator[str]:
        """Yield each rule that a task's tables break, for the checks of :mod:`harness.testing`."""
        return iter(())

    def clean(self, table: pa.Table) -> Cleaned:
        """Return the usable rows of a split, and the number of dropped rows for each reason."""
        raise NotImplementedError

    def number(
        self, task: str, labels: Mapping[str, Sequence[Any]]
    ) -> tuple[tuple[str, ...], Mapping[str, Sequence[Any]]]:
        """Return the names of the classes, and by split the value to store for each text.

        Raise HarnessError, naming the task, if no model can be trained or scored on the labels.
        """
        raise NotImplementedError

    def stored(self) -> pa.DataType | None:
        """Return the Arrow type of the value stored for each text, or None if tasks have no labels."""
        raise NotImplementedError

    def labels(self, column: pa.ChunkedArray, classes: Sequence[str]) -> NDArray[Any]:
        """Return a stored column as the array of labels in :class:`Examples`."""
        raise NotImplementedError

    def gold(self, train: Examples) -> Callable[[int, str], Any]:
        """Return a function that gives the label of a text made from a training text.

        Its arguments are the row of the training text (-1 if there is none) and the new text; it returns a
        value of the Arrow type of :meth:`stored`.
        """
        raise NotImplementedError

    def named(self, examples: Examples) -> list[tuple[str, ...]]:
        """Return the names of each text's gold labels, for ``harness diagnose``."""
        raise NotImplementedError

    def overview(self, labels: Sequence[Any], where: str) -> Overview:
        """Return what labels there are, given those of :meth:`clean`, for ``harness distill``.

        Raise HarnessError, naming the place `where`, if no model can be trained on them.
        """
        raise HarnessError(f"cannot distil {where}: no suite can be chosen for {self.name}; write a suite")

    def text_of(self, text: str) -> str:
        """Return a new text in the form that texts of this type need."""
        return text

    def input_of(self, value: Any) -> str | None:
        """Return an input of an exported model as a text, or None if it is not a valid input."""
        return value if isinstance(value, str) else None

    def rows_before(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return the number of rows of outputs before each text, and the total at the end: (N + 1,)."""
        import numpy as np

        return np.arange(len(texts) + 1)

    # -- learning ------------------------------------------------------------------------------------------

    def cautions(self, examples: Examples) -> Iterator[str]:
        """Yield warnings about examples to train on."""
        return iter(())

    def watch(self, asked: Asked, examples: Examples) -> Watched:
        """Return the validation score of a module in training."""
        raise NotImplementedError

    def row_weights(
        self, examples: Examples, how: ClassWeights, device: Any
    ) -> Callable[[Tensor | None, Tensor | None], Tensor] | None:
        """Return a function that gives the weights, (R,), of a batch's rows; None if all weigh the same.

        Its arguments are the labels and the teacher's logits of the batch. Raise HarnessError if this type
        does not support `how`.
        """
        return None

    def gold_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the loss on gold labels, (); rows without a label do not count."""
        raise NotImplementedError

    def targets(self, examples: Examples) -> tuple[NDArray[np.bool_], NDArray[np.float64]] | None:
        """Return which rows have a target, (R,) bool, and the targets, (M, D).

        Targets are probabilities of classes, or numbers: from the teacher's logits if there are any, else
        from the labels. Return None if there are neither.
        """
        raise NotImplementedError

    def average(self, logits: Sequence[NDArray[np.float64]], shares: Sequence[float]) -> NDArray[np.float64]:
        """Return the outputs of an ensemble: the average of its members' logits, (R, C) each."""
        raise NotImplementedError

    # -- scoring -------------------------------------------------------------------------------------------

    def ask(self, model: Model, texts: Sequence[str], classes: Sequence[str]) -> Answers:
        """Return a model's answers to texts: "logits", unless :meth:`score` needs other arrays.

        Raise WrongShape if they do not have the expected shape.
        """
        import numpy as np

        logits = np.ascontiguousarray(model.predict(texts), dtype=np.float32)
        expected = (int(self.rows_before(texts)[-1]), len(classes))
        if logits.shape != expected:
            raise WrongShape(f"returned predictions of shape {logits.shape}; expected {expected}")
        return {"logits": logits}

    def tuned(self, answers: Answers, validation: Examples) -> TaskType:
        """Return a copy of this type with options chosen on the validation set, such as thresholds."""
        return self

    def settle(self, answers: Answers) -> Answers:
        """Return the answers, with the decisions added if these depend on tuned options."""
        return answers

    def decide(self, model: Model, texts: Sequence[str], logits: NDArray[np.float32]) -> NDArray[Any]:
        """Return the decision for each row of `model.predict(texts)`."""
        return model.decide(texts, logits)

    def score(self, answers: Answers, examples: Examples) -> dict[str, Any]:
        """Return the metrics of answers, as JSON values. Raise HarnessError if nothing can be scored."""
        raise NotImplementedError

    def agreement(self, answers: Answers, teacher: Answers) -> float | None:
        """Return the agreement of a model with its teacher; None if they cannot be compared."""
        raise NotImplementedError

    def confidence(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the probability of the most likely answer in each row, (R,)."""
        import numpy as np

        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(shifted.max(axis=1) / shifted.sum(axis=1))

    def probe(
        self,
        model: Model,
        untuned: Callable[[], Model | None],
        texts: Sequence[str],
        teacher: Mapping[str, Any] | None,
    ) -> Probe | None:
        """Return further facts about a model, or None.

        `untuned` returns the pretrained model that a teacher was fine-tuned from, if any; `teacher` is the
        `kept` part of the teacher's own probe.
        """
        return None

    def metric(self, name: str) -> Metric:
        """Return how to read a metric, for any split."""
        plain = name.removeprefix("validation_")
        found = self.metrics.get(plain, Metric())
        return found if found.title else found._replace(title=plain.replace("_", " "))

    # -- keeping and testing -------------------------------------------------------------------------------

    def prediction(self, answers: Answers, examples: Examples) -> Prediction | None:
        """Return the part of the answers to the test split to store, or None if they cannot be stored."""
        raise NotImplementedError

    def on_resamples(self, one: Prediction) -> Mapping[str, Scores]:
        """Return the metrics that can be computed on resamples of texts, by name."""
        return {}

    def stack(self, predictions: Sequence[Prediction]) -> tuple[Any, int]:
        """Return the input of the functions of :meth:`on_resamples`, and the number of texts, N."""
        raise NotImplementedError

    def hits(self, metric: str, stacked: Any) -> NDArray[np.bool_] | None:
        """Return which texts each model answers correctly, (K, N), if `metric` is their share; else None."""
        return None

    # -- shipping ------------------------------------------------------------------------------------------

    def unfit(self, classes: Sequence[str]) -> str:
        """Return why an exported model of this type cannot have these classes; "" if it can."""
        return "" if classes else "there are no labels"

    def short(self, model: Shipped) -> Callable[[str], Any]:
        """Return the fastest function from one text to its answer; it is used to measure latency."""
        raise NotImplementedError

    def answers(self, model: Shipped, texts: Sequence[str], top: int | None) -> list[dict[str, Any]]:
        """Return an answer for each text, as JSON values, with the `top` alternatives."""
        raise NotImplementedError

    def as_tsv(self, answer: Mapping[str, Any], top: int | None = None) -> str:
        """Return an answer as one line of tab-separated values, see :func:`harness.wording.tsv`.

        `top` is that of :meth:`answers`.
        """
        ranked = answer.get("top", [answer])
        return tsv(str(each[name]) for each in ranked for name in ("label", "score") if name in each)

    def parity(self, model: Model, examples: Examples) -> Callable[[Any], dict[str, Any]]:
        """Return a function that compares an exported form with the model.

        It returns the values that :func:`harness.steps.export.is_same` and ``too_much_lost`` read.
        """
        raise NotImplementedError

    def queries(self, texts: Sequence[str]) -> list[str]:
        """Return the texts to measure latency with."""
        return list(texts)

    def card(self, classes: Sequence[str]) -> str:
        """Return the Markdown for the card of an export that describes the model's answers."""
        return f"Labels: {', '.join(classes)}."

    # -- checking ------------------------------------------------------------------------------------------

    def tiny(self) -> tuple[Examples, Examples]:
        """Return a few training examples with a teacher's logits, and validation examples, for checks."""
        raise NotImplementedError

    def tinier(self) -> Iterator[tuple[Examples, Examples]]:
        """Yield further tiny examples that components must fit, such as those of fewer classes."""
        return iter(())

    def table(self, examples: Examples) -> pa.Table:
        """Return examples as a table that a task could read: one that :meth:`clean` takes."""
        raise NotImplementedError

    def odd_texts(self, texts: Sequence[str]) -> list[str]:
        """Return unusual texts in the form that texts of this type need."""
        return list(texts)

    def draw_labels(self, rows: int, unlabelled: bool, generator: Any) -> Tensor:
        """Return random labels for a batch of rows, some of them missing, to check losses with."""
        raise NotImplementedError

    def check_model(self, model: Model, texts: Sequence[str], odd: Sequence[str]) -> Iterator[str]:
        """Yield each rule of this type that a fitted model breaks on normal and unusual texts."""
        return iter(())


def ranked(scores: Any, names: Sequence[str], top: int, what: str) -> list[list[dict[str, Any]]]:
    """Return the `top` names for each row of probabilities (R, C), the most probable first."""
    import numpy as np

    best = np.argsort(-scores, axis=1, kind="stable")[:, : max(1, top)]
    return [
        [{what: names[i], "score": round(float(row[i]), DIGITS)} for i in order]
        for row, order in zip(scores, best, strict=True)
    ]


def softmax(logits: Any) -> Any:
    """Return probabilities (R, C) from logits or log-probabilities."""
    import numpy as np

    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(scores / scores.sum(axis=1, keepdims=True))


DIGITS = 6  # decimal places of a probability in an answer
