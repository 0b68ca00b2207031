"""What tasks over the user's own files have in common: their files, and the splits carved out of one."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path

from harness.api import SPLITS, HarnessError, Source, Task, Unavailable
from harness.sources import SOURCES, fingerprint, suggest
from harness_tasks.carving import Share, check_shares, shares_of


class OwnFiles(Task):
    """A file for ``train``, and for other splits a file each, or a share of the training file."""

    # Fields of the tasks that are made of this, each in its place there.
    train: Path
    validation: Path | None
    test: Path | None
    validation_share: Share
    test_share: Share
    split_seed: int

    def files(self, splits: Collection[str] = SPLITS) -> dict[str, Path]:
        """The files that are given, by split."""
        given = {split: getattr(self, split) for split in splits}
        return {split: Path(path).expanduser() for split, path in given.items() if path is not None}

    def check_files(self, formats: Mapping[str, Collection[str]]) -> None:
        """Raise ValueError for a file whose name has none of its split's endings, and for shares of all."""
        files = self.files(formats)
        for split, path in files.items():
            if not path.name.lower().endswith(tuple(formats[split])):
                raise ValueError(
                    f"{split} is {str(path)!r}, which has no known format; "
                    f"expected a name that ends in {', '.join(formats[split])}"
                )
        if len({path.absolute() for path in files.values()}) < len(files):
            *names, last = formats
            raise ValueError(f"{', '.join(names)} and {last} must be different files")
        check_shares(shares_of(self))

    def source_of(self, source: str, files: Mapping[str, Path], *columns: object) -> Source:
        """The files as a source: "auto" and "local" mean the same here, and there is nothing else."""
        if source not in ("auto", *SOURCES):
            raise HarnessError(f"unknown source {source!r}{suggest(source, ('auto', *SOURCES))}")
        if source not in ("auto", "local"):
            raise Unavailable(f"task '{self.name}' has no {source} source: its data is the file {self.train}")
        for split, path in files.items():
            if not path.is_file():
                raise HarnessError(f"the {split} file {str(path)!r} does not exist (looked in {Path.cwd()})")
        # The same file under other columns or another split is other data: never in one table with it.
        what: list[object] = [fingerprint(files), *columns]
        if carved := shares_of(self):
            what += [self.split_seed, sorted(carved.items())]
        digest = hashlib.sha256(repr(what).encode()).hexdigest()
        return Source("local", f"sha256:{digest}", ", ".join(map(str, files.values())))

    def check_unchanged(self, source: Source) -> None:
        """Raise HarnessError where the files are others than those that a run was planned with."""
        if self.resolve("local").fingerprint != source.fingerprint:
            raise HarnessError(f"{source.origin} has changed since this run was planned; start it again")
