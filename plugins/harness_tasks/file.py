"""Classification of texts in your own files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from harness.api import SPLITS, OwnFile, Source
from harness.sources import FORMATS, read_table
from harness_tasks.carving import Share, carve, check_parts, shares_of
from harness_tasks.own_files import OwnFiles, TrainOn

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class File(OwnFiles):
    """Labelled texts in your own files: CSV, TSV, JSON lines (each also gzipped) or Parquet.

    A split without a file is carved out of the training file. It gets the same share of every label. The
    choice of rows does not depend on their order in the file, and no text is in two splits.
    """

    name = "file"
    train: Path  # file with the training texts; relative to the current folder
    validation: Path | None = None  # file with the validation texts; default: carved out of `train`
    test: Path | None = None  # file with the test texts; default: carved out of `train`
    text: str = "text"  # column with the text
    label: str = "label"  # column with the label
    validation_share: Share = 0.1  # share of the training rows, used if `validation` is not given
    test_share: Share = 0.1  # share of the training rows, used if `test` is not given
    split_seed: Annotated[int, Ge(0)] = 0  # seed for the choice of the carved rows
    train_on: TrainOn = "train"  # "all": also on the validation rows, and on test rows that are carved
    metric: str = ""  # that leaderboards sort by, such as "f1_macro"; "": the default of the type of task

    def check(self) -> None:
        """Raise ValueError for a file of unknown format, equal columns, or impossible shares."""
        self.check_files(dict.fromkeys(SPLITS, FORMATS))
        if self.text == self.label:
            raise ValueError(f"text and label are both {self.text!r}; expected two different columns")

    def resolve(self, source: str) -> Source:
        """Return the files as a source, which "auto" and "local" both name; others raise Unavailable."""
        return self.source_of(source, self.files(), *self._columns())

    def read(self, source: Source) -> Mapping[str, pa.Table]:
        """Return the tables train, validation and test."""
        self.check_unchanged(source)
        tables = {split: self._table(path) for split, path in self.files().items()}
        if carved := shares_of(self):
            tables |= self._divide(tables["train"], carved)
        return self.with_seen(tables)

    @classmethod
    def of_file(cls, path: Path, text: str, label: str) -> OwnFile | None:
        """Return the columns that the user named, or the usual ones; any file could have labelled texts."""
        return OwnFile({"train": str(path), "text": text or "text", "label": label or "label"})

    def whole(self, source: Source) -> pa.Table:
        """Return the rows of the training file."""
        self.check_unchanged(source)
        return self._table(self.files()["train"])

    def _columns(self) -> tuple[str, ...]:
        """Return what identifies the data in the files: the columns, and how they are read."""
        return self.text, self.label

    def _table(self, path: Path) -> pa.Table:
        return read_table(path, text=self.text, label=self.label)

    def _divide(self, table: pa.Table, shares: Mapping[str, float]) -> dict[str, pa.Table]:
        parts = carve(table, shares, self.split_seed)
        check_parts(parts, self.train)
        return parts
