"""Read files of texts with a model's outputs, a block of rows at a time."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harness import HarnessError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BLOCK = 8192

Block = tuple[list[str], "NDArray[np.float64]"]  # texts (N), numbers (N, C)


@dataclass(frozen=True)
class Source:
    """A file of outputs, and the names of what it contains."""

    file: Path  # as the suite names it
    text: str  # the column of texts
    outputs: str  # the column of lists, or the tensor
    classes: tuple[str, ...]  # of lists and matrices, in their order; empty: the task's classes


def keys_of(texts: Sequence[str]) -> NDArray[np.uint64]:
    """Return 8 bytes for each text, (N,), which are equal for texts that differ only in white space."""
    joined = b"".join(blake2b(" ".join(text.split()).encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(joined, dtype=np.uint64)


def blocks(source: Source, files: Sequence[Path], classes: Sequence[str]) -> Iterator[Block]:
    """Yield the file's texts with their numbers, columns in the order of the classes.

    Raise HarnessError if the file does not have the expected form.
    """
    if len(files) > 1:
        yield from _matrix(source, files[0], files[1], classes)
        return
    for batch in _batches(source, files[0], classes):
        texts = batch.column(source.text).to_pylist()
        if not all(isinstance(text, str) for text in texts):
            raise HarnessError(f"expected a text in every row of column '{source.text}' of {source.file}")
        if source.outputs in batch.schema.names:
            listed = batch.column(source.outputs)
            lengths = pc.list_value_length(listed).to_pylist()
            order = _order(source, lengths[0] if lengths else len(classes), classes)
            if any(length != lengths[0] for length in lengths):
                raise HarnessError(f"expected lists of one length in '{source.outputs}' of {source.file}")
            numbers = _floats(listed.flatten()).reshape(len(texts), -1)[:, order]
        else:
            numbers = np.stack([_floats(batch.column(name)) for name in classes], axis=1)
        yield texts, numbers


def _batches(source: Source, path: Path, classes: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield the columns that are needed: the texts, and either the lists or one column for each class."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            wanted = _wanted(source, file.schema_arrow.names, classes)
            yield from file.iter_batches(batch_size=_BLOCK, columns=wanted)
        return
    with (
        gzip.open(path, "rt", encoding="utf-8")
        if path.suffix == ".gz"
        else path.open(encoding="utf-8") as lines
    ):
        rows = (json.loads(line) for line in lines if line.strip())
        while block := list(islice(rows, _BLOCK)):
            if not all(isinstance(row, dict) for row in block):
                raise HarnessError(f"expected a JSON object in every line of {source.file}")
            wanted = _wanted(source, list(block[0]), classes)
            columns = [pa.array([row.get(name) for row in block]) for name in wanted]
            yield pa.record_batch(columns, names=wanted)


def _wanted(source: Source, found: Sequence[str], classes: Sequence[str]) -> list[str]:
    numbers = [source.outputs] if source.outputs in found else list(classes)
    if source.text not in found:
        raise HarnessError(f"cannot find column '{source.text}' in {source.file}; found: {', '.join(found)}")
    if missing := [name for name in numbers if name not in found]:
        raise HarnessError(
            f"expected a column '{source.outputs}' in {source.file}, or one for every class: "
            f"'{missing[0]}' is missing; found: {', '.join(found)}"
        )
    return [source.text, *numbers]


def _matrix(source: Source, path: Path, sidecar: Path, classes: Sequence[str]) -> Iterator[Block]:
    """Yield the rows of a safetensors file, with the lines of the text file beside it."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file, sidecar.open(encoding="utf-8", newline="\n") as lines:
        if source.outputs not in file.keys():  # noqa: SIM118 - not a mapping
            raise HarnessError(
                f"cannot find tensor '{source.outputs}' in {source.file}; found: {', '.join(file.keys())}"
            )
        matrix = file.get_slice(source.outputs)
        shape = matrix.get_shape()
        if len(shape) != 2:
            raise HarnessError(
                f"expected '{source.outputs}' of {source.file} as (texts, classes), got {shape}"
            )
        order = _order(source, shape[1], classes)
        start = 0
        while texts := list(islice(lines, _BLOCK)):
            numbers = matrix[start : min(start + len(texts), shape[0])]  # (n, C)
            if len(numbers) < len(texts):
                break
            yield texts, np.asarray(numbers, dtype=np.float64)[:, order]
            start += len(texts)
        if texts or start < shape[0]:
            raise HarnessError(
                f"expected {shape[0]} lines in {sidecar.name}, one for each row of {source.file}"
            )


def _order(source: Source, width: int | None, classes: Sequence[str]) -> list[int]:
    """Return the position of each of the task's classes in a row of the file."""
    names = source.classes or tuple(classes)
    if width != len(names):
        whose = "in `classes`" if source.classes else "of the task"
        raise HarnessError(
            f"expected {len(names)} numbers in a row of {source.file}, one per class {whose}, got {width}"
        )
    if missing := [name for name in classes if name not in names]:
        raise HarnessError(
            f"cannot find the task's class '{missing[0]}' in `classes` of teacher 'precomputed': "
            f"{', '.join(names)}"
        )
    return [names.index(name) for name in classes]


def _floats(column: pa.Array) -> NDArray[np.float64]:
    """Return numbers as float64; nulls become NaN."""
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
