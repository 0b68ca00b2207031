"""Students that tag words, by their form and their spelling."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

import harness
from harness import Ge, Gt, Interval
from harness_teachers.word_features import CHARACTERS, ReadsWords

if TYPE_CHECKING:
    import torch

_LEAST = 0.05  # smallest fraction of rows that still distinguishes words


@dataclass(frozen=True, kw_only=True)
class _Tagger(ReadsWords, harness.TorchStudent):
    task_types: ClassVar[frozenset[str]] = frozenset({"tagging"})
    preferred_for: ClassVar[frozenset[str]] = frozenset({"tagging"})
    learns_from: ClassVar[frozenset[str]] = frozenset({"labels", "logits", "hidden"})
    speed: ClassVar[harness.Speed] = harness.Speed(train=1_500, label=2_500)

    batch_size: Annotated[int, Gt(0)] = 64
    min_examples: Annotated[int, Ge(0)] = 100_000

    def within(self, parameters: int, classes: int) -> _Tagger | None:
        """Return a student with fewer rows for forms, prefixes and suffixes alike, or None."""
        rows = self.ids_within(parameters, classes) - self.shapes - self.letters
        share = rows / (self.vocabulary + 2 * self.affixes)
        if share >= 1:
            return self
        if share < _LEAST:
            return None
        return replace(self, vocabulary=int(share * self.vocabulary), affixes=int(share * self.affixes))


@dataclass(frozen=True, kw_only=True)
class BiLstmTagger(_Tagger):
    """An LSTM in both directions over words and their characters (cf. Lample et al., 2016), without a CRF.

    With ten classes it has at most 224,002 parameters.
    """

    name = "bilstm-tagger"

    hidden: Annotated[int, Gt(0)] = 48  # width of the state, in each direction

    def module(self, size: int, classes: int) -> torch.nn.Module:
        """See :class:`harness.TorchStudent`."""
        from harness_teachers.taggers import BiLstm, Tagger, WordVectors

        each = CHARACTERS + self.characters
        vectors = WordVectors(size, each, self.width, self.word_dropout, self.dropout)
        encoder = BiLstm(vectors.width, self.hidden, self.layers)
        return Tagger(vectors, encoder, classes, self.dropout)


@dataclass(frozen=True, kw_only=True)
class CnnTagger(_Tagger):
    """A tagger with residual convolutions over three words, as in spaCy's pipelines.

    With ten classes it has at most 216,066 parameters. Unlike a recurrent student, it reads all words of a
    text at once.
    """

    name = "cnn-tagger"
    speed: ClassVar[harness.Speed] = harness.Speed(train=2_000, label=7_000)

    hidden: Annotated[int, Gt(0)] = 64  # width of each layer
    layers: Annotated[int, Interval(ge=1, le=8)] = 4  # the number of words read on each side of a word

    def module(self, size: int, classes: int) -> torch.nn.Module:
        """See :class:`harness.TorchStudent`."""
        from harness_teachers.taggers import Tagger, Windows, WordVectors

        each = CHARACTERS + self.characters
        vectors = WordVectors(size, each, self.width, self.word_dropout, self.dropout)
        encoder = Windows(vectors.width, self.hidden, self.layers)
        return Tagger(vectors, encoder, classes, self.dropout)
