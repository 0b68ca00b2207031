"""Lines are split as they arrive, whatever their ends and encoding."""

from __future__ import annotations

import gzip
import io
from typing import Any

import pytest

from harness.api import HarnessError
from harness.sources import lines
from harness.sources.lines import batches


class Trickle(io.RawIOBase):
    """A stream whose reads give these pieces, one each."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)

    def read1(self, size: int) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ((b"a\nb\n",), [[b"a", b"b"]]),
        ((b"a\n", b"b\nc\n"), [[b"a"], [b"b", b"c"]]),
        ((b"a", b"b", b"c\nd"), [[b"abc"], [b"d"]]),  # the last without an end
        ((b"a\n\n\nb\n",), [[b"a", b"", b"", b"b"]]),
        ((b"\xc3", b"\xa4\n"), [["ä".encode()]]),  # a letter in two pieces
        ((), []),
        ((b"\xef\xbb", b"\xbfa\nb"), [[b"a"], [b"b"]]),
        (("ä\nb\n".encode("utf-16"),), [["ä".encode(), b"b"]]),
        (
            (b"\xff\xfe", "ä\n".encode("utf-16-le")[:1], "ä\nb".encode("utf-16-le")[1:]),
            [["ä".encode()], [b"b"]],
        ),
        ((b"a\rb\r",), [[b"a", b"b"]]),
        ((b"a\x1cb\xe2\x80\xa8c\n",), [[b"a\x1cb\xe2\x80\xa8c"]]),
    ],
)
def test_lines_are_given_as_they_come(pieces: tuple[bytes, ...], expected: Any) -> None:
    assert list(batches(Trickle(*pieces))) == expected  # type: ignore[arg-type]


def test_streams_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LONGEST", 99)
    for data, message in (
        (gzip.compress(b"sun\n", mtime=0), "it is compressed; unpack it first, as with gzip -cd"),
        (b"sun\n" + b"x" * 100, "line 2 is longer than"),
        ("sun\n".encode("utf-16")[:-1], "its byte order mark says UTF-16, but it is damaged"),
    ):
        with pytest.raises(HarnessError, match=message):
            list(batches(io.BytesIO(data)))
