"""Recurrent students, with their own vocabulary or the subwords of a transformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from harness import Ge, Gt, Interval
from harness_students.lent import OverEmbeddings

if TYPE_CHECKING:
    import torch

Cell = Literal["lstm", "gru"]
Pooling = Literal["last", "max", "mean", "attention"]


@dataclass(frozen=True, kw_only=True)
class _Recurrent(OverEmbeddings):
    cell: ClassVar[Cell]
    bidirectional: ClassVar[bool]

    min_examples: Annotated[int, Ge(0)] = 100_000
    hidden: Annotated[int, Gt(0)] = 24  # width of the state, in each direction
    layers: Annotated[int, Interval(ge=1, le=4)] = 1
    feedforward: Annotated[int, Ge(0)] = 0  # width of a ReLU layer after pooling; 0: none
    pooling: Pooling = "max"  # over time; "last": the state at a text's end (and start); "attention": learned
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

    def network(
        self, size: int, classes: int, width: int = 0, padding: int = 0, unknown: int = 1, projection: int = 0
    ) -> torch.nn.Module:
        """See :class:`OverEmbeddings`."""
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
        return RecurrentClassifier(
            shape,
            word_dropout=self.word_dropout,
            input_dropout=self.input_dropout,
            layer_dropout=self.layer_dropout,
            weight_dropout=self.weight_dropout,
            output_dropout=self.dropout,
        )


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
