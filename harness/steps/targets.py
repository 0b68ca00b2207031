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
    """Result: `rows`, and of logits the mean `confidence`.

    The folder holds `logits.npy`, (N, C) float32, or `hidden.npy`, (N, H) float16.
    """
    texts = transfer.load(job.need("transfer"), ()).texts
    model = job.model()
    output = job.step.settings["output"]
    ask, dtype = (model.hidden, np.float16) if output == "hidden" else (model.predict, np.float32)
    table: NDArray[Any] | None = None
    confidence = 0.0
    for start in range(0, len(texts), _CHUNK):
        chunk = texts[start : start + _CHUNK]
        block = ask(chunk)
        if block.ndim != 2 or len(block) != len(chunk):
            raise HarnessError(
                f"teacher '{job.learner.name}' gave an array of shape {block.shape} for {len(chunk)} texts"
            )
        if not np.isfinite(block).all():
            raise HarnessError(f"teacher '{job.learner.name}' gave {output} that are not finite")
        if table is None:
            shape = (len(texts), block.shape[1])
            path = job.folder / f"{output}.npy"
            table = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
        table[start : start + len(block)] = block
        if output == "logits":
            shifted = np.exp(block - block.max(axis=1, keepdims=True))
            confidence += float((shifted.max(axis=1) / shifted.sum(axis=1)).sum())
        job.progress(start + len(block), len(texts))
    assert table is not None
    table.flush()  # type: ignore[attr-defined]
    told = {"confidence": confidence / len(texts)} if output == "logits" else {}
    return {"rows": len(texts), **told}


def load(artefact: Artefact, output: str) -> NDArray[Any]:
    """The logits or hidden states of a transfer set, memory-mapped."""
    return np.load(artefact.folder / f"{output}.npy", mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
