"""Recurrent students, over a vocabulary of their own or over the word pieces of a transformer."""

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
    # Of its own vocabulary, or a transformer's with its tokenizer: a pretrained one's, or the fitted
    # teacher's. Then the vocabulary and its width are theirs, whatever `vocabulary` and `width` say.
    embeddings: Literal["own", "teacher"] | FineTuned = "own"
    freeze: bool = True  # borrowed embeddings stay as they are
    projection: Annotated[int, Ge(0)] = 0  # width of a linear map of borrowed embeddings; 0 for none
    hidden: Annotated[int, Gt(0)] = 24  # width of the state, in each direction
    layers: Annotated[int, Interval(ge=1, le=4)] = 1
    feedforward: Annotated[int, Ge(0)] = 0  # width of a ReLU layer after pooling; 0 for none
    pooling: Pooling = "max"  # over time; "last": the state at a text's end (and start); "attention": learned
    word_dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0  # of whole words (Gal & Ghahramani, 2016)
    input_dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0  # of embeddings, one mask a text
    layer_dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0  # between layers, one mask a text
    weight_dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0  # of recurrent weights (Merity et al., 2018)
    scale: Annotated[float, Gt(0)] = 0.1  # deviation of the initial embedding

    @property
    def products(self) -> int:
        """See :class:`WordStudent`; borrowed embeddings without a projection count as own ones."""
        gates = 4 if self.cell == "lstm" else 3
        directions = 2 if self.bidirectional else 1
        inner = (self.layers - 1) * (directions + 1) * self.hidden**2
        return directions * gates * (self.hidden * ((self.projection or self.width) + self.hidden) + inner)

    def check(self) -> None:
        """Only borrowed embeddings are projected, and only a vocabulary of its own is chosen."""
        if self.projection and self.embeddings == "own":
            raise ValueError(
                f"projection {self.projection} is for borrowed embeddings: own ones have any width"
            )
        if self.words != "frequent" and self.embeddings != "own":
            raise ValueError(
                f'words "{self.words}" chooses a vocabulary of its own, but borrowed embeddings have theirs'
            )

    @property
    def lender(self) -> FineTuned | str:
        """See :class:`Borrower`."""
        return self.embeddings

    def within(self, parameters: int, classes: int) -> WordStudent | None:
        """See :class:`harness.Student`; borrowed embeddings have their size."""
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
        """See :class:`harness.TorchStudent`; the rest is what borrowed embeddings bring along."""
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
    """A long short-term memory network, left to right (Hochreiter & Schmidhuber, 1997)."""

    name = "lstm"
    cell: ClassVar[Cell] = "lstm"
    bidirectional: ClassVar[bool] = False


@dataclass(frozen=True, kw_only=True)
class Gru(_Recurrent):
    """A gated recurrent unit network, left to right (Cho et al., 2014)."""

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
    """A GRU in both directions; with max pooling over time by default."""

    name = "bigru"
    cell: ClassVar[Cell] = "gru"
    bidirectional: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class TangBiLstm(BiLstm):
    """The single-layer BiLSTM that BERT is distilled into by Tang et al. (2019, arXiv:1903.12136).

    Both directions' last states, 150 numbers each, go through 200 ReLU units; the paper has 300 and 400 as
    well. It trains by AdaDelta (rate 1.0, decay 0.95) on 300-wide word2vec vectors, one copy of them fixed
    and one tuned; here the words' vectors are learned, or borrowed, and training is AdamW as everywhere.
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
