"""Recurrent students, with their own vocabulary or the subwords of a transformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import harness
from harness import Ge, Gt, Interval
from harness_students.borrower import Borrower
from harness_students.words import WordStudent
from harness_transformers.transformer import FineTuned

if TYPE_CHECKING:
    import torch

Cell = Literal["lstm", "gru"]
Pooling = Literal["last", "max", "mean", "attention"]


@dataclass(frozen=True, kw_only=True)
class _Recurrent(Borrower, WordStudent):
    cell: ClassVar[Cell]
    bidirectional: ClassVar[bool]

    min_examples: Annotated[int, Ge(0)] = 100_000
    # "own": those of its own vocabulary. Otherwise those of a transformer, with its tokenizer: a pretrained
    # one, or the fitted teacher; `vocabulary` and `width` are then ignored.
    embeddings: Literal["own", "teacher"] | FineTuned = "own"
    freeze: bool = True  # do not train the embeddings of a transformer
    projection: Annotated[int, Ge(0)] = 0  # width of a linear map of a transformer's embeddings; 0: none
    hidden: Annotated[int, Gt(0)] = 24  # width of the state, in each direction
    layers: Annotated[int, Interval(ge=1, le=4)] = 1
    feedforward: Annotated[int, Ge(0)] = 0  # width of a ReLU layer after pooling; 0: none
    pooling: Pooling = "max"  # over time; "last": the state at a text's end (and start); "attention": learned
    word_dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0  # of whole words (Gal & Ghahramani, 2016)
    input_dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0  # of embeddings, one mask per text
    layer_dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0  # between layers, one mask per text
    weight_dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0  # of recurrent weights (Merity et al., 2018)
    scale: Annotated[float, Gt(0)] = 0.1  # standard deviation of the initial embedding

    @property
    def products(self) -> int:
        """Return the multiplications per word; a transformer's embeddings count as those of `width`."""
        gates = 4 if self.cell == "lstm" else 3
        directions = 2 if self.bidirectional else 1
        inner = (self.layers - 1) * (directions + 1) * self.hidden**2
        return directions * gates * (self.hidden * ((self.projection or self.width) + self.hidden) + inner)

    def check(self) -> None:
        """Raise ValueError if a parameter does not go with the embeddings."""
        if self.projection and self.embeddings == "own":
            raise ValueError(
                f'cannot use projection {self.projection} with embeddings = "own"; set `width` instead'
            )
        if self.words != "frequent" and self.embeddings != "own":
            raise ValueError(
                f'cannot use words "{self.words}" with a transformer\'s embeddings: their vocabulary is fixed'
            )

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
        from harness_students.recurrence import RecurrentClassifier

        _, table, featuriser = borrow(self.name, self.embeddings, self.longest, context)
        torch.manual_seed(context.seed)
        shape = {"width": table.shape[1], "padding": featuriser.padding, "projection": self.projection}
        if self.word_dropout:
            shape["unknown"] = unknown_of(featuriser)
        module = self.module(featuriser.size, len(transfer.classes), **shape)
        assert isinstance(module, RecurrentClassifier)
        module.embedding.weight.data.copy_(table)
        model = TorchModel(module, featuriser, transfer.classes, context, shape)
        self.learn(model, transfer, validation, loss)
        if self.projection:
            module.fold()
            model.shape |= {"width": self.projection, "projection": 0}
        return model

    def module(
        self, size: int, classes: int, width: int = 0, padding: int = 0, unknown: int = 1, projection: int = 0
    ) -> torch.nn.Module:
        """Return a new module; the other arguments belong to a transformer's embeddings."""
        from harness_students.recurrence import RecurrentClassifier, Shape

        shape = Shape(
            size=size,
            width=width or self.width,
            hidden=self.hidden,
            layers=self.layers,
            classes=classes,
            cell=self.cell,
            bidirectional=self.bidirectional,
            pooling=self.pooling,
            scale=self.scale,
            projection=projection,
            feedforward=self.feedforward,
            padding=padding,
            unknown=unknown,
        )
        module = RecurrentClassifier(
            shape,
            word_dropout=self.word_dropout,
            input_dropout=self.input_dropout,
            layer_dropout=self.layer_dropout,
            weight_dropout=self.weight_dropout,
            output_dropout=self.dropout,
        )
        if self.embeddings != "own":
            module.embedding.requires_grad_(not self.freeze)
        return module


@dataclass(frozen=True, kw_only=True)
class Lstm(_Recurrent):
    """A long short-term memory network (LSTM), left to right (Hochreiter & Schmidhuber, 1997)."""

    name = "lstm"
    cell: ClassVar[Cell] = "lstm"
    bidirectional: ClassVar[bool] = False


@dataclass(frozen=True, kw_only=True)
class Gru(_Recurrent):
    """A gated recurrent unit network (GRU), left to right (Cho et al., 2014)."""

    name = "gru"
    cell: ClassVar[Cell] = "gru"
    bidirectional: ClassVar[bool] = False


@dataclass(frozen=True, kw_only=True)
class BiLstm(_Recurrent):
    """An LSTM in both directions (Graves & Schmidhuber, 2005)."""

    name = "bilstm"
    cell: ClassVar[Cell] = "lstm"
    bidirectional: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class BiGru(_Recurrent):
    """A gated recurrent unit network in both directions."""

    name = "bigru"
    cell: ClassVar[Cell] = "gru"
    bidirectional: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class TangBiLstm(BiLstm):
    """The single-layer BiLSTM into which Tang et al. (2019, arXiv:1903.12136) distil BERT.

    The last states of both directions, 150 numbers each, go through 200 ReLU units; the paper also uses 300
    and 400. The paper trains with AdaDelta (rate 1.0, decay 0.95) on word2vec vectors of width 300, with one
    fixed and one trained copy of them. Here the vectors are learned, or taken from a transformer, and the
    optimiser is AdamW.
    """

    name = "tang-bilstm"

    vocabulary: Annotated[int, Gt(2)] = 20_000
    width: Annotated[int, Gt(0)] = 300
    hidden: Annotated[int, Gt(0)] = 150
    feedforward: Annotated[int, Ge(0)] = 200
    pooling: Pooling = "last"
    dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.1
    batch_size: Annotated[int, Gt(0)] = 50
    learning_rate: Annotated[float, Gt(0)] = 1e-3
