"""The user's own files."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Gt, Lt

from harness.api import SPLITS, HarnessError, Source, Task, Unavailable
from harness.sources import FORMATS, SOURCES, fingerprint, format_of, read_table, suggest

if TYPE_CHECKING:
    import pyarrow as pa

Share = Annotated[float, Gt(0), Lt(1)]


@dataclass(frozen=True)
class File(Task):
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
        for split, path in self._files().items():
            if format_of(path) is None:
                raise ValueError(
                    f"{split} is {str(path)!r}, which has no known format; "
                    f"expected a name that ends in {', '.join(FORMATS)}"
                )
        paths = [path.absolute() for path in self._files().values()]
        if len(set(paths)) < len(paths):
            raise ValueError("train, validation and test must be different files")
        if self.text == self.label:
            raise ValueError(f"text and label are both the column {self.text!r}")
        check_shares(self._carved())

    def resolve(self, source: str) -> Source:
        """The files; "auto" and "local" mean the same here, and there is nothing else."""
        files, carved = self._files(), self._carved()
        return own_source(self, self.train, source, files, self._columns(), carved, self.split_seed)

    def read(self, source: Source) -> Mapping[str, pa.Table]:
        """The tables train, validation and test."""
        if self.resolve("local").fingerprint != source.fingerprint:
            raise HarnessError(f"{source.origin} has changed since this run was planned; start it again")
        tables = {split: self._table(path) for split, path in self._files().items()}
        if carved := self._carved():
            tables |= self._divide(tables["train"], carved)
        return tables

    def _columns(self) -> tuple[str, ...]:
        """Which columns are read, and as what."""
        return self.text, self.label

    def _table(self, path: Path) -> pa.Table:
        return read_table(path, text=self.text, label=self.label)

    def _divide(self, table: pa.Table, shares: Mapping[str, float]) -> dict[str, pa.Table]:
        parts = carve(table, shares, self.split_seed)
        for split, part in parts.items():
            if part.num_rows == 0:
                raise HarnessError(f"{self.train} has too few rows to carve a {split} split out of it")
        return parts

    def _files(self) -> dict[str, Path]:
        given = {split: getattr(self, split) for split in SPLITS}
        return {split: Path(path).expanduser() for split, path in given.items() if path is not None}

    def _carved(self) -> dict[str, float]:
        shares = {"validation": self.validation_share, "test": self.test_share}
        return {split: share for split, share in shares.items() if getattr(self, split) is None}


def check_shares(carved: Mapping[str, float]) -> None:
    """Raise ValueError where what is carved out of a training file leaves nothing of it."""
    if sum(carved.values()) >= 1:
        raise ValueError("validation_share and test_share leave nothing to train on; expected a sum below 1")


def own_source(
    task: Task,
    train: Path,
    source: str,
    files: Mapping[str, Path],
    columns: Sequence[object],
    carved: Mapping[str, float],
    split_seed: int,
) -> Source:
    """The source of a task over one's own files: "auto" and "local" mean the same, and there is no other."""
    if source not in ("auto", *SOURCES):
        raise HarnessError(f"unknown source {source!r}{suggest(source, ('auto', *SOURCES))}")
    if source not in ("auto", "local"):
        raise Unavailable(f"task '{task.name}' has no {source} source: its data is the file {train}")
    for split, path in files.items():
        if not path.is_file():
            raise HarnessError(f"the {split} file {str(path)!r} does not exist (looked in {Path.cwd()})")
    # The same file under other columns or another split is other data: never in one table with it.
    what: list[object] = [fingerprint(files), *columns]
    if carved:
        what += [split_seed, sorted(carved.items())]
    digest = hashlib.sha256(repr(what).encode()).hexdigest()
    return Source("local", f"sha256:{digest}", ", ".join(map(str, files.values())))


def carve(table: pa.Table, shares: Mapping[str, float], seed: int) -> dict[str, pa.Table]:
    """Divide a table into ``train`` and parts of the given shares, by label, each text in one part only.

    Texts that differ in case or spacing alone count as one. A text's place depends on the seed and on the
    text, not on its row. Rows without a label stay in ``train``.
    """
    import pyarrow as pa

    groups: dict[str, list[int]] = {}
    for row, text in enumerate(table["text"].to_pylist()):
        groups.setdefault(" ".join(text.split()).casefold(), []).append(row)
    labels = table["label"].to_pylist()

    def place(text: str) -> str:
        return hashlib.sha256(f"{seed}\0{text}".encode()).hexdigest()

    sizes = Counter(labels)
    parts: dict[str, list[int]] = {"train": [], **{split: [] for split in shares}}
    filled: Counter[tuple[str, str]] = Counter()
    for text in sorted(groups, key=place):
        rows = groups[text]
        label = labels[rows[0]]
        home = "train"
        if label is not None:
            home = next(
                (s for s, share in shares.items() if filled[s, label] < round(share * sizes[label])), home
            )
        parts[home] += rows
        filled[home, label] += len(rows)
    return {split: table.take(pa.array(sorted(rows), pa.int64())) for split, rows in parts.items()}
