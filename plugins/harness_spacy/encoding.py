"""Tokenised texts, stored compactly for spaCy's layers.

A spaCy document takes over 100 bytes per token. The layers of text classifiers read only five hashes of each
token, and most tokens occur many times. Here each distinct row of hashes is stored once, in a table, and a
text is a sequence of row numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.featurise.featuriser import Tokens

if TYPE_CHECKING:
    from numpy.typing import NDArray

ATTRIBUTES = ("ORTH", "NORM", "PREFIX", "SUFFIX", "SHAPE")
_MIX = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplying by it is reversible
_CHUNK = 1024  # texts tokenised at a time: their documents are in memory together


class Encoded:
    """The part of a document that the layers read."""

    __slots__ = ("rows",)

    def __init__(self, rows: NDArray[np.uint64]) -> None:
        self.rows = rows  # (L, 5)

    def __len__(self) -> int:
        return len(self.rows)

    def to_array(self, attributes: Sequence[int | str]) -> NDArray[np.uint64]:
        """Return the attributes' hashes, (L, A), or (L,) for a single one, as ``Doc.to_array`` does."""
        columns = [_columns()[attribute] for attribute in attributes]
        return np.ascontiguousarray(self.rows[:, columns[0] if len(columns) == 1 else columns])


class Corpus:
    """N tokenised texts. Indexing with row numbers returns documents for spaCy's layers."""

    def __init__(self, tokens: Tokens, features: NDArray[np.uint64]) -> None:
        self.tokens = tokens  # its ids are rows of `features`
        self.features = features  # (V, 5)

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, rows: NDArray[np.int64]) -> list[Encoded]:
        ids, offsets = self.tokens.ids, self.tokens.offsets
        return [Encoded(self.features[ids[offsets[row] : offsets[row + 1]]]) for row in rows.tolist()]


def encode(nlp: Any, texts: Sequence[str], longest: int | None = None) -> Corpus:
    """Tokenise texts with a pipeline's tokeniser and keep the first `longest` tokens of each.

    An empty text is read as a single space, because spaCy's pooling needs at least one token.
    """
    numbers: dict[int, int] = {}  # hash of a token's word and norm, which determine the rest → its row
    features = [np.zeros((0, len(ATTRIBUTES)), dtype=np.uint64)]
    ids = [np.zeros(0, dtype=np.int32)]
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    for start in range(0, len(texts), _CHUNK):
        chunk = (nlp.make_doc(text or " ") for text in texts[start : start + _CHUNK])
        arrays = [doc.to_array(list(ATTRIBUTES))[:longest] for doc in chunk]
        offsets[start + 1 : start + 1 + len(arrays)] = [len(array) for array in arrays]
        tokens = np.concatenate(arrays)  # (T, 5)
        keys, first, inverse = np.unique(
            tokens[:, 0] * _MIX ^ tokens[:, 1], return_index=True, return_inverse=True
        )
        known = len(numbers)
        found = [numbers.setdefault(key, len(numbers)) for key in keys.tolist()]
        numbered = np.array(found, dtype=np.int32)
        features.append(tokens[first[numbered >= known]])
        ids.append(numbered[inverse])
    return Corpus(Tokens(np.concatenate(ids), np.cumsum(offsets)), np.concatenate(features))


def _columns() -> dict[int | str, int]:
    from spacy.attrs import IDS

    if not _known:
        for column, name in enumerate(ATTRIBUTES):
            _known[name] = _known[IDS[name]] = column
    return _known


_known: dict[int | str, int] = {}
