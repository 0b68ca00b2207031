"""From an exported model's outputs to what is told of a text: labels, entities, or tokens for its masks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.api import SCORE, words_before
from harness.featurise.featuriser import MaskedSubwords
from harness.task_types.tags import entities, kinds_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.runtime.forms import Exported

_DIGITS = 6  # of a probability
_TOKENS = 5  # that are given for a MASK
_AT_ONCE = 32


def told(model: Exported, texts: Sequence[str], top: int | None = None) -> list[dict[str, Any]]:
    """An answer for each text, as JSON values; scores are probabilities.

    Of a classifier: `label`, `score` and, of more than one, the `top` labels with their scores. Of a
    regression: the `score` that it predicts. Of a tagger: the text's `words`, their `tags` and `scores`, the
    `top` tags of each, and its `entities`: `text`, `type`, the first word (`start`) and the one after the
    last (`end`), and as `score` the least of its words'. Of a language model: `masks`, which has for each
    MASK the likeliest `token`, its `score` and the `top` ones, five if not told otherwise; null for a MASK
    behind the longest text that is read.
    """
    if not texts:
        return []
    if model.of_masks:  # a few texts at a time: a MASK has as many logits as there are tokens
        blocks = (texts[start : start + _AT_ONCE] for start in range(0, len(texts), _AT_ONCE))
        return [answer for block in blocks for answer in _told_tokens(model, block, top or _TOKENS)]
    top = top or 1
    if model.of_words:
        return _tagged(model, texts, top)
    logits = model.predict(texts).astype(np.float64)
    if tuple(model.classes) == SCORE:
        return [{"score": float(score)} for score in logits[:, 0]]
    return [
        {**ranked[0], **({"top": ranked} if top > 1 else {})}
        for ranked in _ranked(_probabilities(logits), model.classes, top, "label")
    ]


def _told_tokens(model: Exported, texts: Sequence[str], top: int) -> list[dict[str, Any]]:
    reads = model.featuriser
    assert isinstance(reads, MaskedSubwords)
    logits = model.predict(texts)
    read: NDArray[np.bool_] = np.any(logits, axis=1)
    best = np.argpartition(-logits, min(top, logits.shape[1]) - 1, axis=1)[
        :, :top
    ]  # all of them need no order
    largest = logits.max(axis=1, keepdims=True)
    total = np.exp(logits - largest).sum(axis=1, dtype=np.float64)
    found: list[dict[str, Any]] = []
    for row, places, known, high, over in zip(logits, best, read, largest[:, 0], total, strict=True):
        if not known:
            found.append({"token": None, "score": None})
            continue
        ranked = [
            {
                "token": reads.tokenizer.id_to_token(int(place)),
                "score": round(float(np.exp(float(row[place]) - float(high)) / over), _DIGITS),
            }
            for place in places[np.argsort(-row[places], kind="stable")]
        ]
        found.append({**ranked[0], **({"top": ranked} if top > 1 else {})})
    masks = iter(found)
    return [{"masks": list(islice(masks, reads.masks(text)))} for text in texts]


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
    """Label and score, and those of the further ones; of words, their tags; of masks, their tokens.

    A line without a text is an empty one.
    """
    if "error" in answer:
        return ""
    if "tags" in answer:
        return " ".join(answer["tags"])
    if "masks" in answer:
        return " ".join(each["token"] or "" for each in answer["masks"])
    ranked = answer.get("top", [answer])
    cells = [str(each[name]) for each in ranked for name in ("label", "score") if name in each]
    return "\t".join(" ".join(cell.split()) for cell in cells)
