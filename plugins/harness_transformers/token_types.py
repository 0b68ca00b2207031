"""Embeddings of token types, which a model of single texts has no use for."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class NoTypes(nn.Module):
    """Stands where an embedding of token types was, and adds nothing."""

    def forward(self, types: Tensor) -> float:
        """Token types (B, L) → 0."""
        return 0.0


def drop_types(encoder: Any) -> None:
    """Take the embedding of token types out of an encoder, in place, as Sanh et al. (2019) do.

    The vector of the first type, which all tokens of a single text have, goes into the positions' vectors,
    so that outputs stay what they were. The configuration then says that there are no types, and a bare
    encoder of such a configuration has its empty embedding taken out by the same call.
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
