"""A student over hashed words and n-grams."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import harness
from harness import Ge, Gt, Interval

if TYPE_CHECKING:
    import torch

    from harness_students.ngrams import HashedNgrams


@dataclass(frozen=True, kw_only=True)
class FastText(harness.TorchStudent):
    """Hashed words and n-grams, averaged, then one linear layer (Joulin et al., 2017).

    Characters' n-grams tell something of words that training lacks (Bojanowski et al., 2017). Unlike the
    program of that name, words have no table of their own but share the buckets: 20,000 of 10 numbers
    and six classes make 200,086 parameters.
    """

    name = "fasttext"
    learns_from: ClassVar[frozenset[str]] = frozenset({"labels", "logits", "hidden"})
    speed: ClassVar[harness.Speed] = harness.Speed(train=50_000, label=80_000)

    min_examples: Annotated[int, Ge(0)] = 300_000  # averaged words learn slowly
    buckets: Annotated[int, Gt(1)] = 20_000  # that words and n-grams are hashed into
    width: Annotated[int, Gt(0)] = 10  # of the embedding
    word_ngrams: Annotated[int, Interval(ge=1, le=5)] = 2  # longest; 1: single words only
    min_characters: Annotated[int, Gt(0)] = 3  # shortest n-gram of a word's characters, brackets counted
    max_characters: Annotated[int, Ge(0)] = 5  # longest; 0: none
    dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0  # of the average
    longest: Annotated[int, Gt(0)] = 128  # words; the rest of a text is not read
    scale: Annotated[float, Gt(0)] = 0.05  # deviation of the initial embedding

    def check(self) -> None:
        """The n-grams of characters have a length."""
        if 0 < self.max_characters < self.min_characters:
            raise ValueError(
                f"min_characters is {self.min_characters}, more than max_characters, {self.max_characters}; "
                "for no n-grams of characters, write max_characters = 0"
            )

    def featuriser(self, transfer: harness.Examples) -> HashedNgrams:
        """See :class:`harness.TorchStudent`; nothing is learnt from the transfer set."""
        from harness_students.ngrams import HashedNgrams

        return HashedNgrams(
            self.buckets, self.word_ngrams, self.min_characters, self.max_characters, self.longest
        )

    def module(self, size: int, classes: int) -> torch.nn.Module:
        """See :class:`harness.TorchStudent`."""
        from harness_students.modules import AveragedWords

        return AveragedWords(size, self.width, 0, classes, self.dropout, self.scale)

    def load(self, folder: Path, context: harness.Context) -> harness.Model:
        """See :class:`harness.TorchStudent`."""
        import harness_students.ngrams  # noqa: F401 - makes its type of featuriser known

        return super().load(folder, context)
