"""Fit a student on a transfer set with a teacher's outputs, or on the gold labels alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.api import Loss, Student
from harness.steps import data, targets, transfer
from harness.steps.cost import parameters_of
from harness.steps.cuda import reproducible

if TYPE_CHECKING:
    from harness.run.job import Job


def run(job: Job) -> dict[str, Any]:
    """Return `parameters` and the number of training `examples`; save the model in the folder `model`."""
    student: Student = job.component("student")
    loss: Loss = job.component("loss")
    source = job.need("data")
    if job.has("transfer"):
        examples = transfer.load(job.need("transfer"), tuple(source.result["classes"]), job.task_type)
    else:
        examples = data.load(source, "train", job.task_type)
    if job.has("targets"):
        examples = replace(examples, logits=targets.load(job.need("targets"), "logits"))
    if job.has("hidden"):
        examples = replace(examples, hidden=targets.load(job.need("hidden"), "hidden"))
    validation = data.load(source, "validation", job.task_type)
    with reproducible(job.device):
        model = student.fit(examples, validation, loss, job)
    (folder := job.folder / "model").mkdir()
    model.save(folder)
    return {"parameters": parameters_of(model), "examples": len(examples)}
