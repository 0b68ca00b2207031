"""The user's own texts with scores to predict: in files, or of any data set of the hub."""

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

BINS = 5  # of scores, from low to high: what is carved has as large a share of each
LARGEST = 3.4028234663852886e38  # that single precision can hold


@dataclass(frozen=True)
class FileRegression(File):
    """Texts with scores to predict in files of your own: CSV, TSV, JSON lines (each also gzipped) or Parquet.

    The column `label` holds numbers; a row without one is dropped, and counted. A split without a file is
    carved out of the training file: the same share of low and of high scores, the same rows every time
    wherever they stand in the file, and never one text in two splits.

    Models learn the numbers as they are: large ones, such as prices or years, want to be standardised first.
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
    """Texts with scores to predict, of any data set on the Hugging Face hub, at one commit.

    The column `label` holds numbers; a row without one is dropped, and counted. A split that the data set
    lacks is named "" and carved out of its training split: the same share of low and of high scores. Data
    sets that need code of their own to be read are refused by `datasets`.

    Models learn the numbers as they are: large ones, such as prices or years, are learned badly.
    """

    name = "hub-regression"
    task_type: ClassVar[str] = "regression"
    headline: ClassVar[str] = "pearson"

    def recipe(self, source: Source) -> str:
        """Say which columns are read, that labels are numbers, and what is carved."""
        return f"{super().recipe(source)}; labels are numbers"

    def derive(self, tables: Mapping[str, pa.Table]) -> Mapping[str, pa.Table]:
        """The three splits; labels are numbers."""
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
    """A file as a table of ``text``, strings, and ``label``, numbers in single precision or null.

    Raises HarnessError as :func:`harness.sources.read_table` does, and for what is no number.
    """
    texts = read_table(path, text=text, label=None)
    cells = read_table(path, text=label, label=None)["text"]  # as they stand: no number is rounded or refused
    return texts.append_column("label", numbers(cells.to_pylist(), str(path), label))


def numbers(cells: Iterable[str | None], shown: str, column: str) -> pa.Array:
    """What a column says, as numbers in single precision; null where it is empty or NaN.

    Raises HarnessError for what is no finite number, with its row: 1 is the first behind the header.
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
                "expected a number such as 3.5, or nothing where there is no score"
            )
        found.append(None if math.isnan(number) else number)
    return pa.array(found, pa.float32())


def carve_scored(table: pa.Table, shares: Mapping[str, float], seed: int, shown: str) -> dict[str, pa.Table]:
    """Divide a table as :func:`harness_tasks.carving.carve` does, with BINS of scores for classes.

    There are fewer bins where a share of one would be less than a row. Raises HarnessError where a part
    would be empty; `shown` is what it calls the data.
    """
    import pyarrow as pa

    scores = table["label"].to_pylist()
    known = sorted(score for score in scores if score is not None)
    bins = max(1, min(BINS, int(min(shares.values()) * len(known))))

    def bin_of(score: float) -> str:  # by the middle of its ranks, so that equal scores stay together
        return str((bisect_left(known, score) + bisect_right(known, score)) * bins // (2 * len(known)))

    labels = [None if score is None else bin_of(score) for score in scores]
    binned = table.rename_columns(["text", "score"]).append_column("label", pa.array(labels, pa.string()))
    parts = {
        split: part.select(["text", "score"]).rename_columns(["text", "label"])
        for split, part in carve(binned, shares, seed).items()
    }
    check_parts(parts, shown, "rows with a score")
    return parts
