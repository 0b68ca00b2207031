"""Regression on your own texts with scores, in files or in a data set on the hub."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from harness.api import HarnessError, Source
from harness.sources import read_table
from harness_tasks.carving import carve, check_parts, shares_of
from harness_tasks.file import File
from harness_tasks.hub import Hub

if TYPE_CHECKING:
    import pyarrow as pa

BINS = 5  # bins of scores, from low to high; a carved split gets the same share of each
LARGEST = 3.4028234663852886e38  # the largest number in single precision


@dataclass(frozen=True)
class FileRegression(File):
    """Texts with scores in your own files: CSV, TSV, JSON lines (each also gzipped) or Parquet.

    The column `label` has numbers; rows without a number are dropped and counted. A split without a file is
    carved out of the training file, with the same share of low and of high scores. The choice of rows does
    not depend on their order in the file, and no text is in two splits.

    Scores are not scaled. Standardise large ones, such as prices or years, before you use them.
    """

    name = "file-regression"
    task_type: ClassVar[str] = "regression"
    headline: ClassVar[str] = "pearson"

    def _columns(self) -> tuple[str, ...]:
        return *super()._columns(), "scores"

    def _table(self, path: Path) -> pa.Table:
        return read_scored(path, self.text, self.label)

    def _divide(self, table: pa.Table, shares: Mapping[str, float]) -> dict[str, pa.Table]:
        return carve_scored(table, shares, self.split_seed, str(self.train))


@dataclass(frozen=True)
class HubRegression(Hub):
    """Texts with scores in a data set on the Hugging Face hub, at one commit.

    The column `label` has numbers; rows without a number are dropped and counted. If the data set lacks a
    split, name it "": it is then carved out of the training split, with the same share of low and of high
    scores. Data sets that need their own loading code are not supported by `datasets`.

    Scores are not scaled. Large ones, such as prices or years, are learnt badly.
    """

    name = "hub-regression"
    task_type: ClassVar[str] = "regression"
    headline: ClassVar[str] = "pearson"

    def recipe(self, source: Source) -> str:
        """Return a description of the columns, the labels and the carved splits."""
        return f"{super().recipe(source)}; labels are numbers"

    def derive(self, tables: Mapping[str, pa.Table]) -> Mapping[str, pa.Table]:
        """Return the three splits, with labels as numbers."""
        theirs = self._splits()
        scored = {
            split: table.set_column(
                table.column_names.index("label"),
                "label",
                numbers(table["label"].to_pylist(), f"{self.id} ({theirs[split]})", self.label),
            )
            for split, table in tables.items()
        }
        if carved := shares_of(self):
            scored |= carve_scored(scored["train"], carved, self.split_seed, self.id)
        return scored


def read_scored(path: Path, text: str, label: str) -> pa.Table:
    """Return a file as a table of ``text``, strings, and ``label``, numbers in single precision or null.

    Raise HarnessError as :func:`harness.sources.read_table` does, and for a label that is not a number.
    """
    texts = read_table(path, text=text, label=None)
    cells = read_table(path, text=label, label=None)[
        "text"
    ]  # read as text, so that no number is rounded or rejected here
    return texts.append_column("label", numbers(cells.to_pylist(), str(path), label))


def numbers(cells: Iterable[str | None], shown: str, column: str) -> pa.Array:
    """Return the cells of a column as numbers in single precision; empty cells and NaN become null.

    Raise HarnessError for a cell that is not a finite number. The error names the row; row 1 is the first
    after the header.
    """
    import pyarrow as pa

    found: list[float | None] = []
    for row, cell in enumerate(cells, 1):
        said = (cell or "").strip()
        try:
            number = float(said) if said else math.nan
        except ValueError:
            number = math.inf
        if abs(number) > LARGEST:
            raise HarnessError(
                f"{shown} row {row} has {said[:50]!r} in column {column!r}; "
                "expected a finite number such as 3.5, or an empty cell for a missing score"
            )
        found.append(None if math.isnan(number) else number)
    return pa.array(found, pa.float32())


def carve_scored(table: pa.Table, shares: Mapping[str, float], seed: int, shown: str) -> dict[str, pa.Table]:
    """Divide a table as :func:`harness_tasks.carving.carve` does, stratified by BINS bins of scores.

    There are fewer bins if a share of one would be less than a row. Raise HarnessError if a part would be
    empty; `shown` is the name of the data in that error.
    """
    import pyarrow as pa

    scores = table["label"].to_pylist()
    known = sorted(score for score in scores if score is not None)
    bins = max(1, min(BINS, int(min(shares.values()) * len(known))))

    def bin_of(score: float) -> str:  # by the middle of its ranks, so that equal scores share a bin
        return str((bisect_left(known, score) + bisect_right(known, score)) * bins // (2 * len(known)))

    labels = [None if score is None else bin_of(score) for score in scores]
    binned = table.rename_columns(["text", "score"]).append_column("label", pa.array(labels, pa.string()))
    parts = {
        split: part.select(["text", "score"]).rename_columns(["text", "label"])
        for split, part in carve(binned, shares, seed).items()
    }
    check_parts(parts, shown, "rows with a score")
    return parts
