"""Write rows with their answers as CSV, TSV, JSON lines or Parquet, as they are answered.

All columns of the input are copied, and the fields of an answer become columns after them. Outside JSON
lines, lists and objects are JSON text, and each alternative answer has its own columns.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.api import HarnessError
from harness.sources.opening import PACKED
from harness.sources.rows import Block, Rows
from harness.wording import escaped, inert_json

if TYPE_CHECKING:
    import pyarrow as pa

    from harness.runtime.answerer import Answer

FORMATS = ("csv", "tsv", "jsonl", "parquet")
_GROUP = 1 << 16  # rows of Parquet that are written together
_MAIN = ("label", "labels", "tags", "score")  # the field with the main column; without them, the first


class Target:
    """A new file, which is made when the first bytes come, or a stream; rows are written to it."""

    def __init__(self, path: Path | None, put: Callable[[bytes], Any]) -> None:
        self.path, self.put = path, put
        self.file: Any = None

    @staticmethod
    def check(path: Path) -> None:
        """Raise HarnessError if no file can be written there."""
        packed = next((ending for ending in PACKED if path.name.lower().endswith(ending)), ".gz")
        if packed != ".gz":
            raise HarnessError(f"cannot write {path}: expected a name that ends with .gz if it is compressed")
        if path.exists():
            raise HarnessError(f"cannot write {path}: it exists; name another file, or remove it")
        if not path.parent.is_dir():
            raise HarnessError(f"cannot write {path}: the folder {path.parent} does not exist")

    def open(self) -> Any:
        """Return the file."""
        assert self.path is not None
        if self.file is None:
            is_packed = self.path.name.lower().endswith(".gz")
            self.file = (gzip.open if is_packed else open)(self.path, "xb")
        return self.file

    def write(self, data: bytes) -> None:
        """Write bytes, so that they stay if the process is killed."""
        if self.path is None:
            self.put(data)
        elif data:
            self.open().write(data)
            self.file.flush()

    def close(self) -> None:
        """Close the file."""
        if self.file is not None:
            self.file.close()


class Writer(Protocol):
    """A format of rows with answers."""

    def write(self, block: Block, answers: Sequence[Answer]) -> None:
        """Write rows with their answers; the new cells of a row with an `error` are empty, or null."""

    def close(self) -> None:
        """Write what is still held back."""


def open_writer(form: str, rows: Rows, sample: Answer, name: str | None, target: Target) -> Writer:
    """Return a writer of a format for rows, and for answers with the fields of `sample`.

    The new columns have the names of the fields; with `name`, the main one is called so, and the others
    `name`_field. Raise HarnessError if the rows already have a column of one of these names.
    """
    cells = sample if form == "jsonl" else flat(sample)
    main = next((field for field in _MAIN if field in cells), next(iter(cells)))
    columns = {
        field: field if name is None else name if field == main else f"{name}_{field}" for field in cells
    }
    _check_free(columns, rows.columns, rows.shown)
    if form == "jsonl":
        return _Objects(target, rows, columns)
    if form == "parquet":
        return _Parquet(target, rows, columns, {field: type(cell) for field, cell in cells.items()})
    return _Cells(target, rows, columns, form)


def flat(answer: Answer) -> dict[str, Any]:
    """Return an answer as cells: texts, numbers, and JSON text for lists and objects.

    The second best label and its score are in `label_2` and `score_2`, and so on.
    """
    found: dict[str, Any] = {}
    for name, value in answer.items():
        if name == "top" and value and all(key in answer for key in value[0]):
            for place, one in enumerate(value[1:], 2):
                found |= {f"{key}_{place}": each for key, each in one.items()}
        else:
            nested = isinstance(value, list | dict)
            found[name] = json.dumps(value, ensure_ascii=False) if nested else value
    return found


def _check_free(columns: Mapping[str, str], taken: Iterable[str], where: str) -> None:
    if twice := set(columns.values()).intersection(taken):
        raise HarnessError(
            f"{where} already has a column {min(twice)!r}; name the new column by --as, e.g. --as predicted"
        )


class _Objects:
    """A writer of JSON lines."""

    def __init__(self, target: Target, rows: Rows, columns: Mapping[str, str]) -> None:
        self.target, self.rows, self.columns = target, rows, columns

    def write(self, block: Block, answers: Sequence[Answer]) -> None:
        """See :class:`Writer`."""
        lines = []
        for number, row, answer in zip(block.numbers, _objects(self.rows, block), answers, strict=True):
            _check_free(self.columns, row, self.rows.at(number))
            new = {column: answer.get(field) for field, column in self.columns.items()}
            lines.append(inert_json(json.dumps({**row, **new}, ensure_ascii=False, default=str)) + "\n")
        self.target.write("".join(lines).encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        """See :class:`Writer`."""


class _Cells:
    """A writer of CSV or TSV, with the delimiter and quotation marks of an input in the same format."""

    def __init__(self, target: Target, rows: Rows, columns: Mapping[str, str], form: str) -> None:
        same = rows.kind == form
        self.target, self.rows, self.columns = target, rows, columns
        self.delimiter = rows.delimiter if same else "\t" if form == "tsv" else ","
        self.quoted = rows.quoted if same else True
        self.header: tuple[str, ...] | None = None  # of the input's columns

    def write(self, block: Block, answers: Sequence[Answer]) -> None:
        """See :class:`Writer`."""
        lines: list[list[str]] = []
        if self.header is None:
            self.header = self.rows.columns
            if self.rows.kind == "jsonl" and block.rows:
                self.header = tuple(dict.fromkeys(name for row in block.rows for name in row))
                _check_free(self.columns, self.header, self.rows.at(block.numbers[0]))
            lines.append([*self.header, *self.columns.values()])
        for row, answer in zip(_cells(self.rows, block, self.header), answers, strict=True):
            found = {} if "error" in answer else flat(answer)
            new = [_as_cell(found.get(field)) for field in self.columns]
            lines.append([*row, *(new if self.quoted else map(escaped, new))])
        if self.quoted:
            text = io.StringIO()
            csv.writer(text, delimiter=self.delimiter, lineterminator="\n").writerows(lines)
            told = text.getvalue()
        else:
            told = "".join(self.delimiter.join(cells) + "\n" for cells in lines)
        self.target.write(told.encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        """Write the header if there were no rows."""
        if self.header is None:
            self.write(_nothing(self.rows), [])


class _Parquet:
    """A writer of Parquet; the columns of JSON lines get the types of their first rows."""

    def __init__(
        self, target: Target, rows: Rows, columns: Mapping[str, str], kinds: Mapping[str, type]
    ) -> None:
        import pyarrow as pa

        known = {float: pa.float64(), int: pa.int64(), bool: pa.bool_()}
        self.target, self.rows, self.columns = target, rows, columns
        self.kinds = {field: known.get(kind, pa.string()) for field, kind in kinds.items()}
        self.schema: pa.Schema | None = rows.schema  # of the input's columns
        self.held: list[pa.Table] = []
        self.writer: Any = None

    def write(self, block: Block, answers: Sequence[Answer]) -> None:
        """See :class:`Writer`."""
        import pyarrow as pa

        table = self._copied(block)
        found = [{} if "error" in answer else flat(answer) for answer in answers]
        for field, column in self.columns.items():
            cells = pa.array([each.get(field) for each in found], self.kinds[field])
            table = table.append_column(column, cells)
        self.held.append(table)
        if sum(table.num_rows for table in self.held) >= _GROUP:
            self._flush()

    def close(self) -> None:
        """Write the last rows, and the end of the file without which it cannot be read."""
        if self.writer is None and not self.held:
            self.write(_nothing(self.rows), [])
        self._flush()
        self.writer.close()

    def _flush(self) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        if self.held:
            table = pa.concat_tables(self.held)
            self.held = []
            self.writer = self.writer or parquet.ParquetWriter(self.target.open(), table.schema)
            self.writer.write_table(table)

    def _copied(self, block: Block) -> pa.Table:
        """Return the input's columns."""
        import pyarrow as pa

        if self.rows.kind == "parquet":
            return pa.Table.from_batches([block.rows])
        rows = _objects(self.rows, block)
        if self.rows.kind != "jsonl":
            names = self.rows.columns
            return pa.table(
                {name: pa.array([row[name] or None for row in rows], pa.string()) for name in names}
            )
        where = self.rows.at(block.numbers[0]) if rows else self.rows.shown
        names = tuple(dict.fromkeys(name for row in rows for name in row))
        if self.schema is not None and (further := set(names) - set(self.schema.names)):
            raise HarnessError(
                f"{where} or a row soon after it has a column {min(further)!r} that earlier rows lack; give "
                "--format jsonl"
            )
        try:
            if self.schema is None:
                _check_free(self.columns, names, where)
                kinds = [pa.array([row.get(name) for row in rows]).type for name in names]
                kinds = [pa.string() if pa.types.is_null(kind) else kind for kind in kinds]
                self.schema = pa.schema(list(zip(names, kinds, strict=True)))
            return pa.Table.from_pylist(rows, self.schema)
        except (pa.ArrowException, OverflowError, UnicodeError) as error:
            why = str(error).partition("\n")[0][:200]
            raise HarnessError(
                f"cannot write the rows from {where} on as Parquet: {why}; give --format jsonl"
            ) from None


