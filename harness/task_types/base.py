"""The contract of task types: what a type of task means for data, training, scores, exports and tables.

A task type is a component: a frozen dataclass, registered by the hook ``register_task_types`` and named by
:attr:`harness.Task.task_type`. All that would otherwise be an ``if`` on the type is a method or an attribute
here. The defaults suit tasks with one row of outputs for each text. torch, NumPy and Arrow are imported
inside methods, so that planning stays quick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol

from harness.values import Batch, Component, HarnessError, Masked, Model

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray
    from torch import Tensor

    from harness.featurise.featuriser import Featuriser

Answers = dict[str, "NDArray[Any]"]  # what a model answered to a split, by name: "logits" and more
Scores = Callable[[Any, "NDArray[np.float32]"], "NDArray[np.float64]"]  # stacked, weights (N, B) → (K, B)
ClassWeights = Literal["uniform", "balanced", "square-root"]
GOLD = frozenset({"labels"})
RECORDED = frozenset({"labels", "logits", "hidden"})  # needs of losses that a step can record
DEFAULT = "classification"  # the type of a task or component that names none
ONE_ROW = frozenset({"classification", "regression"})  # a component for both gives each text one row


class WrongShape(HarnessError):
    """A model returned another number of answers than its texts and classes need."""


class Metric(NamedTuple):
    """How a metric is read."""

    title: str = ""  # "": its name with spaces
    lower_is_better: bool = False
    low: float = 0.0  # the smallest value that it can have
    high: float = 1.0
    proportion: bool = False  # of texts or words that are right: if all or none are, its interval is exact


class Overview(NamedTuple):
    """What labels there are, for a user who looks at a file."""

    outputs: int  # how many outputs a model for them has
    counts: Mapping[str, int]  # how many texts or entities each label has
    told: str  # the number of labels and the most frequent ones, in words


class Cleaned(NamedTuple):
    """The usable rows of a split."""

    texts: list[str]
    labels: list[Any]  # as the task gives them; empty if there are none
    dropped: dict[str, int]  # reason → number of rows left out


class Watched(NamedTuple):
    """How well a model does on the validation set while it is trained."""

    score: float  # higher is better
    name: str  # of the series in the history, such as "validation_accuracy"
    value: float  # of the series


class Probe(NamedTuple):
    """What is known of a model beside its answers."""

    name: str  # the field of the record that has `shown`
    scores: dict[str, float]  # added to the metrics of the test split
    kept: dict[str, Any]  # JSON values, kept for the students of this model
    shown: dict[str, Any]  # the part of it that the record shows


class Prediction(NamedTuple):
    """A model's answers to the test split, in its order; ``predictions.parquet`` keeps them."""

    predicted: NDArray[Any]  # one value for each row of outputs
    confidence: NDArray[np.float32]  # the probability of what is predicted; empty if there is none
    gold: NDArray[Any]  # as many values as `predicted`
    task_type: TaskType
    classes: tuple[str, ...] = ()  # names, by number
    positive: int = -1  # of two classes the one whose F1 is the metric "f1"
    lengths: tuple[int, ...] = ()  # how many rows each text has, if not one
    numbers: NDArray[np.float32] | None = None  # further numbers, one for each row
    scale: str = ""  # a digest: scores of predictions with different ones cannot be compared


class Asked(Protocol):
    """A module in training, which can be asked about the validation set."""

    def logits(self) -> NDArray[np.float32]:
        """Return the logits of all rows of outputs."""

    def masked(self, most: int) -> Masked:
        """Return what it predicts for tokens hidden in at most `most` texts, spread evenly."""


