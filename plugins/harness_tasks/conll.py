"""The user's own files of tagged words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge

from harness.api import SPLITS, Source
from harness.sources import FORMATS, UNLABELLED, read_table
from harness.sources.tagged import TAGGED_FORMATS, read_tagged
from harness_tasks.carving import Share, carve_sentences, check_parts, shares_of
from harness_tasks.own_files import OwnFiles

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class ConllFile(OwnFiles):
    """Tagged words in files of your own: CoNLL text, JSON lines (each also gzipped) or Parquet.

    CoNLL text has a word on each line with its columns, and an empty line behind each sentence; the others
    have a list of words and a list of tags in each row. Tags are BIO, IOB1 or IOBES. A split without a file
    is carved out of the training file: the same sentences every time wherever they stand in the file, and
    never one sentence in two splits.
    """

    name = "conll-file"
    task_type: ClassVar[str] = "tagging"
    headline: ClassVar[str] = "f1"

    train: Path  # relative to the current folder
    validation: Path | None = None
    test: Path | None = None
    unlabelled: Path | None = None  # raw texts, in a column `text` of JSON lines, CSV, TSV or Parquet
    tokens: int | str = (
        ""  # the words' column: a name or, of CoNLL, 1 for the first; "": "tokens", or the first
    )
    tags: int | str = ""  # the tags' column: a name or, of CoNLL, -1 for the last; "": "tags", or the last
    validation_share: Share = 0.1  # of the training sentences, where `validation` is absent
    test_share: Share = 0.1  # of the training sentences, where `test` is absent
    split_seed: Annotated[int, Ge(0)] = 0  # another seed carves other sentences

    def check(self) -> None:
        """Raise ValueError for a file of unknown format, for columns that no file has, and for shares."""
        self.check_files({**dict.fromkeys(SPLITS, TAGGED_FORMATS), UNLABELLED: FORMATS})
        for field in ("tokens", "tags"):
            if (column := getattr(self, field)) == 0:
                raise ValueError(f"{field} is column {column}; columns count from 1, or from -1 at the end")
        if self.tokens != "" and self.tokens == self.tags:
            raise ValueError(f"tokens and tags are both the column {self.tokens!r}")

    def resolve(self, source: str) -> Source:
        """The files; "auto" and "local" mean the same here, and there is nothing else."""
        return self.source_of(source, self._given(), self.tokens, self.tags)

    def read(self, source: Source) -> Mapping[str, pa.Table]:
        """The tables train, validation and test, and unlabelled where there is one."""
        self.check_unchanged(source)
        tables = {
            split: read_table(path, label=None)
            if split == UNLABELLED
            else read_tagged(path, self.tokens, self.tags)
            for split, path in self._given().items()
        }
        if carved := shares_of(self):
            parts = carve_sentences(tables["train"], carved, self.split_seed)
            check_parts(parts, self.train, "sentences")
            tables |= parts
        return tables

    def _given(self) -> dict[str, Path]:
        return self.files((*SPLITS, UNLABELLED))
