"""Export a model to ONNX and check, on real texts, that it predicts what the model does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from harness.api import HarnessError, Unsupported
from harness.steps import data

if TYPE_CHECKING:
    from harness.job import Job

PARITY_TEXTS = 512
TOLERANCE = 1e-3  # largest difference of two logits, relative to their spread
CHANGED = 0.005  # share of predictions that may differ


def run(job: Job) -> dict[str, Any]:
    """Result: `exported`, and the parity found or the `reason` why there is no ONNX form."""
    from harness.onnx import GRAPH, OnnxModel

    model = job.model()
    try:
        model.export(job.folder)
    except Unsupported as error:
        for path in job.folder.iterdir():
            path.unlink()
        return {"exported": False, "reason": str(error)}
    texts = data.load(job.need("data"), "test").texts[:PARITY_TEXTS]
    expected, found = model.predict(texts), OnnxModel(job.folder, job.threads).predict(texts)
    difference = float(np.abs(expected - found).max())
    spread = max(1.0, float(np.abs(expected).max()))
    changed = int((expected.argmax(axis=1) != found.argmax(axis=1)).sum())
    # So written that a difference of NaN fails too.
    if not (difference <= TOLERANCE * spread and changed <= CHANGED * len(texts)):
        raise HarnessError(
            f"the ONNX export of '{job.learner.name}' is not the same model: {changed} of {len(texts)} "
            f"predictions changed, and logits differ by up to {difference:.2g}"
        )
    return {
        "exported": True,
        "texts": len(texts),
        "changed": changed,
        "difference": difference,
        "size_bytes": (job.folder / GRAPH).stat().st_size,
    }
