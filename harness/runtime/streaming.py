"""Answer a stream of lines as they arrive, for ``harness predict``."""

from __future__ import annotations

import codecs
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
LONGEST = 1 << 26  # bytes of a line; a longer one is no line
_BLOCK = 1 << 16
_WIDE = {  # encodings by byte order mark, the longer ones first
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_PACKED = {b"\x1f\x8b": "gzip -cd", b"BZh91AY&SY": "bzip2 -cd", b"\xfd7zXZ": "xz -cd", b"PK\3\4": "unzip -p"}


class BadLine(HarnessError):
    """The error for a line without a text."""


def batches(stream: BinaryIO) -> Iterator[list[bytes]]:
    r"""Yield the lines of a stream without line ends, as soon as they arrive, at most BATCH at once.

    A line ends with \n or \r\n, or with \r in a stream without \n. With a byte order mark, UTF-16 and UTF-32
    become UTF-8. Raise HarnessError for a compressed stream, or a line of more than LONGEST bytes.
    """
    parts: list[bytes] = []  # parts of an unfinished line
    number, size = 1, 0
    for block in _as_utf8(stream):
        first, *rest = block.split(b"\n")
        parts.append(first)
        size += len(first)
        if rest:
            ended, parts, size = [b"".join(parts), *rest[:-1]], rest[-1:], len(rest[-1])
            number += len(ended)
            for start in range(0, len(ended), BATCH):
                yield ended[start : start + BATCH]
        if size > LONGEST:
            raise HarnessError(
                f"cannot read the input: line {number} is longer than {LONGEST >> 20} MiB; "
                "expected one text on each line"
            )
    if any(parts):
        last = b"".join(parts)
        ended = last.removesuffix(b"\r").split(b"\r") if number == 1 else [last]
        for start in range(0, len(ended), BATCH):
            yield ended[start : start + BATCH]


def _as_utf8(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the blocks of a stream as UTF-8 without a byte order mark."""
    read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
    head = b""
    while len(head) < 4 and (block := read(_BLOCK)):
        head += block
        if b"\n" in block:
            break
    for mark, command in _PACKED.items():
        if head.startswith(mark):
            raise HarnessError(f"cannot read the input: it is compressed; unpack it first, as with {command}")
    encoding = next((name for mark, name in _WIDE.items() if head.startswith(mark)), None)
    if encoding is None:
        yield head.removeprefix(codecs.BOM_UTF8)
        while block := read(_BLOCK):
            yield block
        return
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        while head:
            yield decoder.decode(head).encode()
            head = read(_BLOCK)
        yield decoder.decode(b"", final=True).encode()
    except UnicodeError:
        raise HarnessError(
            f"cannot read the input: its byte order mark says {encoding.upper()}, but it is damaged"
        ) from None


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
