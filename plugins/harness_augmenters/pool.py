"""Add unlabelled texts to the transfer set."""

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
    endings,
    find_splits,
    fingerprint,
    lines_of,
    read_table,
    suggest,
)
from harness.sources.opening import trouble_with
from harness_augmenters.blocks import BLOCK, KEEPS_WORDS

if TYPE_CHECKING:
    import numpy as np

_WORDS = re.compile(r"https?://\S+|[@#]?\w+(?:[-'’.]\w+)*|\.{2,}|[^\w\s]").findall


@dataclass(frozen=True)
class Unlabelled(harness.Augmenter):
    """Unlabelled texts, which the teacher labels (Turc et al., 2019).

    By default they are the unlabelled texts of the task. They can also come from a file, or from a split of a
    data set in ``$HARNESS_DATA``::

        { use = "unlabelled" }
        { use = "unlabelled", file = "crawl.txt.gz", size = 100_000 }
        { use = "unlabelled", folder = "raw-tweets", split = "train" }

    Texts are drawn without replacement, in random order, so a smaller `size` gives the first texts of a
    larger one. Texts that are in the training, validation or test split, or that were drawn before, are then
    dropped.
    """

    name = "unlabelled"
    task_types: ClassVar[frozenset[str]] = KEEPS_WORDS

    file: str = ""  # .txt, .jsonl, .csv or .tsv (also .gz), or .parquet; relative to the current folder
    folder: str = ""  # folder of a data set, relative to $HARNESS_DATA
    split: Literal["train", "validation", "test", "unlabelled"] = "train"  # which split of `folder`
    column: str = "text"  # column with the text; not used for .txt, which has one text per line
    size: Annotated[int, harness.Gt(0)] | None = None  # maximum number of texts; default: all
    words: bool = False  # separate punctuation from words by spaces, for tagging

    def check(self) -> None:
        """Raise ValueError for both a file and a folder, or for a file of unknown format."""
        if self.file and self.folder:
            raise ValueError(
                "expected either file or folder for unlabelled, got both; "
                "leave out both to use the task's own texts"
            )
        if self.file and not self.file.lower().endswith((*FORMATS, *LINES)):
            raise ValueError(
                f"cannot read the file {self.file!r}: unknown format; "
                f"expected a file name that ends in {endings((*LINES, *FORMATS))}"
            )

    def base(self) -> str:
        """Return a digest of the file, or "" for the task's own texts; see :class:`harness.Component`."""
        path = self._path()
        return "" if path is None else fingerprint({UNLABELLED: path})

    def __call__(self, texts: Sequence[str], generator: np.random.Generator) -> Iterator[tuple[int, str]]:
        """Yield nothing, since no text is made from training texts; see :meth:`draw`."""
        return iter(())

    def draw(
        self, train: harness.Examples, unlabelled: Sequence[str], context: harness.Context
    ) -> Iterator[tuple[int, str]]:
        """Yield (-1, text); see :class:`harness.Augmenter`."""
        import numpy as np

        path = self._path()
        texts = unlabelled if path is None else self._read(path, context)
        if not len(texts):
            raise harness.Unavailable(
                "augmenter 'unlabelled' has no texts: the task has no split `unlabelled`; "
                "add that split, or give the augmenter a file or folder"
            )
        order = np.random.default_rng(context.seed).permutation(len(texts))[: self.size]
        for start in range(0, len(order), BLOCK):  # a list of all numbers would need 36 bytes for each
            for row in order[start : start + BLOCK].tolist():
                yield -1, " ".join(_WORDS(texts[row])) if self.words else texts[row].strip()

    def _path(self) -> Path | None:
        """Return the file to read, or None for the task's own texts; raise Unavailable if it is missing."""
        if self.folder:
            return self._in_folder()
        if not self.file:
            return None
        path = Path(self.file).expanduser()
        if path.exists() and (trouble := trouble_with(path)):
            raise harness.HarnessError(f"augmenter 'unlabelled' cannot read {self.file!r}: {trouble}")
        if not path.is_file():
            raise harness.Unavailable(
                f"augmenter 'unlabelled' cannot read {self.file!r}: the file does not exist "
                f"(looked in {Path.cwd()}){_nearest(path)}"
            )
        return path

    def _in_folder(self) -> Path:
        data = os.environ.get("HARNESS_DATA")
        if not data:
            raise harness.Unavailable(
                f"augmenter 'unlabelled' cannot find the folder {self.folder!r}: HARNESS_DATA is not set; "
                "set it to the folder with your data sets"
            )
        folder = Path(data).expanduser() / self.folder
        if not folder.is_dir():
            raise harness.Unavailable(
                f"augmenter 'unlabelled' cannot find the folder {self.folder!r} in HARNESS_DATA "
                f"({data}){_nearest(folder)}"
            )
        files = find_splits(folder, required=())
        if self.split not in files:
            found = ", ".join(name for name in (*SPLITS, UNLABELLED) if name in files) or "none"
            raise harness.Unavailable(
                f"augmenter 'unlabelled' cannot find the split '{self.split}' in the folder {self.folder!r}; "
                f"found: {found}"
            )
        return files[self.split]

    def _read(self, path: Path, context: harness.Context) -> Sequence[str]:
        """Return the file's texts, memory-mapped if each is a line."""
        import pyarrow as pa

        from harness.storage import arrow

        shown = self.file or f"{self.folder}/{path.name}"
        if not path.name.lower().endswith(LINES):
            return arrow.Texts(read_table(path, text=self.column, label=None, shown=shown)["text"])
        lines = Path(mkdtemp(dir=context.scratch)) / "lines.arrow"  # a mix may read several files
        texts = ({"text": line} for line in lines_of(path, shown))
        if not arrow.write(lines, pa.schema({"text": pa.string()}), texts):
            raise harness.HarnessError(
                f"cannot read {shown}: it has no texts; give a file with one text per line"
            )
        return arrow.Texts(arrow.read(lines)["text"])


def _nearest(path: Path) -> str:
    """Return a question with the most similar name next to a missing file, or ""."""
    beside = sorted(other.name for other in path.parent.iterdir()) if path.parent.is_dir() else []
    return suggest(path.name, beside)
