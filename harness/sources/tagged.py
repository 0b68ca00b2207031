"""Read tagged words (CoNLL text, JSON lines, Parquet, hub) into the columns ``tokens`` and ``tags``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from harness.api import HarnessError, Unavailable
from harness.sources import DatasetTask
from harness.sources.files import (
    UNLABELLED,
    find_splits,
    json_rows,
    need,
    open_bytes,
    read_table,
    readable,
)
from harness.sources.hub import hub_tables
from harness.task_types.tagging import Tagging
from harness.values import whole

if TYPE_CHECKING:
    import pyarrow as pa

# One word per line, with its columns; an empty line ends a sentence.
CONLL = tuple(f"{name}{packed}" for name in (".conll", ".bio", ".iob", ".txt") for packed in ("", ".gz"))
TAGGED_FORMATS = (".jsonl.gz", ".jsonl", ".parquet", *CONLL)

_TAG = re.compile(r"O|[BIESLU]-\S+")

Column = int | str  # a name, or a number: 1 is the first, -1 the last


@dataclass(frozen=True)
class TaggedTask(DatasetTask):
    """A task with a tag for each word, e.g. for names; scored by F1 over whole entities.

    Tables have the columns ``tokens`` and ``tags``, lists of strings; tags are BIO, IOB1 or IOBES. Local
    files have one of TAGGED_FORMATS. A file ``unlabelled`` contains raw texts and has one of FORMATS.
    """

    task_type: ClassVar[str] = Tagging.name
    headline: ClassVar[str] = "f1"
    tokens_column: ClassVar[Column] = ""  # "": the default of `read_tagged`
    tags_column: ClassVar[Column] = ""

    def local_files(self) -> dict[str, Path]:
        """Return the local files to read, by split."""
        return find_splits(self.local_folder(), formats=TAGGED_FORMATS)

    def read_file(self, split: str, path: Path, shown: str) -> pa.Table:
        """Return the table of one split's local file, which errors call `shown`."""
        if split == UNLABELLED:
            return read_table(path, label=None, shown=shown)
        return read_tagged(path, self.tokens_column, self.tags_column, shown)

    def _read_hub(self) -> Mapping[str, pa.Table]:
        if self.hub is None:
            raise Unavailable(f"task {self.name!r} has no data set on the hub")
        features, splits = hub_tables(self.hub)
        feature: Any = features.get(self.hub.label)
        while isinstance(feature, dict) and "names" not in feature and "feature" in feature:
            feature = feature["feature"]  # for a list: the feature of its items
        if isinstance(feature, list):  # older releases of `datasets` describe lists in this way
            feature = feature[0]
        names = feature.get("names") if isinstance(feature, dict) else None
        tables = {}
        for split, table in splits.items():
            words = table[self.hub.text].to_pylist()
            tags = table[self.hub.label].to_pylist()
            if names:
                tags = [[names[tag] for tag in row] for row in tags]
            rows = ((f"row {n}", *row) for n, row in enumerate(zip(words, tags, strict=True), 1))
            tables[split] = _table(rows, f"{self.hub.id} ({self.hub.splits[split]})")
        return tables


def is_tagged(path: Path, column: str = "") -> bool:
    """Return whether a file has tagged words: CoNLL text, or lists of words in `column` (or ``tokens``)."""
    suffix = (tagged_format_of(path) or "").removesuffix(".gz")
    if not path.is_file():
        return suffix in CONLL and suffix != ".txt"
    if suffix in CONLL:
        return True
    try:
        if suffix == ".jsonl":
            first = next(islice((row for _, row in json_rows(path, str(path))), 1), {})
            return isinstance(first.get(column or "tokens"), list)
        if suffix == ".parquet":
            import pyarrow as pa
            from pyarrow import parquet

            schema = parquet.read_schema(path)
            place = schema.get_field_index(column or "tokens")
            return place >= 0 and bool(pa.types.is_list(schema.field(place).type))
    except (HarnessError, ValueError, OSError):
        pass  # the error is reported when the whole file is read
    return False


def tagged_format_of(path: Path) -> str | None:
    """Return which of TAGGED_FORMATS a file's name ends with, or None."""
    return next((suffix for suffix in TAGGED_FORMATS if path.name.lower().endswith(suffix)), None)


