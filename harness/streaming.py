"""Lines in, labels and scores out, as they come: what ``harness predict`` does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from harness.api import SCORE, HarnessError

if TYPE_CHECKING:
    from harness.runtime import Exported

BATCH = 256  # lines that are answered together, where they come so fast
_BLOCK = 1 << 16


class BadLine(HarnessError):
    """A line that holds no text."""


def batches(stream: BinaryIO) -> Iterator[list[bytes]]:
    """The lines of a stream without their ends: what has arrived so far, and never waiting for more."""
    read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
    parts: list[bytes] = []  # of a line that has not ended
    while block := read(_BLOCK):
        first, *rest = block.split(b"\n")
        parts.append(first)
        if not rest:
            continue
        whole, parts = [b"".join(parts), *rest[:-1]], rest[-1:]
        for start in range(0, len(whole), BATCH):
            yield whole[start : start + BATCH]
    if any(parts):
        yield [b"".join(parts)]


def text_of(line: bytes, column: str | None) -> str:
    """A line's text: all of it, or a column of the JSON object that it is; BadLine where it has none."""
    if column is None:
        return line.decode("utf-8", "replace").removesuffix("\r")
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise BadLine("it is no JSON") from None
    if not isinstance(found, dict):
        raise BadLine(f"it is no JSON object but {_kind(found)}")
    if column not in found:
        raise BadLine(f"it has no '{column}', but {', '.join(map(repr, found)) or 'nothing'}")
    if not isinstance(found[column], str):
        raise BadLine(f"its '{column}' is not text but {_kind(found[column])}")
    return found[column]  # type: ignore[no-any-return]


def _kind(value: Any) -> str:
    kinds: dict[type, str] = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return "null" if value is None else kinds.get(type(value), "a number")


def answers(
    model: Exported, stream: BinaryIO, column: str | None = None, top: int = 1
) -> Iterator[dict[str, Any]]:
    """One answer for each line, in order: `label`, `score` and, of more than one, the `top` of them.

    A score is a probability; a regression has no label. A line without a text has an `error` in place, and
    blank ones between JSON objects have none.
    """
    number = 0
    for lines in batches(stream):
        found: list[dict[str, Any]] = []
        texts: list[str] = []
        for line in lines:
            number += 1
            if column is not None and not line.strip():
                continue  # as JSON lines may have at their end
            try:
                texts.append(text_of(line, column))
                found.append({})
            except BadLine as error:
                found.append({"error": f"line {number}: {error}"})
        told = iter(_told(model, texts, top))
        yield from (answer or next(told) for answer in found)


def _told(model: Exported, texts: Sequence[str], top: int) -> list[dict[str, Any]]:
    if not texts:
        return []
    logits = model.predict(texts).astype(np.float64)
    if tuple(model.classes) == SCORE:
        return [{"score": float(score)} for score in logits[:, 0]]
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores /= scores.sum(axis=1, keepdims=True)
    best = np.argsort(-logits, axis=1, kind="stable")[:, : max(1, top)]
    told = []
    for row, order in zip(scores, best, strict=True):
        ranked = [{"label": model.classes[i], "score": round(float(row[i]), 6)} for i in order]
        told.append({**ranked[0], **({"top": ranked} if top > 1 else {})})
    return told


def as_tsv(answer: dict[str, Any]) -> str:
    """Label and score, and those of the further ones; a line without a text is an empty one."""
    if "error" in answer:
        return ""
    ranked = answer.get("top", [answer])
    cells = [str(each[name]) for each in ranked for name in ("label", "score") if name in each]
    return "\t".join(" ".join(cell.split()) for cell in cells)
