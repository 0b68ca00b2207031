"""Find entities in BIO tags and score them, on all texts and on resamples.

An entity is right if its type and both ends are right. The tests check that the scores equal seqeval's. On
resamples, entities are found only once; a resample then weights the counts of each text and type. Texts are
resampled, not words, because words of one text are not independent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from harness.task_types.bio import OUTSIDE, kinds_of
from harness.values import HarnessError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def entities(
    tags: NDArray[np.integer[Any]], classes: Sequence[str], before: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the first word, the word after the last, and the type of each entity, (E, 3).

    Tags are (T,), for the words of all texts; `before` (N + 1,) is the number of words before each text.
    Types are indices into `kinds_of(classes)`.
    """
    kinds = kinds_of(classes)
    kind = np.array([kinds.index(name[2:]) if name != OUTSIDE else -1 for name in classes])[tags]
    inside = np.array([name.startswith("I-") for name in classes])[tags]
    starts = np.flatnonzero(np.array([name.startswith("B-") for name in classes])[tags])
    first = np.zeros(len(tags) + 1, dtype=bool)
    first[before] = True
    goes_on = inside & ~first[:-1]
    goes_on[1:] &= kind[1:] == kind[:-1]
    breaks = np.append(np.flatnonzero(~goes_on), len(tags))
    ends = breaks[np.searchsorted(breaks, starts, side="right")]
    return np.stack([starts, ends, kind[starts]], axis=1).astype(np.int64)


def tagging(
    labels: NDArray[np.integer[Any]],
    logits: NDArray[np.floating[Any]],
    classes: Sequence[str],
    before: NDArray[np.int64],
    texts: Sequence[str] | None = None,
    predicted: NDArray[np.integer[Any]] | None = None,
) -> dict[str, Any]:
    """Return the scores of logits (T, C) for the words of all texts against gold tags (T,), as JSON values.

    `predicted` are the model's tags (T,); the default is the tags with the largest logits. ``precision``,
    ``recall`` and ``f1`` are over whole entities; the ``_macro`` versions are means over the types that occur
    in gold or predicted tags. ``accuracy`` is over words; it is high for any model, because most words are
    outside of entities. ``accuracy_entities`` is over the words of gold entities. With `texts`,
    ``f1_surface`` counts each distinct form and type once (Derczynski et al., 2017, WNUT-17). Raise
    HarnessError if there are no words, or if the outputs are NaN or infinite.
    """
    if logits.shape != (len(labels), len(classes)):
        raise ValueError(f"expected logits of shape {(len(labels), len(classes))}, got {logits.shape}")
    if not len(labels):
        raise HarnessError("cannot score: there are no words")
    if not np.isfinite(logits.max(axis=1)).all():
        raise HarnessError("cannot score: the model's outputs are NaN or infinite")
    if predicted is None:
        predicted = logits.argmax(axis=1)
    gold, found = entities(labels, classes, before), entities(predicted, classes, before)
    right = _common(gold, found)
    kinds = kinds_of(classes)
    count = [np.bincount(every[:, 2], minlength=len(kinds)) for every in (gold, found, right)]
    scores = [_scores(*each) for each in zip(*count, strict=True)]
    occurs = [i for i in range(len(kinds)) if count[0][i] + count[1][i]]
    precision, recall, f1 = _scores(len(gold), len(found), len(right))
    macro = [float(np.mean([scores[i][k] for i in occurs])) if occurs else 0.0 for k in range(3)]
    within = labels != list(classes).index(OUTSIDE)
    result: dict[str, Any] = {
        "f1": f1,
        "precision": precision,
        "recall": recall,
        "f1_macro": macro[2],
        "precision_macro": macro[0],
        "recall_macro": macro[1],
        "accuracy": float((predicted == labels).mean()),
        "accuracy_entities": float((predicted == labels)[within].mean()) if within.any() else 0.0,
        "per_class": {
            kind: {"precision": p, "recall": r, "f1": f, "support": int(count[0][i])}
            for i, (kind, (p, r, f)) in enumerate(zip(kinds, scores, strict=True))
        },
    }
    if texts is not None:
        words = [word for text in texts for word in text.split(" ")]
        forms = [{(" ".join(words[a:b]), int(k)) for a, b, k in every} for every in (gold, found)]
        result["f1_surface"] = _scores(len(forms[0]), len(forms[1]), len(forms[0] & forms[1]))[2]
    return result


