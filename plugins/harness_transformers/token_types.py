"""Remove the embeddings of token types, which a model of single texts does not need."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class NoTypes(nn.Module):
    """A replacement for an embedding of token types that adds nothing."""

    def forward(self, types: Tensor) -> float:
        """Return 0 for token types (B, L)."""
        return 0.0


def drop_types(encoder: Any) -> None:
    """Remove the embedding of token types from an encoder, in place, as Sanh et al. (2019) do.

    All tokens of a single text have the first type. Its vector is added to the vectors of positions, so that
    outputs do not change. The configuration then has 0 types. An encoder that is built from such a
    configuration has an empty embedding, which this function removes as well.
    """
    embeddings = getattr(encoder, "embeddings", None)
    types = getattr(embeddings, "token_type_embeddings", None)
    positions = getattr(embeddings, "position_embeddings", None)
    if not isinstance(types, nn.Embedding) or not isinstance(positions, nn.Embedding):
        return
    if types.num_embeddings:
        positions.weight.data += types.weight.data[0]
    embeddings.token_type_embeddings = NoTypes()  # type: ignore[union-attr]
    encoder.config.type_vocab_size = 0
