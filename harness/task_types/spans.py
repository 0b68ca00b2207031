"""Scores of whole entities on resamples of texts, for :mod:`harness.results.statistics`.

Entities are found once; a resample then only weighs how many of each type each text has, predicted, gold and
right. The texts are drawn, not their words: words of one text are not independent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from harness.task_types.tags import OUTSIDE, entities, kinds_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Spans(NamedTuple):
    """What several models' tags of N texts come to, by text and by one of J types of entity."""

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
    """Count the entities of K models' tags (T,) and of gold ones (T,), for N texts (`before`: (N + 1,))."""
    count, kinds = len(before) - 1, len(kinds_of(classes))
    of_word = np.repeat(np.arange(count), np.diff(before))  # (T,)

    def codes(tags: NDArray[Any]) -> NDArray[np.int64]:
        """Each entity as one number that no other has."""
        found = entities(tags.astype(np.int64), classes, before)
        return (found[:, 0] * (len(gold) + 1) + found[:, 1]) * kinds + found[:, 2]

    def by_text(found: NDArray[np.int64]) -> NDArray[np.float32]:
        """(J, N)"""
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
    """0/0 counts as 0."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    found = np.zeros(np.broadcast(part, whole).shape)
    np.divide(part, whole, out=found, where=whole > 0)
    return found


# A share's part and whole, from the counts of right, guessed and gold.
_SHARES: dict[str, Callable[[Any, Any, Any], tuple[Any, Any]]] = {
    "f1": lambda right, guessed, gold: (2 * right, guessed + gold),
    "precision": lambda right, guessed, gold: (right, guessed),
    "recall": lambda right, guessed, gold: (right, gold),
}


def _micro(name: str, spans: Spans, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """(K, B): over the entities of all types."""
    counts = (spans.right.sum(1) @ weights, spans.guessed.sum(1) @ weights, spans.gold.sum(0) @ weights)
    part, whole = _SHARES[name](*counts)
    return _ratio(part, whole)


def _macro(name: str, spans: Spans, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """(K, B): the mean over the types that occur in a resample's gold or predicted tags."""
    right, guessed, gold = spans.right @ weights, spans.guessed @ weights, spans.gold @ weights  # (K, J, B)
    occurs = guessed + gold > 0
    return _ratio((_ratio(*_SHARES[name](right, guessed, gold)) * occurs).sum(1), occurs.sum(1))


def _make(name: str) -> dict[str, Callable[[Spans, NDArray[np.float32]], NDArray[np.float64]]]:
    return {
        name: lambda spans, weights: _micro(name, spans, weights),
        f"{name}_macro": lambda spans, weights: _macro(name, spans, weights),
    }


OF_SPANS: dict[str, Callable[[Spans, NDArray[np.float32]], NDArray[np.float64]]] = {
    **_make("f1"),
    **_make("precision"),
    **_make("recall"),
    "accuracy": lambda spans, weights: _ratio(spans.hits @ weights, spans.words @ weights),
    "accuracy_entities": lambda spans, weights: _ratio(spans.hits_inside @ weights, spans.inside @ weights),
}
