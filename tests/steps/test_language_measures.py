"""Language models through the export and latency steps: real graphs, and texts with a hidden word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from stepbench import Bench, Given, Speaker

from harness.api import MASK
from harness.devices import cpu_count
from harness.runtime.forms import load
from harness.steps import clock
from harness_transformers.masked_lm import MaskedLM

pytestmark = pytest.mark.usefixtures("brief_latencies")
TEXTS = [
    *("the sun is here today", "so much rain today", "i like wind and more wind", "snow"),
    *("a sun and a rain", "no snow here", "more rain more wind", "here is the snow"),
]


class Raw(Given):
    """Texts without labels."""

    name = "raw"
    task_type = "language-modelling"


def raw(*texts: str) -> Raw:
    table = pa.table({"text": pa.array(texts, pa.string())})
    return Raw({"train": table, "validation": table, "test": table})


def test_a_language_model_is_exported_scored_and_timed(bench: Bench) -> None:
    teacher = MaskedLM(
        vocabulary=300, width=16, layers=1, heads=2, feedforward=32, epochs=30, longest=16, batch_size=8
    )
    task = raw(*TEXTS)
    source = bench.run("data", task=task)
    model = bench.run("teacher", {"data": source}, teacher=teacher)
    found = bench.run("export", {"data": source, "model": model}, teacher=teacher)
    assert found.result["exported"] is True and found.result["changed"] == 0
    forms = found.result["forms"]
    assert set(forms) == {"onnx", "onnx-int8"}
    scored = bench.run("evaluation", {"data": source, "model": model}, task=task, teacher=teacher)
    for name in ("masked_accuracy", "perplexity"):
        own = forms["onnx"]["score" if name == "masked_accuracy" else name]
        assert own == pytest.approx(scored.result["test"][name], rel=1e-4)
    form = load(found.folder)
    tokens = sum(map(len, form.featuriser.encode(TEXTS)))
    assert forms["onnx"]["texts"] == 8 and forms["onnx"]["outputs"] == tokens
    assert forms["onnx"]["lost"] == 0 and "error" in forms["onnx-int8"]
    assert len(form.tokens(f"the {MASK} is {MASK} today")) == 2
    needs = {"data": source, "model": model, "export": found}
    measured = bench.run("latency", needs, teacher=teacher).result["latency"]
    every = sorted({1, cpu_count()})
    backends = ["torch", "onnx", *(["onnx-int8"] if "rejected" not in forms["onnx-int8"] else [])]
    assert [(one["backend"], one["threads"], one["scenario"]) for one in measured] == [
        (backend, threads, scenario)
        for backend in backends
        for threads in every
        for scenario in ("single-stream", "offline")
    ]
    assert all(one["tokenising_ms"] > 0 for one in measured if one["scenario"] == "single-stream")


def test_the_middle_word_is_hidden(bench: Bench) -> None:
    asked: set[str] = set()

    def outputs(texts: Sequence[str]) -> Any:
        asked.update(texts)
        return np.zeros((sum(text.count(MASK) for text in texts), 9), np.float32)

    teacher = Speaker(outputs)
    source = bench.run("data", task=raw("one two  three", "four five", "\u200b six", "seven"))
    model = bench.run("teacher", {"data": source}, teacher=teacher)
    single, offline = bench.run("latency", {"data": source, "model": model}, teacher=teacher).result[
        "latency"
    ]
    assert asked == {f"one {MASK} three", f"four {MASK}", f"\u200b {MASK}", MASK}
    assert single["n"] >= clock.P90_FLOOR and offline["batch"] == 4
