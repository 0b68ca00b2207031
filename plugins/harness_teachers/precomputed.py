"""Outputs that were computed elsewhere: a black box, or a large language model's answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import harness
from harness import Gt, Lt

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

Outputs = Literal["logits", "probabilities", "scores"]
SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz", ".safetensors")


@dataclass(frozen=True, kw_only=True)
class Precomputed(harness.Teacher):
    """A file of outputs made elsewhere: a black box, or a large language model's answers.

    Parquet or JSON lines (also gzipped) have a column of texts, and either one column a class, named as
    the class, or one column of lists named ``logits`` or ``probabilities``::

        {"text": "what a day", "joy": 2.1, "anger": -0.3}
        {"text": "what a day", "logits": [2.1, -0.3]}

    Safetensors hold one matrix (N, C) named ``logits`` or ``probabilities``; the texts of ``gpt.safetensors``
    stand in ``gpt.txt``, UTF-8, one on each line.

    The scores of a regression stand in a column ``score``, with ``outputs = "scores"``.

    Texts are found again by all but their white space. One that the file lacks is an error, so the file
    must hold the validation, test and transfer texts that a suite asks for.
    """

    name = "precomputed"
    speed: ClassVar[harness.Speed] = harness.Speed(train=math.inf, label=100_000)

    file: Path  # relative to the current folder; ends in .parquet, .jsonl, .jsonl.gz or .safetensors
    outputs: Outputs = "logits"  # what the numbers are
    text: str = "text"  # the column that holds the text

    classes: tuple[str, ...] = ()  # of lists and matrices, in their order; none given: the task's, sorted
    floor: Annotated[float, Gt(0), Lt(1)] = 1e-6  # least probability, so that its logarithm is finite

    @property
    def task_types(self) -> frozenset[str]:  # type: ignore[override]
        """Scores are of a regression, all else of classes."""
        return frozenset({"regression" if self.outputs == "scores" else "classification"})

    def check(self) -> None:
        """The file has a known format, and classes differ."""
        if not self.file.name.endswith(SUFFIXES):
            raise ValueError(
                f"file is {str(self.file)!r}; expected a name that ends in {', '.join(SUFFIXES)}"
            )
        if len(set(self.classes)) < len(self.classes):
            raise ValueError(f"classes must differ, got {', '.join(self.classes)}")

    def base(self) -> str:
        """See :class:`harness.Teacher`: the digest of the file, and of the texts beside it."""
        import hashlib

        digests = []
        for path in self._files():
            if not path.is_file():
                raise harness.HarnessError(
                    f"the file {str(path)!r} of teacher 'precomputed' does not exist (looked in {Path.cwd()})"
                )
            with path.open("rb") as stream:
                digests.append(hashlib.file_digest(stream, "sha256").hexdigest())
        return "\n".join(digests)

    def fit(
        self, train: harness.Examples, validation: harness.Examples, context: harness.Context
    ) -> harness.Model:
        """See :class:`harness.Teacher`; the file is read, and nothing trained."""
        import numpy as np
        import pyarrow as pa

        from harness_teachers.answers import Source, blocks, keys_of

        self.base()  # it says which file is missing
        source = Source(self.file, self.text, self.outputs, self.classes)
        keys, outputs = [np.zeros(0, np.uint64)], [np.zeros((0, len(train.classes)), np.float32)]
        try:
            for texts, numbers in blocks(source, self._files(), train.classes):
                keys.append(keys_of(texts))
                outputs.append(self._logits(numbers).astype(np.float32))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise harness.HarnessError(f"{self.file} cannot be read: {str(error).splitlines()[0]}") from None
        every = np.concatenate(keys)
        unique, first = np.unique(every, return_index=True)
        if repeated := len(every) - len(unique):
            context.warn(f"{self.file} repeats texts in {repeated} rows; of each the first counts")
        return PrecomputedModel(unique, np.concatenate(outputs)[first], str(self.file))

    def load(self, folder: Path, context: harness.Context) -> harness.Model:
        """See :class:`harness.Teacher`."""
        return PrecomputedModel.load(folder, str(self.file))

    def _files(self) -> tuple[Path, ...]:
        path = self.file.expanduser()
        return (path, path.with_suffix(".txt")) if path.suffix == ".safetensors" else (path,)

    def _logits(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """Numbers (N, C) of the file to logits, or to log-probabilities that are at least the floor's."""
        import numpy as np

        if not np.isfinite(numbers).all():
            raise harness.HarnessError(f"{self.file} has {self.outputs} that are missing or not finite")
        if self.outputs != "probabilities":
            return numbers
        if numbers.min(initial=0) < 0 or numbers.max(initial=0) > 1 + 1e-3:
            raise harness.HarnessError(f"{self.file} has probabilities that are not between 0 and 1")
        raised = np.maximum(numbers, self.floor)
        return np.asarray(np.log(raised / raised.sum(axis=1, keepdims=True)))


class PrecomputedModel(harness.Model):
    """Outputs by a digest of their text, sorted; memory-mapped where they were saved."""

    def __init__(self, keys: NDArray[np.uint64], logits: NDArray[np.float32], file: str) -> None:
        self.keys = keys  # (N,), ascending
        self.logits = logits  # (N, C)
        self.file = file

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See :class:`harness.Model`. Raises HarnessError where texts are not in the file."""
        import numpy as np

        from harness_teachers.answers import keys_of

        wanted = keys_of(texts)
        rows = np.searchsorted(self.keys, wanted)
        found = rows < len(self.keys)
        found[found] = self.keys[rows[found]] == wanted[found]
        if missing := np.flatnonzero(~found).tolist():
            example = texts[missing[0]]
            raise harness.HarnessError(
                f"{len(missing)} of {len(texts)} texts are not in {self.file}, "
                f"such as {example if len(example) <= 80 else f'{example[:77]}...'!r}"
            )
        return np.ascontiguousarray(self.logits[rows])

    def save(self, folder: Path) -> None:
        """See :class:`harness.Model`; one batch, so that it can be mapped as it lies."""
        import pyarrow as pa

        rows = pa.FixedSizeListArray.from_arrays(pa.array(self.logits.reshape(-1)), self.logits.shape[1])
        batch = pa.record_batch([pa.array(self.keys), rows], names=["key", "logits"])
        path = str(folder / "outputs.arrow")
        with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
            writer.write_batch(batch)

    @classmethod
    def load(cls, folder: Path, file: str) -> PrecomputedModel:
        """Map what :meth:`save` wrote."""
        import pyarrow as pa

        batch: pa.RecordBatch = pa.ipc.open_file(pa.memory_map(str(folder / "outputs.arrow"))).get_batch(0)
        rows = batch.column("logits")
        logits = rows.flatten().to_numpy().reshape(len(rows), rows.type.list_size)
        return cls(batch.column("key").to_numpy(), logits, file)

    def parameters(self) -> harness.Parameters:
        """None that are known."""
        return harness.Parameters(total=0, trainable=0, embedding=0)
