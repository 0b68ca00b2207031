"""Classifiers that were fine-tuned elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import harness
from harness import Gt
from harness_transformers.pretrained import INNER
from harness_transformers.transformer import Transformer


@dataclass(frozen=True, kw_only=True)
class Checkpoint(harness.Teacher):
    """An already fine-tuned classifier, or regression, of the hub, or of a local folder, used as it is.

    The labels that its configuration names must be the task's classes, in any order and case; labels
    that the task lacks are left out.
    """

    name = "checkpoint"
    accelerated: ClassVar[bool] = True
    mixed_precision: ClassVar[bool] = True
    exports: ClassVar[bool] = True
    gives: ClassVar[frozenset[str]] = INNER
    speed: ClassVar[harness.Speed] = harness.Speed(math.inf, harness.Teacher.speed.label)
    TOKENIZER: ClassVar[str] = ""  # as of fine-tuned transformers

    model: str  # a hub id, or a folder
    revision: str = "main"  # a commit, so that the weights cannot change under a result
    longest: Annotated[int, Gt(2)] = 128  # subwords; the rest of a text is not read
    regression: bool = False  # it was fine-tuned to predict a score

    @property
    def task_types(self) -> frozenset[str]:  # type: ignore[override]
        """What it was fine-tuned for."""
        return frozenset({"regression" if self.regression else "classification"})

    def check(self) -> None:
        """A revision means nothing for a folder."""
        self._weights.check()

    def base(self) -> str:
        """See :class:`harness.Teacher`: a commit of the hub, or the fingerprint of a folder's files."""
        return self._weights.base()

    def fit(
        self, train: harness.Examples, validation: harness.Examples, context: harness.Context
    ) -> harness.Model:
        """See :class:`harness.Teacher`; nothing is trained."""
        from harness_transformers.labelled import from_folder

        folder = self._weights.folder().expanduser()
        return from_folder(folder, train.classes, self.longest, self.model, context)

    def load(self, folder: Path, context: harness.Context) -> harness.Model:
        """See :class:`harness.Teacher`."""
        from harness_transformers.labelled import load

        return load(folder, context)

    def tokenizer(self) -> str:
        """What is the same for teachers that read texts as the same tokens."""
        own = self.TOKENIZER and self.model == getattr(type(self), "model", None)
        return self.TOKENIZER if own else self.model

    @property
    def _weights(self) -> Transformer:
        return Transformer(model=self.model, revision=self.revision)
