"""Fit a student on a transfer set with a teacher's outputs, or on the gold labels alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.api import Loss, Student, Tokeniser
from harness.featurise.stored import Stored
from harness.steps import data, targets
from harness.steps.cost import parameters_of
from harness.steps.cuda import reproducible

if TYPE_CHECKING:
    from harness.run.job import Job


def run(job: Job) -> dict[str, Any]:
    """Return `parameters` and the number of training `examples`; save the model in the folder `model`."""
    student: Student = job.component("student")
    loss: Loss = job.component("loss")
    examples = targets.examples(job)
    validation = data.load(job.need("data"), "validation", job.task_type)
    if job.has("tokens"):
        tokeniser: Tokeniser = job.component("tokeniser")
        folder, texts = (
            job.need("tokens").folder,
            {"transfer": examples.texts, "validation": validation.texts},
        )
        job.tokens = Stored(folder, tokeniser.load(folder), examples, texts)
    with reproducible(job.device):
        model = student.fit(examples, validation, loss, job)
    (folder := job.folder / "model").mkdir()
    model.save(folder)
    return {"parameters": parameters_of(model), "examples": len(examples)}
