"""From an exported model's outputs to what is told of a text: labels, or words, their tags and entities."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.api import SCORE, words_before
from harness.tagging import entities, kinds_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.runtime import Exported

_DIGITS = 6  # of a probability


def told(model: Exported, texts: Sequence[str], top: int = 1) -> list[dict[str, Any]]:
    """An answer for each text, as JSON values; scores are probabilities.

    Of a classifier: `label`, `score` and, of more than one, the `top` labels with their scores. Of a
    regression: the `score` that it predicts. Of a tagger: the text's `words`, their `tags` and `scores`, the
    `top` tags of each, and its `entities`: `text`, `type`, the first word (`start`) and the one after the
    last (`end`), and as `score` the least of its words'.
    """
    if not texts:
        return []
    if model.of_words:
        return _tagged(model, texts, top)
    logits = model.predict(texts).astype(np.float64)
    if tuple(model.classes) == SCORE:
        return [{"score": float(score)} for score in logits[:, 0]]
    return [
        {**ranked[0], **({"top": ranked} if top > 1 else {})}
        for ranked in _ranked(_probabilities(logits), model.classes, top, "label")
    ]


def _tagged(model: Exported, texts: Sequence[str], top: int) -> list[dict[str, Any]]:
    """Texts are words with one space between any two; one without a word has no answer but empty lists."""
    known = [text for text in texts if text]
    decided, logits = model.tagged(known) if known else (np.zeros(0, np.int64), np.zeros((0, 1), np.float32))
    scores = _probabilities(logits.astype(np.float64))
    ranked = _ranked(scores, model.classes, top, "tag") if top > 1 else []
    starts = words_before(known)
    spans, kinds = entities(decided, model.classes, starts), kinds_of(model.classes)
    chosen = scores[np.arange(len(scores)), decided]
    answers = []
    for text, (first, end) in zip(known, pairwise(starts.tolist()), strict=True):
        words = text.split(" ")
        mine = spans[(spans[:, 0] >= first) & (spans[:, 0] < end)]
        answers.append(
            {
                "words": words,
                "tags": [model.classes[number] for number in decided[first:end]],
                "scores": [round(score, _DIGITS) for score in chosen[first:end].tolist()],
                **({"top": ranked[first:end]} if top > 1 else {}),
                "entities": [
                    {
                        "text": " ".join(words[a - first : b - first]),
                        "type": kinds[kind],
                        "start": a - first,
                        "end": b - first,
                        "score": round(float(chosen[a:b].min()), _DIGITS),
                    }
                    for a, b, kind in mine.tolist()
                ],
            }
        )
    filled = iter(answers)
    nothing: dict[str, Any] = {"words": [], "tags": [], "scores": [], "entities": []}
    return [next(filled) if text else nothing for text in texts]


def _probabilities(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """(…, C), of logits or of their logarithms."""
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(scores / scores.sum(axis=1, keepdims=True))


def _ranked(
    scores: NDArray[np.float64], names: Sequence[str], top: int, what: str
) -> list[list[dict[str, Any]]]:
    """Of each row the `top` names, the most probable first."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, : max(1, top)]
    return [
        [{what: names[i], "score": round(float(row[i]), _DIGITS)} for i in order]
        for row, order in zip(scores, best, strict=True)
    ]


def as_tsv(answer: dict[str, Any]) -> str:
    """Label and score, and those of the further ones; of words, their tags with spaces between.

    A line without a text is an empty one.
    """
    if "error" in answer:
        return ""
    if "tags" in answer:
        return " ".join(answer["tags"])
    ranked = answer.get("top", [answer])
    cells = [str(each[name]) for each in ranked for name in ("label", "score") if name in each]
    return "\t".join(" ".join(cell.split()) for cell in cells)
