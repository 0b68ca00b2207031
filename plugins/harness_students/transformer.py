"""Transformers as students: some layers of the teacher, or a smaller pretrained model."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import harness
from harness import Ge, Gt, Interval
from harness.training.settings import Schedule
from harness_students.pruning import Layers, Pruned, chosen
from harness_teachers.pupil import OfStudent
from harness_transformers.checkpoint import Checkpoint
from harness_transformers.masked_lm import MaskedLM
from harness_transformers.pretrained import INNER
from harness_transformers.shapes import Shape
from harness_transformers.transformer import FineTuned

if TYPE_CHECKING:
    import torch

    from harness.featurise.featuriser import Tokens


@dataclass(frozen=True, kw_only=True)
class TransformerStudent(Pruned, harness.TorchStudent):
    """A small transformer: some layers of the teacher (Sanh et al., 2019), or a pretrained model.

    From a fitted teacher it also takes the embeddings, the tokenizer and the head. A pretrained ``start`` is
    the name of a teacher: its model is taken, with its parameters ``pooling``, ``dropout`` and ``longest``;
    the parameters of training are the student's own. The start ``language-model`` is a language model that
    was distilled or pretrained on another task. With a ``vocabulary`` it keeps only the subwords that its
    texts use most, and their embeddings, which are most of a small model's parameters (Abdaoui et al., 2020).
    As a masked language model, the student has neither token types nor a pooler, like DistilBERT.
    """

    name = "transformer"
    mixed_precision: ClassVar[bool] = True
    task_types: ClassVar[frozenset[str]] = frozenset(
        {"classification", "regression", "tagging", "language-modelling"}
    )
    learns_from: ClassVar[frozenset[str]] = INNER | {"labels"}
    spreads: ClassVar[bool] = True
    micro_batches: ClassVar[int] = 2

    epochs: Annotated[int, Gt(0)] = 3
    batch_size: Annotated[int, Gt(0)] = 32
    learning_rate: Annotated[float, Gt(0)] = 5e-5  # peak of the schedule, which then falls linearly to zero
    schedule: Schedule = "linear"
    warmup: Annotated[float, Interval(ge=0, lt=1)] = 0.06  # fraction of the steps before the peak
    weight_decay: Annotated[float, Ge(0)] = 0.01

    @property
    def speed(self) -> harness.Speed:  # type: ignore[override]
        """Return the expected speed: twice that of the model that it starts from, if that is known."""
        start = self.start.speed if isinstance(self.start, harness.Teacher) else harness.Speed(40, 130)
        return harness.Speed(2 * start.train, 2 * start.label)

    def shape(self, teacher: harness.Teacher | None) -> Shape | None:
        """Return the sizes of the student, given the teacher that lends its layers; None if unknown."""
        start: Any = self.start if isinstance(self.start, FineTuned) else teacher
        if isinstance(start, OfStudent):
            own = start.student if isinstance(start.student, TransformerStudent) else None
            whole = None if own is None else own.shape(getattr(start, "teacher", None))
        else:
            whole = start.shape() if isinstance(start, _READERS) else None
        otherwise: Layers = None if isinstance(self.start, FineTuned) else "every-second"
        return whole and replace(whole, layers=len(chosen(self.layers, whole.layers, otherwise)))

    def operations(self, words: float, teacher: harness.Teacher | None = None) -> harness.Operations:
        """See :class:`harness.Student`."""
        shape = self.shape(teacher)
        return harness.Operations() if shape is None else shape.operations(words)

    def refuses(self, teacher: harness.Teacher) -> str:
        """See :class:`harness.Student`."""
        if _is_transformer(teacher):
            layers = self.layers
            most = max(layers) if isinstance(layers, tuple) else layers if isinstance(layers, int) else 0
            if isinstance(teacher, MaskedLM) and most > teacher.layers:
                what = f"layer {most}" if isinstance(layers, tuple) else f"{most} layers"
                has = f"teacher '{teacher.name}' has only {teacher.layers}"
                return f"student '{self.name}' takes {what}, but {has}"
            return ""
        return (
            f"student '{self.name}' takes layers of a transformer, but teacher '{teacher.name}' is not one; "
            f'set `start` to a pretrained model, such as {{ use = "distilbert-base-uncased" }}'
        )

    def aligned(self, teacher: harness.Teacher) -> bool:
        """See :class:`harness.Student`."""
        if self.vocabulary:
            return False
        if isinstance(self.start, FineTuned):
            known = isinstance(teacher, _READERS) and teacher.longest == self.start.longest
            return known and bool(_tokenizer(self.start)) and _tokenizer(teacher) == _tokenizer(self.start)
        return _is_transformer(teacher)

    def fit(
        self,
        transfer: harness.Examples,
        validation: harness.Examples,
        loss: harness.Loss,
        context: harness.Context,
    ) -> harness.Model:
        """See :class:`harness.Student`."""
        from harness_students.layers import begin

        model = begin(self, transfer, context)
        return self.learn(model, transfer, validation, loss)

    def narrowed(
        self, module: torch.nn.Module, *tables: Tokens
    ) -> AbstractContextManager[tuple[Tokens, ...]]:
        """Reduce the embeddings to the words in use; see :class:`harness.TorchStudent`."""
        from harness_transformers.finetuning import Classifier, seen_rows_only

        assert isinstance(module, Classifier)
        return seen_rows_only(module, *tables)

    def load(self, folder: Path, context: harness.Context) -> harness.Model:
        """See :class:`harness.Student`."""
        from harness_students.layers import load

        return load(folder, context)


_READERS = (FineTuned, Checkpoint, MaskedLM)  # transformers whose tokenizer is known


def _is_transformer(teacher: harness.Teacher) -> bool:
    own = isinstance(teacher, OfStudent) and isinstance(teacher.student, TransformerStudent)
    return own or isinstance(teacher, _READERS)


def _tokenizer(teacher: harness.Teacher) -> str:
    return teacher.tokenizer() if isinstance(teacher, _READERS) else ""