def _nothing(rows: Rows) -> Block:
    """Return a block without rows."""
    import pyarrow as pa

    return Block([], [], pa.RecordBatch.from_pylist([], rows.schema) if rows.kind == "parquet" else [], [])


def _objects(rows: Rows, block: Block) -> list[dict[str, Any]]:
    """Return rows as objects."""
    if rows.kind == "jsonl":
        return block.rows  # type: ignore[no-any-return]
    if rows.kind == "parquet":
        return block.rows.to_pylist()  # type: ignore[no-any-return]
    if len(set(rows.columns)) < len(rows.columns):
        twice = next(name for name in rows.columns if rows.columns.count(name) > 1)
        raise HarnessError(f"{rows.shown} has more than one column {twice!r}; rename or remove the others")
    return [dict(zip(rows.columns, cells, strict=True)) for cells in block.rows]


def _cells(rows: Rows, block: Block, header: Sequence[str]) -> Iterable[list[str]]:
    """Return rows as cells; raise HarnessError for an object with a column that is not in the header."""
    if rows.kind not in ("jsonl", "parquet"):
        return block.rows  # type: ignore[no-any-return]
    objects = _objects(rows, block)
    for number, row in zip(block.numbers, objects, strict=True):
        if further := row.keys() - set(header):
            raise HarnessError(
                f"{rows.at(number)} has a column {min(further)!r} that earlier rows lack; give --format jsonl"
            )
    return [[_as_cell(row.get(name)) for name in header] for row in objects]


def _as_cell(value: Any) -> str:
    """Return a value as a cell: JSON text for numbers, lists and objects; null is empty."""
    if isinstance(value, int | float | list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return "" if value is None else str(value)
