"""Torch modules from words' features (B, L), several ids a word, to logits (B, L, C) at each first id.

Rows at other ids are zeros: what they stand for has its logits at the first.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.featurise.featuriser import PADDING, UNKNOWN
from harness_teachers.crf import Crf
from harness_teachers.word_features import CHARACTERS, FORM

_DEVIATION = 0.1  # of the initial rows
_WINDOW = 3  # characters, or words, that a convolution sees


class WordVectors(nn.Module):
    """Marked ids (B, L) → words (B, W, D) and which of them are no padding, (B, W).

    A word is the rows of its form, affixes and shape, end to end, and the maximum over its characters of a
    convolution (Ma & Hovy, 2016).
    """

    def __init__(self, size: int, each: int, width: int, word_dropout: float, dropout: float) -> None:
        super().__init__()
        self.size = size
        self.each = each
        self.word_dropout = word_dropout
        self.embedding = nn.Embedding(size, width, padding_idx=PADDING)
        nn.init.normal_(self.embedding.weight, std=_DEVIATION)
        with torch.no_grad():
            self.embedding.weight[PADDING] = 0
        self.characters = nn.Linear(_WINDOW * width, width)
        self.dropout = nn.Dropout(dropout)
        self.width = (CHARACTERS + 1) * width

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """(B, L) → (B, W, D), (B, W)."""
        ids = (ids % self.size).view(ids.shape[0], -1, self.each)  # (B, W, k)
        real = ids[:, :, FORM] != PADDING
        if self.training and self.word_dropout:
            dropped = (torch.rand(real.shape, device=ids.device) < self.word_dropout) & real
            forms = ids[:, :, FORM].masked_fill(dropped, UNKNOWN)
            ids = torch.cat([forms.unsqueeze(2), ids[:, :, FORM + 1 :]], dim=2)
        rows = self.embedding(ids)  # (B, W, k, d)
        whole = rows[:, :, :CHARACTERS].flatten(2)
        there = (ids[:, :, CHARACTERS:] != PADDING).unsqueeze(3).to(rows.dtype)
        seen = F.relu(self.characters(windows(rows[:, :, CHARACTERS:]))) * there  # (B, W, k - 4, d)
        return self.dropout(torch.cat([whole, seen.amax(2)], dim=2)), real

    def spread(self, found: Tensor) -> Tensor:
        """Of each word (B, W, C) → at its first id, (B, L, C)."""
        return F.pad(found.unsqueeze(2), (0, 0, 0, self.each - 1)).flatten(1, 2)


def windows(rows: Tensor) -> Tensor:
    """(..., N, d) → (..., N, 3 d): each row between its neighbours, zeros beyond the ends."""
    wide = F.pad(rows, (0, 0, 1, 1))
    count = rows.shape[-2]
    return torch.cat([wide.narrow(-2, at, count) for at in range(_WINDOW)], dim=-1)


class BiLstm(nn.Module):
    """Words (B, W, D) → states (B, W, 2 H): LSTM layers in both directions (Graves & Schmidhuber, 2005).

    The backward direction reads each text turned around within its own length, so that padding comes last
    and changes nothing.
    """

    def __init__(self, width: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.width = 2 * hidden
        self.layers = nn.ModuleList(
            nn.ModuleList(
                nn.LSTM(width if layer == 0 else self.width, hidden, batch_first=True) for _ in range(2)
            )
            for layer in range(layers)
        )

    def forward(self, words: Tensor, real: Tensor) -> Tensor:
        """(B, W, D), (B, W) → (B, W, 2 H)."""
        lengths = real.sum(1, keepdim=True)  # (B, 1)
        places = torch.arange(real.shape[1], device=real.device).unsqueeze(0)
        turned = torch.where(places < lengths, lengths - 1 - places, places)  # its own inverse
        for directions in self.layers:
            assert isinstance(directions, nn.ModuleList)
            ahead, back = directions
            read = _picked(back(_picked(words, turned))[0], turned)
            words = torch.cat([ahead(words)[0], read], dim=2)
        return words


def _picked(states: Tensor, places: Tensor) -> Tensor:
    return states.gather(1, places.unsqueeze(2).expand(-1, -1, states.shape[2]))


class Windows(nn.Module):
    """Words (B, W, D) → states (B, W, H): residual convolutions over three words, layer by layer.

    As spaCy's window encoder: a word sees as many to each side of it as there are layers.
    """

    def __init__(self, width: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.width = hidden
        self.input = nn.Linear(width, hidden)
        self.layers = nn.ModuleList(nn.Linear(_WINDOW * hidden, hidden) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(layers))

    def forward(self, words: Tensor, real: Tensor) -> Tensor:
        """(B, W, D), (B, W) → (B, W, H)."""
        known = real.unsqueeze(2).to(words.dtype)
        states: Tensor = self.input(words) * known
        for layer, norm in zip(self.layers, self.norms, strict=True):
            states = (states + norm(F.relu(layer(windows(states))))) * known
        return states


class Tagger(nn.Module):
    """Words' vectors → an encoder of their context → linear."""

    def __init__(self, vectors: WordVectors, encoder: BiLstm | Windows, classes: int, dropout: float) -> None:
        super().__init__()
        self.vectors = vectors
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(encoder.width, classes)

    def forward(self, ids: Tensor) -> Tensor:
        """(B, L) → (B, L, C)."""
        return self.outputs(ids, ())["logits"]

    def outputs(self, ids: Tensor, names: Collection[str]) -> dict[str, Tensor]:
        """Logits (B, L, C), and "hidden", what the last layer sees, before dropout, (B, L, H)."""
        words, real = self.vectors(ids)
        hidden = self.encoder(words, real)
        found = self.scores(self.output(self.dropout(hidden)), real.sum(1), names)  # (B, W, ...) each
        if "hidden" in names:
            found["hidden"] = hidden
        return {name: self.vectors.spread(of_words) for name, of_words in found.items()}

    def scores(self, emissions: Tensor, lengths: Tensor, names: Collection[str]) -> dict[str, Tensor]:
        """What the last layer's outputs (B, W, C), of so many words each, are to others: logits."""
        return {"logits": emissions}


class CrfTagger(Tagger):
    """The same with a conditional random field on top (Huang et al., 2015).

    While it is trained, its outputs are emissions, which a loss on whole texts takes; else each word's
    log-marginals.
    """

    def __init__(self, vectors: WordVectors, encoder: BiLstm | Windows, classes: int, dropout: float) -> None:
        super().__init__(vectors, encoder, classes, dropout)
        self.crf = Crf(classes)

    def scores(self, emissions: Tensor, lengths: Tensor, names: Collection[str]) -> dict[str, Tensor]:
        """See :class:`Tagger`; "emissions" can be asked for, and nothing else is then worked out."""
        if "emissions" in names:
            return {"emissions": emissions}
        return {"logits": emissions if self.training else self.crf.log_marginals(emissions, lengths)}
