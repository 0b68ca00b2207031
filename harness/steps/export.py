"""Export a model to ONNX and check, on real texts, each form of it: does it predict what the model does?

A form in fp32 that differs from its model is a mistake, and fails the cell. One in int8 may differ; where
that costs a point of the score or more, beyond chance, it is rejected: the reason is kept, the file is not.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import metrics
from harness.api import HarnessError, Unsupported
from harness.steps import data

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from harness.job import Job

# Scored on the first texts of the test split: so many, or fewer where a model has over a million parameters.
TEXTS, FEWER, LARGE = 4096, 256, 1_000_000
TOLERANCE = 1e-3  # largest difference of two logits, relative to their spread
CHANGED = 0.005  # share of predictions that may differ
LOST = 0.01  # of accuracy, or of the correlation of a regression, that int8 may not lose


def run(job: Job) -> dict[str, Any]:
    """Result: `exported` and what was found of each of its `forms`, or the `reason` why there is none.

    Of a form: `texts` scored, predictions `changed`, the largest `difference` of two logits, its `score` and
    how much of the model's it `lost`; its `file_bytes`, and `size_bytes` with all that it needs beside it.
    """
    from harness.onnx import GRAPH  # also so that the step's key covers how a module is exported
    from harness.quantise import quantise
    from harness.runtime import FORMS, INT8

    examples = data.load(job.need("data"), "test")
    if examples.of_words:
        return {"exported": False, "reason": "the runtime labels texts, and not yet their words"}
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
    texts, labels = examples.texts[:count], examples.labels
    assert labels is not None
    expected = model.predict(texts)
    files = {path.name: path.stat().st_size for path in job.folder.iterdir()}
    beside = sum(size for name, size in files.items() if name not in FORMS.values())
    forms: dict[str, Any] = {}
    for form, file in FORMS.items():
        if file not in files:
            continue
        compared = _compare(expected, _predict(job, form, texts), labels[:count])
        if file == INT8:
            if why := _too_much_lost(compared):
                rejected[form] = compared["rejected"] = why
                (job.folder / file).unlink()
        # So written that a difference of NaN fails too.
        elif not (
            compared["difference"] <= TOLERANCE * compared["spread"]
            and compared["changed"] <= CHANGED * len(texts)
        ):
            raise HarnessError(
                f"the ONNX export of '{job.learner.name}' is not the same model"
                f"{'' if file == GRAPH else f' in its form {form!r}'}: {compared['changed']} of {len(texts)} "
                f"predictions changed, and logits differ by up to {compared['difference']:.2g}"
            )
        forms[form] = {**compared, "file_bytes": files[file], "size_bytes": files[file] + beside}
    for form, why in rejected.items():
        forms.setdefault(form, {"rejected": why})
    _complete(job.folder, rejected)
    plain = ("texts", "changed", "difference", "size_bytes")
    return {"exported": True, **{name: forms["onnx"][name] for name in plain}, "forms": forms}


def _predict(job: Job, form: str, texts: Any) -> NDArray[np.float32]:
    from harness.runtime import open_form

    return open_form(job.folder, form, job.threads).predict(texts)


def _compare(expected: NDArray[Any], found: NDArray[Any], labels: NDArray[Any]) -> dict[str, Any]:
    """How far a form's logits (N, C) are from the model's."""
    changed = expected.argmax(axis=1) != found.argmax(axis=1)
    compared: dict[str, Any] = {
        "texts": len(expected),
        "changed": int(changed.sum()),
        "difference": float(np.abs(expected - found).max()),
        "spread": max(1.0, float(np.abs(expected).max())),
    }
    if labels.dtype == np.float32:  # of a regression
        known = ~np.isnan(labels)
        before, after = (
            metrics.correlation(labels[known], outputs[known, 0]) for outputs in (expected, found)
        )
        return {**compared, "score": after, "lost": before - after, "error": 0.0}
    known = labels >= 0
    right = [(outputs.argmax(axis=1) == labels)[known] for outputs in (expected, found)]
    count = max(1, len(right[0]))
    # Only texts on which one is right and the other wrong tell a difference (McNemar, 1947).
    error = float(np.sqrt((right[0] != right[1]).sum()) / count)
    after = float(right[1].sum() / count)
    return {**compared, "score": after, "lost": float(right[0].sum() / count) - after, "error": error}


def _too_much_lost(compared: dict[str, Any]) -> str:
    """Why a form in int8 is rejected; nothing where it is not."""
    lost, error = compared["lost"], compared["error"]
    if not np.isfinite(compared["difference"]):
        return "its outputs are not finite"
    if lost >= LOST and lost > 2 * error:
        return (
            f"it loses {100 * lost:.1f} points of the score on {compared['texts']} texts, "
            f"where less than {100 * LOST:.0f} is allowed"
        )
    return ""


def _complete(folder: Path, rejected: dict[str, str]) -> None:
    """Whoever asks for a form that is not there shall read why; plugins may leave the manifest to us."""
    from harness.runtime import MANIFEST, read_manifest

    path = folder / MANIFEST
    found = read_manifest(folder) if path.is_file() else {"format": 1}
    path.write_text(json.dumps({**found, **({"rejected": rejected} if rejected else {})}), encoding="utf-8")
