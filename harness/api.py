"""What a plugin author writes: five kinds of component; the values they exchange are re-exported here.

Nothing here imports torch, so that a plan costs no start-up. A component is a frozen dataclass: its fields
are the suite's parameters, its ``repr`` is its identity, and ``__init__`` only stores. Types and ranges come
from the annotations (``Annotated[int, Gt(0)]``), and are checked where a suite is read; what no annotation
can say goes into :meth:`Component.check`.
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


class Speed(NamedTuple):
    """About how many texts a second one core of a common machine trains on and labels: what a plan goes by.

    Texts of 20 words, in fp32. How fast a component truly is here is learned from its steps.
    """

    train: float  # infinite for what only loads its answers
    label: float


@dataclass(frozen=True)
class Source:
    """Where a task's data came from, known before any of it is read into memory."""

    name: Literal["local", "hub", "sample"]
    fingerprint: str  # changes when a byte of the data would
    origin: str  # a folder, a data set id with its revision, or the generator's name


class OwnFile(NamedTuple):
    """How a task reads a user's file."""

    parameters: dict[str, Any]  # of the task
    why: str = ""  # why the file looks like one for this task, in words; "": it only could be


@dataclass(frozen=True)
class Task(Component):
    """Labelled texts in three splits, and how a model is scored on them."""

    kind: ClassVar[str] = "task"
    task_type: ClassVar[str] = DEFAULT  # the name of a registered TaskType
    headline: ClassVar[str] = ""  # the metric that leaderboards sort by; "": its type's
    positive: ClassVar[str] = ""  # of two classes the one whose F1 is reported as "f1"; "": none

    @property
    def type_options(self) -> Mapping[str, Any]:
        """Options of the task type, by field."""
        return {"positive": self.positive} if self.positive else {}

    def resolve(self, source: str) -> Source:
        """The source to use: "local", "hub", "sample", or the first that answers for "auto".

        Runs while planning, so it must be quick. Raises Unavailable where the source has no data here.
        """
        raise NotImplementedError

    def read(self, source: Source) -> Mapping[str, pa.Table]:
        """Return Arrow tables for train, validation and test, with the columns that the task type needs.

        A table ``unlabelled`` with a column ``text`` may come beside them. A table may report how many texts
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
    """Anything that gives outputs for texts."""

    kind: ClassVar[str] = "teacher"
    task_types: ClassVar[frozenset[str]] = frozenset({DEFAULT})  # the types of task that it is for
    gives: ClassVar[frozenset[str]] = frozenset({"logits"})  # what a loss may ask for
    preferred_for: ClassVar[frozenset[str]] = frozenset()  # types of task for which `distill` chooses it
    exports: ClassVar[bool] = False  # its models can export()
    speed: ClassVar[Speed] = Speed(train=5, label=15)  # of a transformer of 12 layers, 768 wide

    @property
    def prior(self) -> Recipe | None:
        """The model that it starts from, made by a step of its own; None: it needs none.

        A plan adds that step, which all components with the same recipe share; `context.prior` is its model.
        """
        return None

    @property
    def members(self) -> tuple[Teacher, ...]:
        """Teachers that it is made of: a plan fits each in a step of its own, then asks to :meth:`join`.

        Of equal members, the first has the seed of the whole and the others seeds of their own.
        """
        return ()

    def join(self, models: Sequence[Model]) -> Model:
        """One model of its members' fitted models, in their order."""
        raise NotImplementedError

    def joined(self, models: Sequence[Model], task_type: TaskType) -> Model:
        """Return what :meth:`join` does, for a type of task: override this one if the type matters."""
        return self.join(models)

    def fit(self, train: Examples, validation: Examples, context: Context) -> Model:
        """Train on gold labels, or just load what needs no training."""
        raise NotImplementedError

    def load(self, folder: Path, context: Context) -> Model:
        """The model that ``Model.save(folder)`` wrote."""
        raise NotImplementedError

    def untuned(self, context: Context) -> Model | None:
        """The language model that :meth:`fit` starts from; None where it starts from nothing."""
        return None


@dataclass(frozen=True)
class Loss(Component):
    """How far a student's outputs are from what it should learn."""

    kind: ClassVar[str] = "loss"
    task_types: ClassVar[frozenset[str]] = frozenset({DEFAULT})  # the types of task that it is for
    baseline_for: ClassVar[frozenset[str]] = frozenset()  # tasks whose students alone learn by it, by default
    preferred_for: ClassVar[frozenset[str]] = frozenset()  # types of task for which `distill` chooses it

    @property
    def needs(self) -> frozenset[str]:
        """What must be there for this loss: "labels", "logits", or names of :class:`Batch`.

        A teacher's logits and hidden states are recorded once for each transfer set. All else is asked
        of the teacher in step with the student, and compared token by token; so is everything of language
        modelling, where a token has as many logits as there are tokens.
        """
        return frozenset({"logits"})

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: Batch) -> Tensor:
        """Logits (B, C) of the student and (B, C) of the teacher to a mean loss, ()."""
        raise NotImplementedError


@dataclass(frozen=True)
class Student(Component):
    """A small model that learns a transfer set."""

    kind: ClassVar[str] = "student"
    task_types: ClassVar[frozenset[str]] = frozenset({DEFAULT})  # the types of task that it is for
    learns_from: ClassVar[frozenset[str]] = frozenset({"labels", "logits"})
    preferred_for: ClassVar[frozenset[str]] = frozenset()  # types of task for which `distill` chooses it
    exports: ClassVar[bool] = False  # its models can export()
    speed: ClassVar[Speed] = Speed(train=5_000, label=10_000)  # of a small network

    @property
    def prior(self) -> Recipe | None:
        """The model that it starts from, made by a step of its own; None: it needs none.

        A plan adds that step, which all components with the same recipe share; `context.prior` is its model.
        """
        return None

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

    def within(self, parameters: int, classes: int) -> Student | None:
        """The same with so many parameters at most, for a number of classes; None where that is too few.

        ``harness distill --max-parameters`` asks for it. One that does not know its size stays as it is.
        """
        return self

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
    task_types: ClassVar[frozenset[str]] = ONE_ROW
    adds: ClassVar[bool] = True  # false: never a text, so that its transfer set is the training texts

    def __call__(self, texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
        """Yield (row of the text it was made from, new text), any number of times a row."""
        raise NotImplementedError

    def draw(self, train: Examples, unlabelled: Sequence[str], context: Context) -> Iterator[tuple[int, str]]:
        """Like calling it, with all that a transfer set may draw on.

        Row -1 stands for a new text that was made from no training text, and has no gold label.
        """
        import numpy as np

        return self(train.texts, np.random.default_rng(context.seed))


@dataclass(frozen=True)
class Recipe:
    """How a model is made on a task: a teacher, fitted, or a student, taught where there is a teacher too."""

    task: Task
    teacher: Teacher | None
    student: Student | None = None
    loss: Loss | None = None


KINDS: Mapping[str, type[Component]] = {
    "task": Task,
    "teacher": Teacher,
    "student": Student,
    "augmenter": Augmenter,
    "loss": Loss,
}


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
    "OwnFile",
    "Parameters",
    "Precision",
    "Recipe",
    "Source",
    "Student",
    "Task",
    "TaskType",
    "Teacher",
    "Unavailable",
    "Unsupported",
    "parameters_of",
    "seed_of_repetition",
    "words_before",
]
