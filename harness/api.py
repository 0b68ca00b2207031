"""What a plugin author writes (five kinds of component) and the values that components exchange.

This module imports nothing of ours and no torch, so that a plan costs no start-up. A component is a
frozen dataclass: its fields are the suite's parameters, its ``repr`` is its identity, and
``__init__`` only stores. Types and ranges come from the annotations (``Annotated[int, Gt(0)]``), and
are checked where a suite is read; what no annotation can say goes into :meth:`Component.check`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray
    from torch import Tensor

Precision = Literal["fp32", "bf16"]
SPLITS = ("train", "validation", "test")
SCORE = ("score",)  # the one "class" of a regression: its logits (N, 1) are predicted numbers
PAIR_SEPARATOR = " [SEP] "  # between the two texts of a pair, where a task is on pairs


class HarnessError(Exception):
    """A mistake that the user can mend: one lower-case sentence, shown without a traceback."""


class Unavailable(HarnessError):
    """Something that a component needs is absent here, such as a hub model without a network."""


class Unsupported(HarnessError):
    """A component cannot do what was asked of it, such as an export that it has no form for."""


# -- values -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Examples:
    """Texts to learn from or to score, with what is known of each.

    ``texts`` may be a lazy, memory-mapped sequence; index it, slice it or iterate over it. Of tagging,
    ``of_words`` is true: a text is its words with one space between any two, and labels and logits have a
    row for each word of each text, in order (:func:`words_before` says where a text's begin).
    """

    texts: Sequence[str]  # N
    classes: tuple[str, ...]  # C names; column c of `logits` and label c mean classes[c]
    # (N,) int64, -1 where a text has no gold label; of a regression float32, and NaN there
    labels: NDArray[Any] | None = None
    logits: NDArray[np.float32] | None = None  # (N, C), the teacher's, where there is one
    hidden: NDArray[np.float16] | None = None  # (N, H), the teacher's, where a loss needs them
    of_words: bool = False

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Parameters:
    """How many numbers a model holds."""

    total: int
    trainable: int
    embedding: int


class Context(Protocol):
    """What the harness lends to a component while it works."""

    @property
    def seed(self) -> int:
        """Seeds every generator that the component uses."""

    @property
    def device(self) -> str:
        """A torch device: "cpu", "cuda:0"."""

    @property
    def threads(self) -> int:
        """How many CPU threads it may use."""

    @property
    def precision(self) -> Precision:
        """What to compute in: "bf16" only for components that declare `mixed_precision`."""

    @property
    def scratch(self) -> Path:
        """A folder that is emptied after the step."""

    @property
    def teacher(self) -> Model | None:
        """The fitted teacher, for a student that borrows from it and a loss that needs it in step."""

    def progress(self, done: int, total: int, **scalars: float) -> None:
        """Report that `done` of `total` units are behind us, with what was measured on the way."""

    def warn(self, message: str) -> None:
        """Say something that the user should read; it is kept with the step's artefact."""


class Model(ABC):
    """A fitted teacher or student."""

    @abstractmethod
    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Logits, or log-probabilities, of shape (N, C), in the order of the texts."""

    def decide(self, texts: Sequence[str], logits: NDArray[np.float32]) -> NDArray[np.int64]:
        """The class of each row, (N,), given `predict(texts)`; a tagger may search for a text's best tags."""
        return logits.argmax(axis=1)  # type: ignore[no-any-return]

    def hidden(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """What the model's last layer sees of each text, (N, H): for losses that need "hidden"."""
        raise Unsupported(f"{type(self).__name__} has no hidden states")

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write all that :meth:`load` of the component needs: safetensors, Arrow or JSON; no pickle."""

    @abstractmethod
    def parameters(self) -> Parameters:
        """Count the model's parameters."""

    def export(self, folder: Path) -> None:
        """Write ``model.onnx`` and what turns a text into its inputs (see :mod:`harness.onnx`)."""
        raise Unsupported(f"{type(self).__name__} has no ONNX form")


class Batch:
    """What a loss may look at beside the two models' logits.

    ``student`` and ``teacher`` hold, by name, what else the loss needs of both models:

    - ``hidden``: (B, H), what the last layer sees of a text, or of each word that is tagged;
    - ``layers``: a tuple of (B, L, H), the embeddings first, then each layer's output;
    - ``attention``: a tuple of (B, heads, L, L), each layer's attention probabilities;
    - ``relations``: the last layer's queries, keys and values, each (B, L, H).

    Where widths differ, the student's hidden states and layers come through a linear map, learned along.
    """

    __slots__ = ("labels", "mask", "size", "student", "teacher", "weights", "words")

    def __init__(
        self,
        labels: Tensor | None,
        size: int,
        student: Mapping[str, Any] | None = None,
        teacher: Mapping[str, Any] | None = None,
        mask: Tensor | None = None,
        weights: Tensor | None = None,
        words: Tensor | None = None,
    ) -> None:
        self.labels = labels  # (B,), -1 where a row has no gold label; of a regression floats, and NaN there
        self.size = size
        self.student = student or {}
        self.teacher = teacher or {}
        self.mask = mask  # (B, L), true where a token is no padding
        self.weights = weights  # (B,), of mean 1 over the training labels: how much each row counts
        self.words = words  # (texts,), of tagging: how many of the B rows, words, each text has, in order


# -- components -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Component:
    """What the five kinds share. Subclasses are frozen dataclasses with a docstring and a name."""

    kind: ClassVar[str] = ""
    name: ClassVar[str] = ""  # kebab-case, as suites write it
    version: ClassVar[int] = 1  # raise it when results would change
    task_types: ClassVar[frozenset[str]] = frozenset({"classification"})  # which tasks it is for
    accelerated: ClassVar[bool] = False  # a GPU speeds it up
    mixed_precision: ClassVar[bool] = False  # its context may ask for bf16

    def check(self) -> None:
        """Raise ValueError, in one sentence, where fields contradict each other."""

    def base(self) -> str:
        """What it starts from beside its parameters, such as pretrained weights with their revision.

        Part of the keys of its steps. Runs while planning, so it must be quick. Raises Unavailable where
        that cannot be had here.
        """
        return ""


@dataclass(frozen=True)
class Source:
    """Where a task's data came from, known before any of it is read into memory."""

    name: Literal["local", "hub", "sample"]
    fingerprint: str  # changes when a byte of the data would
    origin: str  # a folder, a data set id with its revision, or the generator's name


@dataclass(frozen=True)
class Task(Component):
    """Labelled texts in three splits, and how a model is scored on them."""

    kind: ClassVar[str] = "task"
    task_type: ClassVar[str] = "classification"  # or "regression", "tagging", "language-modelling"
    headline: ClassVar[str] = "accuracy"  # the metric that leaderboards sort by
    positive: ClassVar[str] = ""  # of two classes the one whose F1 is reported as "f1"; "": none

    def resolve(self, source: str) -> Source:
        """The source to use: "local", "hub", "sample", or the first that answers for "auto".

        Runs while planning, so it must be quick. Raises Unavailable where the source has no data here.
        """
        raise NotImplementedError

    def read(self, source: Source) -> Mapping[str, pa.Table]:
        """Arrow tables for train, validation and test.

        Classification: columns ``text`` and ``label``, both strings; regression: labels are numbers. A
        table ``unlabelled`` with a column ``text`` may stand beside them.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Teacher(Component):
    """Anything that gives outputs for texts."""

    kind: ClassVar[str] = "teacher"
    gives: ClassVar[frozenset[str]] = frozenset({"logits"})  # what a loss may ask for
    exports: ClassVar[bool] = False  # its models can export()

    @property
    def members(self) -> tuple[Teacher, ...]:
        """Teachers that it is made of: a plan fits each in a step of its own, then asks to :meth:`join`.

        Of equal members, the first has the seed of the whole and the others seeds of their own.
        """
        return ()

    def join(self, models: Sequence[Model]) -> Model:
        """One model of its members' fitted models, in their order."""
        raise NotImplementedError

    def fit(self, train: Examples, validation: Examples, context: Context) -> Model:
        """Train on gold labels, or just load what needs no training."""
        raise NotImplementedError

    def load(self, folder: Path, context: Context) -> Model:
        """The model that ``Model.save(folder)`` wrote."""
        raise NotImplementedError


@dataclass(frozen=True)
class Loss(Component):
    """How far a student's outputs are from what it should learn."""

    kind: ClassVar[str] = "loss"
    baseline_for: ClassVar[frozenset[str]] = frozenset()  # tasks whose students alone learn by it, by default

    @property
    def needs(self) -> frozenset[str]:
        """What must be there for this loss: "labels", "logits", or names of :class:`Batch`.

        A teacher's logits and hidden states are recorded once for each transfer set. All else is asked
        of the teacher in step with the student, and compared token by token.
        """
        return frozenset({"logits"})

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: Batch) -> Tensor:
        """Logits (B, C) of the student and (B, C) of the teacher to a mean loss, ()."""
        raise NotImplementedError


@dataclass(frozen=True)
class Student(Component):
    """A small model that learns a transfer set."""

    kind: ClassVar[str] = "student"
    learns_from: ClassVar[frozenset[str]] = frozenset({"labels", "logits"})
    exports: ClassVar[bool] = False  # its models can export()

    @property
    def borrows(self) -> bool:
        """Whether it takes parts of the cell's teacher, such as layers; `context.teacher` then is one."""
        return False

    def refuses(self, teacher: Teacher) -> str:
        """Why a student that borrows cannot take its parts of this teacher; empty where it can."""
        return ""

    def aligned(self, teacher: Teacher) -> bool:
        """Whether it reads texts as the very tokens that this teacher does."""
        return False

    def fit(self, transfer: Examples, validation: Examples, loss: Loss, context: Context) -> Model:
        """Train on the transfer set under the loss."""
        raise NotImplementedError

    def load(self, folder: Path, context: Context) -> Model:
        """The model that ``Model.save(folder)`` wrote."""
        raise NotImplementedError


@dataclass(frozen=True)
class Augmenter(Component):
    """New texts from the training texts."""

    kind: ClassVar[str] = "augmenter"
    task_types: ClassVar[frozenset[str]] = frozenset({"classification", "regression"})

    def __call__(self, texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
        """Yield (row of the text it was made from, new text), any number of times a row."""
        raise NotImplementedError

    def draw(self, train: Examples, unlabelled: Sequence[str], context: Context) -> Iterator[tuple[int, str]]:
        """Like calling it, with all that a transfer set may draw on.

        Row -1 stands for a new text that was made from no training text, and has no gold label.
        """
        import numpy as np

        return self(train.texts, np.random.default_rng(context.seed))


RECORDED = frozenset({"labels", "logits", "hidden"})  # what a loss may need without a teacher in step

KINDS: Mapping[str, type[Component]] = {
    "task": Task,
    "teacher": Teacher,
    "student": Student,
    "augmenter": Augmenter,
    "loss": Loss,
}


def words_before(texts: Iterable[str]) -> NDArray[np.int64]:
    """(N + 1,): how many words stand before each text, and at the end how many there are."""
    import numpy as np

    counts = np.fromiter((text.count(" ") + 1 for text in texts), dtype=np.int64)
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])


