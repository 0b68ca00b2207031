"""Scores of predicted classes, on all texts and on resamples.

All scores come from one confusion matrix and one softmax, so scoring a small cell takes well under a
millisecond. The tests check that they equal scikit-learn's, whose import alone takes a second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from harness.task_types.base import Scores
from harness.values import HarnessError

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 15  # of the calibration error, as in Guo et al. (2017)


def classification(
    labels: NDArray[np.integer[Any]],
    logits: NDArray[np.floating[Any]],
    classes: Sequence[str],
    positive: str = "",
) -> dict[str, Any]:
    """Return the scores of logits or log-probabilities (N, C) against gold labels (N,), as JSON values.

    Rows without a gold label (-1) are ignored. Macro averages are over the classes in the gold labels or the
    predictions, and 0/0 counts as 0, as in scikit-learn. ``matthews`` is the correlation of labels and
    predictions (Matthews, 1975; for more than two classes Gorodkin, 2004); ``nll`` is the mean negative
    log-likelihood in nats; ``ece`` is the expected calibration error over 15 bins of equal width (Guo et al.,
    2017); the rows of ``confusion`` are gold classes. ``f1`` is the F1 of the class `positive`, if it is
    given. Raise HarnessError if no text has a gold label, if the outputs are NaN or infinite, or if
    `positive` is not one of exactly two classes.
    """
    if logits.ndim != 2 or logits.shape != (len(labels), len(classes)):
        raise ValueError(f"expected logits of shape {(len(labels), len(classes))}, got {logits.shape}")
    if len(labels) and (labels.min() < -1 or labels.max() >= len(classes)):
        raise ValueError(f"expected labels below {len(classes)}, got {labels.min()} to {labels.max()}")
    if (labels < 0).any():
        labels, logits = labels[labels >= 0], logits[labels >= 0]
    if not len(labels):
        raise HarnessError("cannot score: no text has a gold label")
    if positive and (len(classes) != 2 or positive not in classes):
        raise HarnessError(
            f"the positive class must be one of two classes, got '{positive}'; classes: {', '.join(classes)}"
        )
    # The maximum is NaN if any logit is; a smaller -inf is only a probability of 0.
    if not np.isfinite(logits.max(axis=1)).all():
        raise HarnessError("cannot score: the model's outputs are NaN or infinite")

    predicted = logits.argmax(axis=1)  # (N,)
    count = len(classes)
    pairs = labels.astype(np.int64) * count + predicted
    confusion = np.bincount(pairs, minlength=count * count).reshape(count, count)
    right = confusion.diagonal().astype(np.float64)
    gold, guessed = confusion.sum(axis=1), confusion.sum(axis=0)  # (C,)
    precision, recall = _ratio(right, guessed), _ratio(right, gold)
    f1 = _ratio(2 * right, gold + guessed)
    occurs = (gold + guessed) > 0
    accuracy = float(right.sum() / len(labels))
    nll, ece = _calibration(labels, logits, predicted)
    return {
        "accuracy": accuracy,
        **({"f1": float(f1[list(classes).index(positive)])} if positive else {}),
        "f1_macro": float(f1[occurs].mean()),
        "f1_micro": accuracy,  # with one label for each text, every micro average is the accuracy
        "precision_macro": float(precision[occurs].mean()),
        "recall_macro": float(recall[occurs].mean()),
        "precision_micro": accuracy,
        "recall_micro": accuracy,
        "matthews": _matthews(right.sum(), gold, guessed),
        "nll": nll,
        "ece": ece,
        "per_class": {
            name: {"precision": p, "recall": r, "f1": f, "support": s}
            for name, p, r, f, s in zip(
                classes, precision.tolist(), recall.tolist(), f1.tolist(), gold.tolist(), strict=True
            )
        },
        "confusion": confusion.tolist(),
    }


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    out = np.zeros(len(part))
    np.divide(part, whole, out=out, where=whole > 0)
    return out


def _matthews(right: float, gold: NDArray[Any], guessed: NDArray[Any]) -> float:
    """Return the correlation coefficient; 0 if labels or predictions are all of one class."""
    rows, gold, guessed = float(gold.sum()), gold.astype("float64"), guessed.astype("float64")
    spread = (rows * rows - guessed @ guessed) * (rows * rows - gold @ gold)
    return float((right * rows - gold @ guessed) / math.sqrt(spread)) if spread > 0 else 0.0


def _calibration(
    labels: NDArray[np.integer[Any]], logits: NDArray[np.floating[Any]], predicted: NDArray[np.integer[Any]]
) -> tuple[float, float]:
    """Return the mean negative log-likelihood of the gold classes, and the expected calibration error."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    log_total = np.log(np.exp(shifted).sum(axis=1))  # (N,)
    likelihood = shifted[np.arange(len(labels)), labels] - log_total
    # A gold class of probability 0 must not make the mean infinite, which JSON cannot represent.
    nll = -float(np.maximum(likelihood, np.log(np.finfo(np.float64).tiny)).mean())
    confidence = np.exp(-log_total)  # of the predicted class, whose shifted logit is 0
    bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)  # bin m is (m/15, (m+1)/15]
    gap = np.bincount(bins, weights=(predicted == labels) - confidence, minlength=BINS)
    return nll, float(np.abs(gap).sum() / len(labels))


