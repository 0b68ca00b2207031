"""Read a split's file (JSON lines, CSV, TSV or Parquet) into the two string columns of a task's table."""

from __future__ import annotations

import codecs
import csv
import difflib
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from harness.api import SPLITS, HarnessError
from harness.values import whole

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = (".jsonl.gz", ".jsonl", ".parquet", ".csv", ".csv.gz", ".tsv", ".tsv.gz")
LINES = (".txt", ".txt.gz")  # UTF-8, one text per line
UNLABELLED = "unlabelled"
_EXACT = 2.0**53  # below it, doubles represent every whole number


def find_splits(
    folder: Path, required: Sequence[str] = SPLITS, formats: Sequence[str] = FORMATS
) -> dict[str, Path]:
    """Return the file of each split in a folder, and of ``unlabelled`` if there is one.

    `formats` are the allowed formats of the splits; ``unlabelled`` must have one of FORMATS. Raise
    HarnessError if a required split has no file, or if any split has two files or an empty one.
    """
    present = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    files = {}
    for split in (*SPLITS, UNLABELLED):
        known = {split + suffix for suffix in (FORMATS if split == UNLABELLED else formats)}
        found = [name for name in present if name.lower() in known]
        if len(found) > 1:
            raise HarnessError(f"{folder} has more than one {split} split: {', '.join(found)}; keep one")
        if found:
            files[split] = folder / found[0]
            if is_empty(files[split]):
                raise HarnessError(f"{folder.name}/{found[0]} is empty")
        elif split in required:
            raise HarnessError(
                f"{folder} has no {split} split: found {', '.join(present) or 'nothing'}; "
                f"expected {split} with one of {', '.join(formats)}"
            )
    return files


def is_empty(path: Path) -> bool:
    """Return whether a file, decompressed if necessary, is empty."""
    try:
        with open_bytes(path) as stream:
            return not stream.read(1)
    except (OSError, EOFError, zlib.error):
        return False  # a damaged file is not empty; reading it reports the error


def fingerprint(files: Mapping[str, Path]) -> str:
    """Return a hash of the files' contents, which does not depend on their location."""
    total = hashlib.sha256()
    for split, path in sorted(files.items()):
        status = path.stat()
        total.update(f"{split}\0{_digest(path.absolute(), status.st_size, status.st_mtime_ns)}\n".encode())
    return f"sha256:{total.hexdigest()}"


@lru_cache(maxsize=1024)
def _digest(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_table(
    path: Path,
    *,
    text: str = "text",
    label: str | None = "label",
    class_names: Sequence[str] = (),
    shown: str = "",
) -> pa.Table:
    """Return a file as a table with the string columns ``text`` and, unless `label` is None, ``label``.

    A missing text becomes "", a missing label null. Labels that are class numbers become class names if these
    are known. TSV is read without quoting: a quote is an ordinary character there.

    Errors call the file `shown`. Raise HarnessError for a file that is damaged, is not UTF-8, has no rows or
    lacks a column.
    """
    import pyarrow as pa

    shown = shown or str(path)
    reader = _reader(path)
    columns = [text] if label is None else [text, label]
    with readable(path, shown):
        table = reader(path, columns, shown)
    if table.num_rows == 0:
        raise HarnessError(f"{shown} has no rows")
    tidy = {"text": texts_of(table.column(0), shown, text)}
    if label is not None:
        with readable(path, shown):
            tidy["label"] = labels_of(table.column(1), class_names, shown, label)
    return pa.table(tidy)


@contextmanager
def readable(path: Path, shown: str) -> Iterator[None]:
    """Raise HarnessError if the code inside cannot read a file because it is damaged or not UTF-8."""
    import pyarrow as pa

    try:
        yield
    except UnicodeDecodeError:
        raise _not_utf8(path, shown) from None
    except (OSError, EOFError, zlib.error, csv.Error, pa.ArrowException) as error:
        if "invalid UTF8" in str(error):
            raise _not_utf8(path, shown) from None
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0][:200]
        raise HarnessError(f"cannot read {shown}: {reason}") from error


Reader = Callable[[Path, Sequence[str], str], "pa.Table"]


def format_of(path: Path) -> str | None:
    """Return which of FORMATS a file's name ends with, or None."""
    return next((suffix for suffix in FORMATS if path.name.lower().endswith(suffix)), None)


def _reader(path: Path) -> Reader:
    match (format_of(path) or "").removesuffix(".gz"):
        case ".jsonl":
            return _read_jsonl
        case ".csv" | ".tsv":
            return _read_delimited
        case ".parquet":
            return _read_parquet
    raise HarnessError(f"cannot read {path}: expected a name that ends with {', '.join(FORMATS)}")


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading, and decompress it if necessary."""
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def need(wanted: Iterable[str], found: Iterable[str], shown: str) -> None:
    """Raise HarnessError unless each wanted column is found exactly once."""
    found = list(found)
    for name in wanted:
        if name not in found:
            listed = ", ".join(map(repr, found))
            raise HarnessError(f"{shown} has no column {name!r}; found: {listed}{suggest(name, found)}")
        if found.count(name) > 1:
            raise HarnessError(f"{shown} has more than one column {name!r}; rename or remove the others")


def json_rows(path: Path, shown: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of a JSON lines file, each with its line number; skip empty lines."""
    with open_bytes(path) as stream:
        for number, line in enumerate(stream, 1):
            if line.isspace():
                continue
            try:
                row = json.loads(line.removeprefix(codecs.BOM_UTF8).decode())
            except UnicodeDecodeError:
                raise
            except (ValueError, RecursionError) as error:
                raise HarnessError(f"{shown} line {number} is not JSON: {error}") from None
            if not isinstance(row, dict):
                raise HarnessError(f"{shown} line {number} is not a JSON object")
            yield number, row


