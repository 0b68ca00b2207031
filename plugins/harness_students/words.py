"""Students over a vocabulary of their own: words of the transfer set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import harness
from harness import Ge, Gt, Interval, MinLen

if TYPE_CHECKING:
    import torch

    from harness.featurise.featuriser import Words

_WORTH_A_GPU = 32_000  # products for a word
_FEWEST = 100  # words that say something of most texts


@dataclass(frozen=True, kw_only=True)
class WordStudent(harness.TorchStudent):
    """What students with a vocabulary of their own share."""

    learns_from: ClassVar[frozenset[str]] = frozenset({"labels", "logits", "hidden"})

    min_examples: Annotated[int, Ge(0)] = 100_000
    vocabulary: Annotated[int, Gt(2)] = 5000  # rows of the embedding, padding and unknown words among them
    words: Literal["frequent", "telling"] = "frequent"  # which: "telling" chooses by their texts' targets
    width: Annotated[int, Gt(0)] = 16  # of the embedding
    dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0  # of embedded words' features
    longest: Annotated[int, Gt(0)] = 128  # words; the rest of a text is not read

    @property
    def products(self) -> int:
        """Multiplications for a word, about, behind the embedding."""
        return 0

    @property
    def speed(self) -> harness.Speed:  # type: ignore[override]
        """See :class:`harness.Student`; fitted to the records of this project's suites."""
        train = 1e6 / (14 + 0.2 * self.products**0.68)
        return harness.Speed(train, 1.8 * train)

    @property
    def accelerated(self) -> bool:  # type: ignore[override]
        """Of the smallest, a core trains as many a second as a whole GPU, which launches hardly keep busy."""
        return self.products >= _WORTH_A_GPU

    def within(self, parameters: int, classes: int) -> WordStudent | None:
        """See :class:`harness.Student`: it knows fewer words, and then those that tell most."""
        words = self.ids_within(parameters, classes)
        if words >= self.vocabulary:
            return self
        return replace(self, vocabulary=words, words="telling") if words >= _FEWEST else None

    def featuriser(self, transfer: harness.Examples) -> Words:
        """See :class:`harness.TorchStudent`."""
        if self.words == "telling":
            from harness_students.telling import telling

            return telling(transfer, self.vocabulary, self.longest)
        from harness.featurise.featuriser import Words

        return Words.fit(transfer.texts, self.vocabulary, self.longest)


@dataclass(frozen=True, kw_only=True)
class Mlp(WordStudent):
    """The average of a text's word embeddings, then one linear layer (cf. Iyyer et al., 2015).

    5,000 words of 16 numbers and six classes make 80,102 parameters.
    """

    name = "mlp"

    min_examples: Annotated[int, Ge(0)] = 300_000  # averaged words learn slowly
    hidden: Annotated[int, Ge(0)] = 0  # width of a ReLU layer between; 0 for none
    scale: Annotated[float, Gt(0)] = 0.05  # deviation of the initial embedding

    def module(self, size: int, classes: int) -> torch.nn.Module:
        """See :class:`harness.TorchStudent`."""
        from harness_students.modules import AveragedWords

        return AveragedWords(size, self.width, self.hidden, classes, self.dropout, self.scale)


@dataclass(frozen=True, kw_only=True)
class Cnn(WordStudent):
    """Convolutions over 1, 2 and 3 words with max pooling over time (Kim, 2014)."""

    name = "cnn"

    filters: Annotated[int, Gt(0)] = 32  # of each width
    spans: Annotated[tuple[Annotated[int, Gt(0)], ...], MinLen(1)] = (1, 2, 3)  # words that a filter sees
    scale: Annotated[float, Gt(0)] = 0.1  # deviation of the initial embedding

    @property
    def products(self) -> int:
        """See :class:`WordStudent`."""
        return self.width * self.filters * sum(self.spans)

    def module(self, size: int, classes: int) -> torch.nn.Module:
        """See :class:`harness.TorchStudent`."""
        from harness_students.modules import Convolutions

        return Convolutions(size, self.width, self.filters, self.spans, classes, self.dropout, self.scale)
