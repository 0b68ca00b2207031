"""Masked language modelling on raw texts in your own files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge

from harness.api import SPLITS, HarnessError, Source
from harness.sources import FORMATS, LINES, lines_of, read_table
from harness_tasks.carving import Share, carve, check_parts, shares_of
from harness_tasks.cleaning import Cleaning
from harness_tasks.own_files import OwnFiles, TrainOn

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class TextFile(Cleaning, OwnFiles):
    """Raw texts in your own files, for masked language modelling.

    A text file has one text per line. JSON lines, CSV, TSV (each also gzipped) and Parquet have the text in a
    column. A split without a file is carved out of the cleaned training texts. The choice of texts does not
    depend on their order in the file, and no text is in two splits.
    """

    name = "text-file"
    task_type: ClassVar[str] = "language-modelling"
    headline: ClassVar[str] = "perplexity"

    train: Path  # file with the training texts; relative to the current folder
    validation: Path | None = None  # file with the validation texts; default: carved out of `train`
    test: Path | None = None  # file with the test texts; default: carved out of `train`
    text: str = "text"  # column with the text; not used for text files
    validation_share: Share = 0.1  # share of the training texts, used if `validation` is not given
    test_share: Share = 0.1  # share of the training texts, used if `test` is not given
    split_seed: Annotated[int, Ge(0)] = 0  # seed for the choice of the carved texts
    train_on: TrainOn = "train"  # "all": also on the validation rows, and on test rows that are carved

    def check(self) -> None:
        """Raise ValueError for a file of unknown format, or impossible shares."""
        self.check_files(dict.fromkeys(SPLITS, (*LINES, *FORMATS)))

    def resolve(self, source: str) -> Source:
        """Return the files as a source, which "auto" and "local" both name; others raise Unavailable."""
        return self.source_of(source, self.files(), self.text, self.cleaning())

    def read(self, source: Source) -> Mapping[str, pa.Table]:
        """Return the tables train, validation and test."""
        self.check_unchanged(source)
        tables = {split: self._cleaned(path) for split, path in self.files().items()}
        if carved := shares_of(self):
            tables |= self._parts(tables["train"], carved)
        return self.with_seen({**tables, "train": self.limit(tables["train"])})

    def _cleaned(self, path: Path) -> pa.Table:
        from harness.storage import arrow

        raw = self._texts(path)
        if raw.num_rows == 0:
            raise HarnessError(
                f"cannot read {path}: it has no texts; give a file with one text per row or line"
            )
        table = self.clean(raw)
        if table.num_rows == 0:
            counts = ", ".join(f"{count} {what}" for what, count in arrow.cleaning(table).items() if count)
            raise HarnessError(
                f"cannot use {path}: cleaning removed every text ({counts}); lower shortest, or switch off a "
                "cleaning step"
            )
        return table

    def _texts(self, path: Path) -> pa.Table:
        import pyarrow as pa

        if not path.name.lower().endswith(LINES):
            return read_table(path, text=self.text, label=None)
        return pa.table({"text": pa.array(lines_of(path, str(path)), pa.string())})

    def _parts(self, train: pa.Table, carved: Mapping[str, float]) -> dict[str, pa.Table]:
        """Divide the training texts; the counts of the cleaning stay with the training split."""
        import pyarrow as pa

        alike = train.append_column("label", pa.array(["text"] * train.num_rows, pa.string()))
        parts = {split: part.drop(["label"]) for split, part in carve(alike, carved, self.split_seed).items()}
        check_parts(parts, self.train, "texts")
        return {
            split: part if split == "train" else part.replace_schema_metadata()
            for split, part in parts.items()
        }
