"""Tasks with several labels for each text, from the user's own files."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from harness import Ge, HarnessError, Interval
from harness.api import SPLITS, OwnFile, Source
from harness.sources import FORMATS, format_of, note, read_table
from harness.sources.columns import NoColumn, need, texts_of, tidy
from harness.sources.delimited import header_of
from harness.sources.files import kind_of, read_parquet
from harness.sources.objects import json_rows
from harness.sources.opening import readable
from harness.sources.tagged import has_lists
from harness.values import whole
from harness_multilabel.task_type import MultiLabel, Rule
from harness_tasks.carving import Share, carve, check_parts, shares_of
from harness_tasks.own_files import OwnFiles, TrainOn

if TYPE_CHECKING:
    import pyarrow as pa


SEPARATORS = ("|", ";", ",")  # that are looked for in a user's file
_LOOKED_AT = 5000  # rows in which they are looked for


@dataclass(frozen=True)
class FileMultiLabel(OwnFiles):
    """Texts with several labels in your own files: CSV, TSV, JSON lines (also gzipped) or Parquet.

    The labels are in one column, as a JSON list or separated by `separator`, or in one column of 0 and 1 for
    each label. An empty cell or list means that no label applies. A split without a file is taken from the
    training file: with the same share of every label, and no text in two splits.
    """

    name = "file-multilabel"
    task_type: ClassVar[str] = MultiLabel.name

    train: Path  # relative to the current folder
    validation: Path | None = None
    test: Path | None = None
    text: str = "text"  # the column with the text
    label: str = "labels"  # the column with the labels
    columns: tuple[str, ...] = ()  # instead of `label`: the labels that have a column of 0 and 1 each
    separator: str = "|"  # between labels in one column, unless they are a JSON list
    thresholds: Rule = "per-label"  # one for each label, one for all labels, or `threshold`
    threshold: Annotated[float, Interval(gt=0, lt=1)] = 0.5  # for thresholds = "fixed"
    validation_share: Share = 0.1  # of the training file, if `validation` is not given
    test_share: Share = 0.1  # of the training file, if `test` is not given
    split_seed: Annotated[int, Ge(0)] = 0  # another seed selects other rows
    train_on: TrainOn = "train"  # "all": also on the validation rows, and on test rows that are carved
    metric: str = ""  # that leaderboards sort by, such as "f1_macro"; "": the default

    @property
    def type_options(self) -> Mapping[str, Any]:
        """Return the options of the task type: `thresholds` and `threshold`."""
        return {"thresholds": self.thresholds, "threshold": self.threshold}

    def check(self) -> None:
        """Raise ValueError for a file of unknown format, wrong shares, or columns that clash."""
        self.check_files(dict.fromkeys(SPLITS, FORMATS))
        if not self.separator:
            raise ValueError("separator must not be empty")
        if twice := sorted({name for name in self.columns if self.columns.count(name) > 1}):
            raise ValueError(f"columns must be different, got {', '.join(map(repr, twice))} more than once")
        if self.text in (self.label, *self.columns):
            raise ValueError(f"text and labels must be different columns, got {self.text!r} for both")

    def resolve(self, source: str) -> Source:
        """Return the files as a source; "auto" and "local" are the only ones, and mean the same."""
        how = self.columns or (self.label, self.separator)
        return self.source_of(source, self.files(), self.text, *how)

    def read(self, source: Source) -> Mapping[str, pa.Table]:
        """Return the tables train, validation and test."""
        self.check_unchanged(source)
        tables = {split: self._table(path) for split, path in self.files().items()}
        if carved := shares_of(self):
            tables |= carve_sets(tables["train"], carved, self.split_seed)
            check_parts(tables, self.train)
        return self.with_seen(tables)

    @classmethod
    def of_file(cls, path: Path, text: str, label: str) -> OwnFile | None:
        """Return the columns and the separator, and what shows that cells have several labels."""
        if format_of(path) is None:
            return None
        text = text or "text"
        if not path.is_file():
            return OwnFile({"train": str(path), "text": text, "label": label or "labels"})
        columns = (label,) if label else ("labels", "label")
        read: dict[str, list[Any]] = {}
        damaged: list[str] = []
        for column in columns:
            try:
                read[column] = cells_of(path, text, column)[1][:_LOOKED_AT]
            except NoColumn:
                pass
            except HarnessError:  # reported when the whole file is read
                damaged += [column] if column in _names(path, text) else []
        for column, cells in read.items():
            if (found := sets_in(cells)) is not None:
                separator, cell = found
                what = f"several labels, such as {cell[:60]!r}" if separator else f"lists, such as {cell}"
                shown = f"cells of column {column!r} have {what}"
                given = {"train": str(path), "text": text, "label": column}
                return OwnFile({**given, "separator": separator} if separator else given, shown)
        names = [*read, *damaged, columns[0]]
        # Only this task has such a column by default, so that it is to report damage.
        several = any(mark in str(cell) for cell in read.get("labels", ()) for mark in SEPARATORS)
        mine = damaged[:1] == ["labels"] or (several and "label" not in read)
        why = "it has a column 'labels'" if mine and not label else ""
        return OwnFile({"train": str(path), "text": text, "label": names[0]}, why)

    def whole(self, source: Source) -> pa.Table:
        """Return the rows of the training file."""
        self.check_unchanged(source)
        return self._table(self.files()["train"])

    def _table(self, path: Path) -> pa.Table:
        if self.columns:
            return read_columns(path, self.text, self.columns)
        return read_labels(path, self.text, self.label, self.separator)


def read_labels(path: Path, text: str, label: str, separator: str = "|", shown: str = "") -> pa.Table:
    """Return a file as a table with ``text``, strings, and ``labels``, lists of strings.

    `shown` is the name of the file in errors. Raise HarnessError if the file is damaged or lacks a column.
    """
    import pyarrow as pa

    shown = shown or str(path)
    texts, cells = cells_of(path, text, label, shown)
    if not texts:
        raise HarnessError(f"{shown} has no rows")
    other = sets_in(cells[:_LOOKED_AT])
    if other and other[0] not in ("", separator) and not any(separator in str(cell) for cell in cells):
        note(
            f"cells of column {label!r} of {shown}, such as {other[1][:60]!r}, look like several labels with "
            f"{other[0]!r} between them; if so, set separator = {other[0]!r}"
        )
    labels = [labels_in(cell, separator, f"{shown}, row {row}") for row, cell in enumerate(cells, 1)]
    if (names := {name for row in labels for name in row or ()}) and names <= {"0", "1"}:
        raise HarnessError(
            f"column {label!r} of {shown} has only 0 and 1, not names of labels; give names, or one column "
            "of 0 and 1 for each label, and list these as `columns` of the task"
        )
    return pa.table({"text": pa.array(texts, pa.string()), "labels": pa.array(labels, pa.list_(pa.string()))})


def cells_of(path: Path, text: str, label: str, shown: str = "") -> tuple[list[str], list[Any]]:
    """Return the texts of a file, and the cells of its column of labels: strings or lists."""
    from pyarrow import parquet

    shown = shown or str(path)
    kind = kind_of(path)
    with readable(path, shown):
        if kind in (".jsonl", ".json"):
            return _cells_of_objects(path, text, label, shown)
        if kind == ".parquet" and has_lists(parquet.read_schema(path), label):
            table = read_parquet(path, [text, label], shown)
            return texts_of(table[text], shown, text).to_pylist(), table[label].to_pylist()
        table = read_table(path, text=text, label=label, shown=shown)
        return table["text"].to_pylist(), table["label"].fill_null("").to_pylist()


def _cells_of_objects(path: Path, text: str, label: str, shown: str) -> tuple[list[str], list[Any]]:
    """Return what :func:`cells_of` does, of JSON lines."""
    texts: list[str] = []
    cells: list[Any] = []
    found: dict[str, None] = {}
    for number, row in json_rows(path, shown):
        found.update(dict.fromkeys(row))
        value = row.get(text)
        if isinstance(value, dict | list):
            raise HarnessError(
                f"{shown} line {number} has a list or object in column {text!r}; expected a string"
            )
        texts.append("" if value is None else whole(str(value)))
        cells.append(row.get(label))
    if found:
        need([text, label], found, shown)
    return texts, cells


def _names(path: Path, text: str) -> list[str]:
    """Return the names of the columns of a file that is damaged further on; none if it has no beginning."""
    from pyarrow import parquet

    kind = kind_of(path)
    try:
        with readable(path, str(path)):
            if kind in (".jsonl", ".json"):
                return list(next(json_rows(path, str(path)), (0, {}))[1])
            return parquet.read_schema(path).names if kind == ".parquet" else header_of(path, text, str(path))
    except HarnessError:
        return []


def sets_in(cells: Sequence[Any]) -> tuple[str, str] | None:
    """Return the separator in cells with sets of labels ("" for lists), with an example of a cell.

    None if the cells do not look like that. Names that only contain a separator do not count: divided, they
    must give fewer different names than there are different cells; for commas, which are common in names, at
    most half as many, or only names that cells have alone.
    """
    lists = [cell if isinstance(cell, list) else _list_in(str(cell or "")) for cell in cells]
    sizes = [-1 if each is None else min(2, len(each)) for each in lists]
    if sum(size >= 0 for size in sizes) * 2 > sum(bool(cell) or cell == [] for cell in cells):
        return "", str(cells[sizes.index(max(sizes))])[:60]
    every = {str(cell) for cell in cells if cell}
    for separator in SEPARATORS:
        several = sorted(cell for cell in every if separator in cell)
        parts = {part.strip() for cell in every for part in cell.split(separator)}
        few = 2 * len(parts) <= len(every) or parts <= every if separator == "," else True
        if several and few and len(parts) < len(every):
            return separator, several[0]
    return None


def labels_in(cell: Any, separator: str, where: str) -> list[str] | None:
    """Return the labels in a cell: a list, a JSON list, or separated names; None if they are unknown."""
    if cell is None:
        return None
    if isinstance(cell, str):
        plain, listed = cell.strip(), _list_in(cell)
        damaged = plain.startswith("[") and separator not in plain
        if listed is None and damaged and any(mark in plain for mark in ",'\""):
            raise HarnessError(f"{where}: expected a JSON list of labels, got {cell[:60]!r}")
        cell = cell.split(separator) if listed is None else listed
    if not isinstance(cell, list):
        cell = [cell]
    if any(isinstance(label, dict | list) for label in cell):
        raise HarnessError(f"{where}: expected a list of labels, got {str(cell)[:60]}")
    return [name for label in cell if label is not None and (name := tidy(whole(str(label))))]


def _list_in(cell: str) -> list[Any] | None:
    """Return the list that a cell has as JSON, or as Python prints it; None if it has none."""
    if not cell.lstrip().startswith("["):
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(cell.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return found if isinstance(found, list) else None
    return None


def read_columns(path: Path, text: str, columns: Sequence[str]) -> pa.Table:
    """Return a table as :func:`read_labels`, from a file with one column of 0 and 1 for each label."""
    import pyarrow as pa

    texts: list[str] = []
    labels: list[list[str]] = []
    for name in columns:
        table = read_table(path, text=text, label=name)
        if not texts:
            texts, labels = table["text"].to_pylist(), [[] for _ in range(table.num_rows)]
        for row, cell in enumerate(table["label"].to_pylist()):
            if cell not in ("0", "1", "0.0", "1.0", "false", "true", "False", "True", None):
                raise HarnessError(f"{path}, row {row + 1}: expected 0 or 1 in column {name!r}, got {cell!r}")
            if cell in ("1", "1.0", "true", "True"):
                labels[row].append(name)
    return pa.table({"text": pa.array(texts, pa.string()), "labels": pa.array(labels, pa.list_(pa.string()))})


def carve_sets(table: pa.Table, shares: Mapping[str, float], seed: int) -> dict[str, pa.Table]:
    """Divide a table into ``train`` and parts with the given shares; each text is in one part only.

    A text is counted by the rarest of its labels, so that each part has every label with enough texts.
    """
    import pyarrow as pa

    rows = table["labels"].to_pylist()
    counts: dict[str, int] = {}
    for row in rows:
        for label in row or ():
            counts[label] = counts.get(label, 0) + 1

    def rarest(row: list[str]) -> str:
        return min(row, key=lambda label: (counts[label], label), default="")

    kinds = [None if row is None else rarest(row) for row in rows]
    keyed = table.append_column("label", pa.array(kinds, pa.string()))
    return {split: part.drop_columns(["label"]) for split, part in carve(keyed, shares, seed).items()}
