"""Answer lines and rows as they arrive, for ``harness predict``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from harness.api import HarnessError
from harness.sources.lines import batches
from harness.values import whole

if TYPE_CHECKING:
    from harness.runtime.answerer import Answer, Answerer
    from harness.sources.rows import Block, Rows
    from harness.task_types.base import TaskType


class BadLine(HarnessError):
    """The error for a line without a text."""


def text_of(line: bytes, column: str | None, task_type: TaskType) -> str:
    """Return the text of a line: the whole line, or a column of its JSON object.

    Raise BadLine if there is none, or if the line is not UTF-8.
    """
    try:
        decoded = line.decode().rstrip("\r")
    except UnicodeDecodeError as error:
        raise BadLine(
            f"expected UTF-8, got the byte 0x{line[error.start]:02x} at {error.start + 1}"
        ) from None
    if "\0" in decoded:
        raise BadLine("expected text, got a NUL byte")
    if column is None:
        text = task_type.input_of(decoded)
        if text is None or not text.strip():
            raise BadLine("expected a text, got a blank line")
        return text
    try:
        found = json.loads(decoded)
    except (ValueError, RecursionError):
        raise BadLine("expected a JSON object, got something that is not JSON") from None
    if not isinstance(found, dict):
        raise BadLine(f"expected a JSON object, got {_kind(found)}")
    if column not in found:
        names = ", ".join(map(repr, found)) or "nothing"
        raise BadLine(f"expected a column '{column}', got an object with {names}")
    return text_in(found[column], column, task_type)


def text_in(value: Any, column: str, task_type: TaskType) -> str:
    """Return the text in a cell of a column; raise BadLine if there is none."""
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
    asked: Answerer, stream: BinaryIO, column: str | None = None, top: int | None = None
) -> Iterator[Answer]:
    """Yield one answer for each line, in order, as JSON values.

    A line without a text, or for which the model fails, yields an `error`; blank lines between JSON objects
    yield nothing.
    """
    number = 0
    for lines in batches(stream):
        numbers: list[int] = []
        found: list[str | BadLine] = []
        for line in lines:
            number += 1
            if column is not None and not line.strip():
                continue  # JSON lines may end with blank lines
            numbers.append(number)
            try:
                found.append(text_of(line, column, asked.model.task_type))
            except BadLine as error:
                found.append(error)
        for at, answer in zip(numbers, _answered(asked, found, top), strict=True):
            yield {"error": f"line {at}: {answer['error']}"} if "error" in answer else answer


def answered(asked: Answerer, rows: Rows, top: int | None = None) -> Iterator[tuple[Block, list[Answer]]]:
    """Yield blocks of rows as they arrive, with an answer for each row.

    A row without a text, or for which the model fails, gets an `error`.
    """
    table = rows.kind in ("lines", "csv", "tsv")  # whose cells without a text are empty
    for block in rows.blocks:
        found: list[str | BadLine] = []
        for value in block.values:
            try:
                if table and not value.strip():
                    raise BadLine(f"expected text in '{rows.text}', got nothing")
                found.append(text_in(value, rows.text, asked.model.task_type))
            except BadLine as error:
                found.append(BadLine(f"{error}; correct the row, or remove it"))
        yield block, _answered(asked, found, top)


def _answered(asked: Answerer, found: Sequence[str | BadLine], top: int | None) -> list[Answer]:
    """Return an answer for each text, and an `error` for each line or row without one."""
    told = iter(asked.answers([text for text in found if isinstance(text, str)], top))
    return [next(told) if isinstance(text, str) else {"error": str(text)} for text in found]
