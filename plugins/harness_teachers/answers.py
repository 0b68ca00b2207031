"""Read files of texts with a model's outputs, a block of rows at a time."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from harness import HarnessError
from harness.sources.columns import need
from harness.sources.delimited import header_of, read_delimited
from harness.sources.files import kind_of
from harness.sources.objects import json_rows
from harness.sources.opening import note, numbered_lines, readable

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

_BLOCK = 8192

Row = tuple[str, Any, Any]  # the place in the file, the text, and its numbers as they are


class Block(NamedTuple):
    """Rows of a file of outputs."""

    places: list[str]  # (N), such as "answers.jsonl line 3", for errors
    texts: list[str]  # (N)
    numbers: NDArray[np.float64]  # (N, C), columns in the order of the classes


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
    """Yield the file's texts with their numbers; leave out rows without a text, and note how many.

    Raise HarnessError, which names the line, if the file does not have the expected form.
    """
    if len(files) > 1:
        yield from _matrix(source, files[0], files[1], classes)
        return
    skipped = 0
    with readable(files[0], str(source.file)):
        rows, names = _rows(source, files[0], classes)
        order = [names.index(name) for name in classes]
        while block := list(islice(rows, _BLOCK)):
            full = [(place, _text(text, place), numbers) for place, text, numbers in block if _is_text(text)]
            skipped += len(block) - len(full)
            if full:
                places, texts, numbers = map(list, zip(*full, strict=True))
                yield Block(places, texts, _numbers(source, names, places, numbers)[:, order])
    if skipped:
        note(f"{source.file} has rows without a text, which were skipped: {skipped}")


def _is_text(text: Any) -> bool:
    return text is not None and text == text  # not NaN


def _text(text: Any, place: str) -> str:
    if isinstance(text, dict | list):
        raise HarnessError(f"{place} has a list or object where a text was expected")
    return str(text)


def _rows(source: Source, path: Path, classes: Sequence[str]) -> tuple[Iterator[Row], tuple[str, ...]]:
    """Return the rows of a file, and the classes that the numbers of each row have, in their order."""
    objects = _objects(source, path, classes)
    first = next(objects, None)
    if first is None:
        raise HarnessError(f"{source.file} has no rows")
    wanted = _wanted(source, first[1], classes)
    every = chain((first,), objects)
    if source.outputs in wanted:
        return ((p, row.get(source.text), row.get(source.outputs)) for p, row in every), _listed(
            source, classes
        )
    return ((p, row.get(source.text), [row.get(name) for name in classes]) for p, row in every), tuple(
        classes
    )


def _objects(source: Source, path: Path, classes: Sequence[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the rows of a file as objects, each with its place."""
    shown, kind = str(source.file), kind_of(path)
    if kind in (".jsonl", ".json"):
        yield from ((f"{shown} line {number}", row) for number, row in json_rows(path, shown))
        return
    if kind == ".parquet":
        from pyarrow import parquet

        with parquet.ParquetFile(path) as file:
            wanted = _wanted(source, file.schema_arrow.names, classes)
            batches = file.iter_batches(batch_size=_BLOCK, columns=wanted)
            rows = (row for batch in batches for row in _checked(batch).to_pylist())
            yield from ((f"{shown} row {number}", row) for number, row in enumerate(rows, 1))
        return
    header = header_of(path, source.text, shown)
    table = read_delimited(path, _wanted(source, header, classes), shown)
    rows = (row for batch in table.to_batches(_BLOCK) for row in batch.to_pylist())
    yield from ((f"{shown} row {number}", row) for number, row in enumerate(rows, 1))


def _checked(batch: pa.RecordBatch) -> pa.RecordBatch:
    batch.validate(full=True)  # strings of a damaged file might not be UTF-8
    return batch


def _wanted(source: Source, found: Iterable[str], classes: Sequence[str]) -> list[str]:
    """Return the names of the columns to read: the texts, and either the lists or one column a class."""
    found = list(found)
    need([source.text], found, str(source.file))
    if source.outputs in found:
        return [source.text, source.outputs]
    if missing := [name for name in classes if name not in found]:
        other = [name for name in ("logits", "probabilities", "scores") if name in found]
        hint = f"; if its numbers are {other[0]}, set outputs = '{other[0]}'" if other else ""
        raise HarnessError(
            f"expected a column '{source.outputs}' in {source.file}, or one for every class: "
            f"'{missing[0]}' is missing; found: {', '.join(found)}{hint}"
        )
    return [source.text, *classes]


