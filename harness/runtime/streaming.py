"""Answer a stream of lines as they arrive, for ``harness predict``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any, BinaryIO

from harness.api import HarnessError
from harness.values import is_fault, whole

if TYPE_CHECKING:
    from harness.runtime.forms import Exported
    from harness.task_types.base import TaskType

BATCH = 256  # maximum number of lines that are answered together
_BLOCK = 1 << 16


class BadLine(HarnessError):
    """The error for a line without a text."""


def batches(stream: BinaryIO) -> Iterator[list[bytes]]:
    """Yield the lines of a stream without line ends, as soon as they arrive, at most BATCH at once."""
    read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
    parts: list[bytes] = []  # parts of an unfinished line
    while block := read(_BLOCK):
        first, *rest = block.split(b"\n")
        parts.append(first)
        if not rest:
            continue
        ended, parts = [b"".join(parts), *rest[:-1]], rest[-1:]
        for start in range(0, len(ended), BATCH):
            yield ended[start : start + BATCH]
    if any(parts):
        yield [b"".join(parts)]


def text_of(line: bytes, column: str | None, task_type: TaskType) -> str:
    """Return the text of a line: the whole line, or a column of its JSON object.

    Raise BadLine if there is none.
    """
    if column is None:
        text = task_type.input_of(line.decode("utf-8", "replace").removesuffix("\r"))
        assert text is not None
        return text
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise BadLine("expected a JSON object, got something that is not JSON") from None
    if not isinstance(found, dict):
        raise BadLine(f"expected a JSON object, got {_kind(found)}")
    if column not in found:
        names = ", ".join(map(repr, found)) or "nothing"
        raise BadLine(f"expected a column '{column}', got an object with {names}")
    value = found[column]
    value = (
        [whole(item) if isinstance(item, str) else item for item in value]
        if isinstance(value, list)
        else value
    )
    text = task_type.input_of(whole(value) if isinstance(value, str) else value)
    if text is None:
        wanted = "text or a list of words" if task_type.reads_words else "text"
        raise BadLine(f"expected {wanted} in '{column}', got {_kind(value)}")
    return text


def _kind(value: Any) -> str:
    kinds: dict[type, str] = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return "null" if value is None else kinds.get(type(value), "a number")


def answers(
    model: Exported, stream: BinaryIO, column: str | None = None, top: int | None = None
) -> Iterator[dict[str, Any]]:
    """Yield one answer for each line, in order, as JSON values.

    A line without a text, or for which the model fails, yields an `error`; blank lines between JSON objects
    yield nothing.
    """
    number = 0
    for lines in batches(stream):
        found: list[tuple[int, str | None]] = []  # number of each line, and its error
        texts: list[str] = []
        for line in lines:
            number += 1
            if column is not None and not line.strip():
                continue  # JSON lines may end with blank lines
            try:
                texts.append(text_of(line, column, model.task_type))
                found.append((number, None))
            except BadLine as error:
                found.append((number, str(error)))
        told = iter(_told(model, texts, top))
        for at, why in found:
            answer = {"error": why} if why is not None else next(told)
            yield {"error": f"line {at}: {answer['error']}"} if "error" in answer else answer


def _told(model: Exported, texts: Sequence[str], top: int | None) -> list[dict[str, Any]]:
    """Return an answer for each text; if the model fails on some of them, these get an `error`."""
    try:
        told = model.task_type.answers(model, texts, top) if texts else []
    except BaseException as error:  # of ONNX Runtime, a tokenizer or a plugin's task type
        if not is_fault(error):
            raise
        if len(texts) > 1:
            return [answer for text in texts for answer in _told(model, [text], top)]
        why = str(error).strip().partition("\n")[0][:300] or type(error).__name__
        return [{"error": f"cannot answer: {why}"}]
    return [answer if _finite(answer) else {"error": "the model returned NaN or infinity"} for answer in told]


def _finite(value: Any) -> bool:
    """Return whether all numbers in a JSON value are finite."""
    if isinstance(value, float):
        return isfinite(value)
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    return not isinstance(value, list) or all(map(_finite, value))
