"""Torch modules from word ids (B, L), 0 for padding, to logits (B, C)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def embedding(size: int, width: int, scale: float) -> nn.Embedding:
    """A word table with a small initial deviation."""
    # Averaging shrinks gradients: the default deviation of 1 would drown them for many epochs.
    table = nn.Embedding(size, width)
    nn.init.normal_(table.weight, std=scale)
    return table


class AveragedWords(nn.Module):
    """Embedding → mean over words → (hidden ReLU layer →) linear."""

    def __init__(
        self, size: int, width: int, hidden: int, classes: int, dropout: float, scale: float
    ) -> None:
        super().__init__()
        self.embedding = embedding(size, width, scale)
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(width, hidden) if hidden else None
        self.output = nn.Linear(hidden or width, classes)

    def forward(self, ids: Tensor) -> Tensor:
        """(B, L) → (B, C)."""
        return self.outputs(ids, ())["logits"]

    def outputs(self, ids: Tensor, names: Collection[str]) -> dict[str, Tensor]:
        """Logits (B, C), and as "hidden" what the last layer sees, before dropout, (B, H)."""
        known = (ids != 0).unsqueeze(-1).to(self.embedding.weight.dtype)  # (B, L, 1)
        summed = (self.embedding(ids) * known).sum(1)  # (B, W)
        mean = summed / known.sum(1).clamp(min=1)
        dropped = self.dropout(mean)
        if self.hidden is None:
            return {"logits": self.output(dropped), "hidden": mean}
        hidden = F.relu(self.hidden(dropped))
        return {"logits": self.output(hidden), "hidden": hidden}


class Convolutions(nn.Module):
    """Embedding → one convolution for each span → maximum over time → ReLU → linear.

    A span's convolution is one matrix product over its words' concatenated embeddings: on short texts
    that is about twice as fast on a CPU as ``nn.Conv1d``.
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
    ) -> None:
        super().__init__()
        self.embedding = embedding(size, width, scale)
        self.spans = tuple(spans)
        self.layers = nn.ModuleList(nn.Linear(width * span, filters) for span in self.spans)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(filters * len(self.spans), classes)

    def forward(self, ids: Tensor) -> Tensor:
        """(B, L) → (B, C)."""
        return self.outputs(ids, ())["logits"]

    def outputs(self, ids: Tensor, names: Collection[str]) -> dict[str, Tensor]:
        """Logits (B, C), and as "hidden" what the last layer sees, before dropout, (B, H)."""
        known = (ids != 0).unsqueeze(-1).to(self.embedding.weight.dtype)  # (B, L, 1)
        longest = max(self.spans)
        # Zeros after the text's end, so that every word starts a span of every length.
        words = F.pad(self.embedding(ids) * known, (0, 0, 0, longest - 1))  # (B, L + longest - 1, W)
        length = ids.shape[1]
        pooled = []
        for span, layer in zip(self.spans, self.layers, strict=True):
            joined = torch.cat([words[:, at : at + length] for at in range(span)], dim=2)  # (B, L, W * span)
            # ReLU last, on as many numbers as there are texts: the zeros of padding win no maximum above it.
            pooled.append((layer(joined) * known).amax(1))  # (B, F)
        hidden = F.relu(torch.cat(pooled, dim=1))
        return {"logits": self.output(self.dropout(hidden)), "hidden": hidden}
