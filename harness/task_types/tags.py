"""Tags of words: their schemes, the entities that they mean, and what predicted ones are worth.

An entity counts where its type and both its ends are right. Tags are BIO throughout: ``B-x`` begins an
entity of type x, ``I-x`` goes on with it, ``O`` is none; an ``I-x`` that goes on with nothing is none either,
as under seqeval's strict IOB2. The tests hold the scores equal to seqeval's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.api import HarnessError

if TYPE_CHECKING:
    from numpy.typing import NDArray

OUTSIDE = "O"


def to_bio(tags: Sequence[str]) -> list[str]:
    """One sentence's tags as BIO, from BIO, IOB1 (where only touching entities begin by B) or IOBES.

    Raises HarnessError for a tag that is none of those.
    """
    made: list[str] = []
    before = OUTSIDE  # the type that an I- may go on with
    for tag in tags:
        prefix, dash, kind = tag.partition("-")
        if tag == OUTSIDE:
            made.append(OUTSIDE)
            before = OUTSIDE
            continue
        if not dash or not kind or prefix not in "BIESLU" or len(prefix) != 1:
            raise HarnessError(
                f"{tag!r} is no tag: expected O, or one of B, I, E, S, L, U, a dash and a type"
            )
        begins = prefix in "BSU" or before != kind
        made.append(("B-" if begins else "I-") + kind)
        before = OUTSIDE if prefix in "ESLU" else kind
    return made


def classes_of(tags: Sequence[str]) -> tuple[str, ...]:
    """The classes for these BIO tags: O first, then both tags of each type."""
    kinds = sorted({tag[2:] for tag in tags if tag != OUTSIDE})
    return (OUTSIDE, *(f"{prefix}-{kind}" for kind in kinds for prefix in "BI"))


def entities(
    tags: NDArray[np.integer[Any]], classes: Sequence[str], before: NDArray[np.int64]
) -> NDArray[np.int64]:
    """(E, 3): first word, word after the last, and type of each entity; types count as in `kinds_of`.

    Tags are (T,), for the words of all texts; `before` (N + 1,) says how many words stand before each text.
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


def kinds_of(classes: Sequence[str]) -> list[str]:
    """The types of entities, in the order of the classes."""
    return list(dict.fromkeys(name[2:] for name in classes if name != OUTSIDE))


def tagging(
    labels: NDArray[np.integer[Any]],
    logits: NDArray[np.floating[Any]],
    classes: Sequence[str],
    before: NDArray[np.int64],
    texts: Sequence[str] | None = None,
    predicted: NDArray[np.integer[Any]] | None = None,
) -> dict[str, Any]:
    """Scores of logits (T, C) for the words of all texts against gold tags (T,); plain JSON values.

    `predicted` are the tags (T,) that the model decided for; without them, those of the largest logits.
    ``precision``, ``recall`` and ``f1`` are over whole entities, the ``_macro`` ones means over the types
    that occur in gold or predicted tags. ``accuracy`` is over words, most of which are outside, so that it
    says little; ``accuracy_entities`` over the words that are in a gold entity. With `texts`,
    ``f1_surface`` counts each distinct form and type once (Derczynski et al., 2017, WNUT-17). Raises
    HarnessError where there is nothing to score, or where the outputs are NaN or infinite.
    """
    if logits.shape != (len(labels), len(classes)):
        raise ValueError(f"logits of shape {logits.shape} for {len(labels)} words of {len(classes)} classes")
    if not len(labels):
        raise HarnessError("no word to score")
    if not np.isfinite(logits.max(axis=1)).all():
        raise HarnessError("the model's outputs are NaN or infinite")
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
    """The rows that stand in both; no row stands twice in one."""
    known = {tuple(row) for row in a.tolist()}
    return np.array([row for row in b.tolist() if tuple(row) in known], dtype=np.int64).reshape(-1, 3)


def _scores(gold: int, found: int, right: int) -> tuple[float, float, float]:
    """Precision, recall and F1, 0 where there is nothing to divide by."""
    precision, recall = right / found if found else 0.0, right / gold if gold else 0.0
    return float(precision), float(recall), float(2 * right / (gold + found)) if gold + found else 0.0
