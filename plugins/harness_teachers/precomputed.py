"""Outputs that were computed elsewhere, such as the answers of a large language model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import harness
from harness import Gt, Lt
from harness.sources import FORMATS, endings, noted
from harness.sources.opening import trouble_with

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

UNEVEN = 0.02  # a difference of a sum of probabilities from 1 that rounding does not explain
Outputs = Literal["logits", "probabilities", "scores"]
SUFFIXES = (*FORMATS, ".safetensors")


@dataclass(frozen=True, kw_only=True)
class Precomputed(harness.Teacher):
    """A file of outputs that were computed elsewhere, such as the answers of a large language model.

    Parquet, JSON lines, CSV or TSV files have a column of texts. The outputs are in one column for each
    class, with the name of the class, or in one column of lists named ``logits`` or ``probabilities``::

        {"text": "what a day", "joy": 2.1, "anger": -0.3}
        {"text": "what a day", "logits": [2.1, -0.3]}

    A safetensors file contains one matrix (N, C) named ``logits`` or ``probabilities``. The texts of
    ``gpt.safetensors`` are in ``gpt.txt``, UTF-8, one per line.

    For regression, set ``outputs = "scores"``; the scores are in a column ``score``.

    Instead of a list, there can be an object with a number for each class, or either as a string. Percentages
    are read as probabilities.

    Texts are compared without regard to white space. A text that the file lacks is an error: the file must
    contain all validation, test and transfer texts of the suite.
    """

    name = "precomputed"
    speed: ClassVar[harness.Speed] = harness.Speed(train=math.inf, label=100_000)

    file: Path  # relative to the current folder; Parquet, JSON lines, CSV, TSV or safetensors
    outputs: Outputs = "logits"  # type of the numbers, and name of their column or tensor
    text: str = "text"  # name of the column of texts

    classes: tuple[str, ...] = ()  # order of numbers in lists and matrices; empty: the task's, sorted
    floor: Annotated[float, Gt(0), Lt(1)] = 1e-6  # smallest probability, so that its logarithm is finite

    @property
    def task_types(self) -> frozenset[str]:  # type: ignore[override]
        """Return the type of task: regression for scores, else classification."""
        return frozenset({"regression" if self.outputs == "scores" else "classification"})

    def check(self) -> None:
        """Raise ValueError if the file has an unknown format, or if classes are equal."""
        if not self.file.name.lower().endswith(SUFFIXES):
            raise ValueError(
                f"expected a file with a name that ends in {endings(SUFFIXES)}, got {str(self.file)!r}"
            )
        if len(set(self.classes)) < len(self.classes):
            raise ValueError(f"expected different classes, got {', '.join(self.classes)}")

    def base(self) -> str:
        """Return the digests of the file and of the texts beside it. Raise HarnessError without them."""
        import hashlib

        digests = []
        for path in self._files():
            if not path.is_file():
                what = "read" if path.exists() else "find"
                trouble = f": {trouble_with(path)}" if path.exists() else f" in {Path.cwd()}"
                raise harness.HarnessError(
                    f"cannot {what} the file {str(path)!r} of teacher 'precomputed'{trouble}"
                )
            with path.open("rb") as stream:
                digests.append(hashlib.file_digest(stream, "sha256").hexdigest())
        return "\n".join(digests)

    def fit(
        self, train: harness.Examples, validation: harness.Examples, context: harness.Context
    ) -> harness.Model:
        """Read the file; nothing is trained. See :class:`harness.Teacher`."""
        import numpy as np

        from harness_teachers.answers import Source, blocks, keys_of

        self.base()  # raises an error if a file is missing
        source = Source(self.file, self.text, self.outputs, self.classes)
        keys, outputs = [np.zeros(0, np.uint64)], [np.zeros((0, len(train.classes)), np.float32)]
        percent: bool | None = None  # whether probabilities are percentages, as the first block shows
        uneven = 0
        with noted() as notes:
            for block in blocks(source, self._files(), train.classes):
                numbers = block.numbers
                if self.outputs == "probabilities":
                    sums = numbers.sum(axis=1)
                    if percent is None:
                        percent = bool((numbers > 1).any() and (abs(sums - 100) <= 1).all())
                    numbers = numbers / 100 if percent else numbers
                    uneven += int((abs(numbers.sum(axis=1) - 1) > UNEVEN).sum())
                keys.append(keys_of(block.texts))
                outputs.append(self._logits(numbers, block.places).astype(np.float32))
        for message in notes:
            context.warn(message)
        if percent:
            context.warn(f"{self.file} has percentages; they were divided by 100")
        if uneven:
            context.warn(
                f"{self.file} has {uneven} rows of probabilities that do not sum to 1; they were divided by "
                "their sum"
            )
        every = np.concatenate(keys)
        unique, first = np.unique(every, return_index=True)
        if repeated := len(every) - len(unique):
            context.warn(f"{self.file} repeats texts in {repeated} rows; the first row of each is used")
        return PrecomputedModel(unique, np.concatenate(outputs)[first], str(self.file))

    def load(self, folder: Path, context: harness.Context) -> harness.Model:
        """See :class:`harness.Teacher`."""
        return PrecomputedModel.load(folder, str(self.file))

    def _files(self) -> tuple[Path, ...]:
        path = self.file.expanduser()
        return (path, path.with_suffix(".txt")) if path.suffix == ".safetensors" else (path,)

    def _logits(self, numbers: NDArray[np.float64], places: Sequence[str]) -> NDArray[np.float64]:
        """Return numbers (N, C) as logits: for probabilities, their logarithms, at least the floor's."""
        import numpy as np

        if self.outputs != "probabilities":
            return numbers
        if bad := np.flatnonzero(((numbers < 0) | (numbers > 1 + 1e-3)).any(axis=1)).tolist():
            raise harness.HarnessError(
                f"{places[bad[0]]}: expected probabilities between 0 and 1, got {numbers[bad[0]].tolist()}; "
                "if the numbers are logits, set outputs = 'logits'"
            )
        raised = np.maximum(numbers, self.floor)
        return np.asarray(np.log(raised / raised.sum(axis=1, keepdims=True)))


