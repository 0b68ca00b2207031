"""Draw a transfer set: the training texts, and what an augmenter makes of them or brings along.

A new text that already stands in the set is dropped, and so is one that stands in the validation or
test split: a transfer set never teaches what will be asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from harness import arrow
from harness.api import Augmenter, Examples, HarnessError
from harness.steps import data

if TYPE_CHECKING:
    from harness.job import Job
    from harness.store import Artefact

COLUMNS = {"text": pa.string(), "label": pa.int32(), "source": pa.int64()}
HELD_OUT = "stands in validation or test"


def run(job: Job) -> dict[str, Any]:
    """Result: `rows`, of which `added` by the augmenter, and how many were `dropped` and why."""
    augmenter: Augmenter = job.component("augmenter")
    source = job.need("data")
    train = data.load(source, "train")
    assert train.labels is not None
    labels = train.labels
    none = np.nan if labels.dtype == np.float32 else -1  # where a text has no gold label
    dropped: Counter[str] = Counter()
    pool = source.folder / "unlabelled.arrow"
    unlabelled = arrow.Texts(arrow.read(pool)["text"]) if pool.is_file() else ()
    held_out = {_fold(text) for split in ("validation", "test") for text in data.load(source, split).texts}
    seen = {_fold(text) for text in train.texts}

    def rows() -> Iterator[dict[str, Any]]:
        for row, text in enumerate(train.texts):
            yield {"text": text, "label": labels[row], "source": row}
        new = augmenter.draw(train, unlabelled, job)
        for made, (row, text) in enumerate(new, start=1):
            if not -1 <= row < len(labels):  # a negative one would take another row's label
                raise HarnessError(
                    f"augmenter '{augmenter.name}' gave a text of row {row}; "
                    f"rows go from 0 to {len(labels) - 1}, and -1 is a text of none"
                )
            folded = _fold(text)
            if not text.strip():
                dropped["empty"] += 1
            elif folded in held_out:
                dropped[HELD_OUT] += 1
            elif folded in seen:
                dropped["stands in the set already"] += 1
            else:
                seen.add(folded)
                yield {"text": text, "label": labels[row] if row >= 0 else none, "source": row}
            if made % 10_000 == 0:
                job.progress(made, max(made, len(labels)))

    label = pa.float32() if labels.dtype == np.float32 else pa.int32()  # a score, or a class
    schema = pa.schema({**COLUMNS, "label": label})
    count = arrow.write(job.folder / "transfer.arrow", schema, rows())
    if leaked := dropped[HELD_OUT]:
        job.warn(f"{augmenter.name}: {leaked} new texts dropped: they stand in validation or test")
    return {"rows": count, "added": count - len(train), "dropped": dict(dropped)}


def _fold(text: str) -> bytes:
    """What makes two texts the same: all but case and white space. 8 bytes, as sets may hold 10⁷."""
    return blake2b(" ".join(text.lower().split()).encode(), digest_size=8).digest()


def load(artefact: Artefact, classes: tuple[str, ...]) -> Examples:
    """A transfer set, memory-mapped, without a teacher's outputs."""
    table = arrow.read(artefact.folder / "transfer.arrow")
    return Examples(arrow.Texts(table["text"]), classes, arrow.labels(table["label"]))
