"""T5, a text-to-text transformer, as a classifier or for regression."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import harness
from harness import Ge, Gt, Interval
from harness.training.settings import ClassWeights, Schedule, training_of
from harness_transformers.transformer import Transformer

_DECODER = 1.5  # cost with the decoder, whose layers read all states of the encoder, but write few tokens
By = Literal["label-tokens", "encoder"]


@dataclass(frozen=True, kw_only=True)
class T5(harness.Teacher):
    """A text-to-text transformer that is fine-tuned on the task (Raffel et al., 2020; mT5: Xue et al., 2021).

    With ``by = "label-tokens"``, the logit of a label is the log-probability of its name from the decoder;
    training makes that of the correct label the highest. With ``by = "encoder"``, a linear layer reads the
    mean of the encoder's states (Ni et al., 2022), and there is no decoder.
    """

    name = "t5"
    accelerated: ClassVar[bool] = True
    mixed_precision: ClassVar[bool] = True
    exports: ClassVar[bool] = True

    model: str  # hub id such as "google-t5/t5-small", a folder, or a name in HARNESS_MODELS
    revision: str = "main"  # of the hub; a commit hash guarantees that the weights never change
    by: By = "label-tokens"
    prefix: str = ""  # before each text, such as "sst2 sentence: ", which T5 was trained with on that task
    second: str = ""  # before the second text of a pair, such as "sentence2: "; "": the tokenizer's own pairs
    epochs: Annotated[int, Gt(0)] = 3
    batch_size: Annotated[int, Gt(0)] = 32
    learning_rate: Annotated[float, Gt(0)] = 3e-4  # peak of the schedule; higher than for BERT
    schedule: Schedule = "linear"
    warmup: Annotated[float, Interval(ge=0, lt=1)] = 0.06  # fraction of the steps before the peak
    weight_decay: Annotated[float, Ge(0)] = 0.0
    accumulate: Annotated[int, Gt(0)] = 1  # batches per optimiser step
    class_weights: ClassWeights = "uniform"  # "balanced": all classes count equally; "square-root": half-way
    patience: Annotated[int, Ge(0)] = 0  # stop after this many validations without a better score; 0: never
    dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.1  # in all layers
    longest: Annotated[int, Gt(2)] = 128  # maximum number of subwords read from a text, with its prefix

    @property
    def task_types(self) -> frozenset[str]:  # type: ignore[override]
        """Return the types of task: label tokens are for classification only."""
        return frozenset({"classification", "regression"} if self.by == "encoder" else {"classification"})

    def check(self) -> None:
        """Raise ValueError if there is a revision for a folder."""
        self._weights.check()

    def base(self) -> str:
        """Return the commit of the hub, or the fingerprint of a folder's files."""
        return self._weights.base()

    def note(self) -> str:
        """See :class:`harness.Component`."""
        return self._weights.note()

    def fit(
        self, train: harness.Examples, validation: harness.Examples, context: harness.Context
    ) -> harness.Model:
        """See :class:`harness.Teacher`."""
        from harness_teachers.text_to_text import Shape, fine_tune

        shape = Shape(self.model, self.by, self.dropout)
        before, settings = (self.prefix, self.second), training_of(self)
        folder = self._weights.folder()
        return fine_tune(shape, folder, self.longest, before, settings, train, validation, context)

    def operations(self, words: float) -> harness.Operations:
        """See :class:`harness.Teacher`."""
        shape = replace(self._weights, longest=self.longest).shape()
        if shape is None:
            return harness.Operations()
        train, label, _ = shape.operations(words)  # of the encoder
        assert train is not None and label is not None
        decoded = _DECODER if self.by == "label-tokens" else 1.0
        return harness.Operations(decoded * train, decoded * label)

    def load(self, folder: Path, context: harness.Context) -> harness.Model:
        """See :class:`harness.Teacher`."""
        from harness_teachers.text_to_text import Shape, load

        return load(Shape(self.model, self.by, self.dropout), folder, context)

    @property
    def _weights(self) -> Transformer:
        return Transformer(model=self.model, revision=self.revision)


@dataclass(frozen=True, kw_only=True)
class T5Small(T5):
    """T5 small, English: 6 layers each way, 60 M parameters (Raffel et al., 2020)."""

    name = "t5-small"

    model: str = "google-t5/t5-small"
    revision: str = "df1b051c49625cf57a3d0d8d3863ed4d13564fe4"


@dataclass(frozen=True, kw_only=True)
class T5Base(T5):
    """T5 base, English: 12 layers each way, 223 M parameters (Raffel et al., 2020)."""

    name = "t5-base"

    model: str = "google-t5/t5-base"
    revision: str = "a9723ea7f1b39c1eae772870f3b547bf6ef7e6c1"
