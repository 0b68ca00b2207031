"""Language models that are pretrained or distilled on one task and fine-tuned on another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import harness
from harness import Gt
from harness_transformers.shapes import Shape
from harness_transformers.transformer import FineTuned


@dataclass(frozen=True, kw_only=True)
class FromLanguageModel(FineTuned):
    """A masked language model from one task, fine-tuned on another (Devlin et al., 2019).

    As the `start` of a student, it turns a distilled language model into a student of the second task:
    task-agnostic distillation, then task-specific (Turc et al., 2019; Sanh et al., 2019).
    """

    name = "language-model"
    speed: ClassVar[harness.Speed] = harness.Speed(train=60, label=400)  # typical of small language models

    task: harness.Task  # language modelling: the task that the model is trained on
    teacher: harness.Teacher  # the language model, or the teacher of `student`
    student: harness.Student | None = None  # the language model; None: `teacher` is
    loss: harness.Loss | None = None  # the loss that the student is trained with
    learning_rate: Annotated[float, Gt(0)] = 2e-4
    pooling: Literal["mean", "cls"] = "mean"  # linear layer on the mean of the last states, or on the first

    def check(self) -> None:
        """Raise ValueError if the parts do not make a language model."""
        if self.task.task_type != _KIND:
            raise ValueError(f"task '{self.task.name}' is {self.task.task_type}, not {_KIND}")
        if (self.student is None) != (self.loss is None):
            given, lacking = ("student", "loss") if self.loss is None else ("loss", "student")
            raise ValueError(f"expected both a student and its loss, got a {given} without a {lacking}")
        for part in (self.teacher, self.student, self.loss):
            if part is not None and _KIND not in part.task_types:
                raise ValueError(f"{part.kind} '{part.name}' is not for {_KIND}")
        if self.student is not None and self.student.borrows and (why := self.student.refuses(self.teacher)):
            raise ValueError(why)

    @property
    def prior(self) -> harness.Recipe:
        """Return the recipe of the language model; see :class:`harness.Component`."""
        return harness.Recipe(self.task, self.teacher, self.student, self.loss)

    def base(self) -> str:
        """Return what the language model itself starts from; see :class:`harness.Component`."""
        bases = (part.base() for part in (self.teacher, self.student) if part is not None)
        return "\n".join(bases)

    def tokenizer(self) -> str:
        """Return the name of the language model's tokenizer; see :class:`FineTuned`."""
        student = self.student
        start: Any = self.teacher if student is None or student.borrows else getattr(student, "start", None)
        known: str = start.tokenizer() if hasattr(start, "tokenizer") else ""
        return f"{known} on {self.task!r}" if known and not isinstance(start, FineTuned) else known

    def shape(self) -> Shape | None:
        """Return the sizes of the language model, if they are known; see :class:`FineTuned`."""
        model: Any = self.teacher if self.student is None else self.student
        lent = () if self.student is None else (self.teacher,)
        return model.shape(*lent) if hasattr(model, "shape") else None

    def folder(self) -> Path:
        """Raise HarnessError, because there is no folder of weights."""
        raise harness.HarnessError(
            f"cannot find a folder of weights for teacher '{self.name}': it starts from a trained model"
        )


_KIND = "language-modelling"
