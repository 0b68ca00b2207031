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

    from harness.values import Masked

BINS = 15  # of the calibration error, as in Guo et al. (2017)
LOWER_IS_BETTER = frozenset({"perplexity", "nll", "ece", "loss", "mse", "mae"})


def classification(
    labels: NDArray[np.integer[Any]],
    logits: NDArray[np.floating[Any]],
    classes: Sequence[str],
    positive: str = "",
) -> dict[str, Any]:
    """Scores of logits (N, C), or log-probabilities, against gold labels (N,); plain JSON values.

    Rows without a gold label (-1) are left out. Macro averages run over the classes that occur in the
    gold labels or the predictions, and 0/0 counts as 0, as in scikit-learn. ``matthews`` is the
    correlation of labels and predictions (Matthews, 1975; for more classes Gorodkin, 2004); ``nll`` the
    mean negative log-likelihood in nats; ``ece`` the expected calibration error over 15 bins of equal width
    (Guo et al., 2017); the rows of ``confusion`` are gold classes. Where a class is ``positive``, ``f1`` is
    that class's own. Raises HarnessError where there is nothing to score, where the outputs are no
    distribution (NaN or infinite), or where the positive class is none of two.
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
    if positive and (len(classes) != 2 or positive not in classes):
        raise HarnessError(
            f"the positive class '{positive}' must be one of two classes; the data has: {', '.join(classes)}"
        )
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
        **({"f1": float(f1[list(classes).index(positive)])} if positive else {}),
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


def regression(labels: NDArray[np.floating[Any]], predictions: NDArray[np.floating[Any]]) -> dict[str, Any]:
    """Scores of predicted numbers (N, 1) against gold ones (N,); plain JSON values.

    Rows without a gold label (NaN) are left out. ``pearson`` and ``spearman`` are correlations, of the
    numbers and of their ranks, 0 where either side is constant; ``mse`` and ``mae`` mean squared and
    absolute errors. Raises HarnessError where there is nothing to score, or a prediction is NaN or infinite.
    """
    import numpy as np

    if predictions.shape != (len(labels), 1):
        raise ValueError(f"predictions of shape {predictions.shape} for {len(labels)} labels")
    known = np.isfinite(labels)
    gold, found = labels[known].astype(np.float64), predictions[known, 0].astype(np.float64)
    if not len(gold):
        raise HarnessError("no text with a gold label to score")
    if not np.isfinite(found).all():
        raise HarnessError("the model's outputs are NaN or infinite")
    errors = found - gold
    return {
        "pearson": correlation(gold, found),
        "spearman": correlation(_ranks(gold), _ranks(found)),
        "mse": float((errors**2).mean()),
        "mae": float(np.abs(errors).mean()),
    }


def language_modelling(masked: Masked) -> dict[str, Any]:
    """Scores of a language model on M tokens that were hidden from it; plain JSON values.

    ``nll`` is the mean negative log-likelihood of the hidden tokens in nats, ``perplexity`` its exponential,
    ``masked_accuracy`` the share of them that the model thought the likeliest, ``tokens`` how many there are,
    ``hidden`` which. Models of other vocabularies see other tokens: their perplexities are not on one scale.
    Raises HarnessError where no token was hidden, or where a likelihood is NaN or infinite.
    """
    import numpy as np

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
    import numpy as np

    from harness.values import digest

    parts = (np.ascontiguousarray(part, dtype=np.int64).tobytes().hex() for part in masked[:2])
    return digest("hidden", *parts)


def likelihoods(masked: Masked) -> NDArray[np.float64]:
    """The negative log-likelihood of each hidden token, (M,), in nats.

    A token of probability 0 must not make the mean infinite, which JSON could not hold.
    """
    import numpy as np

    found = -masked.log_likelihood.astype(np.float64)
    if np.isnan(found).any() or np.isneginf(found).any():
        raise HarnessError("the model's outputs are NaN or infinite")
    return np.asarray(np.minimum(found, -np.log(np.finfo(np.float64).tiny)))


def correlation(a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]]) -> float:
    """Pearson's, of two lists of numbers (N,); 0 where either is constant."""
    import numpy as np

    if not len(a) or (a == a[0]).all() or (b == b[0]).all():
        return 0.0
    a, b = a.astype(np.float64) - a.mean(dtype=np.float64), b.astype(np.float64) - b.mean(dtype=np.float64)
    # Lengths before products: a square of tiny numbers could round to 0.
    a, b = a / np.abs(a).max(), b / np.abs(b).max()
    return float(np.clip((a @ b) / math.sqrt((a @ a) * (b @ b)), -1, 1))


def agreement(a_logits: NDArray[np.floating[Any]], b_logits: NDArray[np.floating[Any]]) -> float:
    """The share of rows on which two models' logits (N, C) have the same largest class.

    Of one column, numbers rather than logits, it is their correlation.
    """
    if a_logits.shape != b_logits.shape or not len(a_logits):
        raise ValueError(f"cannot compare outputs of shapes {a_logits.shape} and {b_logits.shape}")
    if a_logits.shape[1] == 1:
        return correlation(a_logits[:, 0], b_logits[:, 0])
    return float((a_logits.argmax(axis=1) == b_logits.argmax(axis=1)).mean())


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    import numpy as np

    out = np.zeros(len(part))
    np.divide(part, whole, out=out, where=whole > 0)
    return out


def _ranks(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """The place of each number among all, equal ones sharing the mean of their places."""
    import numpy as np

    _, inverse, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[inverse])


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
