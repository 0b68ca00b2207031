"""Reading files of texts with a model's outputs, a block of rows at a time."""

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
    """A file of outputs, as the suite names it, and where its texts and numbers stand."""

    file: Path
    text: str  # the column of texts
    outputs: str  # the column of lists, or the tensor
    classes: tuple[str, ...]  # of lists and matrices, in their order; none given: the task's


def keys_of(texts: Sequence[str]) -> NDArray[np.uint64]:
    """8 bytes for each text, the same for texts that differ in white space alone; (N,)."""
    joined = b"".join(blake2b(" ".join(text.split()).encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(joined, dtype=np.uint64)


def blocks(source: Source, files: Sequence[Path], classes: Sequence[str]) -> Iterator[Block]:
    """The file's texts with their numbers, columns in the order of the classes."""
    if len(files) > 1:
        yield from _matrix(source, files[0], files[1], classes)
        return
    for batch in _batches(source, files[0], classes):
        texts = batch.column(source.text).to_pylist()
        if not all(isinstance(text, str) for text in texts):
            raise HarnessError(f"the column '{source.text}' of {source.file} must hold texts in every row")
        if source.outputs in batch.schema.names:
            listed = batch.column(source.outputs)
            lengths = pc.list_value_length(listed).to_pylist()
            order = _order(source, lengths[0] if lengths else len(classes), classes)
            if any(length != lengths[0] for length in lengths):
                raise HarnessError(f"the lists '{source.outputs}' of {source.file} must all be of one length")
            numbers = _floats(listed.flatten()).reshape(len(texts), -1)[:, order]
        else:
            numbers = np.stack([_floats(batch.column(name)) for name in classes], axis=1)
        yield texts, numbers


def _batches(source: Source, path: Path, classes: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The columns that are needed: the texts, and the lists or one for each class."""
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
                raise HarnessError(f"every line of {source.file} must be a JSON object")
            wanted = _wanted(source, list(block[0]), classes)
            columns = [pa.array([row.get(name) for row in block]) for name in wanted]
            yield pa.record_batch(columns, names=wanted)


def _wanted(source: Source, found: Sequence[str], classes: Sequence[str]) -> list[str]:
    numbers = [source.outputs] if source.outputs in found else list(classes)
    if source.text not in found:
        raise HarnessError(f"{source.file} has no column '{source.text}'; found: {', '.join(found)}")
    if missing := [name for name in numbers if name not in found]:
        raise HarnessError(
            f"{source.file} has neither a column '{source.outputs}' nor one for every class: "
            f"'{missing[0]}' is missing; found: {', '.join(found)}"
        )
    return [source.text, *numbers]


def _matrix(source: Source, path: Path, sidecar: Path, classes: Sequence[str]) -> Iterator[Block]:
    """Rows of a safetensors file, with the lines of the file beside it."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file, sidecar.open(encoding="utf-8", newline="\n") as lines:
        if source.outputs not in file.keys():  # noqa: SIM118 - it is no mapping
            raise HarnessError(
                f"{source.file} has no tensor '{source.outputs}'; found: {', '.join(file.keys())}"
            )
        matrix = file.get_slice(source.outputs)
        shape = matrix.get_shape()
        if len(shape) != 2:
            raise HarnessError(f"'{source.outputs}' of {source.file} must be (texts, classes), got {shape}")
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
                f"{source.file} has {shape[0]} rows, but {sidecar.name} another number of lines"
            )


def _order(source: Source, width: int | None, classes: Sequence[str]) -> list[int]:
    """Where each of the task's classes stands in a row of the file."""
    names = source.classes or tuple(classes)
    if width != len(names):
        whose = "`classes` names" if source.classes else "the task has"
        raise HarnessError(f"a row of {source.file} has {width} numbers, but {whose} {len(names)} classes")
    if missing := [name for name in classes if name not in names]:
        raise HarnessError(
            f"`classes` of teacher 'precomputed' lacks the task's '{missing[0]}'; it has: {', '.join(names)}"
        )
    return [names.index(name) for name in classes]


def _floats(column: pa.Array) -> NDArray[np.float64]:
    """Numbers as float64; nulls become NaN."""
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
