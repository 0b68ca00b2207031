"""Read a task's data from local files, from the hub, or from a corpus that the task generates.

:class:`DatasetTask` is the base class of tasks with such sources. Other components can use its functions:
:func:`find_splits` and :func:`read_table` for files, and :func:`hub_answers` to find out quickly whether
there is a network. Nothing here imports pyarrow, datasets or torch before data are read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from harness.api import SPLITS, HarnessError, Source, Task, Unavailable
from harness.sources.downloads import endpoint
from harness.sources.files import (
    FORMATS,
    LINES,
    SPLIT_FORMATS,
    UNLABELLED,
    endings,
    find_splits,
    fingerprint,
    format_of,
    lines_of,
    read_table,
    suggest,
)
from harness.sources.hub import (
    HubSet,
    datasets_cache,
    hub_answers,
    offline,
    prepared_folder,
    read_hub,
)
from harness.sources.opening import note, noted

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

SOURCES = ("local", "hub", "sample")  # in the order in which "auto" tries them


@dataclass(frozen=True)
class DatasetTask(Task):
    """A task whose data are local, on the hub, or generated. "auto" takes the first source that is available.

    - ``local``: ``$HARNESS_DATA/<folder>/{train,validation,test}`` with one of the extensions SPLIT_FORMATS,
      and optionally ``unlabelled``.
    - ``hub``: the data set `hub` at its pinned revision.
    - ``sample``: the corpus that :meth:`sample` generates.
    """

    folder: ClassVar[str] = ""  # in $HARNESS_DATA; default: the task's name
    text_column: ClassVar[str] = "text"
    label_column: ClassVar[str] = "label"
    class_names: ClassVar[tuple[str, ...]] = ()  # of integer labels 0, 1, ...
    hub: ClassVar[HubSet | None] = None
    sample_version: ClassVar[int] = 1  # raise it when the generated corpus changes

    def sample(self, generator: np.random.Generator) -> Mapping[str, pa.Table]:
        """Generate a small corpus: tables train, validation, test and, optionally, unlabelled."""
        raise NotImplementedError

    def local_folder(self) -> Path:
        """Return the folder of the task's local files, in $HARNESS_DATA."""
        return Path(os.environ.get("HARNESS_DATA", "")).expanduser() / (self.folder or self.name)

    def local_files(self) -> dict[str, Path]:
        """Return the local files to read, by split."""
        return find_splits(self.local_folder())

    def resolve(self, source: str) -> Source:
        """Return the source to use; read no more of the data than its fingerprint needs."""
        if source == "auto":
            reasons = []
            for name in SOURCES:
                try:
                    return self.resolve(name)
                except Unavailable as reason:
                    reasons.append(str(reason))
            raise Unavailable("; ".join(reasons))
        match source:
            case "local":
                return self._local()
            case "hub":
                return self._hub()
            case "sample":
                return self._sample()
        allowed = ("auto", *SOURCES)
        raise HarnessError(
            f"unknown source {source!r}{suggest(source, allowed)} (allowed: {', '.join(allowed)})"
        )

    def read(self, source: Source) -> Mapping[str, pa.Table]:
        """Return Arrow tables with the string columns ``text`` and ``label``, by split."""
        match source.name:
            case "local":
                return self._read_local(source)
            case "hub":
                return self._read_hub()
            case _:
                import numpy as np

                return self.sample(np.random.default_rng(0))

    # -- local

    def _local(self) -> Source:
        folder = self.folder or self.name
        layout = f"{folder}/{{{','.join(SPLITS)}}}.jsonl.gz, .csv or another of its formats"
        if not os.environ.get("HARNESS_DATA"):
            raise Unavailable(
                f"task {self.name!r} has no local data: HARNESS_DATA is not set; "
                f"set it to a folder that contains {layout}"
            )
        if not self.local_folder().is_dir():
            raise Unavailable(
                f"task {self.name!r} has no local data: {self.local_folder()} does not exist; "
                f"set HARNESS_DATA to a folder that contains {layout}"
            )
        # Records may be published, so they do not name folders of this machine.
        return Source("local", fingerprint(self.local_files()), f"$HARNESS_DATA/{folder}")

    def _read_local(self, source: Source) -> Mapping[str, pa.Table]:
        files = self.local_files()
        if fingerprint(files) != source.fingerprint:
            # Results are stored under the fingerprint of the plan.
            raise HarnessError(f"{source.origin} has changed since this run was planned; start the run again")
        return {
            split: self.read_file(split, path, f"{path.parent.name}/{path.name}")
            for split, path in files.items()
        }

    def read_file(self, split: str, path: Path, shown: str) -> pa.Table:
        """Return the table of one split's local file, which errors call `shown`."""
        return read_table(
            path,
            text=self.text_column,
            label=None if split == UNLABELLED else self.label_column,
            class_names=self.class_names,
            shown=shown,
        )

    # -- hub

    def _hub(self) -> Source:
        if self.hub is None:
            raise Unavailable(f"task {self.name!r} has no data set on the hub")
        if prepared_folder(self.hub) is None:
            absent = f"task {self.name!r} has no cached copy of {self.hub} in {datasets_cache()}"
            if offline():
                raise Unavailable(f"{absent}, and HF_HUB_OFFLINE is set")
            if not hub_answers():
                raise Unavailable(f"{absent}, and {endpoint()} does not answer")
        return Source("hub", f"hub:{self.hub}", str(self.hub))

    def _read_hub(self) -> Mapping[str, pa.Table]:
        if self.hub is None:
            raise Unavailable(f"task {self.name!r} has no data set on the hub")
        return read_hub(self.hub, self.class_names)

    # -- sample

    def _sample(self) -> Source:
        if type(self).sample is DatasetTask.sample:
            raise Unavailable(f"task {self.name!r} has no sample corpus")
        return Source(
            "sample", f"sample:{self.name}@{self.sample_version}", f"the generator of task {self.name!r}"
        )


__all__ = [
    "FORMATS",
    "LINES",
    "SOURCES",
    "SPLIT_FORMATS",
    "UNLABELLED",
    "DatasetTask",
    "HubSet",
    "endings",
    "endpoint",
    "find_splits",
    "fingerprint",
    "format_of",
    "hub_answers",
    "lines_of",
    "note",
    "noted",
    "offline",
    "prepared_folder",
    "read_hub",
    "read_table",
    "suggest",
]