def _read_jsonl(path: Path, columns: Sequence[str], shown: str) -> pa.Table:
    # Python's parser, because Arrow's turns texts that look like dates into dates, and does not report
    # the line of an error.
    import pyarrow as pa

    values: dict[str, list[Any]] = {name: [] for name in columns}
    found: dict[str, None] = {}
    for number, row in json_rows(path, shown):
        found.update(dict.fromkeys(row))
        for name, cells in values.items():
            value = row.get(name)
            if isinstance(value, dict | list):
                raise HarnessError(
                    f"{shown} line {number} has a list or object in column {name!r}; "
                    "expected a string or number"
                )
            cells.append(value)
    if found:
        need(columns, found, shown)

    def column(cells: list[Any]) -> pa.Array:
        try:
            return pa.array(cells)
        except (pa.ArrowException, UnicodeError, OverflowError):  # mixed types, or half a surrogate pair
            return pa.array([None if cell is None else whole(str(cell)) for cell in cells])

    return pa.table([column(cells) for cells in values.values()], names=list(columns))


def lines_of(path: Path, shown: str) -> Iterator[str]:
    """Yield the lines of a text file without their line ends; skip blank lines."""
    with readable(path, shown), open_bytes(path) as stream:
        for line in io.TextIOWrapper(stream, "utf-8-sig", newline="\n"):
            if not line.isspace():
                yield line.rstrip("\r\n")


def _read_delimited(path: Path, columns: Sequence[str], shown: str) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv as pacsv

    tsv = ".tsv" in str(format_of(path))
    delimiter = "\t" if tsv else ","
    with open_bytes(path) as stream:
        lines = io.TextIOWrapper(stream, "utf-8-sig", newline="")
        header = next(
            csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE if tsv else csv.QUOTE_MINIMAL), None
        )
    if header is None:
        raise HarnessError(f"{shown} is empty")
    need(columns, header, shown)

    with pa.input_stream(str(path), compression="detect") as stream:
        return pacsv.read_csv(
            stream,
            read_options=pacsv.ReadOptions(
                use_threads=False, block_size=1 << 24
            ),  # with threads, errors do not name the row
            parse_options=pacsv.ParseOptions(
                delimiter=delimiter,
                quote_char=False if tsv else '"',
                newlines_in_values=not tsv,
            ),
            convert_options=pacsv.ConvertOptions(
                include_columns=list(columns),
                column_types=dict.fromkeys(columns, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
            ),
        )


def _read_parquet(path: Path, columns: Sequence[str], shown: str) -> pa.Table:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        need(columns, file.schema_arrow.names, shown)
        return file.read(columns=list(columns)).select(list(columns))


def _not_utf8(path: Path, shown: str) -> HarnessError:
    with open_bytes(path) as stream:
        for number, line in enumerate(stream, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return HarnessError(f"{shown} line {number} is not UTF-8; save the file as UTF-8")
    return HarnessError(f"{shown} is not UTF-8; save the file as UTF-8")


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa

    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _strings(column: pa.ChunkedArray, shown: str, name: str) -> pa.ChunkedArray:
    import pyarrow as pa

    try:
        return _plain(column).cast(pa.string())
    except pa.ArrowException:
        raise HarnessError(
            f"{shown} has values of type {column.type} in column {name!r}; expected strings"
        ) from None


def texts_of(column: pa.ChunkedArray, shown: str, name: str) -> pa.ChunkedArray:
    """Return a column as strings; missing values become ""."""
    return _strings(column, shown, name).fill_null("")


def labels_of(column: pa.ChunkedArray, class_names: Sequence[str], shown: str, name: str) -> pa.ChunkedArray:
    """Return a column as strings; missing values become null, and class numbers become class names."""
    import pyarrow as pa
    from pyarrow import compute as pc

    column = _plain(column)
    if pa.types.is_floating(column.type):  # integers with missing values, as pandas writes them
        column = column.cast(pa.float64())  # Arrow has no arithmetic for half precision
        column = pc.if_else(pc.is_nan(column), None, column)
        exact = pc.and_(pc.equal(column, pc.floor(column)), pc.less(pc.abs(column), _EXACT))
        if pc.all(exact).as_py() is not False:
            column = column.cast(pa.int64())
    if not pa.types.is_integer(column.type):
        column = pc.utf8_trim_whitespace(_strings(column, shown, name))
        column = pc.if_else(pc.equal(column, ""), None, column)
        numbers = pc.all(pc.match_substring_regex(column, r"^-?\d{1,9}$")).as_py()
        if class_names and numbers and not pc.any(pc.is_in(column, pa.array(class_names))).as_py():
            column = column.cast(pa.int64())
    if not class_names or not pa.types.is_integer(column.type):
        return column.cast(pa.string())
    column = pc.if_else(pc.equal(column, -1), None, column)  # how the hub marks a withheld label
    span = pc.min_max(column).as_py()
    for end in span.values():
        if end is not None and not 0 <= end < len(class_names):
            raise HarnessError(
                f"{shown} has the label {end} in column {name!r}; "
                f"expected 0 to {len(class_names) - 1} ({', '.join(class_names)})"
            )
    return pa.chunked_array([pa.array(class_names, pa.string())]).take(column)


def suggest(name: str, known: Iterable[str]) -> str:
    """Return the end of an error about an unknown name: "; did you mean 'x'?", or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
