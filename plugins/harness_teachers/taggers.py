"""Torch modules that map features of words (B, L), several ids per word, to logits (B, L, C).

The logits of a word are at its first id; those at its other ids are zeros.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.featurise.featuriser import PADDING, UNKNOWN
from harness_teachers.crf import Crf
from harness_teachers.word_features import CHARACTERS, FORM

_DEVIATION = 0.1  # standard deviation of the initial embedding
_WINDOW = 3  # characters or words per convolution


class WordVectors(nn.Module):
    """Vectors of words: marked ids (B, L) → words (B, W, D), and which of them are not padding (B, W).

    The vector of a word consists of the embeddings of its form, affixes and shape, and of the maximum of a
    convolution over its characters (Ma & Hovy, 2016).
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
        """Return the vectors of words (B, W, D) and a mask (B, W), for ids (B, L)."""
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
        """Return values of words (B, W, C) at the first id of each word, (B, L, C)."""
        return F.pad(found.unsqueeze(2), (0, 0, 0, self.each - 1)).flatten(1, 2)


def windows(rows: Tensor) -> Tensor:
    """Return each row of (..., N, d) with its two neighbours, (..., N, 3 d); zeros are beyond the ends."""
    wide = F.pad(rows, (0, 0, 1, 1))
    count = rows.shape[-2]
    return torch.cat([wide.narrow(-2, at, count) for at in range(_WINDOW)], dim=-1)


class BiLstm(nn.Module):
    """LSTM layers in both directions (Graves & Schmidhuber, 2005): words (B, W, D) → states (B, W, 2 H).

    The backward direction reads each text reversed within its own length, so that padding comes last and has
    no effect.
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
        """Return the states (B, W, 2 H) of words (B, W, D) with a mask (B, W)."""
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
    """Residual convolutions over three words: words (B, W, D) → states (B, W, H).

    As in spaCy's window encoder, the state of a word depends on as many words on each side as there are
    layers.
    """

    def __init__(self, width: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.width = hidden
        self.input = nn.Linear(width, hidden)
        self.layers = nn.ModuleList(nn.Linear(_WINDOW * hidden, hidden) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(layers))

    def forward(self, words: Tensor, real: Tensor) -> Tensor:
        """Return the states (B, W, H) of words (B, W, D) with a mask (B, W)."""
        known = real.unsqueeze(2).to(words.dtype)
        states: Tensor = self.input(words) * known
        for layer, norm in zip(self.layers, self.norms, strict=True):
            states = (states + norm(F.relu(layer(windows(states))))) * known
        return states


class Tagger(nn.Module):
    """A tagger: vectors of words → encoder of their context → linear layer."""

    def __init__(self, vectors: WordVectors, encoder: BiLstm | Windows, classes: int, dropout: float) -> None:
        super().__init__()
        self.vectors = vectors
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(encoder.width, classes)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits (B, L, C) of ids (B, L)."""
        return self.outputs(ids, ())["logits"]

    def outputs(self, ids: Tensor, names: Collection[str]) -> dict[str, Tensor]:
        """Return the logits (B, L, C), and "hidden", the last layer's input before dropout, (B, L, H)."""
        words, real = self.vectors(ids)
        hidden = self.encoder(words, real)
        found = self.scores(self.output(self.dropout(hidden)), real.sum(1), names)  # (B, W, ...) each
        if "hidden" in names:
            found["hidden"] = hidden
        return {name: self.vectors.spread(of_words) for name, of_words in found.items()}

    def scores(self, emissions: Tensor, lengths: Tensor, names: Collection[str]) -> dict[str, Tensor]:
        """Return the logits, from the last layer's outputs (B, W, C) for texts of `lengths` words."""
        return {"logits": emissions}


class CrfTagger(Tagger):
    """A tagger with a conditional random field on top (Huang et al., 2015).

    In training, its outputs are emissions, for a loss on whole texts. Otherwise they are the marginal
    log-probabilities of each word.
    """

    def __init__(self, vectors: WordVectors, encoder: BiLstm | Windows, classes: int, dropout: float) -> None:
        super().__init__(vectors, encoder, classes, dropout)
        self.crf = Crf(classes)

    def scores(self, emissions: Tensor, lengths: Tensor, names: Collection[str]) -> dict[str, Tensor]:
        """See :class:`Tagger`; if `names` include "emissions", nothing else is computed."""
        if "emissions" in names:
            return {"emissions": emissions}
        return {"logits": emissions if self.training else self.crf.log_marginals(emissions, lengths)}
