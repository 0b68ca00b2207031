"""Open a data file as UTF-8 text, whatever its compression and encoding, and note what readers decide."""

from __future__ import annotations

import codecs
import io
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from importlib import import_module
from pathlib import Path
from typing import IO

from harness.api import HarnessError

PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")  # endings of the names of compressed files
LONGEST = 1 << 26  # bytes of a line of text; a longer one is no line
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_ENCODINGS = {  # by byte order mark, the longer ones first
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_PACKINGS = {  # by the first bytes of a file
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\0": "lzma",
    b"PK\3\4": "zipfile",
    b"PK\5\6": "zipfile",
    b"\x28\xb5\x2f\xfd": "pyarrow",
}
_FOREIGN = {
    b"PAR1\x15": "it is a Parquet file; give it a name that ends in .parquet",
    b"version https://git-lfs.github.com/spec/": "it is a Git LFS pointer, not the data; run: git lfs pull",
    b"\xd0\xcf\x11\xe0": "it is an Excel workbook; save the sheet as CSV",
    b"%PDF-": "it is a PDF document; save its text as CSV",
    b"7z\xbc\xaf'\x1c": "it is a 7z archive; unpack it",
}

_NOTES: ContextVar[list[str] | None] = ContextVar("notes", default=None)


def note(message: str) -> None:
    """Note what a reader decided about a file, for the log of the run; lost outside of :func:`noted`."""
    notes = _NOTES.get()
    if notes is not None and message not in notes:
        notes.append(message)


@contextmanager
def noted() -> Iterator[list[str]]:
    """Return the list of what readers note while the code inside runs."""
    notes: list[str] = []
    token = _NOTES.set(notes)
    try:
        yield notes
    finally:
        _NOTES.reset(token)


def trouble_with(path: Path) -> str:
    """Return why a path cannot be read as a file, such as "it is a folder"; "" for a regular file.

    Reading a pipe or a device might never end.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "it does not exist"
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return (
        "" if stat.S_ISREG(mode) else f"it is {_KINDS.get(stat.S_IFMT(mode), 'a special file')}, not a file"
    )


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading: decompressed, and if it has a byte order mark, as UTF-8 without the mark.

    The content decides, not the name. Raise OSError for what is not a file of text.
    """
    if trouble := trouble_with(path):
        raise OSError(trouble)
    stream = _unpacked(path)
    try:
        head = stream.peek(64)[:64]  # type: ignore[attr-defined]
        for mark, encoding in _ENCODINGS.items():
            if head.startswith(mark):
                return io.BytesIO(_as_utf8(stream.read(), encoding))
        if head.startswith(codecs.BOM_UTF8):
            stream.read(len(codecs.BOM_UTF8))
        if _packing(head):
            raise OSError("it is compressed twice; unpack it once")
        for mark, trouble in _FOREIGN.items():
            if head.startswith(mark):
                raise OSError(trouble)
    except BaseException:
        stream.close()
        raise
    return stream


def _packing(head: bytes) -> str:
    """Return the module that unpacks data with this beginning; "" if they are not compressed."""
    if head.startswith(b"BZh"):
        return "bz2" if head[4:10] == b"1AY&SY" else ""
    return next((module for mark, module in _PACKINGS.items() if head.startswith(mark)), "")


def _unpacked(path: Path) -> IO[bytes]:
    plain = path.open("rb")
    packing = _packing(plain.peek(10)[:10])
    if not packing:
        return plain
    plain.close()
    if packing == "zipfile":
        return _member(path)
    if packing == "pyarrow":
        import pyarrow as pa

        return io.BufferedReader(pa.input_stream(str(path), compression="zstd"))
    found: IO[bytes] = import_module(packing).open(path, "rb")
    return found


def _member(path: Path) -> IO[bytes]:
    """Open the only file in a zip archive."""
    import zipfile

    try:
        archive = zipfile.ZipFile(path)
        names = [name for name in archive.namelist() if not name.endswith("/") and "__MACOSX/" not in name]
        if any(name.startswith("xl/") for name in names):
            raise OSError("it is an Excel workbook; save the sheet as CSV")
        if len(names) != 1:
            listed = ", ".join(names[:5]) or "nothing"
            raise OSError(f"it is a zip archive of {len(names)} files ({listed}); unpack it and name one")
        return archive.open(names[0])
    except (RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:  # a password, or damage
        raise OSError(f"it is a zip archive that cannot be unpacked: {error}") from None


def _as_utf8(data: bytes, encoding: str) -> bytes:
    try:
        return data.decode(encoding).encode()
    except UnicodeError as error:
        why = getattr(error, "reason", error)
        raise OSError(f"its byte order mark says {encoding.upper()}, but it is damaged: {why}") from None


@contextmanager
def readable(path: Path, shown: str) -> Iterator[None]:
    """Raise HarnessError if the code inside cannot read a file because it is damaged or not UTF-8."""
    try:
        yield
    except UnicodeDecodeError:
        raise not_utf8(path, shown) from None
    except Exception as error:
        if not isinstance(error, _damage()):
            raise
        if "invalid utf8" in str(error).lower():
            raise not_utf8(path, shown) from None
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0][:200]
        raise HarnessError(f"cannot read {shown}: {reason}") from error


def _damage() -> tuple[type[Exception], ...]:
    import csv
    import lzma
    import zipfile
    import zlib

    import pyarrow as pa

    return OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, csv.Error, pa.ArrowException


def not_utf8(path: Path, shown: str) -> HarnessError:
    """Return the error for a file that is not UTF-8; it names the first such line."""
    with suppress(OSError), open_bytes(path) as stream:  # an error for what is no text, such as Parquet
        for number, line in enumerate(stream, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return HarnessError(f"{shown} line {number} is not UTF-8; save the file as UTF-8")
    return HarnessError(f"{shown} is not UTF-8; save the file as UTF-8")


def nul(where: str) -> HarnessError:
    """Return the error for a line with a NUL byte."""
    return HarnessError(
        f"{where} has a NUL byte: the file is damaged, or UTF-16 without a byte order mark; save it as UTF-8"
    )


def numbered_lines(path: Path, shown: str) -> Iterator[tuple[int, str]]:
    r"""Yield the lines of a file of text with their numbers, without line ends.

    A line ends with \n or \r\n, or with \r in a file without \n. No other character ends a line. Call it
    inside :func:`readable`. Raise HarnessError for a NUL byte, or a line of more than LONGEST bytes.
    """
    with open_bytes(path) as stream:
        number = 0
        while raw := stream.readline(LONGEST + 1):
            number += 1
            if number == 1 and not raw.endswith(b"\n") and b"\r" in raw[:-1]:
                raw += stream.read()
                for number, line in enumerate(raw.rstrip(b"\r").split(b"\r"), 1):
                    yield number, _decoded(line, number, shown)
                return
            yield number, _decoded(raw.rstrip(b"\r\n"), number, shown)


def _decoded(line: bytes, number: int, shown: str) -> str:
    if len(line) >= LONGEST:
        raise HarnessError(
            f"{shown} line {number} is longer than {LONGEST >> 20} MiB; expected a text of usual length on "
            "each line"
        )
    if b"\0" in line:
        raise nul(f"{shown} line {number}")
    return line.decode("utf-8")