class Shipped(Protocol):
    """An exported model at work; see :class:`harness.runtime.forms.Exported`."""

    featuriser: Featuriser
    classes: list[str]

    def single(self, ids: list[int]) -> NDArray[np.float32]:
        """Return the outputs for the ids of one text."""

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the logits of texts."""

    def best(self, logits: NDArray[np.float32], counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the class of each row, searching over a text's rows if the model does so."""

    def answered(self, texts: Sequence[str]) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Return what is decided for texts, and the logits: both at the cost of one."""


@dataclass(frozen=True)
class Examples:
    """Texts to learn from or to score, with what is known of each.

    ``texts`` may be a lazy, memory-mapped sequence: index it, slice it or iterate over it. The task type says
    how labels and logits belong to texts: :meth:`TaskType.rows_before` maps texts to their rows.
    """

    texts: Sequence[str]  # N
    classes: tuple[str, ...]  # C names; column c of `logits` means classes[c]
    labels: NDArray[Any] | None = None  # (R,) or (R, C); None if the task has no labels
    logits: NDArray[np.float32] | None = None  # (R, C), the teacher's, if there is one
    hidden: NDArray[np.float16] | None = None  # (R, H), the teacher's, if a loss needs them
    task_type: TaskType = None  # type: ignore[assignment]  # found from classes and labels if not given

    def __post_init__(self) -> None:
        if self.task_type is None:
            # By name: the types import this module.
            found = import_module("harness.task_types.former").of_arrays(self.classes, self.labels)
            object.__setattr__(self, "task_type", found)

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class TaskType(Component):
    """What a type of task means. Its fields are set by tasks, in :attr:`harness.Task.type_options`."""

    kind: ClassVar[str] = "task type"
    known: ClassVar[dict[str, type[TaskType]]] = {}  # every class that was imported, by name

    marks: ClassVar[Literal["", "words", "masks"]] = ""  # what has a row of outputs, if not each text
    headline: ClassVar[str] = "accuracy"  # the metric of a task that names none
    metrics: ClassVar[Mapping[str, Metric]] = {}  # those that are not plain shares
    beside: ClassVar[tuple[str, ...]] = ()  # metrics that tables show beside the headline
    legend: ClassVar[str] = ""  # sentences that explain these, below a table
    learns_from: ClassVar[str] = "gold labels"  # what a model without a teacher learns from, in words
    recorded: ClassVar[frozenset[str]] = RECORDED  # needs of losses that are recorded for each transfer set
    fits: ClassVar[frozenset[str]] = frozenset()  # components for all of these types are for this one too
    call: ClassVar[str] = "answer"  # the method of an exported model that answers one text
    example: ClassVar[str] = "a text"  # a text to ask such a model for
    counted: ClassVar[tuple[str, str]] = (
        "class",
        "texts",
    )  # what `per_class` scores, and what its support is
    scaled: ClassVar[frozenset[str]] = frozenset()  # metrics to compare only on one scale
    scale_note: ClassVar[str] = ""  # why scores may be on different scales, in words
    scale_column: ClassVar[tuple[str, str] | None] = None  # title and metric of a column that shows the scale
    tunes: ClassVar[bool] = False  # `tuned` chooses something on the validation set
    column: ClassVar[Literal["labels", "numbers"]] = "labels"  # of ``predictions.parquet``, for predictions
    diagnosed: ClassVar[str] = ""  # the metric by which ``harness diagnose`` compares models; "": it cannot
    inputs: ClassVar[str] = "texts"  # what texts are called in messages
    reads_words: ClassVar[bool] = False  # an input may be a list of words

    def __init_subclass__(cls) -> None:
        if "name" in vars(cls):
            TaskType.known.setdefault(cls.name, cls)

    def accepts(self, component: Component) -> bool:
        """Return whether a teacher, student, augmenter or loss is for tasks of this type."""
        types: frozenset[str] = getattr(component, "task_types", frozenset())
        return self.name in types or bool(self.fits and self.fits <= types)

    # -- data ----------------------------------------------------------------------------------------------

    def problems(self, tables: Mapping[str, pa.Table]) -> Iterator[str]:
        """Yield each rule that a task's tables break, for the checks of :mod:`harness.testing`."""
        return iter(())

    def clean(self, table: pa.Table) -> Cleaned:
        """Return the usable rows of a split, and how many are left out for which reason."""
        raise NotImplementedError

    def number(
        self, task: str, labels: Mapping[str, Sequence[Any]]
    ) -> tuple[tuple[str, ...], Mapping[str, Sequence[Any]]]:
        """Return the names of the classes, and by split what is stored for each text.

        Raises HarnessError, naming the task, if no model can be trained or scored on the labels.
        """
        raise NotImplementedError

    def stored(self) -> pa.DataType | None:
        """Return the Arrow type of what is stored for each text; None: a task has no labels."""
        raise NotImplementedError

    def labels(self, column: pa.ChunkedArray, classes: Sequence[str]) -> NDArray[Any]:
        """Return a stored column as the array that :class:`Examples` has."""
        raise NotImplementedError

    def gold(self, train: Examples) -> Callable[[int, str], Any]:
        """Return a function from the row of a training text (-1: none) and a text made from it to its label.

        The label is what is stored: see :meth:`stored`.
        """
        raise NotImplementedError

    def named(self, examples: Examples) -> list[tuple[str, ...]]:
        """Return the names of the gold labels of each text, for a diagnosis."""
        raise NotImplementedError

    def overview(self, labels: Sequence[Any], where: str) -> Overview:
        """Return what labels there are, given those of :meth:`clean`, for ``harness distill``.

        Raises HarnessError, naming the place `where`, if no model can be trained on them.
        """
        raise HarnessError(f"cannot distil {where}: no suite can be chosen for {self.name}; write a suite")

    def text_of(self, text: str) -> str:
        """Return a new text in the form that texts of this type have."""
        return text

    def input_of(self, value: Any) -> str | None:
        """Return an input of an exported model, such as a string, as a text; None if it is no input."""
        return value if isinstance(value, str) else None

    def rows_before(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return (N + 1,): the number of rows of outputs before each text, and in the end of all."""
        import numpy as np

        return np.arange(len(texts) + 1)

    # -- learning ------------------------------------------------------------------------------------------

    def cautions(self, examples: Examples) -> Iterator[str]:
        """Yield warnings about examples to train on."""
        return iter(())

    def watch(self, asked: Asked, examples: Examples) -> Watched:
        """Return how well a module in training does on the validation set."""
        raise NotImplementedError

    def row_weights(
        self, examples: Examples, how: ClassWeights, device: Any
    ) -> Callable[[Tensor | None, Tensor | None], Tensor] | None:
        """Return a function from labels and the teacher's logits of a batch to the weights of its rows, (R,).

        None: all rows count alike. Raises HarnessError if `how` is not possible for this type.
        """
        return None

    def gold_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the loss, (), by which a model learns gold labels; rows without a label do not count."""
        raise NotImplementedError

    def targets(self, examples: Examples) -> tuple[NDArray[np.bool_], NDArray[np.float64]] | None:
        """Return which rows have a target, (R,), and theirs, (M, D): probabilities of classes, or numbers.

        From the teacher's logits if there are any, else from labels; None if there are neither.
        """
        raise NotImplementedError

    def average(self, logits: Sequence[NDArray[np.float64]], shares: Sequence[float]) -> NDArray[np.float64]:
        """Return the outputs of an ensemble whose members gave logits (R, C), by their mean probabilities."""
        raise NotImplementedError

    # -- scoring -------------------------------------------------------------------------------------------

    def ask(self, model: Model, texts: Sequence[str], classes: Sequence[str]) -> Answers:
        """Return a model's answers to texts; at least "logits", unless :meth:`score` needs other arrays.

        Raises WrongShape if they do not have the right shape.
        """
        import numpy as np

        logits = np.ascontiguousarray(model.predict(texts), dtype=np.float32)
        expected = (int(self.rows_before(texts)[-1]), len(classes))
        if logits.shape != expected:
            raise WrongShape(f"returned predictions of shape {logits.shape}; expected {expected}")
        return {"logits": logits}

    def tuned(self, answers: Answers, validation: Examples) -> TaskType:
        """Return this type with what is chosen on the validation set, such as thresholds."""
        return self

    def settle(self, answers: Answers) -> Answers:
        """Return answers with what is decided from them, if that depends on what was tuned."""
        return answers

    def decide(self, model: Model, texts: Sequence[str], logits: NDArray[np.float32]) -> NDArray[Any]:
        """Return what is decided for each row of `model.predict(texts)`."""
        return model.decide(texts, logits)

    def score(self, answers: Answers, examples: Examples) -> dict[str, Any]:
        """Return the metrics of answers, as JSON values. Raises HarnessError if nothing can be scored."""
        raise NotImplementedError

    def agreement(self, answers: Answers, teacher: Answers) -> float | None:
        """Return how far a model's answers agree with its teacher's; None if they cannot be compared."""
        raise NotImplementedError

    def confidence(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return (R,): the probability of the most likely answer in each row."""
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
        """Return what else to know of a model, given the training texts and what was kept of its teacher.

        `untuned` returns the pretrained model that a teacher started from, if any. None: there is nothing.
        """
        return None

    def metric(self, name: str) -> Metric:
        """Return how a metric is read, whatever split it is of."""
        plain = name.removeprefix("validation_")
        found = self.metrics.get(plain, Metric())
        return found if found.title else found._replace(title=plain.replace("_", " "))

    # -- keeping and testing -------------------------------------------------------------------------------

    def prediction(self, answers: Answers, examples: Examples) -> Prediction | None:
        """Return what is kept of answers to the test split; None if it cannot be kept."""
        raise NotImplementedError

    def on_resamples(self, one: Prediction) -> Mapping[str, Scores]:
        """Return the metrics that can be computed from such predictions on resamples of texts, by name."""
        return {}

    def stack(self, predictions: Sequence[Prediction]) -> tuple[Any, int]:
        """Return what the functions of :meth:`on_resamples` take, and the number N of texts to resample."""
        raise NotImplementedError

    def hits(self, metric: str, stacked: Any) -> NDArray[np.bool_] | None:
        """Return (K, N): which texts each model has right, if `metric` is their share; else None."""
        return None

    # -- shipping ------------------------------------------------------------------------------------------

    def short(self, model: Shipped) -> Callable[[str], Any]:
        """Return the quickest function from one text to its answer; latency is measured on it."""
        raise NotImplementedError

    def answers(self, model: Shipped, texts: Sequence[str], top: int | None) -> list[dict[str, Any]]:
        """Return an answer for each text, as JSON values, with the `top` alternatives."""
        raise NotImplementedError

    def as_tsv(self, answer: Mapping[str, Any]) -> str:
        """Return an answer as one line of tab-separated values."""
        ranked = answer.get("top", [answer])
        cells = [str(each[name]) for each in ranked for name in ("label", "score") if name in each]
        return "\t".join(" ".join(cell.split()) for cell in cells)

    def parity(self, model: Model, examples: Examples) -> Callable[[Any], dict[str, Any]]:
        """Return a function from an exported form to how far it is from the model.

        See :func:`harness.steps.export.is_same` and ``too_much_lost`` for the names that it needs.
        """
        raise NotImplementedError

    def queries(self, texts: Sequence[str]) -> list[str]:
        """Return texts to measure latency with."""
        return list(texts)

    def card(self, classes: Sequence[str]) -> str:
        """Return what a model of these classes answers, in Markdown, for the card of an export."""
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
        """Return odd texts in the form that texts of this type have."""
        return list(texts)

    def draw_labels(self, rows: int, unlabelled: bool, generator: Any) -> Tensor:
        """Return random labels of a batch of rows, some of them missing, to check losses with."""
        raise NotImplementedError

    def check_model(self, model: Model, texts: Sequence[str], odd: Sequence[str]) -> Iterator[str]:
        """Yield each rule that a fitted model breaks on usual and odd texts, beside those for all types."""
        return iter(())


def ranked(scores: Any, names: Sequence[str], top: int, what: str) -> list[list[dict[str, Any]]]:
    """Return for each row of probabilities (R, C) the `top` names, the most probable first."""
    import numpy as np

    best = np.argsort(-scores, axis=1, kind="stable")[:, : max(1, top)]
    return [
        [{what: names[i], "score": round(float(row[i]), DIGITS)} for i in order]
        for row, order in zip(scores, best, strict=True)
    ]


def softmax(logits: Any) -> Any:
    """Return probabilities (R, C), from logits or log-probabilities."""
    import numpy as np

    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(scores / scores.sum(axis=1, keepdims=True))


DIGITS = 6  # of a probability in an answer