class PrecomputedModel(harness.Model):
    """Outputs by a digest of their text, sorted; memory-mapped after loading."""

    def __init__(self, keys: NDArray[np.uint64], logits: NDArray[np.float32], file: str) -> None:
        self.keys = keys  # (N,), ascending
        self.logits = logits  # (N, C)
        self.file = file

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the outputs (N, C) of texts. Raise HarnessError if texts are not in the file."""
        import numpy as np

        from harness_teachers.answers import keys_of

        wanted = keys_of(texts)
        rows = np.searchsorted(self.keys, wanted)
        found = rows < len(self.keys)
        found[found] = self.keys[rows[found]] == wanted[found]
        if missing := np.flatnonzero(~found).tolist():
            example = texts[missing[0]]
            raise harness.HarnessError(
                f"cannot find {len(missing)} of {len(texts)} texts in {self.file}, "
                f"such as {example if len(example) <= 80 else f'{example[:77]}...'!r}; "
                "add a row for each text of the suite"
            )
        return np.ascontiguousarray(self.logits[rows])

    def save(self, folder: Path) -> None:
        """Write all rows as one Arrow batch, which can be memory-mapped. See :class:`harness.Model`."""
        import pyarrow as pa

        rows = pa.FixedSizeListArray.from_arrays(pa.array(self.logits.reshape(-1)), self.logits.shape[1])
        batch = pa.record_batch([pa.array(self.keys), rows], names=["key", "logits"])
        path = str(folder / "outputs.arrow")
        with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
            writer.write_batch(batch)

    @classmethod
    def load(cls, folder: Path, file: str) -> PrecomputedModel:
        """Memory-map the file that :meth:`save` wrote."""
        import pyarrow as pa

        batch: pa.RecordBatch = pa.ipc.open_file(pa.memory_map(str(folder / "outputs.arrow"))).get_batch(0)
        rows = batch.column("logits")
        logits = rows.flatten().to_numpy().reshape(len(rows), rows.type.list_size)
        return cls(batch.column("key").to_numpy(), logits, file)

    def parameters(self) -> harness.Parameters:
        """Return zeros: the parameters are unknown."""
        return harness.Parameters(total=0, trainable=0, embedding=0)
