"""Tables are read row by row: all columns, as they arrive, and a bad row costs itself alone."""

from __future__ import annotations

import bz2
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from harness.api import HarnessError
from harness.sources import rows as reading
from harness.sources.opening import noted
from harness.sources.rows import Rows, read_file, read_stream


def all_of(rows: Rows) -> tuple[list[Any], list[Any], list[tuple[int, str]]]:
    """Return the numbers and the texts of all rows, and the lost lines."""
    blocks = list(rows.blocks)
    numbers = [number for block in blocks for number in block.numbers]
    return numbers, [value for block in blocks for value in block.values], [x for b in blocks for x in b.lost]


class Trickle(io.RawIOBase):
    """A stream whose reads give these pieces, one each, and which counts them."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.pieces, self.given = pieces, 0

    def read1(self, size: int) -> bytes:
        self.given += 1
        return next(self.pieces, b"")


CSV = b'id,text\n1,"a, b"\n2,"two\nlines"\n3,c\n'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", CSV),
        ("a.csv.gz", gzip.compress(CSV, mtime=0)),
        ("a.csv.bz2", bz2.compress(CSV)),
        ("a.csv", b"\xef\xbb\xbf" + CSV),
        ("a.csv", CSV.decode().encode("utf-16")),
        ("a.csv", CSV.replace(b"\n", b"\r\n").replace(b"two\r\n", b"two\n")),
        ("a.csv", b"sep=,\n" + CSV),
    ],
)
def test_files_of_cells(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    found = read_file(tmp_path / name, None, ["text"])
    assert (found.kind, found.text, found.columns, found.delimiter) == ("csv", "text", ("id", "text"), ",")
    numbers, values, lost = all_of(found)
    shift = content.startswith(b"sep=")
    assert values == ["a, b", "two\nlines", "c"] and numbers == [2 + shift, 3 + shift, 5 + shift] and not lost


def test_cells_are_kept_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes(b'text\tn\n"quoted" \t1\n  spaced\t\n')
    (block,) = read_file(tmp_path / "a.tsv", None, ["text"]).blocks
    assert block.rows == [['"quoted" ', "1"], ["  spaced", ""]]
    (tmp_path / "b.csv").write_bytes(b"text;n\na,b;1\n")
    with noted() as notes:
        found = read_file(tmp_path / "b.csv", None, ["text"])
    assert found.delimiter == ";" and notes == [
        f"{tmp_path / 'b.csv'} was read with semicolons between its cells"
    ]


BAD = b"id,text,n\n1,a,x\n2\n3,b\n4,c,x,\n5,d,x,y\n\xff,e,x\n7,\0,x\n\n8,f,x\n"


@pytest.mark.parametrize("by_stream", [False, True])
def test_a_bad_row_costs_itself_alone(by_stream: bool, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(BAD)
    found = (
        read_stream(io.BytesIO(BAD), "csv", ["text"])
        if by_stream
        else read_file(tmp_path / "a.csv", None, ["text"])
    )
    numbers, values, lost = all_of(found)
    assert values == ["a", "b", "c", "f"] and numbers == [2, 4, 5, 10]
    marks = "put quotation marks around cells with commas"
    assert lost == [
        (3, "has 1 cell, expected 3 as in the header; complete it, or remove it"),
        (6, f"has 4 cells, expected 3 as in the header; {marks}, or remove it"),
        (7, "is not UTF-8; save the file as UTF-8"),
        (8, "has a NUL byte; remove it"),
    ]


def test_rows_are_padded_and_cut_if_that_is_certain(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"id,text,n\n3,b\n4,c,x,\n")
    (block,) = read_file(tmp_path / "a.csv", None, ["text"]).blocks
    assert block.rows == [["3", "b", ""], ["4", "c", "x"]]
    (tmp_path / "b.csv").write_bytes(b"text\na, b\nc\n")
    assert all_of(read_file(tmp_path / "b.csv", None, ["text"]))[1] == ["a, b", "c"]


def test_quotation_marks_that_are_not_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    _, values, lost = all_of(read_stream(io.BytesIO(b'text\na\n"b\nc\n'), "csv", ["text"]))
    assert values == ["a"] and lost[0][0] == 3 and "is never closed" in lost[0][1]
    monkeypatch.setattr(reading, "_SPANNED", 5)
    blocks = read_stream(io.BytesIO(b'text\na\n"b\n' + b"c\n" * 9), "csv", ["text"]).blocks
    with pytest.raises(HarnessError, match="opens a cell in line 3 is not closed within 5 lines; write"):
        list(blocks)


@pytest.mark.parametrize(("kind", "usual"), [("csv", ","), ("tsv", "\t"), ("csv", ";")])
def test_streams_of_cells(kind: str, usual: str) -> None:
    given = f"\nid{usual}text\n1{usual}a\n".encode()
    found = read_stream(io.BytesIO(given), kind, ["message", "text"])
    assert (found.shown, found.text, found.delimiter, found.quoted) == (
        "the input",
        "text",
        usual,
        kind == "csv",
    )
    assert all_of(found) == ([3], ["a"], [])


def test_rows_are_given_as_they_arrive() -> None:
    stream = Trickle(iter([b"text\n", b"a\nb\n", b'"c\n', b'd"\n']))
    blocks = read_stream(stream, "csv", ["text"]).blocks  # type: ignore[arg-type]
    assert [block.values for block in (next(blocks),)] == [["a", "b"]]
    assert stream.given == 2
    assert next(blocks).values == ["c\nd"]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_stream_without_an_end_is_read_in_parts(kind: str) -> None:
    def endless() -> Iterator[bytes]:
        yield b"text\n" if kind == "csv" else b""
        while True:
            yield (b"some words\n" if kind == "csv" else b'{"text": "some words"}\n') * 1000

    stream = Trickle(piece for piece in endless() if piece)
    blocks = read_stream(stream, kind, ["text"]).blocks  # type: ignore[arg-type]
    sizes = [len(next(blocks).values) for _ in range(20)]
    assert max(sizes) <= reading.BATCH and stream.given < 10


def test_objects(tmp_path: Path) -> None:
    content = b'{"text": "a", "n": [1, {"x": 2.50}]}\n\n{"other": 1}\nno\n[1]\n\xff\n'
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(content))
    found = read_file(tmp_path / "a.jsonl.gz", None, ["text"])
    assert (found.kind, found.columns) == ("jsonl", ("text", "n"))
    (block,) = found.blocks
    assert block.rows == [{"text": "a", "n": [1, {"x": 2.5}]}, {"other": 1}]
    assert block.numbers == [1, 3] and block.values == ["a", None]
    assert [number for number, _ in block.lost] == [4, 5, 6]
    assert block.lost[0][1] == "is not JSON; expected an object with the text"


@pytest.mark.parametrize(
    "content", ['[{"text": "a"}, {"text": "b"}]', '{"text": ["a", "b"]}', '{\n"text": "a"}\n{"text": "b"}']
)
def test_other_forms_of_json(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(content)
    assert all_of(read_file(tmp_path / "a.json", None, ["text"]))[1] == ["a", "b"]


def test_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_ROWS", 2)
    table = pa.table({"text": ["a", None, "c"], "when": pa.array([1, 2, 3], pa.timestamp("ms"))})
    parquet.write_table(table, tmp_path / "a.parquet")
    found = read_file(tmp_path / "a.parquet", None, ["tokens", "text"])
    assert (found.kind, found.text, found.schema) == ("parquet", "text", table.schema)
    assert found.at(3) == f"{tmp_path / 'a.parquet'} row 3"
    blocks = list(found.blocks)
    assert [block.values for block in blocks] == [["a", None], ["c"]] and list(blocks[1].numbers) == [3]
    assert pa.Table.from_batches([block.rows for block in blocks]).equals(table)


def test_lines_of_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a\r\n\nb\xff\nc")
    found = read_file(tmp_path / "a.txt", None, ["whatever"])
    assert (found.kind, found.columns) == ("lines", ("text",))
    numbers, values, lost = all_of(found)
    assert (numbers, values) == ([1, 2, 4], ["a", "", "c"]) and lost[0][0] == 3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.csv",
            b"id,message\n1,a\n",
            r"a\.csv has no column 'text'; found: 'id', 'message'; name the column",
        ),
        (
            "a.jsonl",
            b'{"texts": "a"}\n',
            r"has no column 'text'; found: 'texts'; did you mean 'texts'\?; name",
        ),
        ("a.csv", b"text,text\n1,a\n", "has more than one column 'text'"),
        ("a.csv", b"", "is empty"),
        ("a.doc", b"text\n", "expected a name that ends with"),
        ("a.csv.gz", gzip.compress(CSV * 9, mtime=0)[:-20], "cannot read"),
        ("a.csv", b"PK\3\4", "zip"),
        ("a.jsonl", b"\x1f\x8b\x08nothing", "cannot read"),
        ("a.parquet", b"PAR1 PAR1", "cannot read"),
    ],
)
def test_what_cannot_be_read_is_said(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(HarnessError, match=message) as error:
        all_of(read_file(tmp_path / name, None, ["text"]))
    assert "\n" not in str(error.value)


def test_a_file_that_is_damaged_further_on_gives_what_comes_before(tmp_path: Path) -> None:
    lines = b"".join(json.dumps({"text": f"{n} some words"}).encode() + b"\n" for n in range(20_000))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines)[:-5000])
    blocks = read_file(tmp_path / "a.jsonl.gz", None, ["text"]).blocks
    assert next(blocks).values[0] == "0 some words"
    with pytest.raises(HarnessError, match=r"cannot read .*a\.jsonl\.gz"):
        list(blocks)


def test_folders_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    for name, message in (("a.csv", "it is a folder"), ("b.csv", "it does not exist")):
        with pytest.raises(HarnessError, match=message):
            read_file(tmp_path / name, None, ["text"])
    with pytest.raises(HarnessError, match="the input is empty"):
        read_stream(io.BytesIO(b"\n\n"), "csv", ["text"])
    with pytest.raises(HarnessError, match="the input has no column 'text'; found: 'a', 'b'"):
        read_stream(io.BytesIO(b"a,b\n"), "csv", ["text"])
    assert all_of(read_stream(io.BytesIO(b""), "jsonl", ["text"])) == ([], [], [])
