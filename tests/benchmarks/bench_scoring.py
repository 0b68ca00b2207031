"""Texts a second that MiniLM labels on one CPU thread, by torch and by its ONNX graph.

    python tests/benchmarks/bench_scoring.py [--texts 700] [--record]

Ours, which sorts texts by length and scores few ids at once, which stay in the caches, beside the loop
that one would write first, 32 texts at a time as they come, and beside as many ids at once as a GPU gets. The
texts are those of the emotion sample; all is done in one process, in turn, and the best of three rounds
counts. Needs the extra ``embedded``.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")  # before torch is imported

from report import machine, record, say

ROUNDS = 3
LARGE = 16_384


def main() -> None:
    """Time each way, print, and append to results/ only with --record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--texts", type=int, default=700)
    parser.add_argument("--record", action="store_true", help="append to tests/benchmarks/results/")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(options.texts, Path(folder))
    for form in ("torch", "onnx"):
        for way in ("as they come", "16,384 ids", "ours"):
            speed = found[f"{form}, {way}"]
            ratio = speed / found[f"{form}, as they come"]
            say(f"{form:6} {way:13} {speed:7.1f} texts/s, {ratio:.2f} times the plain loop")
    if options.record:
        record("scoring", {**machine(), "texts": options.texts, "texts_per_s": found})


def measure(count: int, folder: Path) -> dict[str, float]:
    """Texts a second by form and way."""
    import numpy as np
    import torch

    from harness import catalog
    from harness.api import Examples
    from harness.runtime.forms import open_form
    from harness.testing.tiny import CheckContext

    torch.set_num_threads(1)
    found = catalog.load()
    task = found.build("task", {"use": "emotion"})
    sample = task.sample(np.random.default_rng(0))  # type: ignore[attr-defined]
    texts = sample["unlabelled"]["text"].to_pylist()[:count]
    rows = sample["train"].slice(0, 64)
    classes = tuple(task.class_names)  # type: ignore[attr-defined]
    labels = np.array([classes.index(label) for label in rows["label"].to_pylist()])
    train = Examples(rows["text"].to_pylist(), classes, labels)
    teacher = found.build("teacher", {"use": "minilm", "epochs": 1})
    model = teacher.fit(train, train, CheckContext(folder))  # type: ignore[attr-defined]
    model.export(folder)
    graph = open_form(folder, "onnx")

    def in_order(predict: Callable[[list[str]], object]) -> None:
        for start in range(0, len(texts), 32):
            predict(texts[start : start + 32])

    def at_once(predict: Callable[[list[str]], object]) -> None:
        with (
            mock.patch("harness.training.inference.ids_at_once", lambda device: LARGE),
            mock.patch.object(graph, "_at_once", LARGE),
        ):
            predict(texts)

    ways: dict[str, Callable[[Callable[[list[str]], object]], object]] = {
        "as they come": in_order,
        "16,384 ids": at_once,
        "ours": lambda predict: predict(texts),
    }
    best: dict[str, float] = {}
    for _ in range(ROUNDS):
        for form, predict in (("torch", model.predict), ("onnx", graph.predict)):
            for way, run in ways.items():
                start = time.perf_counter()
                run(predict)
                speed = len(texts) / (time.perf_counter() - start)
                best[f"{form}, {way}"] = round(max(speed, best.get(f"{form}, {way}", 0.0)), 1)
    return best


if __name__ == "__main__":
    main()
