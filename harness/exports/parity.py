"""How far an exported form is from its model: in its outputs, in what is predicted, and in the score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.api import SCORE, Examples, Masked, Model, words_before
from harness.featurise.tokens import MaskedTokens, batches_by_length
from harness.task_types import metrics
from harness.task_types.spans import spans_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.runtime.forms import OnnxModel

TOLERANCE = 1e-3  # largest difference of two logits, relative to their spread
CHANGED = 0.005  # share of predictions that may differ
LOST = 0.01  # of accuracy, of F1, or of the correlation of a regression, that int8 may not lose
# Nats that int8 may add to the mean negative log-likelihood of hidden tokens. Accuracy alone hides what it
# does to all other probabilities, which are what a language model is asked for; 0.05 is 5 % of perplexity.
RISEN = 0.05
_BUDGET = 1024  # ids whose logits, as many each as a language model knows tokens, are compared at once

Outputs = tuple["NDArray[Any]", "NDArray[Any]"]  # logits, and the class that is decided on in each row


def compare(expected: Outputs, found: Outputs, examples: Examples) -> dict[str, Any]:
    """What a form's outputs for labelled examples differ in from the model's.

    `texts` scored, their `outputs`, one each or one a word, and how many of those are `changed`; the largest
    `difference` of two logits, and their `spread`; the form's `score`, how much it `lost` of the model's, and
    the standard `error` of that.
    """
    assert examples.labels is not None
    (before, decided), (after, decides) = expected, found
    compared: dict[str, Any] = {
        "texts": len(examples),
        "outputs": len(decided),
        "changed": int((decided != decides).sum()),
        "difference": float(np.abs(before - after).max()),
        "spread": max(1.0, float(np.abs(before).max())),
    }
    if examples.of_words:
        old, new, error = _f1(decided, decides, examples)
    elif examples.classes == SCORE:
        known = ~np.isnan(examples.labels)
        gold = examples.labels[known]
        old, new = (metrics.correlation(gold, logits[known, 0]) for logits in (before, after))
        error = 0.0
    else:
        old, new, error = _accuracy(decided, decides, examples.labels)
    return {**compared, "score": new, "lost": old - new, "error": error}


def compare_language(model: Model, form: OnnxModel, texts: Sequence[str]) -> dict[str, Any]:
    """The same for a language model: `outputs` are all tokens of the texts but padding, none of them hidden.

    The score is the accuracy on hidden tokens, the same ones for both; `perplexity` is the form's on them,
    and `risen` how much more its mean negative log-likelihood is than the model's, in nats, with the standard
    error `risen_error`.
    """
    tokens = form.featuriser.tokens(texts)
    assert isinstance(tokens, MaskedTokens)
    outputs, changed, difference, spread = 0, 0, 0.0, 1.0
    for rows in batches_by_length(tokens, _BUDGET):
        ids = tokens.batch(rows)
        marked = ids + tokens.size * (ids != tokens.padding)
        expected, found = _marked(model, marked), form.told(marked)
        outputs += len(found)
        changed += int((expected.argmax(axis=1) != found.argmax(axis=1)).sum())
        apart = float(np.abs(expected - found).max())
        difference = max(difference, apart if apart == apart else np.inf)
        spread = max(spread, float(np.abs(expected).max()))
    old, new = model.masked(texts), form.masked(texts)
    right = [(each.predicted == each.gold).astype(np.float64) for each in (old, new)]
    count = max(1, len(right[0]))
    # Tokens of one text are not independent: what counts is what each text moves the score by.
    moved = np.bincount(old.rows, right[0] - right[1], minlength=len(texts)) / count
    worse = (old.log_likelihood - new.log_likelihood).astype(np.float64)
    risen = float(worse.sum() / count)
    apart_by_text = np.bincount(old.rows, worse - risen, minlength=len(texts)) / count
    score = [float(each.sum() / count) for each in right]
    return {
        "texts": len(texts),
        "outputs": outputs,
        "changed": changed,
        "difference": difference,
        "spread": spread,
        "score": score[1],
        "lost": score[0] - score[1],
        "error": float(np.sqrt((moved**2).sum())),
        "perplexity": _perplexity(new),
        "risen": risen,
        "risen_error": float(np.sqrt((apart_by_text**2).sum())),
    }


def _marked(model: Any, ids: NDArray[np.int64]) -> NDArray[np.float32]:
    """What a torch model tells of marked ids (B, L): logits (R, V)."""
    import torch

    with torch.inference_mode():
        found = model.module.outputs(torch.from_numpy(ids).to(model.context.device), ())["logits"]
    return found.float().cpu().numpy()  # type: ignore[no-any-return]


def _perplexity(masked: Masked) -> float:
    return float(np.exp(-masked.log_likelihood.mean(dtype=np.float64))) if len(masked.gold) else float("nan")


def is_same(compared: dict[str, Any]) -> bool:
    """Whether a form in fp32 is the model itself."""
    # So written that a difference of NaN fails too.
    close = compared["difference"] <= TOLERANCE * compared["spread"]
    return bool(close and compared["changed"] <= CHANGED * compared["outputs"])


def too_much_lost(compared: dict[str, Any]) -> str:
    """Why a form in int8 is rejected; nothing where it is not."""
    lost, error = compared["lost"], compared["error"]
    if not np.isfinite(compared["difference"]):
        return "its outputs are not finite"
    if lost >= LOST and lost > 2 * error:
        return (
            f"it loses {100 * lost:.1f} points of the score on {compared['texts']} texts, "
            f"where less than {100 * LOST:.0f} is allowed"
        )
    if (risen := compared.get("risen", 0.0)) > RISEN + 2 * compared.get("risen_error", 0.0):
        return (
            f"its mean negative log-likelihood is {risen:.2f} nats higher on {compared['texts']} texts, "
            f"where {RISEN} is allowed"
        )
    return ""


def _accuracy(
    before: NDArray[Any], after: NDArray[Any], labels: NDArray[np.int64]
) -> tuple[float, float, float]:
    """The share of right predictions of both, and the standard error of the difference."""
    known = labels >= 0
    right = [(decided == labels)[known] for decided in (before, after)]
    count = max(1, len(right[0]))
    # Only texts on which one is right and the other wrong tell a difference (McNemar, 1947).
    error = float(np.sqrt((right[0] != right[1]).sum()) / count)
    old, new = (float(each.sum() / count) for each in right)
    return old, new, error


def _f1(before: NDArray[Any], after: NDArray[Any], examples: Examples) -> tuple[float, float, float]:
    """The F1 of whole entities of both, and the standard error of the difference."""
    assert examples.labels is not None
    starts = words_before(examples.texts)
    counted = spans_of([before, after], examples.labels, starts, examples.classes)
    right = 2 * counted.right.sum(1).astype(np.float64)  # (2, N)
    every = (counted.guessed.sum(1) + counted.gold.sum(0)).astype(np.float64)
    whole = np.maximum(every.sum(1), 1)
    f1 = right.sum(1) / whole
    # F1 is a ratio of sums over texts: what each text moves it by, to first order (the delta method).
    moved = (right - f1[:, None] * every) / whole[:, None]
    error = float(np.sqrt(((moved[0] - moved[1]) ** 2).sum()))
    return float(f1[0]), float(f1[1]), error
