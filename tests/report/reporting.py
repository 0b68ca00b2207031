"""Results made up for the tests of reports: two tasks, a teacher, students and what they answered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from harness.results import record
from harness.results.board import Leaderboard, build
from harness.results.record import Record
from harness.task_types.base import Prediction
from harness.task_types.classification import Classification

CLASSES = ("anger", "joy", "love")
TESTED = 120
SCORES = {  # of 120 right answers, by (student, augmenter, loss); the second seed has one more
    ("small", None, "cross-entropy"): 90,
    ("small", "none", "kl"): 96,
    ("small", "mask", "kl"): 102,
    ("small", "none", "mse"): 84,
    ("wide", None, "cross-entropy"): 100,
    ("wide", "none", "kl"): 104,
    ("wide", "mask", "kl"): 107,
}
TEACHER_SCORE = 110
SIZES = {"small": 1_000, "wide": 50_000, "big": 20_000_000}
TIMES = {"small": 0.02, "wide": 0.5, "big": 8.0}
TEXTS = {"none": 600, "mask": 3_000}

# Texts that try to become HTML, scripts, LaTeX, Markdown or a formula, and to climb out of a folder.
HOSTILE = (
    "</script><img src=x onerror=alert(1)>",
    '"><svg onload=alert(2)>',
    "<!--<script>alert(3)",
    "\\input{/etc/passwd}$x_1%&#~^{}",
    "=cmd|' /C calc'!A0",
    "../../up",
    "<b>bold</b> &lt;i&gt; %{x} @ink",
)


def part(name: str, **params: Any) -> dict[str, Any]:
    return {"name": name, "params": params, "plugin": "distil-harness 0.1.0", "version": 1}


def answers(right: int, classes: tuple[str, ...] = CLASSES) -> Prediction:
    """So many right answers of 120, and sure of it: 0.9 where right, 0.5 where wrong."""
    gold = np.arange(TESTED) % len(classes)
    wrong = np.arange(TESTED) >= right
    predicted = np.where(wrong, (gold + 1) % len(classes), gold)
    confidence = np.where(wrong, 0.5, 0.9).astype(np.float32)
    return Prediction(
        predicted.astype(np.int16), confidence, gold.astype(np.int16), Classification(), classes
    )


def _metrics(one: Prediction) -> dict[str, Any]:
    from harness.task_types.label_scores import classification

    logits = np.where(np.arange(len(one.classes)) == one.predicted[:, None], 2.0, 0.0)
    return classification(one.gold, logits, one.classes)


def _latency(backend: str, median: float) -> dict[str, Any]:
    return {"backend": backend, "device": "cpu", "threads": 1, "batch": 1, "n": 99, "p50_ms": median}


class Results:
    """A suite's records and predictions; ``names`` puts others in the place of the harmless ones."""

    def __init__(
        self,
        tasks: tuple[str, ...] = ("emotion",),
        source: str = "local",
        classes: tuple[str, ...] = CLASSES,
        names: dict[str, str] | None = None,
        suite: str = "emotion",
        shift: int = 0,
    ) -> None:
        self.names = names or {}
        self.suite, self.source, self.classes = suite, source, classes
        self.records: list[Record] = []
        self.predictions: dict[str, Prediction] = {}
        for i, task in enumerate(tasks):
            for made in self._cells(task, shift * i):
                self.records.append(made)

    @property
    def board(self) -> Leaderboard:
        return build(self.records, self.predictions)

    def _named(self, name: str | None) -> dict[str, Any] | None:
        return None if name is None else part(self.names.get(name, name))

    def _cells(self, task: str, shift: int) -> Iterator[Record]:
        yield self._record(task, "teacher", 0, TEACHER_SCORE, teacher="big")
        for (student, augmenter, loss), right in SCORES.items():
            for seed in (0, 1):
                role = "distilled" if augmenter else "baseline"
                teacher = "big" if augmenter else None
                score = right + seed - (shift if augmenter else 0)
                yield self._record(
                    task, role, seed, score, student=student, augmenter=augmenter, loss=loss, teacher=teacher
                )

    def _record(self, task: str, role: str, seed: int, right: int, **parts: str | None) -> Record:
        model = parts.get("student") or "big"
        said = answers(right, self.classes)
        scores = _metrics(said)
        cell = f"{self.suite} {task} {self.source} {role} {seed} {sorted(parts.items(), key=str)}"
        self.predictions[cell] = said
        value: dict[str, Any] = {
            "schema": 1,
            "suite": self.suite,
            "cell": cell,
            "status": "ok",
            "reason": "",
            "role": role,
            "task": part(self.names.get(task, task))
            | {"type": "classification", "headline": "accuracy", "source": self.source, "origin": "a file"}
            | {"fingerprint": f"sha256:{task}", "train": 600, "validation": 60, "test": TESTED},
            **{kind: self._named(parts.get(kind)) for kind in ("teacher", "student", "augmenter", "loss")},
            "seed": seed,
            "metrics": scores,
            "validation": {"accuracy": scores["accuracy"]},
            "parameters": {"total": SIZES[model]},
            "size_bytes": {"model": 4 * SIZES[model]},
            "latency": [_latency("torch", 2 * TIMES[model]), _latency("onnx", TIMES[model])],
            "cost": {"train_s": 1.5, "examples": 6000, "peak_rss_bytes": 10**9, "device": "cpu"},
            "history": [
                {"examples": 600.0 * n, "loss": 1.0 / n, "validation_accuracy": 1 - 0.5 / n}
                for n in range(1, 101)
            ],
            "provenance": {
                "git": "f" * 40,
                "python": "3.11.0",
                "packages": {"distil-harness": "0.1.0", "torch": "2.0"},
                "os": "Linux",
                "cpu": "Some CPU, 2 cores",
                "gpu": [],
                "started": "2026-01-01T10:00:00+00:00",
                "finished": "2026-01-01T10:05:00+00:00",
            },
        }  # fmt: skip
        if augmenter := parts.get("augmenter"):
            value["transfer"] = {"rows": TEXTS[augmenter], "added": TEXTS[augmenter] - 600}
        return record.check(value)


def hostile() -> Results:
    """Results in which every name and label is an attempt at something."""
    names = dict(zip(("small", "big", "none", "kl", "mask", "mse", "emotion"), HOSTILE, strict=True))
    names |= {"wide": "<a href='javascript:alert(4)'>wide</a>", "reviews": HOSTILE[0]}
    results = Results(("emotion", "reviews"), classes=HOSTILE[:3], names=names, suite=HOSTILE[0])
    results.records[0]["task"]["origin"] = HOSTILE[1]
    for one in results.records:
        one["provenance"]["cpu"] = HOSTILE[0]
        one["provenance"]["packages"][HOSTILE[1]] = HOSTILE[2]
    failed = dict(results.records[-1]) | {
        "status": "failed",
        "reason": HOSTILE[0],
        "seed": 7,
        "cell": HOSTILE[0],
    }
    results.records.append(record.check(failed))
    return results
