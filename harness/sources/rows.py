"""Read CSV, TSV, JSON lines, Parquet and lines of text row by row, as they arrive, with all their columns.

:func:`harness.sources.files.read_table` reads the columns of a task, all rows at once. Here a table may be
larger than the memory or may not have an end, and a row that cannot be read costs itself alone.
"""

from __future__ import annotations

import csv
import json
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from harness.api import HarnessError
from harness.sources.columns import NoColumn, need
from harness.sources.delimited import _DELIMITERS, Dialect, _dialect, _names, _rows
from harness.sources.files import FORMATS, LINES, kind_of
from harness.sources.lines import BATCH, batches
from harness.sources.objects import json_rows
from harness.sources.opening import open_bytes, readable, trouble_with

if TYPE_CHECKING:
    import pyarrow as pa

KINDS = ("lines", "csv", "tsv", "jsonl", "parquet")
_SPANNED = 10_000  # lines that a cell may span
_ROWS = 1024  # of Parquet that are read at once
_BLOCK = 1 << 20
_TEXT = "text"  # the column of lines of text


class Block(NamedTuple):
    """Rows that have arrived together."""

    numbers: Sequence[int]  # of the line where each row begins; of a row of Parquet, from 1
    values: list[Any]  # of the column with the text
    rows: Any  # for each row its cells, or its JSON object; for Parquet a record batch
    lost: list[tuple[int, str]]  # the number of each line that is not a row, and why


@dataclass(frozen=True)
class Rows:
    """A table that is read as it arrives."""

    shown: str  # what messages call it
    kind: str  # one of KINDS
    text: str  # the column with the text
    columns: tuple[str, ...]  # for JSON lines, those of the first row
    blocks: Iterator[Block]
    delimiter: str = ","
    quoted: bool = True  # whether quotation marks enclose cells
    schema: Any = None  # of Parquet

    def at(self, number: int) -> str:
        """Return where a row is, for messages."""
        return f"{self.shown} {'row' if self.kind == 'parquet' else 'line'} {number}"


def read_file(path: Path, kind: str | None, wanted: Sequence[str]) -> Rows:
    """Return the rows of a file; its name tells the kind if that is None.

    The text is in the first column of `wanted` that the file has. Raise HarnessError if the file cannot be
    read or has none of them.
    """
    shown = str(path)
    kind = kind or _kind_of(path)
    if trouble := trouble_with(path):
        raise HarnessError(f"cannot read {shown}: {trouble}")
    with readable(path, shown):
        if kind == "parquet":
            return _parquet(path, wanted, shown)
        if kind in ("csv", "tsv"):
            dialect = _dialect_in(path, kind, wanted, shown)
            return _delimited(_lines_in(path, dialect.skipped), dialect, kind, shown)
        if kind == "lines" or _is_json_lines(path):
            return _of_lines(_lines_in(path), kind, wanted, shown)
        return _objects(_documents(path), wanted, shown)


def read_stream(stream: BinaryIO, kind: str, wanted: Sequence[str]) -> Rows:
    """Return the rows of a stream; see :func:`read_file`. A stream cannot be Parquet."""
    shown = "the input"
    lines = batches(stream)
    if kind not in ("csv", "tsv"):
        return _of_lines(lines, kind, wanted, shown)
    first: list[bytes] = []
    while not any(map(bytes.strip, first)) and (more := next(lines, None)) is not None:
        first += more
    head = next((line for line in first if line.strip()), None)
    if head is None:
        raise HarnessError(f"{shown} is empty; expected a header with the names of its columns")
    dialect = _first_of(wanted, lambda column: _dialect_of(head, kind, column, shown))
    return _delimited(chain([first], lines), dialect, kind, shown)


def _kind_of(path: Path) -> str:
    found = kind_of(path, (*FORMATS, *LINES)).removeprefix(".")
    return {"json": "jsonl", "txt": "lines"}.get(found, found)


def _lines_in(path: Path, skipped: int = 0) -> Iterator[list[bytes]]:
    """Yield the lines of a file, without the first ones; raise HarnessError where it is damaged."""
    with readable(path, str(path)), open_bytes(path) as stream:
        for _ in range(skipped):
            stream.readline()
        yield from batches(stream)  # type: ignore[arg-type]


def _first_of(wanted: Sequence[str], dialect_for: Any) -> Dialect:
    """Return the dialect for the first column that there is."""
    missing = None
    for column in wanted:
        try:
            return dialect_for(column)  # type: ignore[no-any-return]
        except NoColumn as error:
            missing = missing or error
    raise HarnessError(f"{missing}; name the column with the text by --text")


