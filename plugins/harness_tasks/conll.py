"""Tagging of words in your own files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge

from harness.api import SPLITS, OwnFile, Source
from harness.sources import FORMATS, UNLABELLED, read_table
from harness.sources.tagged import CONLL, TAGGED_FORMATS, is_tagged, read_tagged, tagged_format_of
from harness_tasks.carving import Share, carve_sentences, check_parts, shares_of
from harness_tasks.own_files import OwnFiles, TrainOn

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class ConllFile(OwnFiles):
    """Tagged words in your own files: CoNLL text, JSON lines (each also gzipped) or Parquet.

    CoNLL text has one word per line, with its columns, and an empty line after each sentence. The other
    formats have a list of words and a list of tags in each row. Tags are BIO, IOB1 or IOBES. A split without
    a file is carved out of the training file. The choice of sentences does not depend on their order in the
    file, and no sentence is in two splits.
    """

    name = "conll-file"
    task_type: ClassVar[str] = "tagging"
    headline: ClassVar[str] = "f1"

    train: Path  # file with the training sentences; relative to the current folder
    validation: Path | None = None  # file with the validation sentences; default: carved out of `train`
    test: Path | None = None  # file with the test sentences; default: carved out of `train`
    unlabelled: Path | None = None  # raw texts, in the column `text` of JSON lines, CSV, TSV or Parquet
    tokens: int | str = (
        ""  # column with the words: a name, or for CoNLL a number, 1 the first; "": "tokens", or the first
    )
    tags: int | str = ""  # the same for the tags; for CoNLL -1 is the last column; "": "tags", or the last
    validation_share: Share = 0.1  # share of the training sentences, used if `validation` is not given
    test_share: Share = 0.1  # share of the training sentences, used if `test` is not given
    split_seed: Annotated[int, Ge(0)] = 0  # seed for the choice of the carved sentences
    train_on: TrainOn = "train"  # "all": also on the validation rows, and on test rows that are carved

    def check(self) -> None:
        """Raise ValueError for a file of unknown format, an impossible column, or impossible shares."""
        self.check_files({**dict.fromkeys(SPLITS, TAGGED_FORMATS), UNLABELLED: FORMATS})
        for field in ("tokens", "tags"):
            if (column := getattr(self, field)) == 0:
                raise ValueError(
                    f"expected {field} to be a column's name or number, got {column}; columns are counted "
                    "from 1, or backwards from -1, the last"
                )
        if self.tokens != "" and self.tokens == self.tags:
            raise ValueError(f"tokens and tags are both {self.tokens!r}; expected two different columns")

    def resolve(self, source: str) -> Source:
        """Return the files as a source, which "auto" and "local" both name; others raise Unavailable."""
        return self.source_of(source, self._given(), self.tokens, self.tags)

    def read(self, source: Source) -> Mapping[str, pa.Table]:
        """Return the tables train, validation and test, and unlabelled if there is such a file."""
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
        return self.with_seen(tables)

    @classmethod
    def of_file(cls, path: Path, text: str, label: str) -> OwnFile | None:
        """Return the columns, by number if they look so; only for a file of tagged words."""
        if (kind := tagged_format_of(path)) is None:
            return None
        given = {"train": str(path), "tokens": _column(text), "tags": _column(label)}
        if not is_tagged(path, text):
            return OwnFile(given)
        lists = "it has lists of words"
        return OwnFile(given, f"its name ends in {kind}" if kind in CONLL else lists)

    def whole(self, source: Source) -> pa.Table:
        """Return the sentences of the training file."""
        self.check_unchanged(source)
        return read_tagged(self.files()["train"], self.tokens, self.tags)

    def _given(self) -> dict[str, Path]:
        return self.files((*SPLITS, UNLABELLED))


def _column(given: str) -> int | str:
    """Return a column as the number that it looks like, or else as a name."""
    return int(given) if re.fullmatch(r"-?\d+", given) else given
