"""Lines in, answers out, as they come: what ``harness predict`` does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from harness.api import HarnessError
from harness.runtime import answers as answering
from harness.values import whole

if TYPE_CHECKING:
    from harness.runtime.forms import Exported

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
        ended, parts = [b"".join(parts), *rest[:-1]], rest[-1:]
        for start in range(0, len(ended), BATCH):
            yield ended[start : start + BATCH]
    if any(parts):
        yield [b"".join(parts)]


def text_of(line: bytes, column: str | None, of_words: bool = False) -> str:
    """A line's text: all of it, or a column of the JSON object that it is; BadLine where it has none.

    Of words it is those between white space, or a column's list of them, with one space between any two.
    """
    if column is None:
        text = line.decode("utf-8", "replace").removesuffix("\r")
        return " ".join(text.split()) if of_words else text
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise BadLine("it is no JSON") from None
    if not isinstance(found, dict):
        raise BadLine(f"it is no JSON object but {_kind(found)}")
    if column not in found:
        raise BadLine(f"it has no '{column}', but {', '.join(map(repr, found)) or 'nothing'}")
    value = found[column]
    if of_words and isinstance(value, list) and all(isinstance(word, str) for word in value):
        return " ".join("_".join(whole(word).split()) or "_" for word in value)  # as the data step does
    if not isinstance(value, str):
        wanted = "text, nor a list of words," if of_words else "text"
        raise BadLine(f"its '{column}' is not {wanted} but {_kind(value)}")
    text = whole(value)
    return " ".join(text.split()) if of_words else text


def _kind(value: Any) -> str:
    kinds: dict[type, str] = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return "null" if value is None else kinds.get(type(value), "a number")


def answers(
    model: Exported, stream: BinaryIO, column: str | None = None, top: int | None = None
) -> Iterator[dict[str, Any]]:
    """One answer for each line, in order: what :mod:`harness.runtime.answers` has to say of its text.

    A line without a text has an `error` in place, and blank ones between JSON objects have none.
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
                texts.append(text_of(line, column, model.of_words))
                found.append({})
            except BadLine as error:
                found.append({"error": f"line {number}: {error}"})
        told = iter(answering.told(model, texts, top))
        yield from (answer or next(told) for answer in found)
