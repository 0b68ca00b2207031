"""What a model's outputs on labelled texts are worth.

Everything comes from one confusion matrix and one softmax, so that scoring a small cell costs well under
a millisecond; the tests hold the figures equal to scikit-learn's, whose import alone takes a second.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.api import HarnessError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BINS = 15  # of the calibration error, as in Guo et al. (2017)
LOWER_IS_BETTER = frozenset({"perplexity", "nll", "ece", "loss"})


def classification(
    labels: NDArray[np.integer[Any]], logits: NDArray[np.floating[Any]], classes: Sequence[str]
) -> dict[str, Any]:
    """Scores of logits (N, C), or log-probabilities, against gold labels (N,); plain JSON values.

    Rows without a gold label (-1) are left out. Macro averages run over the classes that occur in the
    gold labels or the predictions, and 0/0 counts as 0, as in scikit-learn. ``matthews`` is the
    correlation of labels and predictions (Matthews, 1975; for more classes Gorodkin, 2004); ``nll`` the
    mean negative log-likelihood in nats; ``ece`` the expected calibration error over 15 bins of equal width
    (Guo et al., 2017); the rows of ``confusion`` are gold classes. Raises HarnessError where there is
    nothing to score, or where the outputs are no distribution (NaN or infinite).
    """
    import numpy as np  # here, as rankings import this module and need no arrays

    if logits.ndim != 2 or logits.shape != (len(labels), len(classes)):
        raise ValueError(f"logits of shape {logits.shape} for {len(labels)} labels of {len(classes)} classes")
    if len(labels) and (labels.min() < -1 or labels.max() >= len(classes)):
        raise ValueError(f"labels from {labels.min()} to {labels.max()} for {len(classes)} classes")
    if (labels < 0).any():
        labels, logits = labels[labels >= 0], logits[labels >= 0]
    if not len(labels):
        raise HarnessError("no text with a gold label to score")
    # The maximum passes NaN on; a -inf below it is only a probability of 0.
    if not np.isfinite(logits.max(axis=1)).all():
        raise HarnessError("the model's outputs are NaN or infinite")

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
        "f1_macro": float(f1[occurs].mean()),
        "f1_micro": accuracy,  # with one label a text, every micro average is the accuracy
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


def agreement(a_logits: NDArray[np.floating[Any]], b_logits: NDArray[np.floating[Any]]) -> float:
    """The share of rows on which two models' logits (N, C) have the same largest class."""
    if a_logits.shape != b_logits.shape or not len(a_logits):
        raise ValueError(f"cannot compare outputs of shapes {a_logits.shape} and {b_logits.shape}")
    return float((a_logits.argmax(axis=1) == b_logits.argmax(axis=1)).mean())


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    import numpy as np

    out = np.zeros(len(part))
    np.divide(part, whole, out=out, where=whole > 0)
    return out


def _matthews(right: float, gold: NDArray[Any], guessed: NDArray[Any]) -> float:
    """The correlation coefficient, 0 where labels or predictions are all of one class."""
    rows, gold, guessed = float(gold.sum()), gold.astype("float64"), guessed.astype("float64")
    spread = (rows * rows - guessed @ guessed) * (rows * rows - gold @ gold)
    return float((right * rows - gold @ guessed) / math.sqrt(spread)) if spread > 0 else 0.0


def _calibration(
    labels: NDArray[np.integer[Any]], logits: NDArray[np.floating[Any]], predicted: NDArray[np.integer[Any]]
) -> tuple[float, float]:
    """Mean negative log-likelihood of the gold classes, and the expected calibration error."""
    import numpy as np

    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    log_total = np.log(np.exp(shifted).sum(axis=1))  # (N,)
    likelihood = shifted[np.arange(len(labels)), labels] - log_total
    # A gold class of probability 0 must not make the mean infinite, which JSON could not hold.
    nll = -float(np.maximum(likelihood, np.log(np.finfo(np.float64).tiny)).mean())
    confidence = np.exp(-log_total)  # of the predicted class, whose shifted logit is 0
    bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)  # bin m is (m/15, (m+1)/15]
    gap = np.bincount(bins, weights=(predicted == labels) - confidence, minlength=BINS)
    return nll, float(np.abs(gap).sum() / len(labels))
