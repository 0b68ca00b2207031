"""Tables of static vectors, computed with a transformer, and the module that averages them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from harness import Context, Examples, HarnessError
from harness.featurise.featuriser import Featuriser, Subwords, Tokens, Words
from harness_students.pooling import Sparse, mean_of_rows, trains_on_cpu
from harness_transformers.padding import embeddings_of

_AT_ONCE = 1024  # subwords per batch through a transformer


class StaticWords(nn.Module):
    """A classifier of averaged subwords: embedding → mean over kept ids → (ReLU layer →) linear layer."""

    kept: Tensor  # (V, 1), 1 for subwords that are averaged, 0 for special tokens and padding

    def __init__(self, size: int, width: int, hidden: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size, width)
        self._sparse = Sparse()
        self.register_buffer("kept", torch.ones(size, 1))
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(width, hidden) if hidden else None
        self.output = nn.Linear(hidden or width, classes)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits (B, C) of ids (B, L)."""
        return self.output(self.dropout(self._features(ids)))  # type: ignore[no-any-return]

    def outputs(self, ids: Tensor, names: Any) -> dict[str, Tensor]:
        """Return the logits (B, C), and "hidden", the input of the last layer before dropout, (B, H)."""
        features = self._features(ids)
        return {"logits": self.output(self.dropout(features)), "hidden": features}

    def _features(self, ids: Tensor) -> Tensor:
        kept = F.embedding(ids, self.kept)  # (B, L, 1)
        if trains_on_cpu(self, self.embedding.weight):
            mean = mean_of_rows(self.embedding.weight, ids, kept.squeeze(2) != 0, self._sparse)  # (B, W)
        else:
            mean = (self.embedding(ids) * kept).sum(1) / kept.sum(1).clamp(min=1)
        return mean if self.hidden is None else F.relu(self.hidden(mean))


def averaged(featuriser: Featuriser) -> NDArray[np.float32]:
    """Return (V,): 0 for padding and special tokens, which have no meaning, and 1 for all other ids."""
    kept = np.ones(featuriser.size, dtype=np.float32)
    kept[featuriser.padding] = 0
    if isinstance(featuriser, Subwords):
        for number, token in featuriser.tokenizer.get_added_tokens_decoder().items():
            if token.special:
                kept[number] = 0
    return kept


@torch.inference_mode()
def states_of(module: nn.Module, featuriser: Featuriser, device: str) -> NDArray[np.float32]:
    """Return a vector for each subword, (V, W), computed from the text that consists of it alone.

    The vector is the mean of the last states of the subword and of the special tokens around it. Raise
    HarnessError if there is no encoder.
    """
    encoder: Any = module if hasattr(module, "base_model") else getattr(module, "encoder", None)
    if not isinstance(featuriser, Subwords) or not hasattr(encoder, "base_model"):
        raise HarnessError(
            'cannot compute vectors of subwords without an encoder; set of = "embeddings" for the input table'
        )
    around = featuriser.tokenizer.encode("a")
    inner = [place for place, added in enumerate(around.special_tokens_mask) if not added]
    start, end = (inner[0], inner[-1] + 1) if inner else (len(around.ids), len(around.ids))
    before, after = around.ids[:start], around.ids[end:]
    encoder = encoder.base_model.to(device).eval()
    blocks = []
    size = min(featuriser.size, embeddings_of(encoder))
    for first in range(0, size, _AT_ONCE):
        pieces = range(first, min(first + _AT_ONCE, size))
        ids = torch.tensor([[*before, piece, *after] for piece in pieces], device=device)  # (B, 3)
        states = encoder(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        blocks.append(states.mean(1).float().cpu().numpy())
    if size < featuriser.size:  # padding has no embedding
        blocks.append(np.zeros((featuriser.size - size, blocks[0].shape[1]), dtype=np.float32))
    return np.concatenate(blocks)


def frequencies(featuriser: Featuriser, tokens: Tokens, kept: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the relative frequency of each kept id in the ids of some texts, (V,).

    1 is added to each count. Otherwise, subwords that a small set of texts lacks would have the largest
    weights.
    """
    counts = (np.bincount(tokens.ids, minlength=featuriser.size) + 1) * kept
    return np.asarray(counts / counts.sum(), dtype=np.float64)


def table_from(
    vectors: NDArray[np.float32],
    kept: NDArray[np.float32],
    width: int,
    weighting: str,
    seen: NDArray[np.float64],
    smoothing: float,
) -> NDArray[np.float32]:
    """Reduce vectors (V, W) to principal components (V, `width`), weighted by frequencies `seen` (V,).

    The components and the mean are computed from the kept rows; all other rows become zeros. The result is
    scaled: with subwords drawn by their frequencies, the mean square of a number is 1.
    """
    rows = np.flatnonzero(kept)
    found = vectors[rows].astype(np.float64)
    if width:
        found -= found.mean(axis=0)
        _, axes = np.linalg.eigh(found.T @ found)  # in ascending order
        axes = axes[:, ::-1][:, :width]
        # The sign of an axis is arbitrary: make its largest number positive.
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


def vectors_of_words(
    source: Any, featuriser: Words, width: int, transfer: Examples, context: Context
) -> NDArray[np.float32]:
    """Return the `width` principal components of a model's states of each word of a vocabulary, (V, `width`).

    The model is fitted, or a pretrained transformer; it reads each word as a text of its own. Words drawn by
    their frequencies in the transfer set have a mean square of 1.
    """
    from harness_transformers.finetuning import TransformerModel, classifier, pretrained

    if not hasattr(source, "hidden"):
        encoder, reads = pretrained(source, context)
        module = classifier(encoder, "mean", reads, 1, 0.0)
        source = TransformerModel(module, reads, [""], context)
    vectors = source.hidden(featuriser.vocabulary)  # (V, D)
    if width > vectors.shape[1]:
        raise HarnessError(
            f"expected a width of at most {vectors.shape[1]}, that of the states of the model that gives the "
            f"initial vectors, got {width}"
        )
    seen = np.bincount(featuriser.tokens(transfer.texts).ids, minlength=featuriser.size)[2:] + 1.0
    every = np.ones(len(vectors), dtype=np.float32)
    return table_from(vectors, every, width, "uniform", seen / seen.sum(), 1.0)


def reduced(
    table: Tensor, featuriser: Featuriser, width: int, transfer: Examples, context: Context
) -> Tensor:
    """Return the `width` principal components of embeddings (V, D), (V, `width`).

    The components are those of the subwords of the transfer set, as often as they occur there. The numbers
    have a mean square of 0.01 then, as those that students learn themselves.
    """
    from harness.training.model import tokens_of

    if width > table.shape[1]:
        raise HarnessError(
            f"expected at most {table.shape[1]} components, the width of the embeddings, got {width}"
        )
    ids = tokens_of(featuriser, transfer.texts, context).ids
    seen = np.bincount(ids, minlength=len(table)) + 1.0
    share = torch.from_numpy(np.sqrt(seen) / np.sqrt(seen).sum())
    every = table.double()
    every = every - share @ every
    _, axes = torch.linalg.eigh(every.T @ (share[:, None] * every))  # in ascending order
    axes = axes.flip(1)[:, :width]
    # The sign of an axis is arbitrary: make its largest number positive.
    axes = axes * axes.gather(0, axes.abs().argmax(0)[None]).sign()
    found = every @ axes
    scaled: Tensor = 0.1 * found / (share @ found**2).mean().sqrt()
    return scaled.float()
