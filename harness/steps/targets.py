"""Label a transfer set with a teacher, once for all students, losses and seeds that use it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.api import HarnessError
from harness.steps import data, transfer
from harness.steps.cost import seconds_of
from harness.storage import logits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.api import Examples
    from harness.run.job import Job
    from harness.storage.store import Artefact

_TYPES: dict[str, np.dtype[Any]] = {"fp32": np.dtype(np.float32), "fp16": np.dtype(np.float16)}
_NAMES = {"logits": "logits", "hidden": "hidden states"}
_CHUNK = 16_384  # texts to predict and write at a time

Arrays = dict[str, "NDArray[Any]"]  # by the name of their file, without .npy


def run(job: Job) -> dict[str, Any]:
    """Return the number of `rows` and, for logits, their mean `confidence`, and how they are `stored`.

    Write `logits.npy`, (N, C) float32, or what :mod:`harness.storage.logits` makes of it if the plan says so,
    or `hidden.npy`, (N, H) float16, into the folder. Raise HarnessError if the teacher's outputs have the
    wrong shape or are not finite.
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
    tables: Arrays = {}
    confidence = 0.0
    first = done = classes = 0
    for chunk in chunks:
        last = first + _rows(job, chunk)
        block = ask(chunk[:])
        if block.ndim != 2 or len(block) != last - first:
            raise HarnessError(
                f"teacher '{job.learner.name}' returned an array of shape {block.shape} for "
                f"{len(chunk)} texts; expected {last - first} rows"
            )
        kept = _checked(job, block, output)
        tables = tables or _create(job, count, kept)
        for name, array in kept.items():
            tables[name][first:last] = array
        classes = block.shape[1]
        if output == "logits":
            confidence += float(job.task_type.confidence(block).sum())
        first, done = last, done + len(chunk)
        job.progress(done, len(texts))
    _flush(tables)  # there are none if there are fewer texts than parts
    told = {"confidence": confidence / max(1, count)} if output == "logits" else {}
    return {"rows": count, **told, **_stored(job, tables, classes)}


def _checked(job: Job, block: NDArray[Any], output: str) -> Arrays:
    """Return what is stored of a block of outputs; raise HarnessError if it is not finite."""
    dtype, most = _TYPES["fp16" if output == "hidden" else job.step.settings.get("logits", "fp32")], None
    if job.task_type.exclusive:
        most = job.step.settings.get("top_logits")
    finite = np.isfinite(block).all()
    with np.errstate(over="ignore"):  # reported below as an error
        packed = logits.packed(block, dtype, most) if finite and output == "logits" else {}
        kept = packed or {output: block.astype(dtype, copy=False)}
    if not all(np.isfinite(array).all() for array in kept.values()):
        which = f"too large for {dtype}" if finite else "not finite"
        raise HarnessError(f"teacher '{job.learner.name}' returned {_NAMES[output]} that are {which}")
    return kept


def _stored(job: Job, tables: Arrays, classes: int) -> dict[str, Any]:
    """Return how logits are stored, if not whole and in 32 bits."""
    told = {"type": job.step.settings["logits"]} if job.step.settings.get("logits", "fp32") != "fp32" else {}
    if logits.CLASSES in tables:
        told |= {"top": tables[logits.CLASSES].shape[1]}
    return {"stored": {**told, "classes": classes}} if told else {}


def _rows(job: Job, texts: Sequence[str]) -> int:
    """Return the number of rows of outputs that some texts have."""
    return int(job.task_type.rows_before(texts)[-1])


def _joined(job: Job, parts: list[Artefact], output: str) -> dict[str, Any]:
    """Concatenate the tables of all parts into one."""
    filled = [part for part in parts if part.result["rows"]]
    rows = [part.result["rows"] for part in filled]
    tables: Arrays = {}
    at = 0
    for part, count in zip(filled, rows, strict=True):
        own = _read(part, output)
        tables = tables or _create(job, sum(rows), own)
        for start in range(0, count, _CHUNK):
            stop = min(start + _CHUNK, count)
            for name, array in own.items():
                tables[name][at + start : at + stop] = array[start:stop]
        at += count
    _flush(tables)
    told = {}
    if output == "logits":
        shares = [part.result["confidence"] * count for part, count in zip(filled, rows, strict=True)]
        told["confidence"] = sum(shares) / sum(rows)
    classes = filled[0].result.get("stored", {}).get("classes", 0)
    return {"rows": sum(rows), "seconds_before": seconds_of(parts), **told, **_stored(job, tables, classes)}


def _create(job: Job, rows: int, like: Arrays) -> Arrays:
    """Create a file of `rows` rows for each array, with its type and width."""
    return {
        name: np.lib.format.open_memmap(
            job.folder / f"{name}.npy", mode="w+", dtype=array.dtype, shape=(rows, array.shape[1])
        )
        for name, array in like.items()
    }


def _flush(tables: Arrays) -> None:
    for table in tables.values():
        table.flush()  # type: ignore[attr-defined]


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
    arrays = _read(artefact, output)
    if (stored := artefact.result.get("stored")) is None:
        return arrays[output]
    return logits.Logits(arrays, stored["classes"])  # type: ignore[return-value]  # looks like an array


def _read(artefact: Artefact, output: str) -> Arrays:
    names = (output, logits.CLASSES, logits.REST) if output == "logits" else (output,)
    paths = {name: artefact.folder / f"{name}.npy" for name in names}
    return {
        name: np.load(path, mmap_mode="r", allow_pickle=False)
        for name, path in paths.items()
        if path.is_file()
    }
