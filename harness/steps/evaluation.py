"""Score a model on validation and test, and against its teacher; its logits are kept."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import metrics
from harness.api import HarnessError, Task, words_before
from harness.predictions import tags_of
from harness.steps import data
from harness.tagging import tagging

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.job import Job

PREDICTIONS = "predictions.safetensors"
_SPLITS = ("validation", "test")


def run(job: Job) -> dict[str, Any]:
    """Result: metrics by split; the folder holds the logits by split, each (N, C) float32.

    Of tagging, it also holds the tags that the model decided for, (N,) int16.
    """
    from safetensors.numpy import load_file, save_file

    source = job.need("data")
    model = job.model()
    task: Task | None = job.step.components.get("task")  # type: ignore[assignment]
    teacher = load_file(job.need("teacher").folder / PREDICTIONS) if job.has("teacher") else None
    logits: dict[str, NDArray[np.float32]] = {}
    decided: dict[str, NDArray[np.int16]] = {}  # of tagging
    result: dict[str, Any] = {}
    for split in _SPLITS:
        examples = data.load(source, split)
        assert examples.labels is not None
        clock = time.perf_counter()
        logits[split] = np.ascontiguousarray(model.predict(examples.texts), dtype=np.float32)
        seconds = time.perf_counter() - clock
        due = len(examples.labels), len(examples.classes)  # a row for each text, or for each word of each
        if logits[split].shape != due:
            raise HarnessError(
                f"'{job.learner.name}' predicted an array of shape {logits[split].shape} where {due} was due"
            )
        if examples.of_words:
            texts = list(examples.texts)
            before = words_before(texts)
            tags = model.decide(texts, logits[split])
            decided[tags_of(split)] = tags.astype(np.int16)
            result[split] = tagging(examples.labels, logits[split], examples.classes, before, texts, tags)
        elif examples.labels.dtype == np.float32:
            result[split] = metrics.regression(examples.labels, logits[split])
        else:
            positive = task.positive if task is not None else ""
            result[split] = metrics.classification(examples.labels, logits[split], examples.classes, positive)
        result[split]["texts_per_s"] = len(examples) / max(seconds, 1e-9)
        if teacher is not None:
            result[split]["agreement"] = metrics.agreement(logits[split], teacher[split])
    save_file({**logits, **decided}, job.folder / PREDICTIONS)
    return result
