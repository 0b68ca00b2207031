"""Fit a teacher on the gold labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.api import Teacher
from harness.steps import data
from harness.steps.cost import parameters_of, seconds_of
from harness.steps.cuda import reproducible

if TYPE_CHECKING:
    from harness.run.job import Job


def run(job: Job) -> dict[str, Any]:
    """Return `parameters` and the number of training `examples`; save the model in the folder `model`."""
    teacher: Teacher = job.component("teacher")
    source = job.need("data")
    train = data.load(source, "train", job.task_type)
    if members := job.all("member"):
        models = [
            member.load(artefact.folder / "model", job)
            for member, artefact in zip(teacher.members, members, strict=True)
        ]
        model = teacher.joined(models, job.task_type)
    else:
        validation = data.load(source, "validation", job.task_type)
        with reproducible(job.device):
            model = teacher.fit(train, validation, job)
    (folder := job.folder / "model").mkdir()
    model.save(folder)
    result: dict[str, Any] = {"parameters": parameters_of(model), "examples": len(train)}
    return result | ({"seconds_before": seconds_of(members)} if members else {})
