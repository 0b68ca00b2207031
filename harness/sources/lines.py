"""Split a stream of bytes into lines as soon as they arrive, for ``harness predict``."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from typing import BinaryIO

from harness.api import HarnessError

BATCH = 256  # maximum number of lines that are answered together
LONGEST = 1 << 26  # bytes; a longer line is an error
_BLOCK = 1 << 16
_WIDE = {  # encodings by byte order mark, the longer ones first
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_PACKED = {b"\x1f\x8b": "gzip -cd", b"BZh91AY&SY": "bzip2 -cd", b"\xfd7zXZ": "xz -cd", b"PK\3\4": "unzip -p"}


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
