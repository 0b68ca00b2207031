"""Time single texts, from string to logits, through each form that a model has.

The texts are the test split's own, so their lengths are too. Runs alone on the machine.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.api import Model
from harness.devices import Slot
from harness.nn import TorchModel
from harness.steps import data

if TYPE_CHECKING:
    from harness.job import Job

WARM_UP = 16
QUERIES = 1000
FEWEST = 64  # a p90 from fewer says little (MLPerf Inference rules)
BUDGET_S = 2.0  # a slow model is asked fewer texts, but never fewer than FEWEST


def run(job: Job) -> dict[str, Any]:
    """Result: `latency`, a list of measurements, each with its backend, device, threads and percentiles."""
    texts = data.load(job.need("data"), "test").texts
    chosen = np.random.default_rng(0).permutation(len(texts))[:QUERIES]
    queries = [texts[int(row)] for row in chosen]
    on_cpu = replace(job, slot=Slot("cpu", job.threads))
    model = on_cpu.model()
    native = "torch" if isinstance(model, TorchModel) else "native"
    measured = [{"backend": native, **_measure(model, queries, on_cpu)}]
    if job.has("export") and job.need("export").result["exported"]:
        from harness.onnx import OnnxModel

        exported = OnnxModel(job.need("export").folder, job.threads)
        measured.append({"backend": "onnx", **_measure(exported, queries, on_cpu)})
    if job.device != "cpu":
        measured.append({"backend": native, **_measure(job.model(), queries, job)})
    return {"latency": measured, "load": os.getloadavg()[0]}


def _measure(model: Model, queries: Sequence[str], job: Job) -> dict[str, Any]:
    def finish() -> None:
        if job.device != "cpu":
            import torch

            torch.cuda.synchronize()

    for text in queries[:WARM_UP]:
        model.predict([text])
    finish()
    took: list[int] = []
    deadline = time.perf_counter() + BUDGET_S
    for text in queries:
        start = time.perf_counter_ns()
        model.predict([text])
        finish()
        took.append(time.perf_counter_ns() - start)
        if len(took) >= FEWEST and time.perf_counter() > deadline:
            break
    milliseconds = np.array(took) / 1e6
    p50, p90, p99 = np.percentile(milliseconds, [50, 90, 99])
    return {
        "device": "cpu" if job.device == "cpu" else "cuda",
        "threads": job.threads,
        "batch": 1,
        "n": len(took),
        "mean_ms": float(milliseconds.mean()),
        "p50_ms": float(p50),
        "p90_ms": float(p90),
        "p99_ms": float(p99),
    }
