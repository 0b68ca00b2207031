"""Texts of the same kind that nobody has labelled."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import harness
from harness.api import SPLITS
from harness.sources import (
    FORMATS,
    LINES,
    UNLABELLED,
    find_splits,
    fingerprint,
    lines_of,
    read_table,
    suggest,
)
from harness_augmenters.blocks import KEEPS_WORDS

if TYPE_CHECKING:
    import numpy as np

_WORDS = re.compile(r"https?://\S+|[@#]?\w+(?:[-'’.]\w+)*|\.{2,}|[^\w\s]").findall


@dataclass(frozen=True)
class Unlabelled(harness.Augmenter):
    """Texts without a gold label, for the teacher to label (Turc et al., 2019).

    By default they are the task's own unlabelled texts. They can come from a file instead, or from a split
    of a data set in ``$HARNESS_DATA``::

        { use = "unlabelled" }
        { use = "unlabelled", file = "crawl.txt.gz", size = 100_000 }
        { use = "unlabelled", folder = "raw-tweets", split = "train" }

    They are drawn without replacement, in random order: a smaller `size` gives the first texts of a larger
    one. What stands in the training, validation or test split, or was drawn before, is then dropped.
    """

    name = "unlabelled"
    task_types: ClassVar[frozenset[str]] = KEEPS_WORDS

    file: str = ""  # relative to the current folder; .txt, .jsonl, .csv or .tsv (also .gz), or .parquet
    folder: str = ""  # under $HARNESS_DATA
    split: Literal["train", "validation", "test", "unlabelled"] = "train"  # of the folder
    column: str = "text"  # that holds the text; .txt has none, but a text on each line
    size: Annotated[int, harness.Gt(0)] | None = None  # texts at most; all where none is given
    words: bool = False  # set punctuation apart from words, as texts have it whose words are tagged

    def check(self) -> None:
        """There is one place to draw from, and a file has a known format."""
        if self.file and self.folder:
            raise ValueError("unlabelled needs either file or folder, or neither for the task's own texts")
        if self.file and not self.file.lower().endswith((*FORMATS, *LINES)):
            raise ValueError(
                f"file is {self.file!r}; expected a name that ends in {', '.join((*LINES, *FORMATS))}"
            )

    def base(self) -> str:
        """See :class:`harness.Component`: a digest of the file, where it is not the task's own."""
        path = self._path()
        return "" if path is None else fingerprint({UNLABELLED: path})

    def __call__(self, texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
        """Yield nothing: no text comes of the training texts. See :meth:`draw`."""
        return iter(())

    def draw(
        self, train: harness.Examples, unlabelled: Sequence[str], context: harness.Context
    ) -> Iterator[tuple[int, str]]:
        """See :class:`harness.Augmenter`: yield (-1, text)."""
        import numpy as np

        path = self._path()
        texts = unlabelled if path is None else self._read(path, context)
        if not len(texts):
            raise harness.Unavailable(
                "the task has no unlabelled texts: put a split `unlabelled` beside its others, "
                "or give augmenter 'unlabelled' a file or a folder"
            )
        for row in np.random.default_rng(context.seed).permutation(len(texts))[: self.size].tolist():
            yield -1, " ".join(_WORDS(texts[row])) if self.words else texts[row].strip()

    def _path(self) -> Path | None:
        """The file to read; None for the task's own texts. Raises Unavailable."""
        if self.folder:
            return self._in_folder()
        if not self.file:
            return None
        path = Path(self.file).expanduser()
        if not path.is_file():
            raise harness.Unavailable(
                f"the file {self.file!r} of augmenter 'unlabelled' does not exist "
                f"(looked in {Path.cwd()}){_nearest(path)}"
            )
        return path

    def _in_folder(self) -> Path:
        data = os.environ.get("HARNESS_DATA")
        if not data:
            raise harness.Unavailable(
                f"augmenter 'unlabelled' has no folder {self.folder!r}: HARNESS_DATA is not set"
            )
        folder = Path(data).expanduser() / self.folder
        if not folder.is_dir():
            raise harness.Unavailable(
                f"augmenter 'unlabelled' has no folder {self.folder!r} in $HARNESS_DATA{_nearest(folder)}"
            )
        files = find_splits(folder, required=())
        if self.split not in files:
            found = ", ".join(name for name in (*SPLITS, UNLABELLED) if name in files) or "none"
            raise harness.Unavailable(
                f"the folder {self.folder!r} of augmenter 'unlabelled' has no split '{self.split}'; "
                f"found: {found}"
            )
        return files[self.split]

    def _read(self, path: Path, context: harness.Context) -> Sequence[str]:
        """The file's texts, memory-mapped where each is a line."""
        import pyarrow as pa

        from harness.storage import arrow

        shown = self.file or f"{self.folder}/{path.name}"
        if not path.name.lower().endswith(LINES):
            return arrow.Texts(read_table(path, text=self.column, label=None, shown=shown)["text"])
        lines = Path(mkdtemp(dir=context.scratch)) / "lines.arrow"  # a mix may read several files
        texts = ({"text": line} for line in lines_of(path, shown))
        if not arrow.write(lines, pa.schema({"text": pa.string()}), texts):
            raise harness.HarnessError(f"{shown} has no texts")
        return arrow.Texts(arrow.read(lines)["text"])


def _nearest(path: Path) -> str:
    """A question with what stands beside a missing file, where something is named alike."""
    beside = sorted(other.name for other in path.parent.iterdir()) if path.parent.is_dir() else []
    return suggest(path.name, beside)