# -- cells ---------------------------------------------------------------------------------------------------


def _dialect_in(path: Path, kind: str, wanted: Sequence[str], shown: str) -> Dialect:
    """Return the dialect of a file, as other readers find it; if a row is not UTF-8, that of its header."""
    with open_bytes(path) as stream:
        head = next((line for line in stream if line.strip()), b"").rstrip(b"\r\n")
        marks = b'"' in head or any(b'"' in block for block in iter(partial(stream.read, _BLOCK), b""))
    try:
        return _first_of(wanted, lambda column: _dialect(path, (column,), shown, marks))
    except UnicodeDecodeError:
        return _first_of(wanted, lambda column: _dialect_of(head, kind, column, shown))


def _dialect_of(head: bytes, kind: str, column: str, shown: str) -> Dialect:
    """Return the usual dialect of a kind for a header, or the only other one that has the column."""
    line = head.decode("utf-8", "replace").rstrip("\r")
    usual = "\t" if kind == "tsv" else ","
    found = {mark: next(csv.reader([line], delimiter=mark)) for mark in dict.fromkeys((usual, *_DELIMITERS))}
    fits = [mark for mark, names in found.items() if _names((column,), names)]
    chosen = usual if usual in fits or len(fits) != 1 else fits[0]
    if chosen not in fits:
        need((column,), found[chosen], shown)
    return Dialect(chosen, kind != "tsv", found[chosen], 0, _names((column,), found[chosen]))


class _Feed:
    """The lines of a table as text, for a reader that asks for one after the other."""

    def __init__(self, lines: Iterator[list[bytes]], number: int, shown: str) -> None:
        self.lines, self.number, self.shown = lines, number, shown
        self.waiting: deque[bytes] = deque()
        self.begun = number  # lines before the present row
        self.why = ""  # why the present row cannot be used
        self.open = False  # whether the lines ended within a row

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        while not self.waiting:
            more = next(self.lines, None)
            if more is None:
                self.open = self.number > self.begun
                raise StopIteration
            self.waiting.extend(more)
        line = self.waiting.popleft()
        self.number += 1
        if self.number - self.begun > _SPANNED:
            raise HarnessError(
                f"cannot read {self.shown}: a quotation mark that opens a cell in line {self.begun + 1} is "
                f'not closed within {_SPANNED:,} lines; write "" for a quotation mark inside a quoted cell'
            )
        text, why = _decoded(line)
        self.why = self.why or why
        return text + "\n"