def _numbers(
    source: Source, names: Sequence[str], places: Sequence[str], rows: Sequence[Any]
) -> NDArray[np.float64]:
    """Return the numbers of rows, (N, C) for the names, from lists, objects, or strings of these."""
    try:
        found = np.array(rows, dtype=np.float64)
        if found.shape == (len(rows), len(names)) and np.isfinite(found).all():
            return found
    except (ValueError, TypeError, OverflowError):
        pass
    return np.array([_row(source, names, *each) for each in zip(places, rows, strict=True)])


def _row(source: Source, names: Sequence[str], place: str, given: Any) -> list[float]:
    wanted = f"expected {len(names)} numbers in '{source.outputs}', one for each class ({', '.join(names)})"
    if len(names) == 1:
        wanted = f"expected a number in '{names[0]}'"
    value = given
    if isinstance(value, str) and value.strip()[:1] in ("[", "{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise HarnessError(f"{place}: {wanted}, got {given[:60]!r}") from None
    if isinstance(value, dict):
        if missing := [name for name in names if name not in value]:
            raise HarnessError(f"{place}: {wanted}, but class '{missing[0]}' has none")
        value = [value[name] for name in names]
    if not isinstance(value, list):
        value = [value]
    if len(value) != len(names):
        got = "nothing" if value == [None] else f"{len(value)}"
        raise HarnessError(f"{place}: {wanted}, got {got}; mend or remove the row")
    return [_number(one, place, wanted) for one in value]


def _number(given: Any, place: str, wanted: str) -> float:
    """Return a number, or a string with one or with a percentage, as a float."""
    found = math.nan
    if isinstance(given, str):
        said = given.strip()
        with suppress(ValueError):
            found = float(said[:-1]) / 100 if said.endswith("%") else float(said)
    elif given is not None and not isinstance(given, dict | list):
        found = float(given)
    if not math.isfinite(found):
        shown = "nothing" if given is None else repr(given)[:60]
        raise HarnessError(f"{place}: {wanted}, got {shown}; mend or remove the row")
    return found


def _listed(source: Source, classes: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the numbers in lists and matrices, in their order."""
    names = source.classes or tuple(classes)
    if missing := [name for name in classes if name not in names]:
        raise HarnessError(
            f"cannot find the task's class '{missing[0]}' in `classes` of teacher 'precomputed': "
            f"{', '.join(names)}"
        )
    return names


def _matrix(source: Source, path: Path, sidecar: Path, classes: Sequence[str]) -> Iterator[Block]:
    """Yield the rows of a safetensors file, with the lines of the text file beside it."""
    from safetensors import SafetensorError, safe_open

    names = _listed(source, classes)
    order = [names.index(name) for name in classes]
    try:
        opened = safe_open(path, framework="numpy")
    except SafetensorError as error:
        raise HarnessError(f"cannot read {source.file}: {error}") from None
    shown = str(sidecar)
    with opened as file, readable(sidecar, shown):
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
        if shape[1] != len(names):
            whose = "in `classes`" if source.classes else "of the task"
            raise HarnessError(
                f"expected {len(names)} numbers in a row of {source.file}, one per class {whose}, "
                f"got {shape[1]}"
            )
        start = 0
        lines = numbered_lines(sidecar, shown)
        while block := list(islice(lines, _BLOCK)):
            numbers = matrix[start : min(start + len(block), shape[0])]  # (n, C)
            if len(numbers) < len(block):
                break
            found = np.asarray(numbers, dtype=np.float64)
            places = [f"{source.file} row {number}" for number, _ in block]
            if not np.isfinite(found).all():
                bad = int(np.flatnonzero(~np.isfinite(found).all(axis=1))[0])
                raise HarnessError(f"{places[bad]}: expected finite numbers, got NaN or an infinite one")
            yield Block(places, [text for _, text in block], found[:, order])
            start += len(block)
        if block or start < shape[0]:
            raise HarnessError(
                f"expected {shape[0]} lines in {sidecar.name}, one for each row of {source.file}"
            )
