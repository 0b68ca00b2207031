"""Recurrent students over a vocabulary of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from harness import Ge, Gt, Interval
from harness_students.words import WordStudent

if TYPE_CHECKING:
    import torch

Cell = Literal["lstm", "gru"]
Pooling = Literal["last", "max", "mean", "attention"]


@dataclass(frozen=True, kw_only=True)
class _Recurrent(WordStudent):
    cell: ClassVar[Cell]
    bidirectional: ClassVar[bool]

    min_examples: Annotated[int, Ge(0)] = 100_000
    hidden: Annotated[int, Gt(0)] = 24  # width of the state, in each direction
    layers: Annotated[int, Interval(ge=1, le=4)] = 1
    pooling: Pooling = "max"  # over time; "last": the state at a text's end (and start); "attention": learned
    word_dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0  # of whole words (Gal & Ghahramani, 2016)
    input_dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0  # of embeddings, one mask a text
    layer_dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0  # between layers, one mask a text
    weight_dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0  # of recurrent weights (Merity et al., 2018)
    scale: Annotated[float, Gt(0)] = 0.1  # deviation of the initial embedding

    def module(self, size: int, classes: int) -> torch.nn.Module:
        """See :class:`harness.TorchStudent`."""
        from harness_students.recurrence import RecurrentClassifier, Shape

        shape = Shape(
            size=size,
            width=self.width,
            hidden=self.hidden,
            layers=self.layers,
            classes=classes,
            cell=self.cell,
            bidirectional=self.bidirectional,
            pooling=self.pooling,
            scale=self.scale,
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
