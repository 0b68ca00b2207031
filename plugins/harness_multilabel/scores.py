"""Scores of multi-label predictions, on all texts and on resamples.

The tests check that they equal scikit-learn's, whose import alone takes a second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from harness import HarnessError
from harness.task_types.base import Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray


def multilabel(
    gold: NDArray[Any], scores: NDArray[np.float64], decided: NDArray[np.bool_], classes: Sequence[str]
) -> dict[str, Any]:
    """Return the metrics of probabilities and decisions against gold labels, (N, C) each, as JSON values.

    Rows without gold labels (NaN) are ignored. Micro averages are over all decisions. Macro averages are
    means over labels; 0/0 counts as 0. Samples averages are means over texts; a text without any label, gold
    or predicted, counts as 1. ``map`` is the mean average precision over the labels with a gold text;
    ``subset_accuracy`` the share of texts whose labels are all right; ``hamming_loss`` the share of wrong
    decisions. Raise HarnessError if no text has gold labels, or if the outputs are NaN or infinite.
    """
    known = known_rows(gold, scores)
    right, found, scores = gold[known] > 0.5, decided[known].astype(bool), scores[known]
    hits = (right & found).sum(axis=0)  # (C,)
    guessed, positive = found.sum(axis=0), right.sum(axis=0)
    precision, recall, f1 = _prf(hits, guessed, positive)
    micro = _prf(hits.sum(), guessed.sum(), positive.sum())
    by_text = _by_text(right, found)
    return {
        "f1_macro": float(f1.mean()),
        "f1_micro": float(micro[2]),
        "f1_samples": float(by_text[2].mean()),
        "precision_macro": float(precision.mean()),
        "recall_macro": float(recall.mean()),
        "precision_micro": float(micro[0]),
        "recall_micro": float(micro[1]),
        "precision_samples": float(by_text[0].mean()),
        "recall_samples": float(by_text[1].mean()),
        "map": mean_average_precision(right, scores),
        "subset_accuracy": float((right == found).all(axis=1).mean()),
        "hamming_loss": float((right != found).mean()),
        "labels_per_text": float(found.sum(axis=1).mean()),
        "per_class": {
            name: {"precision": p, "recall": r, "f1": f, "support": s}
            for name, p, r, f, s in zip(
                classes, precision.tolist(), recall.tolist(), f1.tolist(), positive.tolist(), strict=True
            )
        },
    }


def known_rows(gold: NDArray[Any], scores: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which texts have gold labels, (N,).

    Raise HarnessError if none has, or if their probabilities are NaN or infinite.
    """
    known = np.isfinite(gold).all(axis=1)
    if not known.any():
        raise HarnessError("cannot score: no text has gold labels")
    if not np.isfinite(scores[known]).all():
        raise HarnessError("cannot score: the model's outputs are NaN or infinite")
    return np.asarray(known)


def mean_average_precision(right: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Return the mean average precision over the labels that a text has, from (N, C) each; 0 if none has."""
    labels = np.flatnonzero(right.any(axis=0))
    averages = [average_precision(right[:, label], scores[:, label]) for label in labels]
    return float(np.mean(averages)) if averages else 0.0


def average_precision(right: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Return the mean precision at each gold text, by falling score; ties count together."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(right[order])
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # the last of each group of ties
    precision = hits[last] / (last + 1)
    gained = np.diff(hits[last], prepend=0) / hits[-1]
    return float((precision * gained).sum())


def _prf(hits: Any, guessed: Any, positive: Any) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return precision, recall and F1; 0/0 counts as 0."""
    return _ratio(hits, guessed), _ratio(hits, positive), _ratio(2 * hits, guessed + positive)


def _ratio(part: Any, whole: Any) -> NDArray[np.float64]:
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    found = np.zeros(np.broadcast(part, whole).shape)
    np.divide(part, whole, out=found, where=whole > 0)
    return found


def _by_text(right: NDArray[np.bool_], found: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Return precision, recall and F1 of each text, (N,) each; 1 for a text without any label."""
    scores = _prf((right & found).sum(axis=-1), found.sum(axis=-1), right.sum(axis=-1))
    empty = ~(right.any(axis=-1) | found.any(axis=-1))
    return [np.where(empty, 1.0, each) for each in scores]


# -- on resamples of texts: (K, B) from decisions and weights (N, B) -----------------------------------------


class Decisions(NamedTuple):
    """The decisions of K models for N texts and C labels, and the gold labels."""

    found: NDArray[np.bool_]  # (K, N, C)
    right: NDArray[np.bool_]  # (N, C)


_PARTS: dict[str, Callable[[Any, Any, Any], tuple[Any, Any]]] = {
    "precision": lambda hits, guessed, positive: (hits, guessed),
    "recall": lambda hits, guessed, positive: (hits, positive),
    "f1": lambda hits, guessed, positive: (2 * hits, guessed + positive),
}


def _micro(name: str, given: Decisions, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    hits = (given.found & given.right).sum(axis=2).astype(np.float32) @ weights  # (K, B)
    guessed = given.found.sum(axis=2).astype(np.float32) @ weights
    positive = given.right.sum(axis=1).astype(np.float32) @ weights  # (B,)
    return _ratio(*_PARTS[name](hits, guessed, positive))


def _macro(name: str, given: Decisions, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    positive = given.right.T.astype(np.float32) @ weights  # (C, B)
    found = np.empty((len(given.found), weights.shape[1]))
    for k, decided in enumerate(given.found):
        hits = (decided & given.right).T.astype(np.float32) @ weights
        guessed = decided.T.astype(np.float32) @ weights
        found[k] = _ratio(*_PARTS[name](hits, guessed, positive)).mean(axis=0)
    return found


def _mean_of(values: NDArray[np.float64], weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean over texts of values (K, N) in each resample, (K, B)."""
    return np.asarray(values @ weights.astype(np.float64) / weights.sum(axis=0, dtype=np.float64))


def _samples(place: int, given: Decisions, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    right = np.broadcast_to(given.right, given.found.shape)
    return _mean_of(_by_text(right, given.found)[place], weights)


def _made(name: str, place: int) -> dict[str, Scores]:
    return {
        f"{name}_micro": lambda given, weights: _micro(name, given, weights),
        f"{name}_macro": lambda given, weights: _macro(name, given, weights),
        f"{name}_samples": lambda given, weights: _samples(place, given, weights),
    }


ON_RESAMPLES: dict[str, Scores] = {
    **_made("precision", 0),
    **_made("recall", 1),
    **_made("f1", 2),
    "subset_accuracy": lambda given, weights: _mean_of(
        (given.found == given.right).all(axis=2).astype(np.float64), weights
    ),
    "hamming_loss": lambda given, weights: _mean_of((given.found != given.right).mean(axis=2), weights),
}
