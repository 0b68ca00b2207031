"""Scores of language models on resamples of texts, for :mod:`harness.results.statistics`.

The texts are drawn, not their hidden tokens: tokens of one text are not independent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Guesses(NamedTuple):
    """What K models made of the hidden tokens of N texts, by text."""

    right: NDArray[np.float64]  # (K, N), tokens whose likeliest id is the gold one
    nll: NDArray[np.float64]  # (K, N), summed over a text's tokens, in nats
    tokens: NDArray[np.float64]  # (N,)


def _mean(part: NDArray[np.float64], guesses: Guesses, weights: NDArray[np.float32]) -> NDArray[Any]:
    """(K, B): a number of each text (K, N), over the tokens of the texts that are drawn."""
    counts = weights.astype(np.float64)  # (N, B)
    return np.asarray((part @ counts) / np.maximum(guesses.tokens @ counts, 1))


OF_GUESSES: dict[str, Callable[[Guesses, NDArray[np.float32]], NDArray[np.float64]]] = {
    "perplexity": lambda guesses, weights: np.exp(_mean(guesses.nll, guesses, weights)),
    "nll": lambda guesses, weights: _mean(guesses.nll, guesses, weights),
    "masked_accuracy": lambda guesses, weights: _mean(guesses.right, guesses, weights),
}