def seed_of_repetition(seed: int, repetition: int) -> int:
    """The seed of a component that stands several times in another: its own for each but the first."""
    if not repetition:
        return seed
    return int.from_bytes(blake2b(f"{seed}/{repetition}".encode(), digest_size=4).digest(), "big")


def parameters_of(component: Component) -> dict[str, Any]:
    """A component's parameters as plain JSON values; nested components carry their name as `use`."""

    def plain(value: Any) -> Any:
        if isinstance(value, Component):
            return {"use": value.name, **parameters_of(value)}
        if isinstance(value, tuple | list):
            return [plain(item) for item in value]
        if isinstance(value, Mapping):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, frozenset | set):
            return sorted(plain(item) for item in value)
        return str(value) if isinstance(value, Path) else value

    return {field.name: plain(getattr(component, field.name)) for field in fields(component)}


__all__ = [
    "KINDS",
    "PAIR_SEPARATOR",
    "RECORDED",
    "SCORE",
    "SPLITS",
    "Augmenter",
    "Batch",
    "Component",
    "Context",
    "Examples",
    "HarnessError",
    "Loss",
    "Model",
    "Parameters",
    "Precision",
    "Source",
    "Student",
    "Task",
    "Teacher",
    "Unavailable",
    "Unsupported",
    "parameters_of",
    "seed_of_repetition",
    "words_before",
]
