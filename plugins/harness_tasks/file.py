"""The user's own files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from harness.api import SPLITS, Source
from harness.sources import FORMATS, read_table
from harness_tasks.carving import Share, carve, check_parts, shares_of
from harness_tasks.own_files import OwnFiles

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class File(OwnFiles):
    """Labelled texts in files of your own: CSV, TSV, JSON lines (each also gzipped) or Parquet.

    A split without a file is carved out of the training file: the same share of every label, the same
    rows every time wherever they stand in the file, and never one text in two splits.
    """

    name = "file"
    train: Path  # relative to the current folder
    validation: Path | None = None
    test: Path | None = None
    text: str = "text"  # the column that holds the text
    label: str = "label"  # the column that holds the label
    validation_share: Share = 0.1  # of the training file, where `validation` is absent
    test_share: Share = 0.1  # of the training file, where `test` is absent
    split_seed: Annotated[int, Ge(0)] = 0  # another seed carves other rows

    def check(self) -> None:
        """Raise ValueError for a file of unknown format, and for what cannot be carved."""
        self.check_files(dict.fromkeys(SPLITS, FORMATS))
        if self.text == self.label:
            raise ValueError(f"text and label are both the column {self.text!r}")

    def resolve(self, source: str) -> Source:
        """The files; "auto" and "local" mean the same here, and there is nothing else."""
        return self.source_of(source, self.files(), *self._columns())

    def read(self, source: Source) -> Mapping[str, pa.Table]:
        """The tables train, validation and test."""
        self.check_unchanged(source)
        tables = {split: self._table(path) for split, path in self.files().items()}
        if carved := shares_of(self):
            tables |= self._divide(tables["train"], carved)
        return tables

    def _columns(self) -> tuple[str, ...]:
        """Which columns are read, and as what."""
        return self.text, self.label

    def _table(self, path: Path) -> pa.Table:
        return read_table(path, text=self.text, label=self.label)

    def _divide(self, table: pa.Table, shares: Mapping[str, float]) -> dict[str, pa.Table]:
        parts = carve(table, shares, self.split_seed)
        check_parts(parts, self.train)
        return parts
