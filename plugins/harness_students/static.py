"""Static embeddings: what a transformer makes of each word piece alone, averaged over a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import harness
from harness import Ge, Gt, Interval
from harness_students.borrower import Borrower
from harness_transformers.transformer import FineTuned

if TYPE_CHECKING:
    import torch

Weighting = Literal["sif", "zipf", "uniform"]


@dataclass(frozen=True, kw_only=True)
class Static(Borrower, harness.TorchStudent):
    """A transformer's vectors of single word pieces, reduced, weighted and averaged, then one linear layer.

    The vectors are Model2Vec's (Tulkens & van Dongen, 2024): each piece goes through the transformer as a
    text of its own, and principal components reduce what comes out. Frequent pieces count less, by smooth
    inverse frequency (Arora et al., 2017) or by Zipf's law. Special tokens are not averaged. The table is
    scaled by how large the transfer set's pieces are, so that one learning rate fits any transformer.
    """

    name = "static"
    speed: ClassVar[harness.Speed] = harness.Speed(train=70_000, label=90_000)

    min_examples: Annotated[int, Ge(0)] = 300_000  # averaged words learn slowly
    # A pretrained transformer with its tokenizer, or the fitted teacher.
    embeddings: Literal["teacher"] | FineTuned = "teacher"
    of: Literal["encoder", "embeddings"] = "encoder"  # its last states of single pieces, or its input table
    width: Annotated[int, Ge(0)] = 128  # principal components that are kept; 0: the vectors as they are
    weighting: Weighting = "sif"  # by frequency in the transfer set; "zipf": by place in the vocabulary
    smoothing: Annotated[float, Gt(0)] = 1e-3  # of "sif": a in a / (a + frequency)
    freeze: bool = True  # the table stays as it is, and only what follows is trained
    hidden: Annotated[int, Ge(0)] = 0  # width of a ReLU layer between; 0 for none
    dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0  # of averaged features
    longest: Annotated[int, Gt(0)] = 128  # word pieces; the rest of a text is not read

    @property
    def learns_from(self) -> frozenset[str]:  # type: ignore[override]
        """Hidden states too, where any weights stand before them: a frozen table alone cannot follow."""
        moves = self.hidden > 0 or not self.freeze
        return frozenset({"labels", "logits", "hidden"} if moves else {"labels", "logits"})

    @property
    def lender(self) -> FineTuned | str:
        """See :class:`Borrower`."""
        return self.embeddings

    def fit(
        self,
        transfer: harness.Examples,
        validation: harness.Examples,
        loss: harness.Loss,
        context: harness.Context,
    ) -> harness.Model:
        """See :class:`harness.Student`."""
        import torch

        from harness.training.model import TorchModel
        from harness_students.averages import StaticWords, averaged, frequencies, states_of, table_from
        from harness_students.borrowed import borrow

        source, table, featuriser = borrow(self.name, self.embeddings, self.longest, context)
        if self.width > table.shape[1]:
            raise harness.HarnessError(
                f"width is {self.width}, but the vectors that student '{self.name}' takes have "
                f"{table.shape[1]} numbers"
            )
        kept = averaged(featuriser)
        vectors = table.numpy() if self.of == "embeddings" else states_of(source, featuriser, context.device)
        seen = frequencies(featuriser, transfer.texts, kept)
        torch.manual_seed(context.seed)
        shape = {"width": self.width or vectors.shape[1]}
        module = self.module(featuriser.size, len(transfer.classes), **shape)
        assert isinstance(module, StaticWords)
        made = table_from(vectors, kept, self.width, self.weighting, seen, self.smoothing)
        module.embedding.weight.data.copy_(torch.from_numpy(made))
        module.kept.copy_(torch.from_numpy(kept)[:, None])
        return self.learn(
            TorchModel(module, featuriser, transfer.classes, context, shape), transfer, validation, loss
        )

    def module(self, size: int, classes: int, width: int = 0) -> torch.nn.Module:
        """See :class:`harness.TorchStudent`; its vectors have the width that they come with."""
        from harness_students.averages import StaticWords

        module = StaticWords(size, width or self.width, self.hidden, classes, self.dropout)
        module.embedding.requires_grad_(not self.freeze)
        return module
