"""Draw a transfer set: the training texts and the texts that an augmenter adds.

A new text is dropped if it is already in the set, or in the validation or test split: a student must not
learn from held-out texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from harness.api import Augmenter, Examples, HarnessError, TaskType
from harness.steps import data
from harness.storage import arrow
from harness.storage.hashes import BLOCK, Hashes, hashes_of

if TYPE_CHECKING:
    from harness.run.job import Job
    from harness.storage.store import Artefact

HELD_OUT = "in validation or test"


def run(job: Job) -> dict[str, Any]:
    """Return the number of `rows`, the number `added` to the training texts, and those `dropped` by reason.

    Without an augmenter, the set is the training texts. Raise HarnessError if the augmenter names a row that
    does not exist.
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
    others = (data.load(source, split, task_type).texts for split in ("validation", "test"))
    held_out = Hashes(chain.from_iterable(others))
    seen = Hashes(train.texts)

    def row_of(row: int, text: str) -> dict[str, Any]:
        label = {} if gold is None else {"label": gold(row, text)}
        return {"text": text, **label, "source": row}

    def rows() -> Iterator[dict[str, Any]]:
        for row, text in enumerate(train.texts):
            yield row_of(row, text)
        if augmenter is None:
            return
        new = drawn(augmenter.draw(train, unlabelled, job), augmenter.name)
        while block := list(islice(new, BLOCK)):
            keys = hashes_of(text for _, text in block)
            leaked = ~held_out.missing(keys)
            fresh = seen.unseen(keys) & ~leaked
            seen.add(keys[fresh])
            dropped[HELD_OUT] += int(leaked.sum())
            dropped["already in the set"] += int((~fresh & ~leaked).sum())
            yield from (row_of(*block[place]) for place in np.flatnonzero(fresh).tolist())

    def drawn(new: Iterator[tuple[int, str]], name: str) -> Iterator[tuple[int, str]]:
        """Yield the new texts that are not empty, as the type of the task writes them."""
        for made, (row, text) in enumerate(new, start=1):
            if not -1 <= row < len(train):  # a negative index would take another row's label
                raise HarnessError(
                    f"augmenter '{name}' returned a text made from row {row}; "
                    f"expected a row from 0 to {len(train) - 1}, or -1 for a text without one"
                )
            text = task_type.text_of(text)
            if text.strip():
                yield row, text
            else:
                dropped["empty"] += 1
            if made % 100 == 0:
                job.progress(made, max(made, len(train)))

    columns = {} if stored is None else {"label": stored}
    schema = pa.schema({"text": pa.string(), **columns, "source": pa.int64()})
    count = arrow.write(job.folder / "transfer.arrow", schema, rows())
    if augmenter is not None and (leaked := dropped[HELD_OUT]):
        job.warn(f"{augmenter.name}: {leaked} new texts were dropped, because they are in validation or test")
    counts = {reason: number for reason, number in dropped.items() if number}
    return {"rows": count, "added": count - len(train), "dropped": counts}


def load(artefact: Artefact, classes: tuple[str, ...], task_type: TaskType) -> Examples:
    """Return a transfer set, memory-mapped, without a teacher's outputs."""
    return arrow.examples(arrow.read(artefact.folder / "transfer.arrow"), classes, task_type)


def texts_of(artefact: Artefact) -> arrow.Texts:
    """Return the texts of a transfer set, memory-mapped."""
    return arrow.Texts(arrow.read(artefact.folder / "transfer.arrow")["text"])
