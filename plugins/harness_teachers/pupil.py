"""Students as teachers of other students."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import harness


@dataclass(frozen=True, kw_only=True)
class Pupil(harness.Teacher):
    """A student that is trained on gold labels and teaches another student.

    If both are of the same kind, this is a born-again network (Furlanello et al., 2018); if this one is of
    medium size, it is a teacher assistant (Mirzadeh et al., 2020).
    """

    name = "student"

    student: harness.Student
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
    def prior(self) -> harness.Recipe | None:
        """Return the recipe of the model that the student starts from."""
        return self.student.prior

    @property
    def gives(self) -> frozenset[str]:  # type: ignore[override]
        """Return logits, and the inner states that the student itself can learn from."""
        return frozenset({"logits"}) | (self.student.learns_from - {"labels"})

    @property
    def task_types(self) -> frozenset[str]:  # type: ignore[override]
        """Return the types of task that both the student and its loss are for."""
        return harness.api.types_of_all([self.student, self.loss or self.student])

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

    def fit(
        self, train: harness.Examples, validation: harness.Examples, context: harness.Context
    ) -> harness.Model:
        """See :class:`harness.Teacher`."""
        from harness_transformers.gold import GoldLabels

        return self.student.fit(train, validation, self.loss or GoldLabels(train.task_type), context)

    def load(self, folder: Path, context: harness.Context) -> harness.Model:
        """See :class:`harness.Teacher`."""
        return self.student.load(folder, context)
