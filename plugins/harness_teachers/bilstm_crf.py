"""A recurrent tagger with a conditional random field."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import harness
from harness import Ge, Gt, Interval
from harness.training.settings import Schedule, training_of
from harness_teachers.word_features import CHARACTERS, ReadsWords

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class BiLstmCrf(ReadsWords, harness.Teacher):
    """A BiLSTM tagger over words and characters, with a CRF over its outputs (Huang et al., 2015).

    As in Lample et al. (2016) and Akbik et al. (2018, Flair), the tags of a text are trained as one sequence
    and predicted by Viterbi decoding. Students learn from the log-marginal probabilities of each word.
    """

    name = "bilstm-crf"
    accelerated: ClassVar[bool] = True
    exports: ClassVar[bool] = True
    task_types: ClassVar[frozenset[str]] = frozenset({"tagging"})
    preferred_for: ClassVar[frozenset[str]] = frozenset({"tagging"})
    gives: ClassVar[frozenset[str]] = frozenset({"logits", "hidden"})
    speed: ClassVar[harness.Speed] = harness.Speed(train=450, label=1_100)

    epochs: Annotated[int, Gt(0)] = 6
    batch_size: Annotated[int, Gt(0)] = 32
    learning_rate: Annotated[float, Gt(0)] = 3e-3  # peak of the schedule
    schedule: Schedule = "one-cycle"
    warmup: Annotated[float, Interval(ge=0, lt=1)] = 0.2  # fraction of the steps before the peak
    weight_decay: Annotated[float, Ge(0)] = 0.01
    accumulate: Annotated[int, Gt(0)] = 1  # batches per optimiser step
    patience: Annotated[int, Ge(0)] = 0  # stop after this many validations without a better score; 0: never
    min_examples: Annotated[int, Ge(0)] = 60_000  # minimum to train on in total: a small set gets more epochs
    vocabulary: Annotated[int, Gt(2)] = 20_000  # rows for word forms, including padding and unknown forms
    width: Annotated[int, Gt(0)] = 48  # of each row
    hidden: Annotated[int, Gt(0)] = 128  # width of the state, in each direction

    def fit(
        self, train: harness.Examples, validation: harness.Examples, context: harness.Context
    ) -> harness.Model:
        """See :class:`harness.Teacher`."""
        from harness_teachers.sequences import fit

        settings = training_of(self)
        return fit(self.module, self.featuriser(train), settings, train, validation, context)

    def module(self, size: int, classes: int) -> torch.nn.Module:
        """Return a new module for `size` ids."""
        from harness_teachers.taggers import BiLstm, CrfTagger, WordVectors

        each = CHARACTERS + self.characters
        vectors = WordVectors(size, each, self.width, self.word_dropout, self.dropout)
        encoder = BiLstm(vectors.width, self.hidden, self.layers)
        return CrfTagger(vectors, encoder, classes, self.dropout)

    def load(self, folder: Path, context: harness.Context) -> harness.Model:
        """See :class:`harness.Teacher`."""
        from harness_teachers.sequences import SequenceModel

        return SequenceModel.load(folder, context, self.module)
