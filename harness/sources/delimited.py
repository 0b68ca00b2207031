"""Read CSV and TSV: find the delimiter and the use of quotation marks, and mend or report uneven rows."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from harness.api import HarnessError
from harness.sources.columns import need, tidy
from harness.sources.opening import note, nul, open_bytes, readable

if TYPE_CHECKING:
    import pyarrow as pa

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_HEAD = 1 << 20  # characters in which a header must end
_BLOCK = 1 << 24  # bytes of the longest row
_SPANNED = 1000  # lines that a cell may span before its quotation mark counts as a character
_LISTED = 5  # lines that an error names
_CELL = re.compile(r'"[^"]*(?:""[^"]*)*"|[^"\t]+|(?<![^\t])(?=\t|$)')
csv.field_size_limit(max(csv.field_size_limit(), 1 << 30))  # characters of a cell; else 131,072
_ROW = re.compile(rf"(?:{_CELL.pattern})(?:\t(?:{_CELL.pattern}))*")


class Dialect(NamedTuple):
    """How a file separates its cells."""

    delimiter: str
    quoted: bool  # whether quotation marks enclose cells
    header: list[str]
    skipped: int  # lines before the header
    columns: list[str]  # what the header calls the wanted columns


def read_delimited(path: Path, columns: Sequence[str], shown: str) -> pa.Table:
    """Return columns of a CSV or TSV file as strings; empty cells are null."""
    import pyarrow as pa
    from pyarrow import csv as pacsv

    line_ends, marks = _scanned(path, shown)
    dialect = _dialect(path, columns, shown, marks)
    uneven = False  # pyarrow's handler for such rows shows a traceback if one is not UTF-8
    with _opened(path, dialect.skipped) as stream:
        try:
            table = pacsv.read_csv(
                stream,
                # With threads, the order of errors changes.
                read_options=pacsv.ReadOptions(use_threads=False, block_size=_BLOCK),
                parse_options=pacsv.ParseOptions(
                    delimiter=dialect.delimiter,
                    quote_char='"' if dialect.quoted else False,
                    newlines_in_values=dialect.quoted,
                ),
                convert_options=pacsv.ConvertOptions(
                    include_columns=dialect.columns,
                    column_types=dict.fromkeys(dialect.columns, pa.string()),
                    null_values=[""],
                    strings_can_be_null=True,
                ),
            )
        except pa.ArrowInvalid as error:
            uneven = "columns, got" in str(error)
            if not uneven and "straddling" not in str(error):
                raise
            table = None
    if dialect.quoted and marks and (table is None or line_ends > table.num_rows + 1 + dialect.skipped):
        _check_marks(path, dialect, shown)
    if table is None and not uneven:
        raise HarnessError(f"cannot read {shown}: it has a row of more than {_BLOCK >> 20} MiB")
    if table is None:
        table = _mended(path, dialect, shown)
    return table.select(dialect.columns).rename_columns(list(columns))


def header_of(path: Path, column: str, shown: str) -> list[str]:
    """Return the names of the columns of a CSV or TSV file that has a certain column."""
    with readable(path, shown):
        found = _dialect(path, (column,), shown, _scanned(path, shown)[1])
    return [tidy(name) for name in found.header]


def _opened(path: Path, skipped: int = 0) -> Any:
    stream = open_bytes(path)
    for _ in range(skipped):
        stream.readline()
    return stream


def _text(path: Path, skipped: int = 0) -> TextIO:
    r"""Open a file as text whose lines end with \n, \r or \r\n."""
    return io.TextIOWrapper(_opened(path, skipped), "utf-8", newline="")


def _rows(lines: TextIO, delimiter: str, quoted: bool, strict: bool = False) -> Any:
    if not quoted:
        return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    return csv.reader(lines, delimiter=delimiter, strict=strict)


def _scanned(path: Path, shown: str) -> tuple[int, bool]:
    """Return the number of line ends of a file, and whether it has quotation marks. Refuse NUL bytes."""
    ends, marks = 0, False
    with open_bytes(path) as stream:
        while block := stream.read(_HEAD):
            if (place := block.find(b"\0")) >= 0:
                raise nul(f"{shown} line {ends + block[:place].count(10) + 1}")
            ends += block.count(b"\n")
            marks = marks or b'"' in block
    return ends, marks


# -- how the cells are separated


def _dialect(path: Path, columns: Sequence[str], shown: str, marks: bool) -> Dialect:
    """Return the dialect that the name of a file promises, or the only other one that has the columns."""
    with _text(path) as lines:
        head = lines.read(_HEAD)
    if not head.strip():
        raise HarnessError(f"{shown} is empty")
    sep = re.match(r'"?sep=(.)"?\r?\n', head)  # the line with which Excel names the delimiter
    usual = sep[1] if sep else "\t" if ".tsv" in path.name.lower() else ","
    head = head[sep.end() if sep else 0 :]

    def header(delimiter: str, quoted: bool) -> list[str]:
        return next((row for row in _rows(io.StringIO(head, ""), delimiter, quoted) if row), [])

    found = {delimiter: header(delimiter, True) for delimiter in dict.fromkeys((usual, *_DELIMITERS))}
    fits = [delimiter for delimiter, names in found.items() if _names(columns, names)]
    chosen = usual if usual in fits or len(fits) != 1 else fits[0]
    if not fits and head.lstrip()[:1] in ("{", "["):
        raise HarnessError(f"{shown} is not CSV but looks like JSON; give it a name that ends in .jsonl")
    if chosen != usual:
        note(f"{shown} was read with {_DELIMITERS[chosen]} between its cells")
    dialect = Dialect(chosen, True, found[chosen], int(bool(sep)), [])
    if chosen == "\t":
        plain = dialect._replace(quoted=False, header=header(chosen, False))
        if marks and _encloses(path, dialect, certain=not _names(columns, plain.header)):
            note(f"{shown} was read with quotation marks around its cells, as in CSV")
        else:
            dialect = plain
    if not (names := _names(columns, dialect.header)):
        need(columns, dialect.header, shown)
    return dialect._replace(columns=names)


def _names(columns: Sequence[str], header: Sequence[str]) -> list[str]:
    """Return what a header calls the columns, with any white space around it; [] if it lacks one."""
    found = []
    for column in columns:
        near = [name for name in header if name == column] or [n for n in header if tidy(n) == column]
        if len(near) != 1:
            return []
        found += near
    return found


def _encloses(path: Path, dialect: Dialect, certain: bool) -> bool:
    """Return whether quotation marks certainly enclose cells of a TSV file; usually they are characters.

    They do if all rows can be read so, and some cannot be read otherwise: their cells double the marks
    inside, or contain tabs or line ends, or all cells of all rows have marks. `certain` if the header already
    says so.
    """
    tabs, every = len(dialect.header) - 1, True
    with _text(path, dialect.skipped) as lines:
        for number, line in enumerate(lines):
            row, even = line, line.count("\t") == tabs
            for _ in range(_SPANNED):
                if row.count('"') % 2 == 0 or not (more := lines.readline()):
                    break
                row, even = row + more, even and more.count("\t") == tabs
            row = row.rstrip("\r\n")
            if not row.strip():
                continue
            cells = _CELL.findall(row)
            if not _ROW.fullmatch(row) or len(cells) != tabs + 1:
                return False
            enclosed = [cell[1:-1] for cell in cells if cell.startswith('"')]
            certain = certain or not even or any('""' in cell for cell in enclosed)
            every = every and (number == 0 or len(enclosed) == len(cells))
    return certain or (every and tabs > 0)


# -- uneven rows, and quotation marks that are not closed


def _check_marks(path: Path, dialect: Dialect, shown: str) -> None:
    """Raise HarnessError if a quotation mark that opens a cell is not closed, so that rows could be lost."""
    with _text(path, dialect.skipped) as lines:
        reader = _rows(lines, dialect.delimiter, quoted=True, strict=True)
        end, ended = dialect.skipped, False
        while not ended:
            begin, why = end + 1, ""
            try:
                ended = next(reader, None) is None
            except csv.Error as error:
                why = str(error)
            end = reader.line_num + dialect.skipped
            if why and (end > begin or "unexpected end" in why):
                where = (
                    "never closed"
                    if "unexpected end" in why
                    else f"closed in the midst of a cell in line {end}"
                )
                raise HarnessError(
                    f"cannot read {shown}: a quotation mark that opens a cell in line {begin} is {where}; "
                    'write "" for a quotation mark inside a quoted cell'
                )


def _mended(path: Path, dialect: Dialect, shown: str) -> pa.Table:
    """Return the columns of a file with rows of another width than the header, if their meaning is certain.

    It is if a row lacks only columns that are not wanted, if its further cells are empty, or if the header
    has one column and the row no quotation marks. Else raise HarnessError, which names the lines.
    """
    import pyarrow as pa

    width = len(dialect.header)
    places = [dialect.header.index(name) for name in dialect.columns]
    cells: list[list[str | None]] = [[] for _ in places]
    wrong: list[tuple[int, int, str]] = []
    mended = 0
    with _text(path, dialect.skipped) as lines:
        reader = _rows(lines, dialect.delimiter, dialect.quoted)
        end, headed = dialect.skipped, False
        for row in reader:
            begin, end = end + 1, reader.line_num + dialect.skipped
            if not row or (len(row) == 1 < width and not row[0].strip()):
                continue
            if not headed:
                headed = True
                continue
            if len(row) != width:
                if width == 1 and begin == end and not any('"' in cell for cell in row):
                    row = [dialect.delimiter.join(row)]
                elif len(row) <= max(places) or any(map(str.strip, row[width:])):
                    wrong.append((begin, len(row), dialect.delimiter.join(row)))
                    continue
                mended += 1
            for place, column in zip(places, cells, strict=True):
                column.append(row[place] or None)
    if wrong:
        line, count, shape = wrong[0]
        others = ", ".join(str(number) for number, _, _ in wrong[1:_LISTED])
        more = f"; {len(wrong) - 1} more such rows, in line {others}" if others else ""
        more += ", ..." if len(wrong) > _LISTED else ""
        remedy = "complete or remove such rows"
        if count > width and dialect.quoted:
            remedy = (
                f"put quotation marks around cells with {_DELIMITERS.get(dialect.delimiter, 'delimiters')}"
            )
        raise HarnessError(
            f"cannot read {shown}: the row in line {line} has {count} cell{'s' * (count != 1)}, "
            f"expected {width} as in the header: {shape[:60]!r}{more}; {remedy}"
        )
    if mended:
        note(f"{shown} has {mended} rows with more or fewer cells than its header; their columns are certain")
    return pa.table([pa.array(column, pa.string()) for column in cells], names=dialect.columns)
