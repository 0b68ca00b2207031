"""Score a model on validation and test, and against its teacher; its answers are kept."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.api import Examples, HarnessError, Masked, Model, Task, Teacher, words_before
from harness.steps import data
from harness.task_types import metrics, neighbours
from harness.task_types.kept import masked_in, of_masked, tags_of
from harness.task_types.neighbours import Neighbours
from harness.task_types.tags import tagging

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.run.job import Job

PREDICTIONS = "predictions.safetensors"
NEIGHBOURS = "neighbours.json"
_SPLITS = ("validation", "test")
_BEFORE = "_before"  # a teacher's neighbours before it was fitted to the task
_SHOWN = 20  # words whose neighbours stand in the record


def run(job: Job) -> dict[str, Any]:
    """Result: metrics by split; the folder holds the logits by split, each (N, C) float32.

    Of tagging, it also holds the tags that the model decided for, (N,) int16; of language modelling, in
    place of logits, what came of each hidden token (:func:`harness.task_types.kept.of_masked`) and the
    nearest neighbours of words, of which the result has some as `neighbours`.
    """
    from safetensors.numpy import load_file, save_file

    source = job.need("data")
    model = job.model()
    task: Task | None = job.step.components.get("task")  # type: ignore[assignment]
    teacher = load_file(job.need("teacher").folder / PREDICTIONS) if job.has("teacher") else None
    kept: dict[str, NDArray[Any]] = {}
    result: dict[str, Any] = {}
    for split in _SPLITS:
        examples = data.load(source, split)
        clock = time.perf_counter()
        if examples.labels is None:
            masked = model.masked(examples.texts)
            seconds = time.perf_counter() - clock
            result[split] = metrics.language_modelling(masked)
            if teacher is not None and (share := _agreement(masked, teacher, split)) is not None:
                result[split]["agreement"] = share
            kept |= of_masked(split, masked)
        else:
            logits = np.ascontiguousarray(model.predict(examples.texts), dtype=np.float32)
            seconds = time.perf_counter() - clock
            kept[split] = logits
            result[split], decided = _scored(job, examples, model, logits, task)
            if decided is not None:
                kept[tags_of(split)] = decided
            if teacher is not None:
                result[split]["agreement"] = metrics.agreement(logits, teacher[split])
        result[split]["texts_per_s"] = len(examples) / max(seconds, 1e-9)
    save_file(kept, job.folder / PREDICTIONS)
    if data.load(source, "test").labels is None:
        result["neighbours"] = _neighbours(job, model, result["test"])
    return result


def _scored(
    job: Job, examples: Examples, model: Model, logits: NDArray[np.float32], task: Task | None
) -> tuple[dict[str, Any], NDArray[np.int16] | None]:
    """The metrics of logits for labelled texts, and of tagging the tags that the model decided for."""
    labels, classes = examples.labels, examples.classes
    assert labels is not None
    due = len(labels), len(classes)  # a row for each text, or for each word of each
    if logits.shape != due:
        raise HarnessError(
            f"'{job.learner.name}' predicted an array of shape {logits.shape} where {due} was due"
        )
    if examples.of_words:
        texts = list(examples.texts)
        tags = model.decide(texts, logits)
        scores = tagging(labels, logits, classes, words_before(texts), texts, tags)
        return scores, tags.astype(np.int16)
    if labels.dtype == np.float32:
        return metrics.regression(labels, logits), None
    positive = task.positive if task is not None else ""
    return metrics.classification(labels, logits, classes, positive), None


def _agreement(masked: Masked, teacher: Mapping[str, NDArray[Any]], split: str) -> float | None:
    """The share of hidden tokens of which both think the same likeliest; None where they see other tokens."""
    other = masked_in(teacher, split)
    if other is None or not all(np.array_equal(a, b) for a, b in zip(masked[:2], other[:2], strict=True)):
        return None
    return float((masked.predicted == other.predicted).mean())


def _neighbours(job: Job, model: Model, scores: dict[str, Any]) -> dict[str, Any]:
    """Keep the nearest neighbours of frequent words, add to the scores how many the teacher shares.

    Those of a teacher that was pretrained are held against its own before it was fitted.
    """
    words = neighbours.words_of(data.load(job.need("data"), "train").texts)
    own: Neighbours = neighbours.neighbours_of(model, words)
    before: Neighbours = {}
    if job.has("teacher"):
        held = json.loads((job.need("teacher").folder / NEIGHBOURS).read_text(encoding="utf-8"))
        before = {kind: held[kind + _BEFORE] for kind in neighbours.KINDS if kind + _BEFORE in held}
        scores |= neighbours.scores(own, held)
    elif isinstance(job.learner, Teacher) and (start := job.learner.untuned(job)) is not None:
        before = neighbours.neighbours_of(start, words)
    scores |= neighbours.scores(own, before, _BEFORE)
    teachers = {} if job.has("teacher") else {kind + _BEFORE: near for kind, near in before.items()}
    found = own | teachers
    (job.folder / NEIGHBOURS).write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")
    shown = words.asked[:: max(1, len(words.asked) // _SHOWN)][:_SHOWN]
    return {kind: {word: near[word] for word in shown} for kind, near in found.items()}
