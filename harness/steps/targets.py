"""Label a transfer set with a teacher, once for every student, loss and seed that learns from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from harness.api import HarnessError
from harness.steps import transfer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.job import Job
    from harness.store import Artefact

_CHUNK = 16_384  # texts that are scored, and whose logits are written, at a time


def run(job: Job) -> dict[str, Any]:
    """Result: `rows` and the mean confidence; the folder holds `logits.npy`, (N, C) float32."""
    texts = transfer.load(job.need("transfer"), ()).texts
    model = job.model()
    logits: NDArray[np.float32] | None = None
    confidence = 0.0
    for start in range(0, len(texts), _CHUNK):
        chunk = texts[start : start + _CHUNK]
        block = model.predict(chunk)
        if block.ndim != 2 or len(block) != len(chunk):
            raise HarnessError(
                f"teacher '{job.learner.name}' gave an array of shape {block.shape} for {len(chunk)} texts"
            )
        if not np.isfinite(block).all():
            raise HarnessError(f"teacher '{job.learner.name}' gave logits that are not finite")
        if logits is None:
            shape = (len(texts), block.shape[1])
            logits = np.lib.format.open_memmap(
                job.folder / "logits.npy", mode="w+", dtype=np.float32, shape=shape
            )
        logits[start : start + len(block)] = block
        shifted = np.exp(block - block.max(axis=1, keepdims=True))
        confidence += float((shifted.max(axis=1) / shifted.sum(axis=1)).sum())
        job.progress(start + len(block), len(texts))
    assert logits is not None
    logits.flush()  # type: ignore[attr-defined]
    return {"rows": len(texts), "confidence": confidence / len(texts)}


def load(artefact: Artefact) -> NDArray[np.float32]:
    """The logits of a transfer set, memory-mapped."""
    return np.load(artefact.folder / "logits.npy", mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
