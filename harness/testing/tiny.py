"""Something tiny to try components with: texts, inner states, a context, and losses to fit by."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.api import MASK, SCORE, Batch, Component, Examples, Loss, Model, Precision

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Generator, Tensor

TAGS = 5  # as a number of classes, those of tagging: outside, and both tags of two types
HIDDEN = 0  # as a number of classes, that of language modelling, where tokens are hidden
MASKED_TEXTS = (f"the {MASK} is here", f"so much {MASK} {MASK} !")
ODD_TEXTS = ("", " ", "zxqvk", "sun " * 600, "naïve café 🙂", "[MASK]", "two\nlines")


@dataclass
class CheckContext:
    """A context to fit components in, outside of a run."""

    scratch: Path
    seed: int = 0
    device: str = "cpu"
    threads: int = 1
    precision: Precision = "fp32"
    teacher: Model | None = None
    prior: Model | None = None
    checkpoints: Path | None = None
    warnings: list[str] = field(default_factory=list)

    def progress(self, done: int, total: int, **scalars: float) -> None:
        """See :class:`harness.Context`; the numbers are checked and forgotten."""
        if not 0 <= done <= total:
            raise AssertionError(f"progress must be between 0 and its total, got {done} of {total}")

    def warn(self, message: str) -> None:
        """See :class:`harness.Context`; kept in `warnings`."""
        self.warnings.append(message)


def tiny_examples(classes: int = 3) -> tuple[Examples, Examples]:
    """Training examples, 10 a class, with a teacher's logits, and validation examples, 4 a class.

    As in a run, the texts are a lazy sequence and the arrays read-only; one text has no gold label. Of one
    class, they are those of a regression: the texts of three, with scores. Of five (TAGS), they are tagged:
    20 texts and 8, with labels and logits for each word. Of none (HIDDEN), they are the texts of three alone.
    """
    import pyarrow as pa

    from harness.storage.arrow import Texts

    if classes == TAGS:
        return _tiny_tagged(("again", "in May"), True), _tiny_tagged(("now", "then"), False)
    if classes == HIDDEN:
        train, validation = tiny_examples()
        return Examples(train.texts, ()), Examples(validation.texts, ())
    topics = ("sun", "rain", "wind", "snow")[: classes if classes > 1 else 3]
    shapes = (
        "the {} is here",
        "so much {} today !",
        "i like {} and more {}",
        "{}",
        "no {} , she said",
        "a {}",
    )
    names = tuple(f"it's {topic}" for topic in topics) if classes > 1 else SCORE

    def part(times: Sequence[str], with_logits: bool) -> Examples:
        rows = [
            (f"{shape.format(topic, topic)} {time}", label)
            for time in times
            for shape in shapes[: 5 if with_logits else 2]
            for label, topic in enumerate(topics)
        ]
        if classes > 1:
            labels = np.array([label for _, label in rows], dtype=np.int64)
            logits = np.where(labels[:, None] == np.arange(classes), 2.0, -1.0).astype(np.float32)
        else:
            labels = np.array([1.5 * label for _, label in rows], dtype=np.float32)
            logits = labels[:, None] + np.float32(0.25)
        if with_logits:
            labels[-1] = -1 if classes > 1 else np.nan
        for array in (labels, logits):
            array.setflags(write=False)
        texts = Texts(pa.chunked_array([pa.array([text for text, _ in rows], pa.string())]))
        return Examples(texts, names, labels, logits if with_logits else None)

    return part(("again", "in may"), True), part(("now", "then"), False)


def _tiny_tagged(times: Sequence[str], with_logits: bool) -> Examples:
    import pyarrow as pa

    from harness.storage.arrow import Texts

    classes = ("O", "B-sea", "I-sea", "B-star", "I-star")
    names = (("Pacific", 1), ("Black Sea", 1), ("Sirius", 3), ("Alpha Centauri", 3))
    shapes = ("the {} is far , so far", "no {} !", "I saw {} and slept", "{}", "@bo #win {}")
    texts: list[str] = []
    labels: list[int] = []
    for number, shape in enumerate(shapes if with_logits else shapes[:2]):
        for name, first in names:
            before, _, after = f"{shape} {times[number % 2]}".partition("{}")
            texts.append(f"{before}{name}{after}")
            inside = [first, *[first + 1] * (len(name.split()) - 1)]
            labels += [*[0] * len(before.split()), *inside, *[0] * len(after.split())]
    gold = np.array(labels, dtype=np.int64)
    logits = np.where(gold[:, None] == np.arange(TAGS), 2.0, -1.0).astype(np.float32)
    if with_logits:
        gold[-len(texts[-1].split()) :] = -1
    for array in (gold, logits):
        array.setflags(write=False)
    lazy = Texts(pa.chunked_array([pa.array(texts, pa.string())]))
    from harness.task_types.tagging import Tagging

    return Examples(lazy, classes, gold, logits if with_logits else None, task_type=Tagging())


def odd_texts(classes: int) -> list[str]:
    """ODD_TEXTS as texts of that many classes are: of TAGS, words with one space between them.

    Of HIDDEN, there are some more in which words are hidden.
    """
    if classes == TAGS:
        return [" ".join(text.split()) or "_" for text in ODD_TEXTS]
    return [*ODD_TEXTS, *(MASKED_TEXTS if classes == HIDDEN else ())]


def by_text(logits: NDArray[np.float32], texts: Sequence[str], classes: int) -> list[NDArray[np.float32]]:
    """The rows of each text: one, of TAGS one a word, or of HIDDEN one a MASK."""
    ends = np.cumsum([0, *rows_of(texts, classes)])
    return [logits[a:b] for a, b in pairwise(ends.tolist())]


def rows_of(texts: Sequence[str], classes: int) -> list[int]:
    """How many rows of logits each text has."""
    kinds = {TAGS: lambda text: text.count(" ") + 1, HIDDEN: lambda text: text.count(MASK)}
    return [kinds[classes](text) if classes in kinds else 1 for text in texts]


def prior_of(component: Component, context: CheckContext) -> Model | None:
    """The model that a component starts from, made on a few texts whatever its task."""
    recipe = getattr(component, "prior", None)
    if recipe is None:
        return None
    train, validation = tiny_examples(HIDDEN if recipe.task.task_type == "language-modelling" else 3)
    lent = None
    if recipe.teacher is not None:
        own = replace(context, prior=prior_of(recipe.teacher, context))
        lent = recipe.teacher.fit(replace(train, logits=None), validation, own)
    if recipe.student is None or recipe.loss is None:
        return lent
    own = replace(context, teacher=lent, prior=prior_of(recipe.student, context))
    return recipe.student.fit(train, validation, recipe.loss, own)


def tiny_states(
    names: Collection[str], rows: int, scale: float, generator: Generator
) -> tuple[dict[str, Any], dict[str, Any], Tensor]:
    """Random inner states of a student of 2 layers and a teacher of 4, and the mask, (rows, 5).

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


