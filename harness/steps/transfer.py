"""Draw a transfer set: the training texts, and what an augmenter makes of them or brings along.

A new text that already stands in the set is dropped, and so is one that stands in the validation or
test split: a transfer set never teaches what will be asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from harness.api import Augmenter, Examples, HarnessError, TaskType
from harness.steps import data
from harness.storage import arrow

if TYPE_CHECKING:
    from harness.run.job import Job
    from harness.storage.store import Artefact

HELD_OUT = "stands in validation or test"


def run(job: Job) -> dict[str, Any]:
    """Result: `rows`, of which `added` by the augmenter, and how many were `dropped` and why.

    Without an augmenter that adds texts, the set is the training texts.
    """
    augmenter: Augmenter | None = job.step.components.get("augmenter")  # type: ignore[assignment]
    source = job.need("data")
    task_type = job.task_type
    train = data.load(source, "train", task_type)
    stored = task_type.stored()
    gold = task_type.gold(train) if stored is not None else None
    dropped: Counter[str] = Counter()
    pool = source.folder / "unlabelled.arrow"
    unlabelled = arrow.Texts(arrow.read(pool)["text"]) if pool.is_file() else ()
    others = (data.load(source, split, task_type) for split in ("validation", "test"))
    held_out = {_fold(text) for examples in others for text in examples.texts}
    seen = {_fold(text) for text in train.texts}

    def row_of(row: int, text: str) -> dict[str, Any]:
        label = {} if gold is None else {"label": gold(row, text)}
        return {"text": text, **label, "source": row}

    def rows() -> Iterator[dict[str, Any]]:
        for row, text in enumerate(train.texts):
            yield row_of(row, text)
        if augmenter is None:
            return
        new = augmenter.draw(train, unlabelled, job)
        for made, (row, text) in enumerate(new, start=1):
            if not -1 <= row < len(train):  # a negative one would take another row's label
                raise HarnessError(
                    f"augmenter '{augmenter.name}' gave a text of row {row}; "
                    f"rows go from 0 to {len(train) - 1}, and -1 is a text of none"
                )
            text = task_type.text_of(text)
            folded = _fold(text)
            if not text.strip():
                dropped["empty"] += 1
            elif folded in held_out:
                dropped[HELD_OUT] += 1
            elif folded in seen:
                dropped["stands in the set already"] += 1
            else:
                seen.add(folded)
                yield row_of(row, text)
            if made % 10_000 == 0:
                job.progress(made, max(made, len(train)))

    columns = {} if stored is None else {"label": stored}
    schema = pa.schema({"text": pa.string(), **columns, "source": pa.int64()})
    count = arrow.write(job.folder / "transfer.arrow", schema, rows())
    if augmenter is not None and (leaked := dropped[HELD_OUT]):
        job.warn(f"{augmenter.name}: {leaked} new texts dropped: they stand in validation or test")
    return {"rows": count, "added": count - len(train), "dropped": dict(dropped)}


def _fold(text: str) -> bytes:
    """What makes two texts the same: all but case and white space. 8 bytes, as sets may hold 10⁷."""
    return blake2b(" ".join(text.lower().split()).encode(), digest_size=8).digest()


def load(artefact: Artefact, classes: tuple[str, ...], task_type: TaskType) -> Examples:
    """Return a transfer set, memory-mapped, without a teacher's outputs."""
    return arrow.examples(arrow.read(artefact.folder / "transfer.arrow"), classes, task_type)


def texts_of(artefact: Artefact) -> arrow.Texts:
    """Return the texts of a transfer set, memory-mapped."""
    return arrow.Texts(arrow.read(artefact.folder / "transfer.arrow")["text"])
