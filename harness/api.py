"""Define the five kinds of component that plugins contain, and export the values that they exchange.

This module does not import torch, so that a plan starts fast. A component is a frozen dataclass: its fields
are the parameters in a suite, its ``repr`` is its identity, and ``__init__`` only stores values. Types and
ranges come from the annotations (``Annotated[int, Gt(0)]``), and are checked when a suite is read. For rules
that annotations cannot express, override :meth:`Component.check`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from harness.task_types.base import DEFAULT, ONE_ROW, RECORDED, Examples, TaskType
from harness.values import (
    MASK,
    PAIR_SEPARATOR,
    SCORE,
    SPLITS,
    Batch,
    Component,
    Context,
    HarnessError,
    Masked,
    Model,
    Parameters,
    Precision,
    Unavailable,
    Unsupported,
    seed_of_repetition,
    words_before,
)

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from torch import Tensor

    from harness.featurise.featuriser import Featuriser


class Speed(NamedTuple):
    """Texts per second that one core of a common machine trains on and labels, for the estimates of a plan.

    The texts have 20 words, and the precision is fp32. Finished steps on this machine correct the estimates.
    """

    train: float  # infinite if it only loads its answers
    label: float


class Operations(NamedTuple):
    """Floating-point operations of a large model, for the estimates of a plan.

    A multiplication with its addition counts as two. The estimates divide these numbers by the speed of this
    machine in the step's precision. For each one that is None, they use the model's :class:`Speed`.
    """

    train: float | None = None  # forward and backward pass, for one text; 0 if it is not trained
    label: float | None = None  # forward pass, for one text
    once: float = 0.0  # before training, for any number of texts


@dataclass(frozen=True)
class Source:
    """The origin of a task's data, which is known before the data is read."""

    name: Literal["local", "hub", "sample"]
    fingerprint: str  # changes if any byte of the data changes
    origin: str  # a folder, a data set id with its revision, or the generator's name


class OwnFile(NamedTuple):
    """How a task reads a user's file."""

    parameters: dict[str, Any]  # of the task
    why: str = ""  # why the file looks like one for this task, in words; "": it only could be


@dataclass(frozen=True)
class Task(Component):
    """Labelled texts in three splits, and the rules for scoring a model on them."""

    kind: ClassVar[str] = "task"
    task_type: ClassVar[str] = DEFAULT  # the name of a registered TaskType
    headline: ClassVar[str] = ""  # the metric that leaderboards sort by; "": the default of its type
    positive: ClassVar[str] = ""  # with two classes, the one whose F1 is reported as "f1"; "": none

    @property
    def type_options(self) -> Mapping[str, Any]:
        """Options of the task type, by field."""
        return {"positive": self.positive} if self.positive else {}

    @property
    def seen(self) -> tuple[str, ...]:
        """Splits whose rows training has too, on purpose: scores on them are not those of new texts."""
        return ()

    def resolve(self, source: str) -> Source:
        """Return the source to use: "local", "hub" or "sample"; for "auto", the first one that has data.

        A plan calls this method, so it must be fast. Raise Unavailable if the source has no data here.
        """
        raise NotImplementedError

    def read(self, source: Source) -> Mapping[str, pa.Table]:
        """Return Arrow tables for train, validation and test, with the columns that the task type needs.

        A fourth table ``unlabelled`` with a column ``text`` is optional. A table may report how many texts
        each step of cleaning changed (:func:`harness.storage.arrow.cleaned`).
        """
        raise NotImplementedError

    @classmethod
    def of_file(cls, path: Path, text: str, label: str) -> OwnFile | None:
        """Return how the task would read a user's file; None if it reads no such file.

        For ``harness distill`` and ``harness diagnose``. `text` and `label` are the columns that the user
        named, "" for none. The content is not checked: :meth:`read` does that.
        """
        return None

    def whole(self, source: Source) -> pa.Table:
        """Return all labelled rows, before they are split."""
        import pyarrow as pa

        tables = self.read(source)
        return pa.concat_tables([tables[split] for split in SPLITS])


