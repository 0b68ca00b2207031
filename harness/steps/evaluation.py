"""Score a model on the validation and test sets, compare it with its teacher, and store its answers."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from harness.api import HarnessError, Model, Teacher, parameters_of
from harness.steps import data
from harness.task_types.base import WrongShape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.run.job import Job
    from harness.storage.store import Artefact
    from harness.task_types.base import Answers

PREDICTIONS = "predictions.safetensors"
PROBE = "probe.json"
_SPLITS = ("validation", "test")


def run(job: Job) -> dict[str, Any]:
    """Return the metrics by split; store the answers to both splits in the folder.

    `decision` contains the options of the task type that were chosen on the validation set, if any. `probes`
    contains further facts about the model, by name.
    """
    from safetensors.numpy import save_file

    source, model, task_type = job.need("data"), job.model(), job.task_type
    teacher = job.need("teacher") if job.has("teacher") else None
    kept: dict[str, NDArray[Any]] = {}
    result: dict[str, Any] = {}
    for split in _SPLITS:
        examples = data.load(source, split, task_type)
        clock = time.perf_counter()
        try:
            answers = task_type.ask(model, examples.texts, examples.classes)
        except WrongShape as error:
            raise HarnessError(f"'{job.learner.name}' {error}") from None
        seconds = time.perf_counter() - clock
        if split == "validation":
            task_type = task_type.tuned(answers, examples)
        answers = task_type.settle(answers)
        result[split] = task_type.score(answers, examples)
        if teacher is not None:
            agreed = task_type.agreement(answers, answers_of(teacher, split))
            if agreed is not None:
                result[split]["agreement"] = agreed
        kept |= {f"{split}-{name}": array for name, array in answers.items()}
        result[split]["texts_per_s"] = len(examples) / max(seconds, 1e-9)
    save_file(kept, job.folder / PREDICTIONS)
    if task_type != job.task_type:
        result["decision"] = parameters_of(task_type)
    _probe(job, model, teacher, result)
    return result


def answers_of(artefact: Artefact, split: str) -> Answers:
    """Return the answers to a split that an evaluation stored."""
    from safetensors.numpy import load_file

    kept = load_file(artefact.folder / PREDICTIONS)
    prefix = f"{split}-"
    return {name.removeprefix(prefix): array for name, array in kept.items() if name.startswith(prefix)}


def _probe(job: Job, model: Model, teacher: Artefact | None, result: dict[str, Any]) -> None:
    """Store further facts about a model, and add them to the result."""
    learner = job.learner
    of_teacher = None
    if teacher is not None and (path := teacher.folder / PROBE).is_file():
        of_teacher = json.loads(path.read_text(encoding="utf-8"))

    def untuned() -> Model | None:
        return learner.untuned(job) if isinstance(learner, Teacher) else None

    texts = data.load(job.need("data"), "train", job.task_type).texts
    probe = job.task_type.probe(model, untuned, texts, of_teacher)
    if probe is None:
        return
    (job.folder / PROBE).write_text(json.dumps(probe.kept, ensure_ascii=False), encoding="utf-8")
    result["test"] |= probe.scores
    result["probes"] = {probe.name: probe.shown}
