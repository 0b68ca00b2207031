"""Compute what a transformer costs from the sizes in its configuration; no weights are read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness import Operations

_TOKENS = 1.4  # subwords of a word: 1.1 to 1.6 in English, 1.2 to 1.8 in a model of 100 languages
_SPECIAL = 2  # of a text

# Architectures call the same size by different names.
_NAMES = {
    "width": ("hidden_size", "d_model", "n_embd", "dim"),
    "layers": ("num_hidden_layers", "num_layers", "n_layer", "n_layers"),
    "inner": ("intermediate_size", "d_ff", "ffn_dim", "hidden_dim", "n_inner", "d_inner"),
    "heads": ("num_attention_heads", "num_heads", "n_head", "n_heads"),
    "head": ("head_dim", "d_kv", "d_head"),
    "groups": ("num_key_value_heads",),
}
# Architectures with a third matrix in the feed-forward part whose activation does not tell.
_GATED = frozenset({"modernbert", "gemma", "gemma2", "gemma3_text", "nomic_bert"})


@dataclass(frozen=True)
class Shape:
    """The sizes of a transformer that its cost depends on."""

    layers: int
    width: int
    weights: int  # of one layer; each token is multiplied by all of them
    vocabulary: int = 0
    longest: int = 128  # maximum number of subwords that are read from a text

    def forward(self, tokens: float) -> float:
        """Return the floating-point operations of a forward pass through a text of `tokens` tokens."""
        attention = 2 * tokens * self.width  # products of queries and keys, and of weights and values
        return 2 * self.layers * tokens * (self.weights + attention)

    def operations(self, words: float) -> Operations:
        """Return the operations for a text of `words` words; the backward pass takes twice the forward's."""
        forward = self.forward(min(_TOKENS * words + _SPECIAL, self.longest))
        return Operations(train=3 * forward, label=forward)


def layer_weights(width: int, inner: int, gated: bool = False, query: int = 0, key: int = 0) -> int:
    """Return the weights of a layer; `query` and `key` are the widths of these states, by default `width`."""
    return 2 * width * ((query or width) + (key or query or width)) + (3 if gated else 2) * width * inner


def shape_of(config: Mapping[str, Any], longest: int) -> Shape | None:
    """Return the shape that a model's configuration describes, or None if it has unusual names."""

    def size(name: str) -> int:
        found = (config.get(each) for each in _NAMES[name])
        return next((value for value in found if isinstance(value, int) and value > 0), 0)

    width, layers, heads = size("width"), size("layers"), size("heads")
    if not (width and layers and heads):
        return None
    head = size("head") or width // heads
    activation = f"{config.get('hidden_act')} {config.get('feed_forward_proj')}"
    gated = config.get("model_type") in _GATED or any(word in activation for word in ("silu", "gated", "glu"))
    key = (size("groups") or heads) * head
    weights = layer_weights(width, size("inner") or 4 * width, gated, heads * head, key)
    vocabulary = config.get("vocab_size")
    return Shape(layers, width, weights, vocabulary if isinstance(vocabulary, int) else 0, longest)


@cache
def shape_in(folder: Path | None, longest: int) -> Shape | None:
    """Return the shape of the model in a folder, or None if there is no configuration that can be read."""
    try:
        config = None if folder is None else json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return shape_of(config, longest) if isinstance(config, Mapping) else None