# -- on resamples of texts: (K, B) from cells and weights (N, B) -----------------------------------------


class Cells(NamedTuple):
    """The predictions of several models for the same N examples, all of which have a gold label."""

    predicted: NDArray[Any]  # (K, N)
    gold: NDArray[Any]  # (N,)
    positive: int


def _accuracy(cells: Cells, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    right = (cells.predicted == cells.gold).astype(np.float32)
    hits = right @ weights  # counts: exact in float32
    return np.asarray(hits / np.float64(len(cells.gold)))


def _of_confusion(name: str, cells: Cells, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return a metric, (K, B), from the right, gold and predicted counts of the classes, (C, B) each."""
    count = 1 + max(int(cells.gold.max()), int(cells.predicted.max()), cells.positive)
    classes = np.arange(count)[:, None]
    gold = (cells.gold == classes).astype(np.float32) @ weights  # (C, B)
    found = np.empty((len(cells.predicted), weights.shape[1]))
    for k, predicted in enumerate(cells.predicted):
        chosen = predicted == classes  # (C, N)
        guessed = chosen.astype(np.float32) @ weights
        right = (chosen & (cells.gold == predicted)).astype(np.float32) @ weights
        found[k] = _CONFUSION[name](
            right.astype(np.float64), gold.astype(np.float64), guessed.astype(np.float64), cells.positive
        )
    return found


def _macro(part: NDArray[Any], whole: NDArray[Any], occurs: NDArray[np.bool_]) -> NDArray[Any]:
    """Return the mean over the classes that occur; 0/0 counts as 0."""
    ratio = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return np.asarray((ratio * occurs).sum(axis=0) / occurs.sum(axis=0))


def _matthews_on_resamples(right: Any, gold: Any, guessed: Any, _: int) -> NDArray[Any]:
    rows = gold.sum(axis=0)
    spread = (rows**2 - (guessed**2).sum(axis=0)) * (rows**2 - (gold**2).sum(axis=0))
    over = right.sum(axis=0) * rows - (gold * guessed).sum(axis=0)
    return np.asarray(over / np.sqrt(np.where(spread > 0, spread, np.inf)))


_CONFUSION: dict[str, Callable[[Any, Any, Any, int], NDArray[Any]]] = {
    "f1_macro": lambda right, gold, guessed, _: _macro(2 * right, gold + guessed, gold + guessed > 0),
    "precision_macro": lambda right, gold, guessed, _: _macro(right, guessed, gold + guessed > 0),
    "recall_macro": lambda right, gold, guessed, _: _macro(right, gold, gold + guessed > 0),
    "matthews": _matthews_on_resamples,
    "f1": lambda right, gold, guessed, one: _macro(
        2 * right[one : one + 1], (gold + guessed)[one : one + 1], np.ones((1, right.shape[1]), bool)
    ),
}


# With one label for each text, every micro average is the accuracy.
ACCURACIES = ("accuracy", "f1_micro", "precision_micro", "recall_micro")


ON_RESAMPLES: dict[str, Scores] = {
    **dict.fromkeys(ACCURACIES, _accuracy),
    **{name: partial(_of_confusion, name) for name in _CONFUSION},
}
