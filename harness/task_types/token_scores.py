"""Scores of hidden tokens, on all texts and on resamples.

Texts are resampled, not their hidden tokens, because tokens of one text are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from harness.values import HarnessError, Masked, Model, digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOISE = 1e-4  # tolerance, relative to the largest number, for batches of another shape


def language_modelling(masked: Masked) -> dict[str, Any]:
    """Return the scores of a language model on M hidden tokens, as JSON values.

    ``nll`` is the mean negative log-likelihood of the hidden tokens in nats, ``perplexity`` its exponential,
    ``masked_accuracy`` the share of them that the model predicts as most likely, ``tokens`` their number, and
    ``hidden`` a digest of their positions. Perplexities are not comparable across vocabularies, because the
    tokens differ. Raise HarnessError if no token was hidden, or if a likelihood is NaN or infinite.
    """
    if not len(masked.gold):
        raise HarnessError("cannot score: there are no hidden tokens")
    nll = float(likelihoods(masked).mean())
    return {
        "perplexity": math.exp(nll),
        "nll": nll,
        "masked_accuracy": float(np.mean(masked.predicted == masked.gold)),
        "tokens": len(masked.gold),
        "hidden": hidden(masked),
    }


def hidden(masked: Masked) -> str:
    """Return a digest of the hidden tokens; it is equal for models scored on the same tokens."""
    parts = (np.ascontiguousarray(part, dtype=np.int64).tobytes().hex() for part in masked[:2])
    return digest("hidden", *parts)


def likelihoods(masked: Masked) -> NDArray[np.float64]:
    """Return the negative log-likelihood of each hidden token in nats, (M,).

    Raise HarnessError if one is NaN or minus infinity. Values are limited, so that a token of probability 0
    does not make the mean infinite, which JSON cannot represent.
    """
    found = -masked.log_likelihood.astype(np.float64)
    if np.isnan(found).any() or np.isneginf(found).any():
        raise HarnessError("cannot score: the model's outputs are NaN or infinite")
    return np.asarray(np.minimum(found, -np.log(np.finfo(np.float64).tiny)))


# -- on resamples of texts -------------------------------------------------------------------------------


class Guesses(NamedTuple):
    """Predictions of K models for the hidden tokens of N texts, by text."""

    right: NDArray[np.float64]  # (K, N), tokens that are predicted correctly
    nll: NDArray[np.float64]  # (K, N), summed over a text's tokens, in nats
    tokens: NDArray[np.float64]  # (N,)


def _mean(part: NDArray[np.float64], guesses: Guesses, weights: NDArray[np.float32]) -> NDArray[Any]:
    """Return the mean over the tokens of the drawn texts, (K, B), of sums by text (K, N)."""
    counts = weights.astype(np.float64)  # (N, B)
    return np.asarray((part @ counts) / np.maximum(guesses.tokens @ counts, 1))


ON_RESAMPLES: dict[str, Callable[[Guesses, NDArray[np.float32]], NDArray[np.float64]]] = {
    "perplexity": lambda guesses, weights: np.exp(_mean(guesses.nll, guesses, weights)),
    "nll": lambda guesses, weights: _mean(guesses.nll, guesses, weights),
    "masked_accuracy": lambda guesses, weights: _mean(guesses.right, guesses, weights),
}


# -- checks ------------------------------------------------------------------------------------------------


def model_problems(model: Model, texts: Sequence[str], odd: Sequence[str]) -> Iterator[str]:
    """Yield each rule of language models that a model breaks on normal and unusual texts."""
    every = [*texts, *odd]
    try:
        found, again, fewer = model.masked(every), model.masked(every), model.masked(texts)
    except Exception as error:  # any exception of a plugin's model breaks the rule
        yield f"masked must accept empty, unknown and very long texts: {type(error).__name__}: {error}"
        return
    counts = {len(part) for part in found}
    if len(counts) != 1:
        yield f"masked must return arrays of one length, got lengths {sorted(counts)}"
        return
    rows = set(found.rows.tolist())
    if not set(range(len(texts))) <= rows:
        yield "masked must hide at least one token of each normal text"
    if not all(0 <= row < len(every) for row in rows):
        yield f"rows of masked must be below {len(every)}"
    if not (np.isfinite(found.log_likelihood).all() and (found.log_likelihood <= NOISE).all()):
        yield "log-likelihoods of masked must be finite and at most 0"
    if not np.array_equal(np.stack(found), np.stack(again)):
        yield "masked must hide the same tokens and predict the same in every call"
    first = found.rows < len(texts)
    if not (np.array_equal(fewer.rows, found.rows[first]) and np.array_equal(fewer.gold, found.gold[first])):
        yield "tokens that masked hides in a text must not depend on the other texts"
    elif not np.allclose(fewer.log_likelihood, found.log_likelihood[first], rtol=NOISE, atol=10 * NOISE):
        yield "predictions of masked for a text must not depend on the other texts"
    words = ["sun", "rain", "zxqvk", "a b"]
    kinds: tuple[Literal["embeddings", "hidden"], ...] = ("embeddings", "hidden")
    for of in kinds:
        try:
            vectors, turned = model.vectors(words, of), model.vectors(words[::-1], of)[::-1]
        except Exception as error:
            yield f"vectors of '{of}' must accept any words: {type(error).__name__}: {error}"
            continue
        if len(vectors.shape) != 2 or vectors.shape[0] != len(words):
            yield f"vectors must have one row for each of {len(words)} words, got the shape {vectors.shape}"
        elif not np.isfinite(vectors).all():
            yield f"vectors of '{of}' must be finite"
        elif not np.allclose(vectors, turned, rtol=1e-4, atol=1e-4):
            yield "vectors must keep the order of the words"
