"""Students as teachers of other students."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import harness


@dataclass(frozen=True, kw_only=True)
class Pupil(harness.Teacher):
    """Any student, trained on gold labels, as the teacher of another.

    With a student of the same kind this is a born-again network (Furlanello et al., 2018); with one of
    middle size, a teacher's assistant (Mirzadeh et al., 2020).
    """

    name = "student"

    student: harness.Student
    loss: harness.Loss | None = None  # on gold labels alone; none given: cross-entropy, or squared error

    def check(self) -> None:
        """The student and its loss can do with gold labels, and need no teacher."""
        if "labels" not in self.student.learns_from:
            raise ValueError(f"student '{self.student.name}' cannot learn from gold labels")
        if self.student.borrows:
            raise ValueError(
                f"student '{self.student.name}' takes parts of its teacher, and as a teacher it has none; "
                'name a pretrained model in their place, as { use = "minilm" }'
            )
        if self.loss is not None and not self.loss.needs <= {"labels"}:
            raise ValueError(
                f"a student that is a teacher learns from gold labels, but loss '{self.loss.name}' "
                f"needs {' and '.join(sorted(self.loss.needs))}"
            )

    def base(self) -> str:
        """As the student."""
        return self.student.base()

    @property
    def speed(self) -> harness.Speed:  # type: ignore[override]
        """As the student."""
        return self.student.speed

    @property
    def epochs(self) -> int:
        """As the student."""
        return getattr(self.student, "epochs", 1)

    @property
    def min_examples(self) -> int:
        """As the student."""
        return getattr(self.student, "min_examples", 0)

    @property
    def prior(self) -> harness.Recipe | None:
        """As the student."""
        return self.student.prior

    @property
    def gives(self) -> frozenset[str]:  # type: ignore[override]
        """Logits, and the inner states by which the student itself can learn."""
        return frozenset({"logits"}) | (self.student.learns_from - {"labels"})

    @property
    def task_types(self) -> frozenset[str]:  # type: ignore[override]
        """What the student and its loss are for."""
        return self.student.task_types & (self.loss or self.student).task_types

    @property
    def accelerated(self) -> bool:  # type: ignore[override]
        """As the student."""
        return self.student.accelerated

    @property
    def runs_on_gpu(self) -> bool:
        """As the student."""
        return self.student.runs_on_gpu

    @property
    def mixed_precision(self) -> bool:  # type: ignore[override]
        """As the student."""
        return self.student.mixed_precision

    @property
    def exports(self) -> bool:  # type: ignore[override]
        """As the student."""
        return self.student.exports

    def fit(
        self, train: harness.Examples, validation: harness.Examples, context: harness.Context
    ) -> harness.Model:
        """See :class:`harness.Teacher`."""
        from harness_transformers.gold import GoldLabels

        return self.student.fit(train, validation, self.loss or GoldLabels(train.task_type), context)

    def load(self, folder: Path, context: harness.Context) -> harness.Model:
        """See :class:`harness.Teacher`."""
        return self.student.load(folder, context)
