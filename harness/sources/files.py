"""Read a split's file (JSON, CSV, TSV or Parquet) into the two string columns of a task's table."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from harness.api import SPLITS, HarnessError
from harness.sources.columns import labels_of, need, suggest, texts_of
from harness.sources.delimited import read_delimited
from harness.sources.objects import json_rows, read_objects
from harness.sources.opening import PACKED, numbered_lines, open_bytes, readable, trouble_with

if TYPE_CHECKING:
    import pyarrow as pa

# Of the files in a folder of splits.
SPLIT_FORMATS = (".jsonl.gz", ".jsonl", ".parquet", ".csv", ".csv.gz", ".tsv", ".tsv.gz")
FORMATS = (
    *(f"{name}{packed}" for name in (".jsonl", ".json", ".csv", ".tsv") for packed in ("", *PACKED)),
    ".parquet",
)
LINES = tuple(f".txt{packed}" for packed in ("", *PACKED))  # one text per line
UNLABELLED = "unlabelled"


def find_splits(
    folder: Path, required: Sequence[str] = SPLITS, formats: Sequence[str] = SPLIT_FORMATS
) -> dict[str, Path]:
    """Return the file of each split in a folder, and of ``unlabelled`` if there is one.

    `formats` are the allowed formats of the splits; ``unlabelled`` must have one of
    SPLIT_FORMATS. Raise HarnessError if a required split has no file, or if any split has two files, an empty
    one, or what is not a file.
    """
    present = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    files = {}
    for split in (*SPLITS, UNLABELLED):
        known = {split + suffix for suffix in (SPLIT_FORMATS if split == UNLABELLED else formats)}
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
    except Exception:  # each kind of compression has its own errors
        return False  # a damaged file is not empty; reading it reports the error


def fingerprint(files: Mapping[str, Path]) -> str:
    """Return a hash of the files' contents, which does not depend on their location."""
    total = hashlib.sha256()
    for split, path in sorted(files.items()):
        if trouble := trouble_with(path):
            raise HarnessError(f"cannot read {path}: {trouble}")
        status = path.stat()
        total.update(f"{split}\0{_digest(path.absolute(), status.st_size, status.st_mtime_ns)}\n".encode())
    return f"sha256:{total.hexdigest()}"


@lru_cache(maxsize=1024)
def _digest(path: Path, size: int, mtime_ns: int) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise HarnessError(f"cannot read {path}: {error.strerror}") from None


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
    are known. Compression and byte order marks are recognised by content. In TSV a quotation mark is a
    character, unless all rows show that it encloses cells as in CSV. What else was decided about a file is
    noted (see :func:`harness.sources.opening.note`).

    Errors call the file `shown`. Raise HarnessError for a file that is damaged, is not UTF-8, has no rows or
    lacks a column.
    """
    import pyarrow as pa

    shown = shown or str(path)
    if text == label:
        raise HarnessError(f"text and label are both '{text}'; expected two different columns")
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


Reader = Callable[[Path, Sequence[str], str], "pa.Table"]


def format_of(path: Path) -> str | None:
    """Return which of FORMATS a file's name ends with, or None."""
    return next((suffix for suffix in FORMATS if path.name.lower().endswith(suffix)), None)


def kind_of(path: Path, formats: Sequence[str] = FORMATS) -> str:
    """Return how a file is to be read: the ending of its name without compression, such as ".csv".

    A Parquet file is recognised by its content. Raise HarnessError for another ending.
    """
    name = path.name.lower()
    found = next((suffix for suffix in formats if name.endswith(suffix)), None)
    if found is None:
        raise HarnessError(f"cannot read {path}: expected a name that ends with {endings(formats)}")
    if trouble_with(path):
        return bare(found)
    with path.open("rb") as stream:
        marked = stream.read(4) == b"PAR1"
        if marked:
            stream.seek(-4, 2)
            marked = stream.read(4) == b"PAR1"
    return ".parquet" if marked else bare(found)


def bare(suffix: str) -> str:
    """Return the ending of a file's name without the ending of its compression."""
    return next((suffix.removesuffix(packed) for packed in PACKED if suffix.endswith(packed)), suffix)


def endings(formats: Sequence[str]) -> str:
    """Return formats in words, with those that may be compressed first."""
    plain = [name for name in dict.fromkeys(map(bare, formats)) if name in formats]
    packed = [name for name in plain if any(f"{name}{each}" in formats for each in PACKED)]
    marks = [each for each in PACKED if any(f"{name}{each}" in formats for name in packed)]
    alone = [name for name in plain if name not in packed]
    return f"{', '.join(packed)} (or with {', '.join(marks)}), {', '.join(alone)}".strip(", ")


def _reader(path: Path) -> Reader:
    match kind_of(path):
        case ".jsonl" | ".json":
            return read_objects
        case ".parquet":
            return read_parquet
    return read_delimited


def lines_of(path: Path, shown: str) -> Iterator[str]:
    """Yield the lines of a text file without their line ends; skip blank lines."""
    with readable(path, shown):
        for _, line in numbered_lines(path, shown):
            if line and not line.isspace():
                yield line


def read_parquet(path: Path, columns: Sequence[str], shown: str) -> pa.Table:
    """Return columns of a Parquet file, without their types changed. Call it inside :func:`readable`."""
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        need(columns, file.schema_arrow.names, shown)
        table = file.read(columns=list(columns)).select(list(columns))
    table.validate(full=True)  # strings of a damaged file might not be UTF-8
    return table


__all__ = [
    "FORMATS",
    "LINES",
    "SPLIT_FORMATS",
    "UNLABELLED",
    "bare",
    "endings",
    "find_splits",
    "fingerprint",
    "format_of",
    "json_rows",
    "kind_of",
    "labels_of",
    "lines_of",
    "need",
    "open_bytes",
    "read_parquet",
    "read_table",
    "readable",
    "suggest",
    "texts_of",
]
