"""Files are opened by their content: compression, encodings, line ends, and what is no file at all."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from harness.api import HarnessError
from harness.sources import opening, read_table
from harness.sources.files import find_splits, fingerprint
from harness.sources.opening import note, noted, numbered_lines, open_bytes, readable, trouble_with

CSV = "text,label\nsø,joy\nx,anger\n"
READ = {"text": ["sø", "x"], "label": ["joy", "anger"]}


def zipped(data: bytes, *names: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names or ("a.csv", "__MACOSX/._a.csv"):
            archive.writestr(name, b"" if "MACOSX" in name else data)
    return stream.getvalue()


def zstd(data: bytes) -> bytes:
    return bytes(pa.compress(data, codec="zstd", asbytes=True))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zipped, zstd, bytes])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_the_content_decides_not_the_name(
    pack: Callable[[bytes], bytes], encoding: str, name: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(pack(CSV.encode(encoding)))
    assert read_table(tmp_path / name).to_pydict() == READ


def test_big_endian_files_with_a_mark(tmp_path: Path) -> None:
    for mark, encoding in ((codecs.BOM_UTF16_BE, "utf-16-be"), (codecs.BOM_UTF32_BE, "utf-32-be")):
        (tmp_path / "a.csv").write_bytes(mark + CSV.encode(encoding))
        assert read_table(tmp_path / "a.csv").to_pydict() == READ


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (CSV.encode("utf-16")[:-1], "its byte order mark says UTF-16, but it is damaged"),
        (zipped(b"", "a.csv", "b.csv"), r"zip archive of 2 files \(a.csv, b.csv\); unpack it and name one"),
        (zipped(b"", "xl/workbook.xml", "docProps/app.xml"), "Excel workbook; save the sheet as CSV"),
        (zipped(CSV.encode())[:40], "zip archive that cannot be unpacked"),
        (gzip.compress(gzip.compress(b"x", mtime=0), mtime=0), "it is compressed twice"),
        (lzma.compress(CSV.encode() * 99)[:-30], "cannot read"),
        (bz2.compress(CSV.encode() * 99)[:-9], "cannot read"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer.*git lfs pull"),
        (CSV.encode() + b"\0" * 99, "a.csv line 4 has a NUL byte: the file is damaged"),
        (b"text,label\n" + CSV.encode("utf-16-le"), "a.csv line 2 has a NUL byte"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # compressed data are never the same
)
def test_what_is_no_text_is_told(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(HarnessError, match=message):
        read_table(tmp_path / "a.csv")


def test_parquet_under_another_name(tmp_path: Path) -> None:
    from pyarrow import parquet

    parquet.write_table(pa.table(READ), tmp_path / "a.csv")
    assert read_table(tmp_path / "a.csv").to_pydict() == READ
    (tmp_path / "a.csv").write_bytes((tmp_path / "a.csv").read_bytes()[:-4])
    with pytest.raises(HarnessError, match="it is a Parquet file"):
        read_table(tmp_path / "a.csv")


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    pipe, device, loop = (tmp_path / name for name in ("train.csv", "device.csv", "loop.csv"))
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    loop.symlink_to(loop)
    assert trouble_with(tmp_path) == "it is a folder, not a file"
    assert trouble_with(tmp_path / "none") == "it does not exist"
    assert "symbolic links" in trouble_with(loop)
    for path, what in ((pipe, "a named pipe"), (device, "a device")):
        with pytest.raises(HarnessError, match=f"it is {what}, not a file"):
            read_table(path)
        with pytest.raises(HarnessError, match=f"it is {what}, not a file"):
            fingerprint({"train": path})
    with pytest.raises(HarnessError, match="a named pipe"):
        fingerprint(find_splits(tmp_path, required=("train",)))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("a\x1cb\x85c\u2028d\x0be\x0cf\n\u3000\n", ["a\x1cb\x85c\u2028d\x0be\x0cf", "\u3000"]),
        ("a\r\nb\r\n", ["a", "b"]),
        ("a\rb\r", ["a", "b"]),
        ("a\r\r\nb\rc\n", ["a", "b\rc"]),  # with \n in the file, \r alone ends no line
        ("a\n\nb", ["a", "", "b"]),
        ("", []),
    ],
)
def test_lines_end_only_where_files_end_them(data: str, expected: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(data.encode())
    assert [line for _, line in numbered_lines(tmp_path / "a.txt", "a")] == expected


def test_lines_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "LONGEST", 1 << 20)
    path = tmp_path / "a.txt"
    for data, message in (
        (b"a\n" + b"x" * (1 << 20), "line 2 is longer than 1 MiB"),
        (b"a\n\0", "line 2 has a"),
    ):
        path.write_bytes(data)
        with pytest.raises(HarnessError, match=message):
            list(numbered_lines(path, "a.txt"))
    path.write_bytes(b"a\nb\xff\n")
    with pytest.raises(HarnessError, match=r"^a\.txt line 2 is not UTF-8"), readable(path, "a.txt"):
        list(numbered_lines(path, "a.txt"))


def test_other_errors_pass_through(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), readable(tmp_path, "a"):
        raise ZeroDivisionError
    with pytest.raises(OSError, match="it does not exist"):
        open_bytes(tmp_path / "none.csv")


def test_notes_are_kept_where_they_are_asked_for() -> None:
    note("lost")
    with noted() as outer:
        note("a")
        with noted() as inner:
            note("b")
        note("a")
    assert (outer, inner) == (["a"], ["b"])
