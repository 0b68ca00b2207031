"""The user's own files of raw texts to model."""

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
from harness_tasks.own_files import OwnFiles

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class TextFile(Cleaning, OwnFiles):
    """Texts without labels in files of your own, whose hidden words are to be told.

    A text stands on each line of a text file, or in a column of JSON lines, CSV or TSV (each also gzipped) or
    Parquet. A split without a file is carved out of the cleaned training texts: the same ones every time
    wherever they stand in the file, and never one text in two splits.
    """

    name = "text-file"
    task_type: ClassVar[str] = "language-modelling"
    headline: ClassVar[str] = "perplexity"

    train: Path  # relative to the current folder
    validation: Path | None = None
    test: Path | None = None
    text: str = "text"  # the column that holds the text; a text file has none
    validation_share: Share = 0.1  # of the training texts, where `validation` is absent
    test_share: Share = 0.1  # of the training texts, where `test` is absent
    split_seed: Annotated[int, Ge(0)] = 0  # another seed carves other texts

    def check(self) -> None:
        """Raise ValueError for a file of unknown format, and for what cannot be carved."""
        self.check_files(dict.fromkeys(SPLITS, (*LINES, *FORMATS)))

    def resolve(self, source: str) -> Source:
        """The files; "auto" and "local" mean the same here, and there is nothing else."""
        return self.source_of(source, self.files(), self.text, self.cleaning())

    def read(self, source: Source) -> Mapping[str, pa.Table]:
        """The tables train, validation and test."""
        self.check_unchanged(source)
        tables = {split: self._cleaned(path) for split, path in self.files().items()}
        if carved := shares_of(self):
            tables |= self._parts(tables["train"], carved)
        return {**tables, "train": self.limit(tables["train"])}

    def _cleaned(self, path: Path) -> pa.Table:
        from harness.storage import arrow

        raw = self._texts(path)
        if raw.num_rows == 0:
            raise HarnessError(f"{path} has no texts")
        table = self.clean(raw)
        if table.num_rows == 0:
            counts = ", ".join(f"{count} {what}" for what, count in arrow.cleaning(table).items() if count)
            raise HarnessError(f"cleaning left no text of {path} ({counts})")
        return table

    def _texts(self, path: Path) -> pa.Table:
        import pyarrow as pa

        if not path.name.lower().endswith(LINES):
            return read_table(path, text=self.text, label=None)
        return pa.table({"text": pa.array(lines_of(path, str(path)), pa.string())})

    def _parts(self, train: pa.Table, carved: Mapping[str, float]) -> dict[str, pa.Table]:
        """Training texts divided; what was cleaned of them all is told of the training split."""
        import pyarrow as pa

        alike = train.append_column("label", pa.array(["text"] * train.num_rows, pa.string()))
        parts = {split: part.drop(["label"]) for split, part in carve(alike, carved, self.split_seed).items()}
        check_parts(parts, self.train, "texts")
        return {
            split: part if split == "train" else part.replace_schema_metadata()
            for split, part in parts.items()
        }
