"""Base class of the tasks that read your own files: the files, and splits carved out of the training file."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.api import SPLITS, HarnessError, Source, Task, Unavailable
from harness.sources import SOURCES, endings, fingerprint, suggest
from harness.sources.opening import trouble_with
from harness_tasks.carving import Share, check_shares, shares_of

if TYPE_CHECKING:
    import pyarrow as pa

TrainOn = Literal["train", "all"]


class OwnFiles(Task):
    """A task with a file for ``train``; each other split has a file, or is a share of the training file."""

    # Each subclass declares these fields itself, in the order of its own parameters.
    train: Path
    validation: Path | None
    test: Path | None
    validation_share: Share
    test_share: Share
    split_seed: int
    train_on: TrainOn

    @property
    def seen(self) -> tuple[str, ...]:
        """Return the splits whose rows training has too: validation, and test if it has no file."""
        if self.train_on == "train":
            return ()
        return ("validation",) if self.test is not None else ("validation", "test")

    @property
    def headline(self) -> str:  # type: ignore[override]
        """Return the metric that the suite sets; "": the default of the type of task."""
        return str(getattr(self, "metric", ""))

    def files(self, splits: Collection[str] = SPLITS) -> dict[str, Path]:
        """Return the path of each split that has a file."""
        given = {split: getattr(self, split) for split in splits}
        return {split: Path(path).expanduser() for split, path in given.items() if path is not None}

    def check_files(self, formats: Mapping[str, Collection[str]]) -> None:
        """Raise ValueError for an unknown file ending, a file given twice, or impossible shares.

        `formats` has the allowed endings of file names, by split.
        """
        files = self.files(formats)
        for split, path in files.items():
            if not path.name.lower().endswith(tuple(formats[split])):
                raise ValueError(
                    f"cannot read the {split} file {str(path)!r}: unknown format; "
                    f"expected a file name that ends in {endings(tuple(formats[split]))}"
                )
        if len({path.absolute() for path in files.values()}) < len(files):
            *names, last = formats
            raise ValueError(
                f"expected different files for {', '.join(names)} and {last}, got one file twice"
            )
        check_shares(shares_of(self))

    def source_of(self, source: str, files: Mapping[str, Path], *columns: object) -> Source:
        """Return the files as a source, which "auto" and "local" both name; others raise Unavailable.

        The fingerprint covers the files' content, `columns`, and the shares and seed of carved splits.
        """
        if source not in ("auto", *SOURCES):
            known = ("auto", *SOURCES)
            raise HarnessError(
                f"unknown source {source!r}; expected one of {', '.join(known)}{suggest(source, known)}"
            )
        if source not in ("auto", "local"):
            raise Unavailable(
                f"task '{self.name}' has no {source} source: it reads the file {self.train}; "
                "use the source auto or local"
            )
        for split, path in files.items():
            if trouble := trouble_with(path):
                if not path.exists():
                    raise HarnessError(
                        f"the {split} file {str(path)!r} does not exist (looked in {Path.cwd()})"
                    )
                raise HarnessError(f"cannot read the {split} file {str(path)!r}: {trouble}")
        # The same file with other columns or another split is different data, with its own table of results.
        what: list[object] = [fingerprint(files), *columns]
        if carved := shares_of(self):
            what += [self.split_seed, sorted(carved.items())]
        if self.seen:
            what.append(self.seen)
        digest = hashlib.sha256(repr(what).encode()).hexdigest()
        return Source("local", f"sha256:{digest}", ", ".join(map(str, files.values())))

    def check_unchanged(self, source: Source) -> None:
        """Raise HarnessError if the files have changed since the run was planned."""
        if self.resolve("local").fingerprint != source.fingerprint:
            raise HarnessError(f"{source.origin} has changed since this run was planned; start it again")

    def with_seen(self, tables: dict[str, pa.Table]) -> dict[str, pa.Table]:
        """Return the tables, with the rows of the splits in `seen` added to ``train``."""
        import pyarrow as pa

        if not self.seen:
            return tables
        return tables | {"train": pa.concat_tables([tables[split] for split in ("train", *self.seen)])}