def _common(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows that both arrays contain; rows must be unique within each array."""
    known = {tuple(row) for row in a.tolist()}
    return np.array([row for row in b.tolist() if tuple(row) in known], dtype=np.int64).reshape(-1, 3)


def _scores(gold: int, found: int, right: int) -> tuple[float, float, float]:
    """Return precision, recall and F1; 0/0 counts as 0."""
    precision, recall = right / found if found else 0.0, right / gold if gold else 0.0
    return float(precision), float(recall), float(2 * right / (gold + found)) if gold + found else 0.0


# -- on resamples of texts -------------------------------------------------------------------------------


class Spans(NamedTuple):
    """Counts of entities in the tags of K models for N texts and J types of entity."""

    right: NDArray[np.float32]  # (K, J, N)
    guessed: NDArray[np.float32]  # (K, J, N)
    gold: NDArray[np.float32]  # (J, N)
    hits: NDArray[np.float32]  # (K, N), words whose tag is right
    hits_inside: NDArray[np.float32]  # (K, N), those of them that are in a gold entity
    words: NDArray[np.float32]  # (N,)
    inside: NDArray[np.float32]  # (N,), words in a gold entity


def spans_of(
    predicted: Sequence[NDArray[Any]], gold: NDArray[Any], before: NDArray[np.int64], classes: Sequence[str]
) -> Spans:
    """Return counts for K models' tags (T,) and gold tags (T,) of N texts (`before`: (N + 1,))."""
    count, kinds = len(before) - 1, len(kinds_of(classes))
    of_word = np.repeat(np.arange(count), np.diff(before))  # (T,)

    def codes(tags: NDArray[Any]) -> NDArray[np.int64]:
        """Return each entity as one unique number."""
        found = entities(tags.astype(np.int64), classes, before)
        return (found[:, 0] * (len(gold) + 1) + found[:, 1]) * kinds + found[:, 2]

    def by_text(found: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the counts of entities by type and text, (J, N)."""
        first, kind = found // kinds // (len(gold) + 1), found % kinds
        counts = np.bincount(kind * count + of_word[first], minlength=kinds * count)
        return counts.reshape(kinds, count).astype(np.float32)

    def words(which: NDArray[np.bool_]) -> NDArray[np.float32]:
        return np.bincount(of_word, which, minlength=count).astype(np.float32)

    due = codes(gold)
    found = [codes(tags) for tags in predicted]
    within = gold != list(classes).index(OUTSIDE)
    hits = [tags == gold for tags in predicted]
    return Spans(
        right=np.stack([by_text(each[np.isin(each, due)]) for each in found]),
        guessed=np.stack([by_text(each) for each in found]),
        gold=by_text(due),
        hits=np.stack([words(each) for each in hits]),
        hits_inside=np.stack([words(each & within) for each in hits]),
        words=words(np.ones(len(gold), dtype=bool)),
        inside=words(within),
    )


def _ratio(part: Any, whole: Any) -> NDArray[np.float64]:
    """Return the ratio; 0/0 counts as 0."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    found = np.zeros(np.broadcast(part, whole).shape)
    np.divide(part, whole, out=found, where=whole > 0)
    return found


# Numerator and denominator, from the counts of right, predicted and gold entities.
_SHARES: dict[str, Callable[[Any, Any, Any], tuple[Any, Any]]] = {
    "f1": lambda right, guessed, gold: (2 * right, guessed + gold),
    "precision": lambda right, guessed, gold: (right, guessed),
    "recall": lambda right, guessed, gold: (right, gold),
}


def _micro(name: str, spans: Spans, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return a score over the entities of all types, (K, B)."""
    counts = (spans.right.sum(1) @ weights, spans.guessed.sum(1) @ weights, spans.gold.sum(0) @ weights)
    part, whole = _SHARES[name](*counts)
    return _ratio(part, whole)


def _macro(name: str, spans: Spans, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean score over the types in a resample's gold or predicted tags, (K, B)."""
    right, guessed, gold = spans.right @ weights, spans.guessed @ weights, spans.gold @ weights  # (K, J, B)
    occurs = guessed + gold > 0
    return _ratio((_ratio(*_SHARES[name](right, guessed, gold)) * occurs).sum(1), occurs.sum(1))


def _make(name: str) -> dict[str, Callable[[Spans, NDArray[np.float32]], NDArray[np.float64]]]:
    return {
        name: lambda spans, weights: _micro(name, spans, weights),
        f"{name}_macro": lambda spans, weights: _macro(name, spans, weights),
    }


ON_RESAMPLES: dict[str, Callable[[Spans, NDArray[np.float32]], NDArray[np.float64]]] = {
    **_make("f1"),
    **_make("precision"),
    **_make("recall"),
    "accuracy": lambda spans, weights: _ratio(spans.hits @ weights, spans.words @ weights),
    "accuracy_entities": lambda spans, weights: _ratio(spans.hits_inside @ weights, spans.inside @ weights),
}
