"""Transformers as students: of a teacher's own layers, of a smaller pretrained one, or begun afresh."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import harness
from harness import Ge, Gt, Interval
from harness.training.settings import Schedule
from harness_students.pruning import Pruned
from harness_teachers.pupil import Pupil
from harness_transformers.checkpoint import Checkpoint
from harness_transformers.masked_lm import MaskedLM
from harness_transformers.pretrained import INNER
from harness_transformers.transformer import FineTuned

if TYPE_CHECKING:
    import torch

    from harness.featurise.featuriser import Tokens


@dataclass(frozen=True, kw_only=True)
class TransformerStudent(Pruned, harness.TorchStudent):
    """A smaller transformer: some layers of the fitted teacher (Sanh et al., 2019), or a pretrained one.

    Of a teacher it takes the embeddings, the tokenizer and the head too. Of a pretrained one, what a teacher
    of that name starts from; of that teacher's parameters, those of the model count (``pooling``,
    ``dropout``, ``longest``), and those of training are its own. As a masked language model it has neither
    token types nor a pooler, as DistilBERT; as ``start``, ``language-model`` is one that was made before.
    """

    name = "transformer"
    mixed_precision: ClassVar[bool] = True
    task_types: ClassVar[frozenset[str]] = frozenset(
        {"classification", "regression", "tagging", "language-modelling"}
    )
    learns_from: ClassVar[frozenset[str]] = INNER | {"labels"}

    epochs: Annotated[int, Gt(0)] = 3
    batch_size: Annotated[int, Gt(0)] = 32
    learning_rate: Annotated[float, Gt(0)] = 5e-5  # the peak, after which it falls linearly to zero
    schedule: Schedule = "linear"
    warmup: Annotated[float, Interval(ge=0, lt=1)] = 0.06  # share of the steps before the peak
    weight_decay: Annotated[float, Ge(0)] = 0.01

    @property
    def speed(self) -> harness.Speed:  # type: ignore[override]
        """See :class:`harness.Student`: as half of what it starts from, where that is known."""
        start = self.start.speed if isinstance(self.start, harness.Teacher) else harness.Speed(40, 130)
        return harness.Speed(2 * start.train, 2 * start.label)

    def refuses(self, teacher: harness.Teacher) -> str:
        """See :class:`harness.Student`."""
        if _is_transformer(teacher):
            layers = self.layers
            most = max(layers) if isinstance(layers, tuple) else layers if isinstance(layers, int) else 0
            if isinstance(teacher, MaskedLM) and most > teacher.layers:
                what = f"layer {most}" if isinstance(layers, tuple) else f"{most} layers"
                has = f"teacher '{teacher.name}', which has {teacher.layers}"
                return f"student '{self.name}' takes {what} of {has}"
            return ""
        return (
            f"student '{self.name}' takes layers of a transformer, which teacher '{teacher.name}' is not; "
            f'another start is a pretrained one, such as {{ use = "distilbert-base-uncased" }}'
        )

    def aligned(self, teacher: harness.Teacher) -> bool:
        """See :class:`harness.Student`."""
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
        """See :class:`harness.TorchStudent`: the embeddings of the words in use."""
        from harness_transformers.finetuning import Classifier, seen_rows_only

        assert isinstance(module, Classifier)
        return seen_rows_only(module, *tables)

    def load(self, folder: Path, context: harness.Context) -> harness.Model:
        """See :class:`harness.Student`."""
        from harness_students.layers import load

        return load(folder, context)


_READERS = (FineTuned, Checkpoint, MaskedLM)  # transformers that can say what tokenizer they have


def _is_transformer(teacher: harness.Teacher) -> bool:
    own = isinstance(teacher, Pupil) and isinstance(teacher.student, TransformerStudent)
    return own or isinstance(teacher, _READERS)


def _tokenizer(teacher: harness.Teacher) -> str:
    return teacher.tokenizer() if isinstance(teacher, _READERS) else ""
