"""A student with hashed words and n-grams."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import harness
from harness import Ge, Gt, Interval

if TYPE_CHECKING:
    import torch

    from harness_students.ngrams import HashedWords


@dataclass(frozen=True, kw_only=True)
class FastText(harness.TorchStudent):
    """The average of hashed words and n-grams, then one linear layer (Joulin et al., 2017).

    Character n-grams represent words that do not occur in training (Bojanowski et al., 2017). Unlike in the
    fastText program, words have no table of their own but share the buckets. With 20,000 buckets, width 10
    and six classes, it has 200,086 parameters.
    """

    name = "fasttext"
    learns_from: ClassVar[frozenset[str]] = frozenset({"labels", "logits", "hidden"})
    speed: ClassVar[harness.Speed] = harness.Speed(train=50_000, label=80_000)

    min_examples: Annotated[int, Ge(0)] = 300_000  # averaged words learn slowly
    buckets: Annotated[int, Gt(1)] = 20_000  # for hashed words and n-grams
    width: Annotated[int, Gt(0)] = 10  # of the embedding
    word_ngrams: Annotated[int, Interval(ge=1, le=5)] = 2  # longest word n-gram; 1: single words only
    min_characters: Annotated[int, Gt(0)] = 3  # shortest character n-gram, including the word's brackets
    max_characters: Annotated[int, Ge(0)] = 5  # longest character n-gram; 0: none
    dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0  # of the average
    longest: Annotated[int, Gt(0)] = 128  # maximum number of words read from a text
    scale: Annotated[float, Gt(0)] = 0.05  # standard deviation of the initial embedding

    def check(self) -> None:
        """Raise ValueError if no length is possible for character n-grams."""
        if 0 < self.max_characters < self.min_characters:
            raise ValueError(
                f"expected min_characters of at most max_characters, {self.max_characters}, "
                f"got {self.min_characters}; set max_characters = 0 for no character n-grams"
            )

    def tokeniser(self, teacher: harness.Teacher | None = None) -> HashedWords:
        """See :class:`harness.Student`."""
        from harness_students.ngrams import HashedWords

        return HashedWords(
            buckets=self.buckets,
            words=self.word_ngrams,
            min_characters=self.min_characters,
            max_characters=self.max_characters,
            longest=self.longest,
        )

    def module(self, size: int, classes: int) -> torch.nn.Module:
        """See :class:`harness.TorchStudent`."""
        from harness_students.modules import AveragedWords

        return AveragedWords(size, self.width, 0, classes, self.dropout, self.scale)

    def load(self, folder: Path, context: harness.Context) -> harness.Model:
        """See :class:`harness.TorchStudent`."""
        import harness_students.ngrams  # noqa: F401 - registers its type of featuriser

        return super().load(folder, context)
