"""Language models that are pretrained or distilled on one task, fine-tuned on another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import harness
from harness import Gt
from harness_transformers.transformer import FineTuned


@dataclass(frozen=True, kw_only=True)
class FromLanguageModel(FineTuned):
    """A masked language model made on one task, fine-tuned on another (Devlin et al., 2019).

    As `start` of a student it makes a distilled language model a student of the second task: first
    task-agnostic, then task-specific (Turc et al., 2019; Sanh et al., 2019).
    """

    name = "language-model"
    speed: ClassVar[harness.Speed] = harness.Speed(train=60, label=400)  # of models as suites make them

    task: harness.Task  # of language modelling: what the model is made on
    teacher: harness.Teacher  # the language model, or what the student was taught by
    student: harness.Student | None = None  # the language model; none: the teacher is
    loss: harness.Loss | None = None  # what the student was taught by
    learning_rate: Annotated[float, Gt(0)] = 2e-4
    pooling: Literal["mean", "cls"] = "mean"  # a linear layer on the mean or on the first of the last states

    def check(self) -> None:
        """What is given makes a language model."""
        if self.task.task_type != _KIND:
            raise ValueError(f"task '{self.task.name}' is {self.task.task_type}, not {_KIND}")
        if (self.student is None) != (self.loss is None):
            given, lacking = ("student", "loss") if self.loss is None else ("loss", "student")
            raise ValueError(f"a {given} was given without a {lacking}: a student is taught by a loss")
        for part in (self.teacher, self.student, self.loss):
            if part is not None and _KIND not in part.task_types:
                raise ValueError(f"{part.kind} '{part.name}' is not for {_KIND}")
        if self.student is not None and self.student.borrows and (why := self.student.refuses(self.teacher)):
            raise ValueError(why)

    @property
    def prior(self) -> harness.Recipe:
        """See :class:`harness.Component`: the language model."""
        return harness.Recipe(self.task, self.teacher, self.student, self.loss)

    def base(self) -> str:
        """See :class:`harness.Component`: what the language model itself starts from."""
        bases = (part.base() for part in (self.teacher, self.student) if part is not None)
        return "\n".join(bases)

    def tokenizer(self) -> str:
        """See :class:`FineTuned`: that of the language model."""
        student = self.student
        start: Any = self.teacher if student is None or student.borrows else getattr(student, "start", None)
        known: str = start.tokenizer() if hasattr(start, "tokenizer") else ""
        return f"{known} on {self.task!r}" if known and not isinstance(start, FineTuned) else known

    def folder(self) -> Path:
        """See :class:`FineTuned`; there is none. Raises HarnessError."""
        raise harness.HarnessError(f"teacher '{self.name}' starts from no folder of weights")


_KIND = "language-modelling"