@dataclass(frozen=True)
class FromLabels(Loss):
    """Cross-entropy with the gold labels, or the squared error from gold scores, to fit students with."""

    name = "check-labels"
    task_types = frozenset({"classification", "regression", "tagging", "language-modelling"})

    @property
    def needs(self) -> frozenset[str]:
        """Gold labels."""
        return frozenset({"labels"})

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: Batch) -> Tensor:
        """See :class:`harness.Loss`."""
        from torch.nn.functional import cross_entropy

        assert batch.labels is not None
        if batch.labels.is_floating_point():
            known = batch.labels.isfinite()
            errors = student[:, 0] - batch.labels.where(known, student.detach()[:, 0])
            return errors.square().sum() / known.sum().clamp_min(1)
        total = cross_entropy(student, batch.labels, ignore_index=-1, reduction="sum")
        return total / (batch.labels >= 0).sum().clamp_min(1)


@dataclass(frozen=True)
class FromLogits(Loss):
    """Mean squared error to the teacher's logits, to fit students with."""

    name = "check-logits"
    task_types = frozenset({"classification", "regression", "tagging", "language-modelling"})

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: Batch) -> Tensor:
        """See :class:`harness.Loss`."""
        assert teacher is not None
        return (student - teacher).square().mean()


@dataclass(frozen=True)
class FromStates(Loss):
    """Squared difference of the two models' average inner states, whatever their shapes."""

    name = "check-states"
    task_types = frozenset({"classification", "regression", "tagging", "language-modelling"})

    of: frozenset[str] = frozenset({"hidden"})

    @property
    def needs(self) -> frozenset[str]:
        """What it was told to compare."""
        return self.of

    def __call__(self, student: Tensor, teacher: Tensor | None, batch: Batch) -> Tensor:
        """See :class:`harness.Loss`."""
        from torch import Tensor, stack

        def mean(states: Any) -> Tensor:
            each = [states] if isinstance(states, Tensor) else states
            return stack([state.float().mean() for state in each]).mean()

        names = sorted(self.of)
        return stack([(mean(batch.student[n]) - mean(batch.teacher[n])).square() for n in names]).sum()
