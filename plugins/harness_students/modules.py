"""Torch modules that map word ids (B, L), 0 for padding, to logits (B, C)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness_students.pooling import Sparse, max_over_time, mean_of_rows, rows_of, trains_on_cpu


def embedding(size: int, width: int, scale: float) -> nn.Embedding:
    """Return an embedding with initial values of standard deviation `scale`."""
    # Averaging makes gradients small: with torch's deviation of 1, nothing would change for many epochs.
    table = nn.Embedding(size, width)
    nn.init.normal_(table.weight, std=scale)
    return table


def without_some(ids: Tensor, probability: float, unknown: int, padding: int) -> Tensor:
    """Return ids with the unknown one in place of random others, except padding."""
    kept = torch.rand(ids.shape, device=ids.device) >= probability
    return torch.where(kept | (ids == padding), ids, torch.full_like(ids, unknown))


class AveragedWords(nn.Module):
    """A classifier of averaged words: embedding → mean over words → (ReLU layer →) linear layer."""

    def __init__(
        self, size: int, width: int, hidden: int, classes: int, dropout: float, scale: float
    ) -> None:
        super().__init__()
        self.embedding = embedding(size, width, scale)
        self._sparse = Sparse()
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(width, hidden) if hidden else None
        self.output = nn.Linear(hidden or width, classes)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits (B, C) of ids (B, L)."""
        return self.outputs(ids, ())["logits"]

    def outputs(self, ids: Tensor, names: Collection[str]) -> dict[str, Tensor]:
        """Return the logits (B, C), and "hidden", the input of the last layer before dropout, (B, H)."""
        if trains_on_cpu(self, self.embedding.weight):
            mean = mean_of_rows(self.embedding.weight, ids, ids != 0, self._sparse)  # (B, W)
        else:
            known = (ids != 0).unsqueeze(-1).to(self.embedding.weight.dtype)  # (B, L, 1)
            mean = (self.embedding(ids) * known).sum(1) / known.sum(1).clamp(min=1)
        dropped = self.dropout(mean)
        if self.hidden is None:
            return {"logits": self.output(dropped), "hidden": mean}
        hidden = F.relu(self.hidden(dropped))
        return {"logits": self.output(hidden), "hidden": hidden}


class Embedded(nn.Module):
    """A module over embeddings, which may be projected by a linear map."""

    embedding: nn.Embedding
    projection: nn.Linear | None

    def fold(self) -> None:
        """Replace the embedding by its projection: the logits are the same, the model is smaller."""
        assert self.projection is not None
        with torch.no_grad():
            table = self.projection(self.embedding.weight)  # (V, P)
        trains = self.embedding.weight.requires_grad
        self.embedding = nn.Embedding(len(table), table.shape[1], _weight=table).requires_grad_(trains)
        self.projection = None


class Convolutions(Embedded):
    """A convolutional classifier: embedding → convolutions → maximum over time → ReLU → linear layer.

    There is one convolution for each span. It is computed as one matrix product over the concatenated
    embeddings of its words: for short texts on a CPU, this is about twice as fast as ``nn.Conv1d``.
    """

    def __init__(
        self,
        size: int,
        width: int,
        filters: int,
        spans: Sequence[int],
        classes: int,
        dropout: float,
        scale: float,
        *,
        padding: int = 0,
        unknown: int = 1,
        projection: int = 0,
        word_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = embedding(size, width, scale)
        self.projection = nn.Linear(width, projection, bias=False) if projection else None
        width = projection or width
        self.padding = padding
        self.unknown = unknown
        self.word_dropout = word_dropout
        self.spans = tuple(spans)
        self._sparse = Sparse()
        self.layers = nn.ModuleList(nn.Linear(width * span, filters) for span in self.spans)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(filters * len(self.spans), classes)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits (B, C) of ids (B, L)."""
        return self.outputs(ids, ())["logits"]

    def outputs(self, ids: Tensor, names: Collection[str]) -> dict[str, Tensor]:
        """Return the logits (B, C), and "hidden", the input of the last layer before dropout, (B, H)."""
        if self.training and self.word_dropout:
            ids = without_some(ids, self.word_dropout, self.unknown, self.padding)
        known = (ids != self.padding).unsqueeze(-1).to(self.embedding.weight.dtype)  # (B, L, 1)
        longest = max(self.spans)
        # Zeros after the end of the text, so that a span of every length can start at every word.
        words = rows_of(self.embedding, ids, self._sparse)
        if self.projection is not None:
            words = self.projection(words)
        words = words * known
        words = F.pad(words, (0, 0, 0, longest - 1))  # (B, L + longest - 1, W)
        pooled = []
        for span, weight, bias in self._joined_layers() if self.training else self._layers():
            joined = torch.cat([words[:, at : at + ids.shape[1]] for at in range(span)], dim=2)
            # Padding adds zeros to the maximum, without effect: the ReLU after it makes negative maxima 0.
            pooled.append(max_over_time(self, F.linear(joined, weight, bias) * known))  # (B, F)
        hidden = F.relu(torch.cat(pooled, dim=1))
        return {"logits": self.output(self.dropout(hidden)), "hidden": hidden}

    def _layers(self) -> list[tuple[int, Tensor, Tensor]]:
        """Return the span, the weight and the bias of each convolution."""
        return [
            (span, layer.weight, layer.bias)  # type: ignore[misc]
            for span, layer in zip(self.spans, self.layers, strict=True)
        ]

    def _joined_layers(self) -> list[tuple[int, Tensor, Tensor]]:
        """Return all convolutions as one over the longest span, with zeros for words that they do not read.

        In training, these products take less time than the further operations of several convolutions.
        """
        _, weights, biases = zip(*self._layers(), strict=True)
        most = max(weight.shape[1] for weight in weights)
        padded = [F.pad(weight, (0, most - weight.shape[1])) for weight in weights]
        return [(max(self.spans), torch.cat(padded), torch.cat(biases))]
