"""Scores of hidden tokens, for :mod:`harness.task_types.masked_lm`, on all texts and on resamples of them.

The texts are drawn, not their hidden tokens: tokens of one text are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from harness.values import HarnessError, Masked, Model, digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOISE = 1e-4  # what another batch's shape may change in a number, relative to the largest


def language_modelling(masked: Masked) -> dict[str, Any]:
    """Scores of a language model on M tokens that were hidden from it; plain JSON values.

    ``nll`` is the mean negative log-likelihood of the hidden tokens in nats, ``perplexity`` its exponential,
    ``masked_accuracy`` the share of them that the model thought the likeliest, ``tokens`` how many there are,
    ``hidden`` which. Models of other vocabularies see other tokens: their perplexities are not on one scale.
    Raises HarnessError where no token was hidden, or where a likelihood is NaN or infinite.
    """
    if not len(masked.gold):
        raise HarnessError("no hidden token to score")
    nll = float(likelihoods(masked).mean())
    return {
        "perplexity": math.exp(nll),
        "nll": nll,
        "masked_accuracy": float(np.mean(masked.predicted == masked.gold)),
        "tokens": len(masked.gold),
        "hidden": hidden(masked),
    }


def hidden(masked: Masked) -> str:
    """A digest of which tokens were hidden in which texts: equal for models that are scored on the same."""
    parts = (np.ascontiguousarray(part, dtype=np.int64).tobytes().hex() for part in masked[:2])
    return digest("hidden", *parts)


def likelihoods(masked: Masked) -> NDArray[np.float64]:
    """The negative log-likelihood of each hidden token, (M,), in nats.

    A token of probability 0 must not make the mean infinite, which JSON could not hold.
    """
    found = -masked.log_likelihood.astype(np.float64)
    if np.isnan(found).any() or np.isneginf(found).any():
        raise HarnessError("the model's outputs are NaN or infinite")
    return np.asarray(np.minimum(found, -np.log(np.finfo(np.float64).tiny)))


# -- on resamples of texts -------------------------------------------------------------------------------


class Guesses(NamedTuple):
    """What K models made of the hidden tokens of N texts, by text."""

    right: NDArray[np.float64]  # (K, N), tokens whose likeliest id is the gold one
    nll: NDArray[np.float64]  # (K, N), summed over a text's tokens, in nats
    tokens: NDArray[np.float64]  # (N,)


def _mean(part: NDArray[np.float64], guesses: Guesses, weights: NDArray[np.float32]) -> NDArray[Any]:
    """(K, B): a number of each text (K, N), over the tokens of the texts that are drawn."""
    counts = weights.astype(np.float64)  # (N, B)
    return np.asarray((part @ counts) / np.maximum(guesses.tokens @ counts, 1))


ON_RESAMPLES: dict[str, Callable[[Guesses, NDArray[np.float32]], NDArray[np.float64]]] = {
    "perplexity": lambda guesses, weights: np.exp(_mean(guesses.nll, guesses, weights)),
    "nll": lambda guesses, weights: _mean(guesses.nll, guesses, weights),
    "masked_accuracy": lambda guesses, weights: _mean(guesses.right, guesses, weights),
}


# -- checks ------------------------------------------------------------------------------------------------


def model_problems(model: Model, texts: Sequence[str], odd: Sequence[str]) -> Iterator[str]:
    """Yield each rule of language models that a model breaks on usual and odd texts."""
    every = [*texts, *odd]
    try:
        found, again, fewer = model.masked(every), model.masked(every), model.masked(texts)
    except Exception as error:  # whatever a plugin's model raises breaks the rule
        yield f"masked must take empty, unknown and very long texts, but: {type(error).__name__}: {error}"
        return
    counts = {len(part) for part in found}
    if len(counts) != 1:
        yield f"masked must give as many of each, got {sorted(counts)}"
        return
    rows = set(found.rows.tolist())
    if not set(range(len(texts))) <= rows:
        yield "masked must hide at least one token of each usual text"
    if not all(0 <= row < len(every) for row in rows):
        yield f"rows of masked must be below {len(every)}"
    if not (np.isfinite(found.log_likelihood).all() and (found.log_likelihood <= NOISE).all()):
        yield "log-likelihoods must be finite, and none above 0"
    if not np.array_equal(np.stack(found), np.stack(again)):
        yield "masked must hide the same tokens every time, and predict the same"
    first = found.rows < len(texts)
    if not (np.array_equal(fewer.rows, found.rows[first]) and np.array_equal(fewer.gold, found.gold[first])):
        yield "which tokens masked hides must not depend on a text's company"
    elif not np.allclose(fewer.log_likelihood, found.log_likelihood[first], rtol=NOISE, atol=10 * NOISE):
        yield "what masked predicts must not depend on a text's company"
    words = ["sun", "rain", "zxqvk", "a b"]
    kinds: tuple[Literal["embeddings", "hidden"], ...] = ("embeddings", "hidden")
    for of in kinds:
        try:
            vectors, turned = model.vectors(words, of), model.vectors(words[::-1], of)[::-1]
        except Exception as error:
            yield f"vectors must take words, of '{of}', but: {type(error).__name__}: {error}"
            continue
        if len(vectors.shape) != 2 or vectors.shape[0] != len(words):
            yield f"vectors must have a row for each word, got {vectors.shape}"
        elif not np.isfinite(vectors).all():
            yield f"vectors of '{of}' must be finite"
        elif not np.allclose(vectors, turned, rtol=1e-4, atol=1e-4):
            yield "vectors must keep the order of the words"