def read_tagged(path: Path, tokens: Column = "", tags: Column = "", shown: str = "") -> pa.Table:
    """Return a file as a table with the columns ``tokens`` and ``tags``, lists of strings.

    In CoNLL text, columns are given by number, or by name if the file has a line such as
    ``# global.columns = ID FORM ...``. By default, words are the first column and tags the last. Tabs
    separate the columns of a line that has tabs; in other lines, spaces do. Comments (``# ...``) before a
    sentence and ``-DOCSTART-`` lines are skipped. In other formats, columns are given by name, by default
    ``tokens`` and ``tags``. Raise HarnessError for a file that is damaged, has no sentences or lacks a
    column, and for a sentence that does not have one tag for each word.
    """
    shown = shown or str(path)
    suffix = (tagged_format_of(path) or "").removesuffix(".gz")
    if not suffix:
        raise HarnessError(f"cannot read {path}: expected a name that ends with {', '.join(TAGGED_FORMATS)}")
    with readable(path, shown):
        if suffix in CONLL:
            return _table(_conll(path, tokens or 1, tags or -1, shown), shown)
        names = [str(tokens or "tokens"), str(tags or "tags")]
        if suffix == ".jsonl":
            return _table(_objects(path, names, shown), shown)
        return _table(_parquet(path, names, shown), shown)


Sentences = Iterator[tuple[str, Any, Any]]  # (place in the file, words, tags) of each sentence


def _conll(path: Path, tokens: Column, tags: Column, shown: str) -> Sentences:
    places: tuple[int, int] | None = None
    names: list[str] = []
    words: list[str] = []
    marks: list[str] = []
    start = width = 0
    with open_bytes(path) as stream:
        for number, raw in enumerate(stream, 1):
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            if not line.strip() or line.startswith("-DOCSTART-"):
                if words:
                    yield f"line {start}", words, marks
                words, marks = [], []
                continue
            fields = line.split("\t") if "\t" in line else line.split()
            if not words and _is_comment(line, fields, width):
                title, _, listed = line[1:].partition("=")
                if title.strip() == "global.columns":
                    names = listed.split()
                continue
            width = len(fields)
            if places is None:
                places = _place(tokens, fields, names, shown), _place(tags, fields, names, shown)
            if max(places) >= len(fields):
                wanted = max(places) + 1
                raise HarnessError(
                    f"{shown} line {number} has {len(fields)} columns; expected at least {wanted}"
                )
            start = start if words else number
            words.append(fields[places[0]])
            marks.append(fields[places[1]].strip())
    if words:
        yield f"line {start}", words, marks


def _is_comment(line: str, fields: Sequence[str], width: int) -> bool:
    """Return whether a line before a sentence is a comment, and not a hashtag or the word "#" with a tag."""
    if not line.startswith("#"):
        return False
    if "\t" in line:
        return line.startswith("# ")
    if not line.startswith("# "):
        return len(fields) == 1
    return not (_TAG.fullmatch(fields[-1]) and len(fields) in (2, width))


def _place(column: Column, fields: Sequence[str], names: Sequence[str], shown: str) -> int:
    """Return the index of a column in a line's fields, from 0."""
    if isinstance(column, str):
        if not names:
            raise HarnessError(
                f"{shown} does not name its columns in a line '# global.columns = ...'; "
                f"give the number of column {column!r}, from 1 to {len(fields)}"
            )
        need([column], names, shown)
        return list(names).index(column)
    place = column - 1 if column > 0 else len(fields) + column
    if not 0 <= place < len(fields):
        raise HarnessError(f"{shown} has no column {column}; expected 1 to {len(fields)}")
    return place


def _objects(path: Path, names: Sequence[str], shown: str) -> Sentences:
    for number, row in json_rows(path, shown):
        need(names, row, f"{shown} line {number}")
        yield f"line {number}", row[names[0]], row[names[1]]


def _parquet(path: Path, names: Sequence[str], shown: str) -> Sentences:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        need(names, file.schema_arrow.names, shown)
        table = file.read(columns=list(names))
    rows = zip(table[names[0]].to_pylist(), table[names[1]].to_pylist(), strict=True)
    for number, (words, tags) in enumerate(rows, 1):
        yield f"row {number}", words, tags


def _table(sentences: Sentences, shown: str) -> pa.Table:
    import pyarrow as pa

    rows: tuple[list[list[str]], list[list[str]]] = [], []
    for place, *columns in sentences:
        for name, kept, given in zip(("words", "tags"), rows, columns, strict=True):
            if not isinstance(given, list) or not all(isinstance(item, str) for item in given):
                raise HarnessError(f"{shown} {place} needs a list of strings for its {name}")
            kept.append(list(map(whole, given)))
        if len(rows[0][-1]) != len(rows[1][-1]):
            raise HarnessError(
                f"{shown} {place} has {len(rows[0][-1])} words and {len(rows[1][-1])} tags; "
                "expected a tag for each word"
            )
    if not rows[0]:
        raise HarnessError(f"{shown} has no sentences")
    kind = pa.list_(pa.string())
    return pa.table({"tokens": pa.array(rows[0], kind), "tags": pa.array(rows[1], kind)})


__all__ = [
    "CONLL",
    "TAGGED_FORMATS",
    "Column",
    "TaggedTask",
    "read_tagged",
    "tagged_format_of",
]
