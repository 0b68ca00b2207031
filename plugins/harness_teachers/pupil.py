"""Students as teachers of other students: trained on gold labels, or distilled themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import harness


@dataclass(frozen=True, kw_only=True)
class OfStudent(harness.Teacher):
    """A teacher whose model is that of a student."""

    student: harness.Student

    def base(self) -> str:
        """Return the base of the student."""
        return self.student.base()

    @property
    def speed(self) -> harness.Speed:  # type: ignore[override]
        """Return the speed of the student."""
        return self.student.speed

    def operations(self, words: float) -> harness.Operations:
        """Return the operations of the student."""
        return self.student.operations(words)

    @property
    def epochs(self) -> int:
        """Return the student's epochs."""
        return getattr(self.student, "epochs", 1)

    @property
    def min_examples(self) -> int:
        """Return the student's minimum of examples."""
        return getattr(self.student, "min_examples", 0)

    @property
    def gives(self) -> frozenset[str]:  # type: ignore[override]
        """Return logits, and the inner states that the student itself can learn from."""
        return frozenset({"logits"}) | (self.student.learns_from - {"labels"})

    @property
    def accelerated(self) -> bool:  # type: ignore[override]
        """Return whether a GPU speeds up the student."""
        return self.student.accelerated

    @property
    def runs_on_gpu(self) -> bool:
        """Return whether the student runs on a GPU."""
        return self.student.runs_on_gpu

    @property
    def spreads(self) -> bool:  # type: ignore[override]
        """Return whether the student uses idle cores."""
        return self.student.spreads

    @property
    def mixed_precision(self) -> bool:  # type: ignore[override]
        """Return whether the student can use mixed precision."""
        return self.student.mixed_precision

    @property
    def exports(self) -> bool:  # type: ignore[override]
        """Return whether the student can be exported."""
        return self.student.exports

    def load(self, folder: Path, context: harness.Context) -> harness.Model:
        """See :class:`harness.Teacher`."""
        return self.student.load(folder, context)


@dataclass(frozen=True, kw_only=True)
class Pupil(OfStudent):
    """A student that is trained on gold labels and teaches another student.

    If both are of the same kind, this is a born-again network (Furlanello et al., 2018). A student that was
    itself distilled is the teacher ``assistant``.
    """

    name = "student"

    loss: harness.Loss | None = None  # on gold labels only; None: cross-entropy, or squared error

    def check(self) -> None:
        """Raise ValueError if the student or its loss needs more than gold labels."""
        if "labels" not in self.student.learns_from:
            raise ValueError(
                f"cannot use student '{self.student.name}' as a teacher: it does not learn from gold labels"
            )
        if self.student.borrows:
            raise ValueError(
                f"cannot use student '{self.student.name}' as a teacher: it takes parts of a teacher; "
                'set a pretrained model instead, such as { use = "minilm" }'
            )
        if self.loss is not None and not self.loss.needs <= {"labels"}:
            raise ValueError(
                f"expected a loss on gold labels only for a student as a teacher, got '{self.loss.name}', "
                f"which needs {' and '.join(sorted(self.loss.needs))}"
            )

    @property
    def prior(self) -> harness.Recipe | None:
        """Return the recipe of the model that the student starts from."""
        return self.student.prior

    @property
    def task_types(self) -> frozenset[str]:  # type: ignore[override]
        """Return the types of task that both the student and its loss are for."""
        return harness.api.types_of_all([self.student, self.loss or self.student])

    def fit(
        self, train: harness.Examples, validation: harness.Examples, context: harness.Context
    ) -> harness.Model:
        """See :class:`harness.Teacher`."""
        from harness_transformers.gold import GoldLabels

        return self.student.fit(train, validation, self.loss or GoldLabels(train.task_type), context)


@dataclass(frozen=True, kw_only=True)
class Assistant(OfStudent):
    """A teacher's assistant (Mirzadeh et al., 2020): a distilled student that teaches a smaller one.

    A small student can learn more from an assistant of medium size than from the large teacher itself. The
    assistant is trained on the same task. Its own teacher may be an assistant too, for several steps down.
    """

    name = "assistant"

    teacher: harness.Teacher
    loss: harness.Loss  # by which the student learns from that teacher
    augmenter: harness.Augmenter | None = None  # makes the new texts that it learns from; None: no new texts

    def check(self) -> None:
        """Raise ValueError if the student cannot learn from the teacher by the loss."""
        if self.loss.needs <= {"labels"}:
            raise ValueError(
                f"expected a loss on the outputs of teacher '{self.teacher.name}', got '{self.loss.name}', "
                "which needs gold labels only; use teacher 'student' for a student that learns from labels"
            )
        if self.student.borrows and (why := self.student.refuses(self.teacher)):
            raise ValueError(why)

    @property
    def prior(self) -> harness.Recipe:
        """Return how the student is distilled, on the task of the assistant."""
        return harness.Recipe(None, self.teacher, self.student, self.loss, self.augmenter)

    def base(self) -> str:
        """Return the bases of the teacher, the student and the augmenter."""
        parts = (self.teacher, self.student, self.augmenter)
        return "\n".join(filter(None, (part.base() for part in parts if part is not None)))

    @property
    def speed(self) -> harness.Speed:  # type: ignore[override]
        """Return the speed of the student, which another step trains."""
        return harness.Speed(math.inf, self.student.speed.label)

    def operations(self, words: float) -> harness.Operations:
        """Return the operations of the student, which another step trains."""
        return self.student.operations(words, self.teacher)._replace(train=0.0, once=0.0)

    @property
    def task_types(self) -> frozenset[str]:  # type: ignore[override]
        """Return the types of task that the teacher, the student and the loss are for."""
        return harness.api.types_of_all([self.teacher, self.student, self.loss])

    def fit(
        self, train: harness.Examples, validation: harness.Examples, context: harness.Context
    ) -> harness.Model:
        """Return the student that earlier steps have distilled. See :class:`harness.Teacher`."""
        if context.prior is None:
            raise harness.HarnessError(
                f"cannot fit teacher '{self.name}': its student is distilled by a plan; use it in a suite, "
                "not by itself"
            )
        return context.prior
