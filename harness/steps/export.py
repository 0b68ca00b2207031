"""Export a model to ONNX and check, on real texts, each form of it: does it predict what the model does?

A form in fp32 that differs from its model is a mistake, and fails the cell. One in int8 may differ; where
that costs a point of the score or more, beyond chance, it is rejected: the reason is kept, the file is not.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.api import Examples, HarnessError, TaskType, Unsupported, parameters_of
from harness.parameters import frozen
from harness.steps import data

if TYPE_CHECKING:
    from pathlib import Path

    from harness.run.job import Job

# Scored on the first texts of the test split: so many, or fewer where a model has over a million parameters.
TEXTS, FEWER, LARGE = 4096, 256, 1_000_000
TOLERANCE = 1e-3  # largest difference of two logits, relative to their spread
CHANGED = 0.005  # share of predictions that may differ
LOST = 0.01  # of accuracy, of F1, or of the correlation of a regression, that int8 may not lose
# Nats that int8 may add to the mean negative log-likelihood of hidden tokens. Accuracy alone hides what it
# does to all other probabilities, which are what a language model is asked for; 0.05 is 5 % of perplexity.
RISEN = 0.05


def run(job: Job) -> dict[str, Any]:
    """Result: `exported` and what was found of each of its `forms`, or the `reason` why there is none.

    For each form: what the task type's ``parity`` found; its `file_bytes`, and `size_bytes` with all
    that it needs beside it.
    """
    from harness.exports.onnx import GRAPH  # also so that the step's key covers how a module is exported
    from harness.exports.quantise import quantise
    from harness.runtime.forms import FORMS, INT8, open_form

    model = job.model()
    try:
        model.export(job.folder)
    except Unsupported as error:
        for path in job.folder.iterdir():
            path.unlink()
        return {"exported": False, "reason": str(error)}
    rejected: dict[str, str] = {}
    try:
        quantise(job.folder)
    except Unsupported as error:
        rejected["onnx-int8"] = str(error)
    count = FEWER if model.parameters().total > LARGE else TEXTS
    task_type = job.task_type
    if job.has("evaluation") and (chosen := job.need("evaluation").result.get("decision")):
        task_type = replace(task_type, **{name: frozen(value) for name, value in chosen.items()})
    examples = _first(data.load(job.need("data"), "test", task_type), count)
    compare = task_type.parity(model, examples)
    _describe(job.folder, task_type)
    files = {path.name: path.stat().st_size for path in job.folder.iterdir()}
    beside = sum(size for name, size in files.items() if name not in FORMS.values())
    forms: dict[str, Any] = {}
    for form, file in FORMS.items():
        if file not in files:
            continue
        compared = compare(open_form(job.folder, form, job.threads))
        if file == INT8:
            if why := too_much_lost(compared):
                rejected[form] = compared["rejected"] = why
                (job.folder / file).unlink()
        elif not is_same(compared):
            raise HarnessError(
                f"the ONNX export of '{job.learner.name}' is not the same model"
                f"{'' if file == GRAPH else f' in its form {form!r}'}: {compared['changed']} of "
                f"{compared['outputs']} predictions changed, and logits differ by up to "
                f"{compared['difference']:.2g}"
            )
        forms[form] = {**compared, "file_bytes": files[file], "size_bytes": files[file] + beside}
    for form, why in rejected.items():
        forms.setdefault(form, {"rejected": why})
    if rejected:  # for whoever asks for one of them
        _describe(job.folder, task_type, rejected=rejected)
    plain = ("texts", "changed", "difference", "size_bytes")
    return {"exported": True, **{name: forms["onnx"][name] for name in plain}, "forms": forms}


def _first(examples: Examples, count: int) -> Examples:
    """Return the first of some examples."""
    texts, labels = examples.texts[:count], examples.labels
    if labels is not None:
        labels = labels[: int(examples.task_type.rows_before(texts)[-1])]
    return replace(examples, texts=texts, labels=labels)


def _describe(folder: Path, task_type: TaskType, **more: Any) -> None:
    """Write the task type into the manifest, and more; plugins may leave the manifest to us."""
    from harness.runtime.forms import MANIFEST, read_manifest

    path = folder / MANIFEST
    found = read_manifest(folder) if path.is_file() else {"format": 1}
    options = parameters_of(task_type)
    known = {"name": task_type.name, "module": type(task_type).__module__, "options": options}
    path.write_text(json.dumps({**found, "task_type": known, **more}), encoding="utf-8")


def is_same(compared: dict[str, Any]) -> bool:
    """Return whether a form in fp32 is the model itself."""
    # So written that a difference of NaN fails too.
    close = compared["difference"] <= TOLERANCE * compared["spread"]
    return bool(close and compared["changed"] <= CHANGED * compared["outputs"])


def too_much_lost(compared: dict[str, Any]) -> str:
    """Return why a form in int8 is rejected; "" if it is not."""
    lost, error = compared["lost"], compared["error"]
    if not np.isfinite(compared["difference"]):
        return "its outputs are not finite"
    if lost >= LOST and lost > 2 * error:
        return (
            f"it loses {100 * lost:.1f} points of the score on {compared['texts']} texts; "
            f"allowed: less than {100 * LOST:.0f}"
        )
    if (risen := compared.get("risen", 0.0)) > RISEN + 2 * compared.get("risen_error", 0.0):
        return (
            f"its mean negative log-likelihood is {risen:.2f} nats higher on {compared['texts']} texts; "
            f"allowed: {RISEN}"
        )
    return ""