@dataclass(frozen=True)
class Teacher(Component):
    """A model, or stored answers, that a student can learn from."""

    kind: ClassVar[str] = "teacher"
    task_types: ClassVar[frozenset[str]] = frozenset({DEFAULT})  # the types of task that it is for
    gives: ClassVar[frozenset[str]] = frozenset({"logits"})  # what a loss may ask for
    preferred_for: ClassVar[frozenset[str]] = frozenset()  # types of task for which `distill` chooses it
    exports: ClassVar[bool] = False  # its models can export()
    speed: ClassVar[Speed] = Speed(train=5, label=15)  # of a transformer of 12 layers, 768 wide

    @property
    def prior(self) -> Recipe | None:
        """Return the recipe of the model that it starts from, or None if it needs none.

        A plan adds the steps for this model, and all components with the same recipe share them. In
        :meth:`fit`, `context.prior` is the fitted model.
        """
        return None

    def operations(self, words: float) -> Operations:
        """Return the operations for a text of `words` words, as far as they are known; see `speed`.

        A plan calls this method, so it must be fast, and must not download anything.
        """
        return Operations()

    @property
    def members(self) -> tuple[Teacher, ...]:
        """Return the teachers that it combines. A plan fits each in a separate step, then calls :meth:`join`.

        If members are equal, the first one has the seed of the whole, and the others have different seeds.
        """
        return ()

    def join(self, models: Sequence[Model]) -> Model:
        """Return one model that combines the fitted models of its members, given in their order."""
        raise NotImplementedError

    def joined(self, models: Sequence[Model], task_type: TaskType) -> Model:
        """Return the result of :meth:`join` for a type of task. Override this method if the type matters."""
        return self.join(models)

    def fit(self, train: Examples, validation: Examples, context: Context) -> Model:
        """Train on gold labels and return the model, or only load it if it needs no training."""
        raise NotImplementedError

    def load(self, folder: Path, context: Context) -> Model:
        """Return the model that ``Model.save(folder)`` wrote."""
        raise NotImplementedError

    def untuned(self, context: Context) -> Model | None:
        """Return the language model that :meth:`fit` starts from, or None if there is none."""
        return None


@dataclass(frozen=True)
class Loss(Component):
    """A measure of the distance between a student's outputs and its targets."""

    kind: ClassVar[str] = "loss"
    task_types: ClassVar[frozenset[str]] = frozenset({DEFAULT})  # the types of task that it is for
    baseline_for: ClassVar[frozenset[str]] = frozenset()  # tasks whose students alone learn by it, by default
    preferred_for: ClassVar[frozenset[str]] = frozenset()  # types of task for which `distill` chooses it
    # Its value is a mean over rows, so that a batch may be computed in parts.
    separable: ClassVar[bool] = False

    @property
    def needs(self) -> frozenset[str]:
        """Return the inputs that the loss needs: "labels", "logits", or names of :class:`Batch`.

        A teacher's logits and hidden states are stored once for each transfer set. All other outputs are
        computed while the student trains, and compared token by token. In language modelling this is true of
        all outputs, because each token has a logit for every entry of the vocabulary.
        """
        return frozenset({"logits"})

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: Batch) -> Tensor:
        """Return the mean loss, a scalar, given the logits of student and teacher, (B, C) each."""
        raise NotImplementedError


@dataclass(frozen=True)
class Tokeniser(Component):
    """How texts become ids: the part of a student on which its vocabulary and its ids depend.

    No plugin registers it: a student returns it (see :meth:`Student.tokeniser`).
    """

    kind: ClassVar[str] = "tokeniser"
    needs: ClassVar[frozenset[str]] = frozenset()  # "logits": it reads the teacher's, if there are any

    def fit(self, transfer: Examples) -> Featuriser:
        """Return a featuriser, fitted on the transfer set."""
        raise NotImplementedError

    def load(self, folder: Path) -> Featuriser:
        """Return the featuriser in a folder; override this method to import the module of its class."""
        from harness.featurise.featuriser import Featuriser

        return Featuriser.load(folder)


