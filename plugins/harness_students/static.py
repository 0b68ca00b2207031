"""Static embeddings: a transformer's vectors of single subwords, averaged over a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import harness
from harness import Ge, Gt, Interval
from harness_students.borrower import Borrower
from harness_transformers.transformer import FineTuned

if TYPE_CHECKING:
    import torch

_AROUND = 2  # special tokens around a subword that is read alone
Weighting = Literal["sif", "zipf", "uniform"]


@dataclass(frozen=True, kw_only=True)
class Static(Borrower, harness.TorchStudent):
    """The average of a text's static subword vectors, taken from a transformer, then one linear layer.

    The vectors are those of Model2Vec (Tulkens & van Dongen, 2024): the transformer reads each subword as a
    text of its own, and principal components reduce the result. Frequent subwords get smaller weights, by
    smooth inverse frequency (Arora et al., 2017) or by Zipf's law. Special tokens are not averaged. The table
    is scaled so that the same learning rate suits any transformer.
    """

    name = "static"
    speed: ClassVar[harness.Speed] = harness.Speed(train=70_000, label=90_000)

    min_examples: Annotated[int, Ge(0)] = 300_000  # averaged words learn slowly
    # Source of the vectors and of the tokenizer: a pretrained transformer, or the fitted teacher.
    embeddings: Literal["teacher"] | FineTuned = "teacher"
    of: Literal["encoder", "embeddings"] = "encoder"  # last states of single subwords, or the input table
    width: Annotated[int, Ge(0)] = 128  # number of principal components; 0: keep the vectors unchanged
    weighting: Weighting = "sif"  # by frequency in the transfer set; "zipf": by rank in the vocabulary
    smoothing: Annotated[float, Gt(0)] = 1e-3  # of "sif": a in a / (a + frequency)
    freeze: bool = True  # do not train the table, only the layers after it
    hidden: Annotated[int, Ge(0)] = 0  # width of a ReLU layer after the average; 0: none
    dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0  # of the average or the ReLU layer
    longest: Annotated[int, Gt(0)] = 128  # maximum number of subwords read from a text

    @property
    def learns_from(self) -> frozenset[str]:  # type: ignore[override]
        """Return what it can learn from: hidden states only if there are weights to train before them."""
        moves = self.hidden > 0 or not self.freeze
        return frozenset({"labels", "logits", "hidden"} if moves else {"labels", "logits"})

    @property
    def lender(self) -> FineTuned | str:
        """See :class:`Borrower`."""
        return self.embeddings

    def operations(self, words: float, teacher: harness.Teacher | None = None) -> harness.Operations:
        """See :class:`harness.Student`: the transformer reads each subword of its vocabulary once."""
        lender: Any = self.lender if isinstance(self.lender, FineTuned) else teacher
        shape = lender.shape() if self.of == "encoder" and hasattr(lender, "shape") else None
        return harness.Operations(once=shape.vocabulary * shape.forward(_AROUND + 1) if shape else 0.0)

    def fit(
        self,
        transfer: harness.Examples,
        validation: harness.Examples,
        loss: harness.Loss,
        context: harness.Context,
    ) -> harness.Model:
        """See :class:`harness.Student`."""
        import torch

        from harness.training.model import TorchModel, tokens_of
        from harness_students.averages import StaticWords, averaged, frequencies, states_of, table_from
        from harness_students.borrowed import borrow

        source, table, featuriser = borrow(self.name, self.embeddings, self.longest, context)
        if self.width > table.shape[1]:
            raise harness.HarnessError(
                f"expected a width of at most {table.shape[1]}, that of the vectors that student "
                f"'{self.name}' takes, got {self.width}"
            )
        kept = averaged(featuriser)
        vectors = table.numpy() if self.of == "embeddings" else states_of(source, featuriser, context.device)
        seen = frequencies(featuriser, tokens_of(featuriser, transfer.texts, context), kept)
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
        """Return a new module; `width` is that of the vectors. See :class:`harness.TorchStudent`."""
        from harness_students.averages import StaticWords

        module = StaticWords(size, width or self.width, self.hidden, classes, self.dropout)
        module.embedding.requires_grad_(not self.freeze)
        return module
