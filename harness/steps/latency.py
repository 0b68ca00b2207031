"""Measure the latency and throughput of a model in each of its forms.

Single texts are timed from the string to the answer; for tagging, that is the tags of all words, and for a
language model the token in place of the middle word. All texts at once give the throughput. The texts are
those of the test split. The step runs alone on the machine, as far as the harness knows: a measurement that
other programs disturbed is repeated, and marked if they go on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.api import Examples, Model, Unsupported
from harness.devices import Slot, cpu_count
from harness.runtime.forms import FORMS, TABLES, Exported, HalfModel, OpenVinoModel, installed, open_form
from harness.steps import clock, cuda, data
from harness.training.model import TorchModel

if TYPE_CHECKING:
    from harness.run.job import Job

QUERIES = 1000  # maximum number of texts
FIRST_S = 1.5  # seconds for single texts on one thread: the result that tables show
OTHER_S = 0.15  # seconds for single texts otherwise
FEWEST = 8  # single texts otherwise: enough for a median, but for a slow model too few for a p90
OFFLINE_S = 0.06  # seconds for all texts at once, and for tokenising


def run(job: Job) -> dict[str, Any]:
    """Return `latency`, a list of measurements, and the machine's `load` before they began.

    Each measurement has its backend, device, threads, scenario and number of texts. Single texts have
    percentiles and the part of tokenising, in milliseconds; all texts at once have texts per second. Either
    has `disturbed` if other programs slowed it, see :func:`harness.steps.clock.disturbed`.
    """
    load = os.getloadavg()[0]
    queries = _queries(data.load(job.need("data"), "test", job.task_type))
    measured: list[dict[str, Any]] = []
    model = replace(job, slot=Slot("cpu", job.threads)).model()
    tokenising = _tokenising(model, queries)
    for threads in _threads(job) if isinstance(model, TorchModel) else (job.threads,):
        with _torch_threads(threads, model):
            measured += _measure(model, queries, replace(job, slot=Slot("cpu", threads)))
    for form in _forms(job):
        if form == HalfModel.form:
            continue  # for GPUs
        for threads in _threads(job) if form not in TABLES else (job.threads,):
            exported = open_form(job.need("export").folder, form, threads)
            measured += _measure(exported, queries, replace(job, slot=Slot("cpu", threads)))
    if job.device != "cpu":
        measured += _on_gpu(job, queries)
    for one in measured:
        if tokenising is not None and one["scenario"] == "single-stream":
            one["tokenising_ms"] = tokenising
    return {"latency": measured, "load": load}


def _queries(examples: Examples) -> list[str]:
    """Return random texts, in the form of queries of the task type."""
    chosen = np.random.default_rng(0).permutation(len(examples))[:QUERIES]
    return examples.task_type.queries([examples.texts[int(row)] for row in chosen])


def _on_gpu(job: Job, queries: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield measurements of the model, of its ONNX graph and of its CUDA graphs, if they exist."""
    model = job.model()
    yield from _measure(model, queries, job)
    for form in (form for form in ("onnx", HalfModel.form) if form in _forms(job)):
        try:
            exported = open_form(job.need("export").folder, form, job.threads, job.device)
        except Unsupported as why:
            job.warn(str(why))
        else:
            yield from _measure(exported, queries, job)
    if isinstance(model, TorchModel):
        try:
            graphed = cuda.GraphedModel(model, queries)
        except Unsupported as why:
            job.warn(str(why))
            if isinstance(why, cuda.Disordered):
                job.spoil()
        else:
            yield from _measure(graphed, queries, job)


def _threads(job: Job) -> list[int]:
    """Return the numbers of threads to measure: the step's own, and one for each CPU."""
    return sorted({job.threads, cpu_count()})


def _forms(job: Job) -> list[str]:
    """Return the names of the exported forms."""
    if not job.has("export") or not job.need("export").result["exported"]:
        return []
    folder = job.need("export").folder
    here = [form for form in FORMS if form != OpenVinoModel.form or installed()]
    return [form for form in here if (folder / FORMS[form]).is_file()]


def _measure(model: Model, queries: Sequence[str], job: Job) -> Iterator[dict[str, Any]]:
    """Yield the measurements of both scenarios, on the job's device and threads."""
    about = {"backend": _backend(model), "device": job.slot.device.partition(":")[0], "threads": job.threads}
    finish = _waiting(job.device)

    def decided(texts: Sequence[str]) -> Any:
        if isinstance(model, Exported):
            return model.decided(texts)
        return job.task_type.decide(model, texts, model.predict(texts))

    first = about["device"] != "cpu" or job.threads == 1
    ask = model.short if isinstance(model, Exported) else lambda text: decided([text])
    budget, fewest = (FIRST_S, clock.P90_FLOOR) if first else (OTHER_S, FEWEST)
    single = clock.calm(lambda warm_up: clock.single_stream(ask, queries, budget, finish, fewest, warm_up))
    assert single is not None
    if about["device"] != "cpu" and isinstance(model, TorchModel):
        single["kernels_ms"] = cuda.kernels_ms(model, queries[: clock.P90_FLOOR])
    yield {**about, **single}
    if isinstance(model, cuda.GraphedModel):
        return  # it takes one text at a time
    each_s = single["mean_ms"] / 1e3
    together = clock.calm(lambda warm_up: clock.offline(decided, queries, OFFLINE_S, each_s, finish, warm_up))
    if together is not None:
        yield {**about, **together}


def _tokenising(model: Model, queries: Sequence[str]) -> float | None:
    """Return the median milliseconds to turn a text into ids, which is the same for all forms."""
    featuriser = getattr(model, "featuriser", None)
    if featuriser is None:
        return None

    def encode(text: str) -> Any:
        return featuriser.encode([text])

    encoded = clock.calm(lambda warm_up: clock.single_stream(encode, queries, OFFLINE_S, warm_up=warm_up))
    return None if encoded is None else encoded["p50_ms"]


def _backend(model: Model) -> str:
    if isinstance(model, Exported):
        return model.form
    if isinstance(model, cuda.GraphedModel):
        return "torch-graph"
    return "torch" if isinstance(model, TorchModel) else "native"


def _waiting(device: str) -> Callable[[], None]:
    """Return a function that waits until a device has finished all its work."""
    if device == "cpu":
        return clock.nothing
    import torch

    return torch.cuda.synchronize


@contextmanager
def _torch_threads(threads: int, model: Model) -> Iterator[None]:
    """Set the number of threads of torch, which is a setting of the whole process, for a while."""
    if not isinstance(model, TorchModel):
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
