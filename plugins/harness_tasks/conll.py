"""The user's own files of tagged words."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge

from harness.api import SPLITS, HarnessError, Source, Task
from harness.sources import FORMATS, UNLABELLED, format_of, read_table
from harness.sources.tagged import TAGGED_FORMATS, read_tagged, tagged_format_of
from harness_tasks.file import Share, check_shares, own_source

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class ConllFile(Task):
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
        for split, path in self._files().items():
            raw = split == UNLABELLED
            if (format_of if raw else tagged_format_of)(path) is None:
                raise ValueError(
                    f"{split} is {str(path)!r}, which has no known format; "
                    f"expected a name that ends in {', '.join(FORMATS if raw else TAGGED_FORMATS)}"
                )
        paths = [path.absolute() for path in self._files().values()]
        if len(set(paths)) < len(paths):
            raise ValueError("train, validation, test and unlabelled must be different files")
        for field in ("tokens", "tags"):
            if (column := getattr(self, field)) == 0:
                raise ValueError(f"{field} is column {column}; columns count from 1, or from -1 at the end")
        if self.tokens != "" and self.tokens == self.tags:
            raise ValueError(f"tokens and tags are both the column {self.tokens!r}")
        check_shares(self._carved())

    def resolve(self, source: str) -> Source:
        """The files; "auto" and "local" mean the same here, and there is nothing else."""
        columns = (self.tokens, self.tags)
        return own_source(self, self.train, source, self._files(), columns, self._carved(), self.split_seed)

    def read(self, source: Source) -> Mapping[str, pa.Table]:
        """The tables train, validation and test, and unlabelled where there is one."""
        files = self._files()
        if self.resolve("local").fingerprint != source.fingerprint:
            raise HarnessError(f"{source.origin} has changed since this run was planned; start it again")
        tables = {
            split: read_table(path, label=None)
            if split == UNLABELLED
            else read_tagged(path, self.tokens, self.tags)
            for split, path in files.items()
        }
        if carved := self._carved():
            tables |= carve_sentences(tables["train"], carved, self.split_seed)
            for split, table in tables.items():
                if table.num_rows == 0:
                    raise HarnessError(
                        f"{self.train} has too few sentences to carve a {split} split out of it"
                    )
        return tables

    def _files(self) -> dict[str, Path]:
        given = {split: getattr(self, split) for split in (*SPLITS, UNLABELLED)}
        return {split: Path(path).expanduser() for split, path in given.items() if path is not None}

    def _carved(self) -> dict[str, float]:
        shares = {"validation": self.validation_share, "test": self.test_share}
        return {split: share for split, share in shares.items() if getattr(self, split) is None}


def carve_sentences(table: pa.Table, shares: Mapping[str, float], seed: int) -> dict[str, pa.Table]:
    """Divide a table of ``tokens`` into ``train`` and parts of the given shares, each sentence in one only.

    Sentences that differ in case alone count as one. A sentence's place depends on the seed and on its
    words, not on its row.
    """
    import pyarrow as pa

    groups: dict[str, list[int]] = {}
    for row, words in enumerate(table["tokens"].to_pylist()):
        groups.setdefault(" ".join(words).casefold(), []).append(row)

    def place(text: str) -> str:
        return hashlib.sha256(f"{seed}\0{text}".encode()).hexdigest()

    parts: dict[str, list[int]] = {"train": [], **{split: [] for split in shares}}
    for text in sorted(groups, key=place):
        short = (s for s, share in shares.items() if len(parts[s]) < round(share * table.num_rows))
        parts[next(short, "train")] += groups[text]
    return {split: table.take(pa.array(sorted(rows), pa.int64())) for split, rows in parts.items()}
