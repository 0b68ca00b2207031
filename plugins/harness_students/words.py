"""Students with their own vocabulary of words from the transfer set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast

import harness
from harness import Ge, Gt, Interval
from harness_transformers.transformer import FineTuned

if TYPE_CHECKING:
    import torch

    from harness.api import Tokeniser
    from harness.featurise.featuriser import Featuriser, Words

_WORTH_A_GPU = 32_000  # multiplications per word
_FEWEST = 100  # a vocabulary that still describes most texts


@dataclass(frozen=True, kw_only=True)
class WordStudent(harness.TorchStudent):
    """A student with its own vocabulary of words."""

    learns_from: ClassVar[frozenset[str]] = frozenset({"labels", "logits", "hidden"})

    min_examples: Annotated[int, Ge(0)] = 100_000
    vocabulary: Annotated[int, Gt(2)] = 5000  # rows of the embedding, including padding and unknown words
    words: Literal["frequent", "telling"] = "frequent"  # "telling": the most informative of labels
    width: Annotated[int, Gt(0)] = 16  # of the embedding
    # The words' vectors at the start of training: random, or principal components of the states of a
    # transformer that reads each word alone: of the fitted teacher, or of a pretrained model.
    initial: Literal["random", "teacher"] | FineTuned = "random"
    dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0  # before the last layer
    longest: Annotated[int, Gt(0)] = 128  # maximum number of words read from a text
    scale: Annotated[float, Gt(0)] = 0.1  # standard deviation of the initial embedding

    @property
    def products(self) -> int:
        """Return the approximate number of multiplications per word after the embedding."""
        return 0

    @property
    def speed(self) -> harness.Speed:  # type: ignore[override]
        """Return the expected speed, by a formula that was fitted to records of this project."""
        train = 1e6 / (14 + 0.2 * self.products**0.68)
        return harness.Speed(train, 1.8 * train)

    @property
    def accelerated(self) -> bool:  # type: ignore[override]
        """Return whether a GPU is worth it: the smallest models train as fast on one CPU core."""
        return self.products >= _WORTH_A_GPU

    @property
    def borrows(self) -> bool:
        """Return whether its vectors start from those of the fitted teacher; see :class:`harness.Student`."""
        return self.initial == "teacher"

    def base(self) -> str:
        """Return the base of the pretrained model; see :class:`harness.Component`."""
        return self.initial.base() if isinstance(self.initial, FineTuned) else ""

    def refuses(self, teacher: harness.Teacher) -> str:
        """Return why the teacher has no states of words; see :class:`harness.Student`."""
        if not self.borrows or "hidden" in teacher.gives:
            return ""
        return (
            f"student '{self.name}' starts from states of its teacher, but teacher '{teacher.name}' has "
            'none; set `initial` to a pretrained model, such as { use = "minilm" }'
        )

    def begin(
        self,
        module: torch.nn.Module,
        featuriser: Featuriser,
        transfer: harness.Examples,
        context: harness.Context,
    ) -> None:
        """See :class:`harness.TorchStudent`."""
        if self.initial == "random":
            return
        import torch

        from harness_students.averages import vectors_of_words

        source = context.teacher if isinstance(self.initial, str) else self.initial
        found = vectors_of_words(source, cast("Words", featuriser), self.width, transfer, context)
        table: Any = module.embedding.weight  # type: ignore[union-attr]
        with torch.no_grad():
            table[2:] = self.scale * torch.from_numpy(found)

    def within(self, parameters: int, classes: int) -> WordStudent | None:
        """Return a student with a smaller vocabulary, of the most informative words, or None."""
        words = self.ids_within(parameters, classes)
        if words >= self.vocabulary:
            return self
        return replace(self, vocabulary=words, words="telling") if words >= _FEWEST else None

    def tokeniser(self, teacher: harness.Teacher | None = None) -> Tokeniser | None:
        """See :class:`harness.Student`."""
        from harness_students.telling import FrequentWords, TellingWords

        kind = TellingWords if self.words == "telling" else FrequentWords
        return kind(vocabulary=self.vocabulary, longest=self.longest)


@dataclass(frozen=True, kw_only=True)
class Mlp(WordStudent):
    """The average of a text's word embeddings, then one linear layer (cf. Iyyer et al., 2015).

    With 5,000 words, width 16 and six classes, it has 80,102 parameters.
    """

    name = "mlp"

    min_examples: Annotated[int, Ge(0)] = 300_000  # averaged words learn slowly
    hidden: Annotated[int, Ge(0)] = 0  # width of a ReLU layer after the average; 0: none
    scale: Annotated[float, Gt(0)] = 0.05

    def module(self, size: int, classes: int) -> torch.nn.Module:
        """See :class:`harness.TorchStudent`."""
        from harness_students.modules import AveragedWords

        return AveragedWords(size, self.width, self.hidden, classes, self.dropout, self.scale)
