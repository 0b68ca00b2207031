"""Write Arrow files in chunks and read them memory-mapped, so that large tables need little memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import pyarrow as pa

from harness.task_types.base import Examples, TaskType

_CHUNK = 8192
_CLEANING = b"cleaning"  # a key in the metadata of a table's schema


class Texts(Sequence[str]):
    """A memory-mapped column of strings."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self.column = column

    def __len__(self) -> int:
        return len(self.column)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step == 1:
                return self.column.slice(start, max(0, stop - start)).to_pylist()  # type: ignore[no-any-return]
            return [self[i] for i in range(start, stop, step)]
        return self.column[index].as_py()  # type: ignore[no-any-return]

    def part(self, start: int, stop: int) -> Texts:
        """Return the texts from `start` to `stop`, which are read only when they are used."""
        return Texts(self.column.slice(start, max(0, stop - start)))

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _CHUNK):
            yield from self[start : start + _CHUNK]


def write(path: Path, schema: pa.Schema, rows: Iterable[dict[str, Any]]) -> int:
    """Write rows as one Arrow IPC file, in chunks; return the number of rows."""
    count = 0
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        chunk: list[dict[str, Any]] = []
        for row in rows:
            chunk.append(row)
            if len(chunk) == _CHUNK:
                writer.write_batch(pa.RecordBatch.from_pylist(chunk, schema=schema))
                count += len(chunk)
                chunk = []
        if chunk:
            writer.write_batch(pa.RecordBatch.from_pylist(chunk, schema=schema))
            count += len(chunk)
    return count


def write_table(path: Path, table: pa.Table) -> None:
    """Write a whole table as one Arrow IPC file."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=_CHUNK)


def read(path: Path) -> pa.Table:
    """Return the table of an Arrow IPC file, memory-mapped."""
    # From a buffer, because reading from the mapping itself would use Arrow's thread pool.
    return pa.ipc.open_file(pa.BufferReader(pa.memory_map(str(path)).read_buffer())).read_all()


def examples(table: pa.Table, classes: Iterable[str], task_type: TaskType) -> Examples:
    """Return the examples of a table with the column ``text`` and, if the type has labels, ``label``."""
    names = tuple(classes)
    labels = task_type.labels(table["label"], names) if "label" in table.column_names else None
    return Examples(Texts(table["text"]), names, labels, task_type=task_type)


def cleaned(table: pa.Table, counts: Mapping[str, int]) -> pa.Table:
    """Return the table with metadata: how many texts each cleaning step changed or dropped."""
    return table.replace_schema_metadata(
        {**(table.schema.metadata or {}), _CLEANING: json.dumps(dict(counts))}
    )


def cleaning(table: pa.Table) -> dict[str, int]:
    """Return the counts that :func:`cleaned` added to a table, or an empty dict."""
    return json.loads((table.schema.metadata or {}).get(_CLEANING, b"{}"))  # type: ignore[no-any-return]
