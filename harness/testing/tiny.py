"""Provide what components are checked with: texts, inner states, a context, and losses to fit by."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.api import Batch, Examples, Loss, Model, Precision, Recipe, Student, TaskType, Teacher
from harness.testing.rules import default_type, type_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Generator, Tensor

ODD_TEXTS = ("", " ", "zxqvk", "sun " * 600, "naïve café 🙂", "[MASK]", "two\nlines")


@dataclass
class CheckContext:
    """A context to fit components in, outside of a run."""

    scratch: Path
    seed: int = 0
    device: str = "cpu"
    threads: int = 1
    cores: int = 1
    precision: Precision = "fp32"
    teacher: Model | None = None
    prior: Model | None = None
    tokens: Any = None
    checkpoints: Path | None = None
    warnings: list[str] = field(default_factory=list)

    def progress(self, done: int, total: int, **scalars: float) -> None:
        """Check the numbers, and forget them; see :class:`harness.Context`."""
        if not 0 <= done <= total:
            raise AssertionError(f"progress must be between 0 and its total, got {done} of {total}")

    def warn(self, message: str) -> None:
        """Keep the message in `warnings`; see :class:`harness.Context`."""
        self.warnings.append(message)


# -- examples ------------------------------------------------------------------------------------------------


class Case(NamedTuple):
    """Tiny examples to fit a component on."""

    task_type: TaskType
    train: Examples
    validation: Examples
    what: str  # "tagging", or "classification with 2 classes"

    @property
    def texts(self) -> list[str]:
        """The validation texts and odd ones."""
        return [*self.validation.texts, *self.task_type.odd_texts(ODD_TEXTS)]


def cases_of(task_type: TaskType) -> list[Case]:
    """Return the tiny examples of a type, as they are in a run; most checks are on the first."""
    first = Case(task_type, *tiny_examples(task_type), task_type.name)
    others = []
    for train, validation in task_type.tinier():
        what = f"{task_type.name} with {len(train.classes)} classes"
        others.append(Case(task_type, as_in_a_run(train), as_in_a_run(validation), what))
    return [first, *others]


def tiny_examples(task_type: TaskType | None = None) -> tuple[Examples, Examples]:
    """Return training and validation examples of a type, by default the default one, as they are in a run.

    See :meth:`harness.TaskType.tiny`.
    """
    train, validation = (task_type or default_type()).tiny()
    return as_in_a_run(train), as_in_a_run(validation)


def as_in_a_run(examples: Examples) -> Examples:
    """Return examples whose texts are a lazy sequence, and whose arrays are read-only."""
    import pyarrow as pa

    from harness.storage.arrow import Texts

    arrays: dict[str, Any] = {}
    for name in ("labels", "logits", "hidden"):
        if (array := getattr(examples, name)) is not None:
            arrays[name] = array.copy()
            arrays[name].setflags(write=False)
    texts = Texts(pa.chunked_array([pa.array(list(examples.texts), pa.string())]))
    return replace(examples, texts=texts, **arrays)


def by_text(rows: NDArray[Any], texts: Sequence[str], task_type: TaskType) -> list[NDArray[Any]]:
    """Return the rows of outputs of each text."""
    return [rows[a:b] for a, b in pairwise(task_type.rows_before(texts).tolist())]


# -- models and states ---------------------------------------------------------------------------------------


def prior_of(
    component: Teacher | Student, context: CheckContext, examples: tuple[Examples, Examples]
) -> Model | None:
    """Return the model that a component starts from, made on tiny examples of the type of its task.

    `examples` are those that the component is fitted on, for a recipe without a task.
    """
    recipe = component.prior
    return None if recipe is None else _made(recipe, context, examples)


def _made(recipe: Recipe, context: CheckContext, examples: tuple[Examples, Examples]) -> Model | None:
    given = examples if recipe.task is None else tiny_examples(type(type_of(recipe.task))())
    train, validation = given
    lent = None
    if recipe.teacher is not None:
        own = replace(context, prior=prior_of(recipe.teacher, context, given))
        lent = recipe.teacher.fit(replace(train, logits=None), validation, own)
    if recipe.student is None or recipe.loss is None:
        return lent
    own = replace(context, teacher=lent, prior=prior_of(recipe.student, context, given))
    return recipe.student.fit(train, validation, recipe.loss, own)


def tiny_states(
    names: Collection[str], rows: int, scale: float, generator: Generator
) -> tuple[dict[str, Any], dict[str, Any], Tensor]:
    """Return random inner states of a student of 2 layers and a teacher of 4, and the mask, (rows, 5).

    As in training, the widths of hidden states and layers are equal; those of queries, keys and values, 48
    and 96, are not, nor are the heads of attention, 2 and 4. The first text is the longest.
    """
    import torch

    def draw(*shape: int) -> Tensor:
        return scale * torch.randn(*shape, generator=generator)

    mask = torch.arange(5)[None] < 1 + (4 - torch.arange(rows))[:, None] % 5  # 5, 4, 3, 2, 1, 5 ...
    found = []
    for layers, heads, width in ((2, 2, 48), (4, 4, 96)):
        states: dict[str, Any] = {
            "hidden": draw(rows, 8),
            "layers": tuple(draw(rows, 5, 8) for _ in range(layers + 1)),
            "attention": tuple(
                draw(rows, heads, 5, 5).masked_fill(~mask[:, None, None], -torch.inf).softmax(-1)
                for _ in range(layers)
            ),
            "relations": tuple(draw(rows, 5, width) for _ in range(3)),
        }
        found.append({name: value for name, value in states.items() if name in names})
    return found[0], found[1], mask


# -- losses --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FromLabels(Loss):
    """The loss by which a type of task learns gold labels, to fit students with."""

    name = "check-labels"

    of: TaskType = field(default_factory=default_type)

    @property
    def needs(self) -> frozenset[str]:
        """Gold labels."""
        return frozenset({"labels"})

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: Batch) -> Tensor:
        """See :class:`harness.Loss`."""
        return self.of.gold_loss(student, batch)


@dataclass(frozen=True)
class FromLogits(Loss):
    """Mean squared error to the teacher's logits, to fit students with."""

    name = "check-logits"

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: Batch) -> Tensor:
        """See :class:`harness.Loss`."""
        assert teacher is not None
        return (student - teacher).square().mean()


@dataclass(frozen=True)
class FromStates(Loss):
    """Squared difference of the two models' average inner states, whatever their shapes."""

    name = "check-states"

    of: frozenset[str] = frozenset({"hidden"})

    @property
    def needs(self) -> frozenset[str]:
        """The names of the states to compare."""
        return self.of

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: Batch) -> Tensor:
        """See :class:`harness.Loss`."""
        from torch import Tensor, stack

        def mean(states: Any) -> Tensor:
            each = [states] if isinstance(states, Tensor) else states
            return stack([state.float().mean() for state in each]).mean()

        names = sorted(self.of)
        return stack([(mean(batch.student[n]) - mean(batch.teacher[n])).square() for n in names]).sum()
