"""Tables of static vectors, made from a transformer, and the module that averages them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from harness import HarnessError
from harness.featurise.featuriser import Featuriser, Subwords

_AT_ONCE = 1024  # pieces that go through a transformer together


class StaticWords(nn.Module):
    """Vectors of word pieces → mean over those kept → (hidden ReLU layer →) linear."""

    kept: Tensor  # (V, 1), 1 where a piece is averaged, 0 for special tokens and padding

    def __init__(self, size: int, width: int, hidden: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size, width)
        self.register_buffer("kept", torch.ones(size, 1))
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(width, hidden) if hidden else None
        self.output = nn.Linear(hidden or width, classes)

    def forward(self, ids: Tensor) -> Tensor:
        """(B, L) → (B, C)."""
        return self.output(self.dropout(self._features(ids)))  # type: ignore[no-any-return]

    def outputs(self, ids: Tensor, names: Any) -> dict[str, Tensor]:
        """Logits (B, C), and the hidden states (B, H) that they are made from."""
        features = self._features(ids)
        return {"logits": self.output(self.dropout(features)), "hidden": features}

    def _features(self, ids: Tensor) -> Tensor:
        kept = F.embedding(ids, self.kept)  # (B, L, 1)
        mean = (self.embedding(ids) * kept).sum(1) / kept.sum(1).clamp(min=1)  # (B, W)
        return mean if self.hidden is None else F.relu(self.hidden(mean))


def averaged(featuriser: Featuriser) -> NDArray[np.float32]:
    """(V,): 0 for padding and special tokens, which say nothing of a text, and 1 for all others."""
    kept = np.ones(featuriser.size, dtype=np.float32)
    kept[featuriser.padding] = 0
    if isinstance(featuriser, Subwords):
        for number, token in featuriser.tokenizer.get_added_tokens_decoder().items():
            if token.special:
                kept[number] = 0
    return kept


@torch.inference_mode()
def states_of(module: nn.Module, featuriser: Featuriser, device: str) -> NDArray[np.float32]:
    """(V, W): each piece alone as a text, the last states averaged over it and the tokens around it."""
    encoder: Any = module if hasattr(module, "base_model") else getattr(module, "encoder", None)
    if not isinstance(featuriser, Subwords) or not hasattr(encoder, "base_model"):
        raise HarnessError(
            'there is no encoder to send word pieces through; of = "embeddings" takes its input table'
        )
    around = featuriser.tokenizer.encode("a")
    inner = [place for place, added in enumerate(around.special_tokens_mask) if not added]
    start, end = (inner[0], inner[-1] + 1) if inner else (len(around.ids), len(around.ids))
    before, after = around.ids[:start], around.ids[end:]
    encoder = encoder.base_model.to(device).eval()
    blocks = []
    for first in range(0, featuriser.size, _AT_ONCE):
        pieces = range(first, min(first + _AT_ONCE, featuriser.size))
        ids = torch.tensor([[*before, piece, *after] for piece in pieces], device=device)  # (B, 3)
        states = encoder(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        blocks.append(states.mean(1).float().cpu().numpy())
    return np.concatenate(blocks)


def frequencies(
    featuriser: Featuriser, texts: Sequence[str], kept: NDArray[np.float32]
) -> NDArray[np.float64]:
    """(V,): each piece's share among those of some texts that are kept.

    Each counts once more than it was seen: else in a small set unseen pieces would outweigh all others.
    """
    counts = (np.bincount(featuriser.tokens(texts).ids, minlength=featuriser.size) + 1) * kept
    return np.asarray(counts / counts.sum(), dtype=np.float64)


def table_from(
    vectors: NDArray[np.float32],
    kept: NDArray[np.float32],
    width: int,
    weighting: str,
    seen: NDArray[np.float64],
    smoothing: float,
) -> NDArray[np.float32]:
    """Vectors (V, W) → (V, `width`): principal components, weighted by frequencies `seen` (V,), scaled.

    Components, and their mean, are those of the kept rows; the others become zeros. A piece that is drawn
    as often as it was seen has a mean square of 1.
    """
    rows = np.flatnonzero(kept)
    found = vectors[rows].astype(np.float64)
    if width:
        found -= found.mean(axis=0)
        _, axes = np.linalg.eigh(found.T @ found)  # in ascending order
        axes = axes[:, ::-1][:, :width]
        # An axis has no direction of its own: its largest number shall be positive.
        axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(width)])
        found = found @ axes
    if weighting == "sif":
        found *= (smoothing / (smoothing + seen[rows]))[:, None]
    elif weighting == "zipf":  # vocabularies are sorted by frequency
        found *= np.log(1 + np.arange(1, len(rows) + 1))[:, None]
    table = np.zeros((len(vectors), found.shape[1]), dtype=np.float32)
    square = float(seen[rows] @ (found**2).mean(axis=1))
    table[rows] = found / (np.sqrt(square) or 1.0)
    return table
