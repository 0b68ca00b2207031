"""Students over the embeddings of a transformer, or over their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import harness
from harness import Ge, Interval
from harness_students.borrower import Borrower
from harness_students.words import WordStudent
from harness_transformers.transformer import FineTuned

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class OverEmbeddings(Borrower, WordStudent):
    """A student over embeddings of its own vocabulary, or over the subword embeddings of a transformer."""

    # "own": those of its own vocabulary. Otherwise those of a transformer, with its tokenizer: a pretrained
    # one, or the fitted teacher; `vocabulary` and `width` are then ignored.
    embeddings: Literal["own", "teacher"] | FineTuned = "own"
    freeze: bool = True  # do not train the embeddings of a transformer
    # Principal components of a transformer's embeddings to keep, for a faster training; 0: all of them.
    # They are weighted by the frequencies of subwords in the transfer set.
    components: Annotated[int, Ge(0)] = 0
    projection: Annotated[int, Ge(0)] = 0  # width of a linear map of a transformer's embeddings; 0: none
    word_dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0  # of whole words (Gal & Ghahramani, 2016)

    def check(self) -> None:
        """Raise ValueError if a parameter does not go with the embeddings."""
        if self.projection and self.embeddings == "own":
            raise ValueError(
                f'cannot use projection {self.projection} with embeddings = "own"; set `width` instead'
            )
        if self.components and self.embeddings == "own":
            raise ValueError(
                f'cannot use components {self.components} with embeddings = "own"; set `width` instead'
            )
        if self.initial != "random" and self.embeddings != "own":
            raise ValueError(
                "cannot use `initial` with a transformer's embeddings: they are taken as they are; remove it"
            )
        if self.words != "frequent" and self.embeddings != "own":
            raise ValueError(
                f'cannot use words "{self.words}" with a transformer\'s embeddings: their vocabulary is fixed'
            )

    @property
    def borrows(self) -> bool:
        """Return whether it takes its embeddings, or their initial values, from the fitted teacher."""
        return "teacher" in (self.lender, self.initial)

    def base(self) -> str:
        """Return the base of the pretrained transformer that gives embeddings or their initial values."""
        return Borrower.base(self) or WordStudent.base(self)

    def refuses(self, teacher: harness.Teacher) -> str:
        """See :class:`harness.Student`."""
        if self.embeddings == "own":
            return WordStudent.refuses(self, teacher)
        return Borrower.refuses(self, teacher)

    @property
    def lender(self) -> FineTuned | str:
        """See :class:`Borrower`."""
        return self.embeddings

    def within(self, parameters: int, classes: int) -> WordStudent | None:
        """See :class:`harness.Student`; the size of a transformer's embeddings is fixed."""
        return super().within(parameters, classes) if self.embeddings == "own" else self

    def fit(
        self,
        transfer: harness.Examples,
        validation: harness.Examples,
        loss: harness.Loss,
        context: harness.Context,
    ) -> harness.Model:
        """See :class:`harness.Student`."""
        if self.embeddings == "own":
            return super().fit(transfer, validation, loss, context)
        import torch

        from harness.training.model import TorchModel
        from harness_students.borrowed import borrow, unknown_of
        from harness_students.modules import Embedded

        _, table, featuriser = borrow(self.name, self.embeddings, self.longest, context)
        if self.components:
            from harness_students.averages import reduced

            table = reduced(table, featuriser, self.components, transfer, context)
        torch.manual_seed(context.seed)
        shape = {"width": table.shape[1], "padding": featuriser.padding, "projection": self.projection}
        if self.word_dropout:
            shape["unknown"] = unknown_of(featuriser)
        module = self.module(featuriser.size, len(transfer.classes), **shape)
        assert isinstance(module, Embedded)
        module.embedding.weight.data.copy_(table)
        model = TorchModel(module, featuriser, transfer.classes, context, shape)
        self.learn(model, transfer, validation, loss)
        if self.projection:
            module.fold()
            model.shape |= {"width": self.projection, "projection": 0}
        return model

    def module(self, size: int, classes: int, **shape: int) -> torch.nn.Module:
        """Return a new module; `shape` are the sizes of a transformer's embeddings, see :meth:`network`."""
        module = self.network(size, classes, **shape)
        if self.embeddings != "own":
            module.embedding.requires_grad_(not self.freeze)
        return module

    def network(
        self, size: int, classes: int, width: int = 0, padding: int = 0, unknown: int = 1, projection: int = 0
    ) -> torch.nn.Module:
        """Return a new module over `size` embeddings; it has the attributes of :class:`Embedded`.

        `width`, `padding`, `unknown` and `projection` are those of a transformer's embeddings; a width of 0
        means embeddings of its own.
        """
        raise NotImplementedError