@dataclass(frozen=True)
class Student(Component):
    """A small model that learns from a transfer set."""

    kind: ClassVar[str] = "student"
    task_types: ClassVar[frozenset[str]] = frozenset({DEFAULT})  # the types of task that it is for
    learns_from: ClassVar[frozenset[str]] = frozenset({"labels", "logits"})
    preferred_for: ClassVar[frozenset[str]] = frozenset()  # types of task for which `distill` chooses it
    exports: ClassVar[bool] = False  # its models can export()
    speed: ClassVar[Speed] = Speed(train=5_000, label=10_000)  # of a small network

    @property
    def prior(self) -> Recipe | None:
        """Return the recipe of the model that it starts from, or None if it needs none.

        A plan adds the steps for this model, and all components with the same recipe share them. In
        :meth:`fit`, `context.prior` is the fitted model.
        """
        return None

    @property
    def borrows(self) -> bool:
        """Return whether it takes parts of its teacher, e.g. layers, from `context.teacher`."""
        return False

    def refuses(self, teacher: Teacher) -> str:
        """Return why it cannot take parts of this teacher, as a sentence, or an empty string if it can."""
        return ""

    def operations(self, words: float, teacher: Teacher | None = None) -> Operations:
        """Return the operations for a text of `words` words, as far as they are known; see `speed`.

        `teacher` is the one that it takes parts of. A plan calls this method, so it must be fast, and must
        not download anything.
        """
        return Operations()

    def aligned(self, teacher: Teacher) -> bool:
        """Return whether it splits texts into the same tokens as this teacher."""
        return False

    def tokeniser(self, teacher: Teacher | None = None) -> Tokeniser | None:
        """Return how texts become ids, or None if only :meth:`fit` knows.

        A plan adds a step that makes the ids, and all students with an equal tokeniser share it. In
        :meth:`fit`, they are `context.tokens`.
        """
        return None

    def within(self, parameters: int, classes: int) -> Student | None:
        """Return a copy with at most `parameters` parameters, or None if that is impossible.

        `classes` is the number of classes. ``harness distill --max-parameters`` calls this method. By
        default, a student does not know its size and returns itself.
        """
        return self

    def fit(self, transfer: Examples, validation: Examples, loss: Loss, context: Context) -> Model:
        """Train on the transfer set with the loss, and return the model."""
        raise NotImplementedError

    def load(self, folder: Path, context: Context) -> Model:
        """Return the model that ``Model.save(folder)`` wrote."""
        raise NotImplementedError


@dataclass(frozen=True)
class Augmenter(Component):
    """A component that makes new texts from the training texts."""

    kind: ClassVar[str] = "augmenter"
    task_types: ClassVar[frozenset[str]] = ONE_ROW
    adds: ClassVar[bool] = True  # false: its transfer set is always the training texts

    def __call__(self, texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
        """Yield (row of the original text, new text), any number of times for each row."""
        raise NotImplementedError

    def draw(self, train: Examples, unlabelled: Sequence[str], context: Context) -> Iterator[tuple[int, str]]:
        """Yield (row of the original text, new text), given all data that a transfer set may use.

        The row is -1 for a text that was not made from a training text, and has no gold label. By default,
        this calls the component on the training texts.
        """
        import numpy as np

        return self(train.texts, np.random.default_rng(context.seed))


@dataclass(frozen=True)
class Recipe:
    """How to make a model for a task: fit a teacher, or train a student with or without a teacher."""

    task: Task | None  # None: the task that the model is used for
    teacher: Teacher | None
    student: Student | None = None
    loss: Loss | None = None
    augmenter: Augmenter | None = None  # makes new texts for the student; None: no new texts


KINDS: Mapping[str, type[Component]] = {
    "task": Task,
    "teacher": Teacher,
    "student": Student,
    "augmenter": Augmenter,
    "loss": Loss,
}


def types_of_all(components: Sequence[Component]) -> frozenset[str]:
    """Return the names of the types of task that all of these components support.

    A type supports more components than those that name it: see :meth:`TaskType.accepts`. It is left out if
    the other names imply it.
    """
    named = frozenset.intersection(*(getattr(each, "task_types", frozenset()) for each in components))
    others = [kind() for kind in TaskType.known.values() if not (kind.fits and kind.fits <= named)]
    return named | {kind.name for kind in others if all(map(kind.accepts, components))}


def parameters_of(component: Component) -> dict[str, Any]:
    """Return a component's parameters as plain JSON values; nested components have their name as `use`."""

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
    "MASK",
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
    "Masked",
    "Model",
    "Operations",
    "OwnFile",
    "Parameters",
    "Precision",
    "Recipe",
    "Source",
    "Student",
    "Task",
    "TaskType",
    "Teacher",
    "Tokeniser",
    "Unavailable",
    "Unsupported",
    "parameters_of",
    "seed_of_repetition",
    "types_of_all",
    "words_before",
]
