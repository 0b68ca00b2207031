"""Label a transfer set with a teacher, once for all students, losses and seeds that use it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.api import HarnessError
from harness.steps import data, transfer
from harness.steps.cost import seconds_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.api import Examples
    from harness.run.job import Job
    from harness.storage.store import Artefact

_KEPT: dict[str, Any] = {"logits": np.dtype(np.float32), "hidden": np.dtype(np.float16)}
_NAMES = {"logits": "logits", "hidden": "hidden states"}
_CHUNK = 16_384  # texts to predict and write at a time


def run(job: Job) -> dict[str, Any]:
    """Return the number of `rows` and, for logits, their mean `confidence`.

    Write `logits.npy`, (N, C) float32, or `hidden.npy`, (N, H) float16, into the folder. Raise HarnessError
    if the teacher's outputs have the wrong shape or are not finite.
    """
    output: str = job.step.settings["output"]
    if parts := job.all("part"):
        return _joined(job, parts, output)
    every = transfer.texts_of(job.need("transfer"))
    part, of = job.step.settings.get("part", 0), job.step.settings.get("parts", 1)
    texts = every.part(len(every) * part // of, len(every) * (part + 1) // of)
    chunks = [texts.part(at, at + _CHUNK) for at in range(0, len(texts), _CHUNK)]
    count = sum(_rows(job, chunk) for chunk in chunks)
    model = job.model()
    ask = model.hidden if output == "hidden" else model.predict
    table: NDArray[Any] | None = None
    confidence = 0.0
    first = done = 0
    for chunk in chunks:
        last = first + _rows(job, chunk)
        block = ask(chunk[:])
        if block.ndim != 2 or len(block) != last - first:
            raise HarnessError(
                f"teacher '{job.learner.name}' returned an array of shape {block.shape} for "
                f"{len(chunk)} texts; expected {last - first} rows"
            )
        with np.errstate(over="ignore"):  # reported below as an error
            kept = block.astype(_KEPT[output], copy=False)
        if not np.isfinite(kept).all():
            which = "not finite" if not np.isfinite(block).all() else f"too large for {kept.dtype}"
            raise HarnessError(f"teacher '{job.learner.name}' returned {_NAMES[output]} that are {which}")
        if table is None:
            table = _create(job, output, (count, block.shape[1]))
        table[first:last] = kept
        if output == "logits":
            confidence += float(job.task_type.confidence(block).sum())
        first, done = last, done + len(chunk)
        job.progress(done, len(texts))
    if table is not None:  # None if there are fewer texts than parts
        table.flush()  # type: ignore[attr-defined]
    told = {"confidence": confidence / max(1, count)} if output == "logits" else {}
    return {"rows": count, **told}


def _rows(job: Job, texts: Sequence[str]) -> int:
    """Return the number of rows of outputs that some texts have."""
    return int(job.task_type.rows_before(texts)[-1])


def _joined(job: Job, parts: list[Artefact], output: str) -> dict[str, Any]:
    """Concatenate the tables of all parts into one."""
    filled = [part for part in parts if part.result["rows"]]
    rows = [part.result["rows"] for part in filled]
    table = _create(job, output, (sum(rows), load(filled[0], output).shape[1]))
    at = 0
    for part, count in zip(filled, rows, strict=True):
        own = load(part, output)
        for start in range(0, count, _CHUNK):
            table[at + start : at + min(start + _CHUNK, count)] = own[start : start + _CHUNK]
        at += count
    table.flush()  # type: ignore[attr-defined]
    told = {}
    if output == "logits":
        shares = [part.result["confidence"] * count for part, count in zip(filled, rows, strict=True)]
        told["confidence"] = sum(shares) / sum(rows)
    return {"rows": sum(rows), "seconds_before": seconds_of(parts), **told}


def _create(job: Job, output: str, shape: tuple[int, int]) -> NDArray[Any]:
    path = job.folder / f"{output}.npy"
    return np.lib.format.open_memmap(path, mode="w+", dtype=_KEPT[output], shape=shape)


def examples(job: Job) -> Examples:
    """Return what a step learns from: the transfer set with a teacher's outputs, or the training set."""
    source = job.need("data")
    if job.has("transfer"):
        found = transfer.load(job.need("transfer"), tuple(source.result["classes"]), job.task_type)
    else:
        found = data.load(source, "train", job.task_type)
    if job.has("targets"):
        found = replace(found, logits=load(job.need("targets"), "logits"))
    if job.has("hidden"):
        found = replace(found, hidden=load(job.need("hidden"), "hidden"))
    return found


def load(artefact: Artefact, output: str) -> NDArray[Any]:
    """Return the logits or hidden states of a transfer set, memory-mapped."""
    return np.load(artefact.folder / f"{output}.npy", mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
