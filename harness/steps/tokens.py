"""Turn a transfer set and the validation texts into ids, once for all students that read them alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.api import Tokeniser
from harness.featurise import stored
from harness.steps import data, targets

if TYPE_CHECKING:
    from harness.run.job import Job


def run(job: Job) -> dict[str, Any]:
    """Return the `size` of the vocabulary and the number of `ids`; write them and ``featuriser.json``."""
    tokeniser: Tokeniser = job.component("tokeniser")
    transfer = targets.examples(job)
    validation = data.load(job.need("data"), "validation", job.task_type)
    featuriser = tokeniser.fit(transfer)
    texts = {"transfer": transfer.texts, "validation": validation.texts}
    return {"size": featuriser.size, "ids": stored.write(job.folder, featuriser, texts, job.scratch)}
