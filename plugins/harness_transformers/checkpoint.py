"""Classifiers that were fine-tuned elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar

import harness
from harness import Gt
from harness_transformers.pretrained import INNER
from harness_transformers.shapes import Shape
from harness_transformers.transformer import Transformer


@dataclass(frozen=True, kw_only=True)
class Checkpoint(harness.Teacher):
    """A fine-tuned classifier or regression model from the hub or a local folder, used without training.

    The labels in its configuration must include the task's classes, in any order and case. Other labels are
    ignored.
    """

    name = "checkpoint"
    accelerated: ClassVar[bool] = True
    spreads: ClassVar[bool] = True
    mixed_precision: ClassVar[bool] = True
    exports: ClassVar[bool] = True
    gives: ClassVar[frozenset[str]] = INNER
    speed: ClassVar[harness.Speed] = harness.Speed(math.inf, harness.Teacher.speed.label)
    TOKENIZER: ClassVar[str] = ""  # see FineTuned

    model: str  # hub id, a folder, or a name in HARNESS_MODELS
    revision: str = "main"  # of the hub; a commit hash guarantees that the weights never change
    longest: Annotated[int, Gt(2)] = 128  # maximum number of subwords read from a text
    regression: bool = False  # whether it was fine-tuned to predict a score

    @property
    def task_types(self) -> frozenset[str]:  # type: ignore[override]
        """Return the type of task that it was fine-tuned for."""
        return frozenset({"regression" if self.regression else "classification"})

    def check(self) -> None:
        """Raise ValueError if there is a revision for a folder."""
        self._weights.check()

    def base(self) -> str:
        """Return the commit of the hub, or the fingerprint of a folder's files."""
        return self._weights.base()

    def note(self) -> str:
        """See :class:`harness.Component`."""
        return self._weights.note()

    def shape(self) -> Shape | None:
        """Return the sizes of the model, or None if its configuration is not on this machine."""
        return replace(self._weights, longest=self.longest).shape()

    def operations(self, words: float) -> harness.Operations:
        """See :class:`harness.Teacher`."""
        shape = self.shape()
        return harness.Operations() if shape is None else shape.operations(words)._replace(train=0.0)

    def fit(
        self, train: harness.Examples, validation: harness.Examples, context: harness.Context
    ) -> harness.Model:
        """Load the classifier; nothing is trained. See :class:`harness.Teacher`."""
        from harness_transformers.labelled import from_folder

        folder = self._weights.folder()
        return from_folder(folder, train.classes, self.longest, self.model, context)

    def load(self, folder: Path, context: harness.Context) -> harness.Model:
        """See :class:`harness.Teacher`."""
        from harness_transformers.labelled import load

        return load(folder, context)

    def tokenizer(self) -> str:
        """Return a name that is equal for teachers with the same tokenizer."""
        own = self.TOKENIZER and self.model == getattr(type(self), "model", None)
        return self.TOKENIZER if own else self.model

    @property
    def _weights(self) -> Transformer:
        return Transformer(model=self.model, revision=self.revision)
