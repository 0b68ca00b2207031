"""Recurrent torch modules that map word ids (B, L) to logits (B, C)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness_students.modules import Embedded, embedding, without_some
from harness_students.pooling import Sparse, max_over_time, rows_of, trains_on_cpu, turned
from harness_students.scans import scan


@dataclass(frozen=True)
class Shape:
    """The sizes of a recurrent classifier."""

    size: int  # rows of the embedding
    width: int
    hidden: int
    layers: int
    classes: int
    cell: Literal["lstm", "gru"]
    bidirectional: bool
    pooling: Literal["last", "max", "mean", "attention"]
    scale: float
    projection: int = 0  # width of a linear map of the embeddings; 0: none
    feedforward: int = 0  # width of a ReLU layer after pooling; 0: none
    padding: int = 0  # id
    unknown: int = 1  # id of unknown words


class RecurrentClassifier(Embedded):
    """A classifier: embedding (→ projection) → recurrent layers → pooling (→ ReLU layer) → linear layer.

    The backward direction reads each text reversed within its own length. So padding always comes last and
    never changes a result, and the module needs no packed sequences, which cannot be exported.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        word_dropout: float = 0.0,
        input_dropout: float = 0.0,
        layer_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        output_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = embedding(shape.size, shape.width, shape.scale)
        self._sparse = Sparse()
        self.padding = shape.padding
        self.unknown = shape.unknown
        width = shape.projection or shape.width
        self.projection = nn.Linear(shape.width, width, bias=False) if shape.projection else None
        self.pooling = shape.pooling
        self.bidirectional = shape.bidirectional
        self.word_dropout = word_dropout
        self.input_dropout = input_dropout
        self.layer_dropout = layer_dropout
        self.weight_dropout = weight_dropout
        cell = nn.LSTM if shape.cell == "lstm" else nn.GRU
        directions = 2 if shape.bidirectional else 1
        self.state = shape.hidden * directions
        self.layers = nn.ModuleList(
            nn.ModuleList(
                cell(width if layer == 0 else self.state, shape.hidden, batch_first=True)
                for _ in range(directions)
            )
            for layer in range(shape.layers)
        )
        self.attention = nn.Linear(self.state, 1, bias=False) if shape.pooling == "attention" else None
        self.dropout = nn.Dropout(output_dropout)
        self.feedforward = nn.Linear(self.state, shape.feedforward) if shape.feedforward else None
        self.output = nn.Linear(shape.feedforward or self.state, shape.classes)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits (B, C) of ids (B, L)."""
        return self.outputs(ids, ())["logits"]

    def outputs(self, ids: Tensor, names: Collection[str]) -> dict[str, Tensor]:
        """Return the logits (B, C), and "hidden", the input of the last layer before dropout, (B, H)."""
        if self.training and self.word_dropout:
            ids = without_some(ids, self.word_dropout, self.unknown, self.padding)
        real = ids != self.padding  # (B, L)
        lengths = real.sum(1, keepdim=True).clamp(min=1)  # (B, 1)
        places = torch.arange(ids.shape[1], device=ids.device).unsqueeze(0)  # (1, L)
        # Reverses the first `length` places and leaves the padding; it is its own inverse.
        reverse = torch.where(places < lengths, lengths - 1 - places, places)  # (B, L)
        words = rows_of(self.embedding, ids, self._sparse)  # (B, L, W)
        if self.projection is not None:
            words = self.projection(words)
        states = self._shared_dropout(words, self.input_dropout)
        for number, directions in enumerate(self.layers):
            if number:
                states = self._shared_dropout(states, self.layer_dropout)
            assert isinstance(directions, nn.ModuleList)
            given = [states, turned(self, states, reverse)] if self.bidirectional else [states]
            found = self._run(list(directions), given)
            if self.bidirectional:
                found[1] = turned(self, found[1], reverse)
            states = torch.cat(found, dim=2)  # (B, L, S)
        pooled = self._pool(states, real, lengths)
        if self.feedforward is not None:
            pooled = F.relu(self.feedforward(pooled))
        return {"logits": self.output(self.dropout(pooled)), "hidden": pooled}

    def _pool(self, states: Tensor, real: Tensor, lengths: Tensor) -> Tensor:
        """Return the states (B, L, S) pooled over time, (B, S)."""
        mask = real.unsqueeze(-1)  # (B, L, 1)
        if self.pooling == "max":
            if trains_on_cpu(self, states):  # a sum takes less time than to fill in what a mask selects
                return max_over_time(self, states + (mask.to(states.dtype) - 1) * 1e4)
            return states.masked_fill(~mask, -1e4).amax(1)
        if self.pooling == "mean":
            return (states * mask.to(states.dtype)).sum(1) / lengths.to(states.dtype)
        if self.attention is not None:  # Felbo et al., 2017 (DeepMoji)
            weights: Tensor = self.attention(states).masked_fill(~mask, -1e4).softmax(1)  # (B, L, 1)
            return (states * weights).sum(1)
        last = _pick(states, lengths - 1)[:, 0]  # (B, S)
        if not self.bidirectional:
            return last
        half = self.state // 2  # the backward direction ends at the first word
        return torch.cat([last[:, :half], states[:, 0, half:]], dim=1)

    def _run(self, layers: list[Any], inputs: list[Tensor]) -> list[Tensor]:
        """Return the states (B, L, H) of the directions of one layer, each with its own inputs (B, L, W)."""
        recurrent = [layer.weight_hh_l0 for layer in layers]
        if self.training and self.weight_dropout:
            recurrent = [F.dropout(weight, self.weight_dropout) for weight in recurrent]
        if trains_on_cpu(self, inputs[0]):
            return scan(layers, inputs, recurrent)
        return [
            torch.func.functional_call(layer, {"weight_hh_l0": weight}, (states,))[0]
            if weight is not layer.weight_hh_l0
            else layer(states)[0]
            for layer, states, weight in zip(layers, inputs, recurrent, strict=True)
        ]

    def _shared_dropout(self, states: Tensor, share: float) -> Tensor:
        """Apply dropout, with the same mask for all words of a text (Gal & Ghahramani, 2016)."""
        if not (self.training and share):
            return states
        kept = torch.rand(states.shape[0], 1, states.shape[2], device=states.device) >= share
        return states * kept.to(states.dtype) / (1 - share)


def _pick(states: Tensor, places: Tensor) -> Tensor:
    """Return the states (B, L, S) at places (B, P), as (B, P, S)."""
    return states.gather(1, places.unsqueeze(-1).expand(-1, -1, states.shape[2]))