def _decoded(line: bytes) -> tuple[str, str]:
    """Return a line as text, and why it is not text."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return line.decode(errors="replace"), "is not UTF-8; save the file as UTF-8"
    return text, "has a NUL byte; remove it" if "\0" in text else ""


def _delimited(lines: Iterator[list[bytes]], dialect: Dialect, kind: str, shown: str) -> Rows:
    """Return the rows of a table whose lines begin with the header."""
    feed = _Feed(lines, dialect.skipped, shown)
    reader = _rows(feed, dialect.delimiter, dialect.quoted)  # type: ignore[arg-type]
    header: list[str] = next((row for row in reader if row), [])
    feed.begun, feed.why = feed.number, ""
    text = dialect.columns[0]
    blocks = _rows_of_cells(reader, feed, header, header.index(text), dialect.delimiter)
    return Rows(shown, kind, text, tuple(header), blocks, dialect.delimiter, dialect.quoted)


def _rows_of_cells(
    reader: Iterator[list[str]], feed: _Feed, header: Sequence[str], place: int, delimiter: str
) -> Iterator[Block]:
    width = len(header)
    numbers: list[int] = []
    rows: list[list[str]] = []
    lost: list[tuple[int, str]] = []
    for cells in reader:
        line, why = feed.begun + 1, feed.why
        feed.begun, feed.why = feed.number, ""
        if feed.open:
            why = 'has a quotation mark that is never closed; write "" for one inside a quoted cell'
        blank = not cells or (len(cells) == 1 < width and not cells[0].strip())
        if not why and not blank:
            cells, why = _fitted(cells, width, place, delimiter)
        if why:
            lost.append((line, why))
        elif not blank:
            numbers.append(line)
            rows.append(cells)
        if not feed.waiting or len(rows) >= BATCH:
            yield Block(numbers, [cells[place] for cells in rows], rows, lost)
            numbers, rows, lost = [], [], []
    if rows or lost:
        yield Block(numbers, [cells[place] for cells in rows], rows, lost)


def _fitted(cells: list[str], width: int, place: int, delimiter: str) -> tuple[list[str], str]:
    """Return the cells of a row for a header of some width, and why that cannot be.

    A row may lack cells after the one with the text, and its further cells may be empty.
    """
    if len(cells) == width:
        return cells, ""
    if width == 1 and not any('"' in cell for cell in cells):
        return [delimiter.join(cells)], ""
    if len(cells) > place and not any(map(str.strip, cells[width:])):
        return [*cells, *[""] * width][:width], ""
    named = _DELIMITERS.get(delimiter, "delimiters")
    remedy = f"put quotation marks around cells with {named}" if len(cells) > width else "complete it"
    number = f"{len(cells)} cell{'s' * (len(cells) != 1)}"
    return cells, f"has {number}, expected {width} as in the header; {remedy}, or remove it"


# -- lines and JSON objects ----------------------------------------------------------------------------------


def _of_lines(lines: Iterator[list[bytes]], kind: str, wanted: Sequence[str], shown: str) -> Rows:
    if kind == "lines":
        return Rows(shown, kind, _TEXT, (_TEXT,), _rows_of_text(lines))
    return _objects(_line_objects(lines), wanted, shown)


def _rows_of_text(lines: Iterator[list[bytes]]) -> Iterator[Block]:
    begun = 1
    for some in lines:
        found = [(begun + i, *_decoded(line.removesuffix(b"\r"))) for i, line in enumerate(some)]
        begun += len(some)
        good = [(number, text) for number, text, why in found if not why]
        lost = [(number, why) for number, _, why in found if why]
        texts = [text for _, text in good]
        yield Block([number for number, _ in good], texts, [[text] for text in texts], lost)


Found = tuple[int, dict[str, Any], str]  # the number of a line, its object, and why it has none


def _line_objects(lines: Iterator[list[bytes]]) -> Iterator[list[Found]]:
    begun = 1
    for some in lines:
        yield [(begun + i, *_object(line)) for i, line in enumerate(some) if line.strip()]
        begun += len(some)


def _object(line: bytes) -> tuple[dict[str, Any], str]:
    """Return the JSON object of a line, and why there is none."""
    text, why = _decoded(line)
    if why:
        return {}, why
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}, "is not JSON; expected an object with the text"
    return (
        (found, "") if isinstance(found, dict) else ({}, "is not a JSON object; expected one with the text")
    )


def _is_json_lines(path: Path) -> bool:
    """Return whether each line of a file has an object; a file .json with one line may be columns."""
    with open_bytes(path) as stream:
        first = next((line for line in stream if line.strip()), b"{}")
        alone = ".jsonl" not in path.name.lower() and not any(line.strip() for line in stream)
    return not _object(first)[1] and not alone


def _documents(path: Path) -> Iterator[list[Found]]:
    """Yield the objects of a JSON file that are not one on each line; it is read at once."""
    with readable(path, str(path)):
        rows = json_rows(path, str(path), columns=True)
        while some := [(number, row, "") for number, row in islice(rows, BATCH)]:
            yield some


def _objects(found: Iterator[list[Found]], wanted: Sequence[str], shown: str) -> Rows:
    first: list[Found] = []
    while not any(not why for _, _, why in first) and (more := next(found, None)) is not None:
        first += more
    sample = next((row for _, row, why in first if not why), {})
    text = next((column for column in wanted if column in sample), wanted[0])
    if sample:
        try:
            need((text,), sample, shown)
        except NoColumn as error:
            raise HarnessError(f"{error}; name the column with the text by --text") from None
    return Rows(shown, "jsonl", text, tuple(sample), map(partial(_block, text), chain([first], found)))


def _block(text: str, found: list[Found]) -> Block:
    good = [(number, row) for number, row, why in found if not why]
    lost = [(number, why) for number, _, why in found if why]
    rows = [row for _, row in good]
    return Block([number for number, _ in good], [row.get(text) for row in rows], rows, lost)


# -- Parquet -------------------------------------------------------------------------------------------------


def _parquet(path: Path, wanted: Sequence[str], shown: str) -> Rows:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        schema: pa.Schema = file.schema_arrow
    text = next((column for column in wanted if column in schema.names), wanted[0])
    try:
        need((text,), schema.names, shown)
    except NoColumn as error:
        raise HarnessError(f"{error}; name the column with the text by --text") from None
    return Rows(shown, "parquet", text, tuple(schema.names), _record_batches(path, text), schema=schema)


def _record_batches(path: Path, text: str) -> Iterator[Block]:
    from pyarrow import parquet

    number = 1
    with readable(path, str(path)), parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_ROWS):
            batch.validate(full=True)  # strings of a damaged file might not be UTF-8
            values = batch.column(text).to_pylist()
            yield Block(range(number, number + len(values)), values, batch, [])
            number += len(values)
