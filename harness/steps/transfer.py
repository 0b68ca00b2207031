"""Draw a transfer set: the training texts, and what an augmenter makes of them or brings along.

A new text that already stands in the set is dropped, and so is one that stands in the validation or
test split: a transfer set never teaches what will be asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from harness.api import Augmenter, Examples, HarnessError, words_before
from harness.steps import data
from harness.storage import arrow

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.run.job import Job
    from harness.storage.store import Artefact

HELD_OUT = "stands in validation or test"


def run(job: Job) -> dict[str, Any]:
    """Result: `rows`, of which `added` by the augmenter, and how many were `dropped` and why.

    Without an augmenter that adds texts, the set is the training texts.
    """
    augmenter: Augmenter | None = job.step.components.get("augmenter")  # type: ignore[assignment]
    source = job.need("data")
    train = data.load(source, "train")
    gold = _gold(train)
    dropped: Counter[str] = Counter()
    pool = source.folder / "unlabelled.arrow"
    unlabelled = arrow.Texts(arrow.read(pool)["text"]) if pool.is_file() else ()
    held_out = {_fold(text) for split in ("validation", "test") for text in data.load(source, split).texts}
    seen = {_fold(text) for text in train.texts}

    def rows() -> Iterator[dict[str, Any]]:
        for row, text in enumerate(train.texts):
            yield {"text": text, **gold(row, text), "source": row}
        if augmenter is None:
            return
        new = augmenter.draw(train, unlabelled, job)
        for made, (row, text) in enumerate(new, start=1):
            if not -1 <= row < len(train):  # a negative one would take another row's label
                raise HarnessError(
                    f"augmenter '{augmenter.name}' gave a text of row {row}; "
                    f"rows go from 0 to {len(train) - 1}, and -1 is a text of none"
                )
            if train.of_words:
                text = " ".join(text.split())
            folded = _fold(text)
            if not text.strip():
                dropped["empty"] += 1
            elif folded in held_out:
                dropped[HELD_OUT] += 1
            elif folded in seen:
                dropped["stands in the set already"] += 1
            else:
                seen.add(folded)
                yield {"text": text, **gold(row, text), "source": row}
            if made % 10_000 == 0:
                job.progress(made, max(made, len(train)))

    schema = pa.schema({"text": pa.string(), **gold.columns, "source": pa.int64()})
    count = arrow.write(job.folder / "transfer.arrow", schema, rows())
    if augmenter is not None and (leaked := dropped[HELD_OUT]):
        job.warn(f"{augmenter.name}: {leaked} new texts dropped: they stand in validation or test")
    return {"rows": count, "added": count - len(train), "dropped": dict(dropped)}


def _gold(train: Examples) -> _Nothing | _Labels | _Tags:
    """What is known of the gold label of a text."""
    if train.labels is None:
        return _Nothing()
    return _Tags(train) if train.of_words else _Labels(train.labels)


class _Nothing:
    """Texts to model have no labels."""

    columns: ClassVar[dict[str, pa.DataType]] = {}

    def __call__(self, row: int, text: str) -> dict[str, Any]:
        return {}


class _Labels:
    """The gold label of a text made from a training text: that one's."""

    def __init__(self, labels: NDArray[Any]) -> None:
        self.labels = labels
        scores = labels.dtype == np.float32
        self.columns = {"label": pa.float32() if scores else pa.int32()}
        self.none = np.nan if scores else -1  # where a text has no gold label

    def __call__(self, row: int, text: str) -> dict[str, Any]:
        return {"label": self.labels[row] if row >= 0 else self.none}


class _Tags:
    """The gold tags of a text's words: its source's, where it has as many words, and else none."""

    columns: ClassVar[dict[str, pa.DataType]] = {"label": pa.list_(pa.int32())}

    def __init__(self, train: Examples) -> None:
        assert train.labels is not None
        self.labels = train.labels
        self.before = words_before(train.texts)

    def __call__(self, row: int, text: str) -> dict[str, Any]:
        words = text.count(" ") + 1
        if row < 0 or words != self.before[row + 1] - self.before[row]:
            return {"label": [-1] * words}
        return {"label": self.labels[self.before[row] : self.before[row + 1]].tolist()}


def _fold(text: str) -> bytes:
    """What makes two texts the same: all but case and white space. 8 bytes, as sets may hold 10⁷."""
    return blake2b(" ".join(text.lower().split()).encode(), digest_size=8).digest()


def load(artefact: Artefact, classes: tuple[str, ...]) -> Examples:
    """A transfer set, memory-mapped, without a teacher's outputs."""
    return arrow.examples(arrow.read(artefact.folder / "transfer.arrow"), classes)
