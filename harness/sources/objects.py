"""Read files of JSON objects: one on each line, in a list, spread over lines, or as columns."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from harness.api import HarnessError
from harness.sources.columns import need
from harness.sources.opening import note, nul, open_bytes
from harness.values import whole

if TYPE_CHECKING:
    import pyarrow as pa

_SPACE = " \t\r\n"  # white space between JSON values

Row = tuple[int, dict[str, Any]]  # the number of the line where an object begins, and the object


def json_rows(path: Path, shown: str, *, columns: bool = False) -> Iterator[Row]:
    """Yield the objects of a JSON file, each with the number of the line where it begins; skip blank lines.

    Usually each line has an object. Read too are a list of objects, objects that are spread over lines, a
    list of objects under a key, and one object for each column, as pandas writes it; with `columns` also one
    list for each column.
    """
    with open_bytes(path) as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                first = json.loads(line.decode())
            except UnicodeDecodeError:
                raise
            except (ValueError, RecursionError):
                first = None
            rest = b"" if isinstance(first, dict) else stream.read()
            following, further = b"\n" if not rest else b"", 0
            while following.isspace():
                following, further = stream.readline(), further + 1
            if isinstance(first, dict) and following:
                yield number, first
                yield from _each_line(following, stream, number + further, shown)
            else:
                text = "\n" * (number - 1) + (line + rest).decode()
                yield from _document(text, shown, columns)
            return


def _each_line(line: bytes, stream: IO[bytes], number: int, shown: str) -> Iterator[Row]:
    while line:
        if not line.isspace():
            try:
                row = json.loads(line.decode())
            except UnicodeDecodeError:
                raise
            except (ValueError, RecursionError) as error:
                raise _not_json(error, shown, number, b"\0" in line) from None
            if not isinstance(row, dict):
                raise HarnessError(f"{shown} line {number} is not a JSON object")
            yield number, row
        line = stream.readline()
        number += 1


def _not_json(error: Exception, shown: str, line: int, has_nul: bool) -> HarnessError:
    if has_nul:
        return nul(f"{shown} line {line}")
    why = str(error)
    if isinstance(error, json.JSONDecodeError):
        further = f"line {error.lineno}, " if error.lineno > line else ""
        why = f"{error.msg} ({further}column {error.colno})"
    return HarnessError(f"{shown} line {line} is not JSON: {why}")


def _document(text: str, shown: str, columns: bool) -> Iterator[Row]:
    """Yield the objects of a text that has one JSON value, or several with white space between them."""
    found = list(_values(text, shown))
    if len(found) == 1:
        line, value = found[0]
        listed = _rows_in(value, columns) if isinstance(value, dict) else None
        if listed is not None:
            found = [(line, row) for row in listed]
    for line, row in found:
        if not isinstance(row, dict):
            raise HarnessError(f"{shown} line {line} is not a JSON object")
        yield line, row


def _values(text: str, shown: str) -> Iterator[tuple[int, Any]]:
    """Yield the values in a text, or the items if it has one list, each with the line where it begins."""
    read = json.JSONDecoder().raw_decode
    place, line = _after_space(text, 0), 1
    line += text.count("\n", 0, place)
    listed = text.startswith("[", place)
    if listed:
        begun, place = place, _after_space(text, place + 1)
        line += text.count("\n", begun, place)
        if text.startswith("]", place):
            return
    while place < len(text):
        try:
            value, end = read(text, place)
        except (ValueError, RecursionError) as error:
            raise _not_json(error, shown, line, "\0" in text) from None
        yield line, value
        end = _after_space(text, end)
        if listed and text.startswith("]", end) and not text[end + 1 :].strip(_SPACE):
            return
        if listed and not text.startswith(",", end):
            wrong = (
                "the list of objects is never closed" if end >= len(text) else "expected ',' or ']' after it"
            )
            raise HarnessError(f"{shown} line {line} is not JSON: {wrong}")
        begun, place = place, _after_space(text, end + listed)
        line += text.count("\n", begun, place)


def _after_space(text: str, place: int) -> int:
    while place < len(text) and text[place] in _SPACE:
        place += 1
    return place


def _rows_in(value: dict[str, Any], columns: bool) -> list[Any] | None:
    """Return the rows in the only object of a file; None if it is a row itself."""
    cells = list(value.values())
    lists = [each for each in cells if isinstance(each, list) and each and isinstance(each[0], dict)]
    if len(lists) == 1:
        return lists[0]
    if not cells:
        return None
    if all(isinstance(each, dict) for each in cells) and all(
        each.keys() == cells[0].keys() for each in cells
    ):
        return [{name: value[name][key] for name in value} for key in cells[0]]
    if columns and all(isinstance(each, list) and len(each) == len(cells[0]) for each in cells):
        return [dict(zip(value, row, strict=True)) for row in zip(*cells, strict=True)]
    return None


def read_objects(path: Path, columns: Sequence[str], shown: str) -> pa.Table:
    """Return columns of a JSON file. Texts that look like dates or numbers stay texts."""
    import pyarrow as pa

    values: dict[str, list[Any]] = {name: [] for name in columns}
    found: dict[str, None] = {}
    for number, row in json_rows(path, shown, columns=True):
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
    arrays = [_column(cells, name, shown) for name, cells in values.items()]
    return pa.table(arrays, names=list(columns))


def _column(cells: list[Any], name: str, shown: str) -> pa.Array:
    import pyarrow as pa

    cells = [None if isinstance(cell, float) and math.isnan(cell) else cell for cell in cells]
    try:
        return pa.array(cells)
    except (pa.ArrowException, UnicodeError, OverflowError):  # mixed types, or half a surrogate pair
        pass
    kinds = {bool: "true or false", int: "numbers", float: "numbers", str: "strings"}
    mixed = sorted({kinds[type(cell)] for cell in cells if cell is not None})
    if len(mixed) > 1:
        note(f"{shown} has {' and '.join(mixed)} in column {name!r}; all were read as strings")
    return pa.array([None if cell is None else _as_text(cell) for cell in cells])


def _as_text(value: str | float) -> str:
    """Return a JSON value as a string, spelled as in a column of values of its type."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2.0**53:
        return str(int(value))
    return whole(str(value))
