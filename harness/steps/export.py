"""Export a model to ONNX and check, on real texts, each form of it: does it predict what the model does?

A form in fp32 that differs from its model is a mistake, and fails the cell. One in int8 may differ; where
that costs a point of the score or more, beyond chance, it is rejected: the reason is kept, the file is not.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.api import Examples, HarnessError, Unsupported, parameters_of
from harness.exports import parity
from harness.parameters import frozen
from harness.steps import data

if TYPE_CHECKING:
    from pathlib import Path

    from harness.run.job import Job

# Scored on the first texts of the test split: so many, or fewer where a model has over a million parameters.
TEXTS, FEWER, LARGE = 4096, 256, 1_000_000


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
    known = {
        "name": task_type.name,
        "module": type(task_type).__module__,
        "options": parameters_of(task_type),
    }
    _add(job.folder, task_type=known)
    files = {path.name: path.stat().st_size for path in job.folder.iterdir()}
    beside = sum(size for name, size in files.items() if name not in FORMS.values())
    forms: dict[str, Any] = {}
    for form, file in FORMS.items():
        if file not in files:
            continue
        compared = compare(open_form(job.folder, form, job.threads, task_type=task_type))
        if file == INT8:
            if why := parity.too_much_lost(compared):
                rejected[form] = compared["rejected"] = why
                (job.folder / file).unlink()
        elif not parity.is_same(compared):
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
        _add(job.folder, rejected=rejected)
    plain = ("texts", "changed", "difference", "size_bytes")
    return {"exported": True, **{name: forms["onnx"][name] for name in plain}, "forms": forms}


def _first(examples: Examples, count: int) -> Examples:
    """Return the first of some examples."""
    texts, labels = examples.texts[:count], examples.labels
    if labels is not None:
        labels = labels[: int(examples.task_type.rows_before(texts)[-1])]
    return replace(examples, texts=texts, labels=labels)


def _add(folder: Path, **fields: Any) -> None:
    """Add fields to the manifest. Plugins may leave it to us."""
    from harness.runtime.forms import MANIFEST, read_manifest

    path = folder / MANIFEST
    found = read_manifest(folder) if path.is_file() else {"format": 1}
    path.write_text(json.dumps({**found, **fields}), encoding="utf-8")
