"""The export and latency steps: a checked ONNX form, and how long single texts take in each form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from stepbench import Bench, Says, Speaker

from harness.api import HarnessError
from harness.featurise import Words
from harness.onnx import OnnxModel
from harness.steps import latency
from harness.store import Artefact
from harness.tiny import FromLabels
from harness_students.words import Mlp

ROWS = [("sun today", "good"), ("rain today", "bad"), ("wind", "bad"), ("sun sun", "good")]
STUDENT = Mlp(vocabulary=20, width=3, epochs=1, min_examples=0)


@pytest.fixture
def data(bench: Bench) -> Artefact:
    return bench.data(ROWS)


@pytest.fixture
def student(bench: Bench, data: Artefact) -> Artefact:
    return bench.run("student", {"data": data}, student=STUDENT, loss=FromLabels())


def exported(bench: Bench, data: Artefact, outputs: Any, write: Any) -> Artefact:
    """The export of a model with these outputs, whose graph is that of a module that `write` chooses."""
    model_type = type("Exports", (Says,), {"export": lambda self, folder: write(folder)})
    teacher = Speaker(outputs, model_type)
    model = bench.run("teacher", {"data": data}, teacher=teacher)
    return bench.run("export", {"data": data, "model": model}, teacher=teacher)


def constant(*logits: float) -> Any:
    """What writes a graph that gives these logits to every text."""

    def write(folder: Path) -> None:
        import torch

        from harness.onnx import export_module
        from harness_students.modules import AveragedWords

        module = AveragedWords(5, 2, 0, len(logits), 0.0, 1.0)
        with torch.no_grad():
            module.output.weight.zero_()
            module.output.bias.copy_(torch.tensor(logits))
        export_module(module, Words(["sun", "rain", "wind"], 8), ["bad", "good"], folder)

    return write


def same(*logits: float) -> Any:
    return lambda texts: np.tile(np.array(logits, dtype=np.float32), (len(texts), 1))


# -- export ---------------------------------------------------------------------------------------------


def test_an_export_is_checked_and_counted(bench: Bench, data: Artefact, student: Artefact) -> None:
    found = bench.run("export", {"data": data, "model": student}, student=STUDENT)
    assert found.result["exported"] is True and found.result["texts"] == 4 and found.result["changed"] == 0
    assert 0 <= found.result["difference"] < 1e-5
    assert found.result["size_bytes"] == (found.folder / "model.onnx").stat().st_size > 0
    texts = [text for text, _ in ROWS]
    assert OnnxModel(found.folder).predict(texts).shape == (4, 2)


@pytest.mark.parametrize(
    ("graph", "model", "message"),
    [
        ((1.0, 0.0), (0.0, 1.0), "4 of 4 predictions changed, and logits differ by up to 1"),
        ((0.0, 1.1), (0.0, 1.0), "0 of 4 predictions changed, and logits differ by up to 0.1"),
        ((0.0, 1.0), (0.0, np.nan), "differ by up to nan"),
        ((0.0, np.nan), (0.0, np.nan), "differ by up to nan"),
    ],
)
def test_an_export_that_is_another_model_fails(
    graph: Any, model: Any, message: str, bench: Bench, data: Artefact
) -> None:
    with pytest.raises(HarnessError, match="the ONNX export of 'speaker' is not the same model") as caught:
        exported(bench, data, same(*model), constant(*graph))
    assert message in str(caught.value)


def test_noise_is_measured_by_the_size_of_the_logits(bench: Bench, data: Artefact) -> None:
    found = exported(bench, data, same(0.0, 1000.5), constant(0.0, 1000.0))
    assert found.result["exported"] and found.result["difference"] == pytest.approx(0.5)


def test_no_form_is_a_reason_and_leaves_no_files(bench: Bench, data: Artefact) -> None:
    def write(folder: Path) -> None:
        (folder / "model.onnx").write_bytes(b"half")
        Says(same(1.0)).export(folder)

    found = exported(bench, data, same(0.0, 1.0), write)
    assert found.result == {"exported": False, "reason": "Says has no ONNX form"}
    assert found.files == {}


def test_other_mistakes_of_an_export_are_not_hidden(bench: Bench, data: Artefact) -> None:
    with pytest.raises(ZeroDivisionError):
        exported(bench, data, same(0.0, 1.0), lambda folder: 1 / 0)


# -- latency --------------------------------------------------------------------------------------------


def test_a_model_and_its_export_are_timed(bench: Bench, data: Artefact, student: Artefact) -> None:
    needs = {"data": data, "model": student}
    needs["export"] = bench.run("export", needs, student=STUDENT)
    found = bench.run("latency", needs, student=STUDENT).result
    native, onnx = found["latency"]
    assert (native["backend"], onnx["backend"]) == ("torch", "onnx")
    for each in (native, onnx):
        assert (each["device"], each["threads"], each["batch"], each["n"]) == ("cpu", 1, 1, 4)
        assert 0 < each["p50_ms"] <= each["p90_ms"] <= each["p99_ms"]
        assert each["mean_ms"] > 0
    assert found["load"] >= 0


def timed(bench: Bench, count: int, outputs: Any) -> dict[str, Any]:
    rows = [(f"text {number}", "ab"[number % 2]) for number in range(count)]
    data, teacher = bench.data(rows), Speaker(outputs)
    model = bench.run("teacher", {"data": data}, teacher=teacher)
    found = bench.run("latency", {"data": data, "model": model}, teacher=teacher)
    (measured,) = found.result["latency"]
    return dict(measured)


@pytest.mark.parametrize(
    ("count", "budget", "expected"), [(100, 0.0, 64), (100, 60.0, 100), (10, 0.0, 10), (120, 60.0, 110)]
)
def test_a_slow_model_is_asked_fewer_texts_but_enough(
    count: int, budget: float, expected: int, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "BUDGET_S", budget)
    monkeypatch.setattr(latency, "QUERIES", 110)
    asked: list[Sequence[str]] = []
    found = timed(bench, count, lambda texts: asked.append(texts) or np.zeros((1, 2), np.float32))
    assert found["backend"] == "native" and found["n"] == expected
    assert all(len(texts) == 1 for texts in asked)
    warm = min(latency.WARM_UP, count)
    assert len(asked) == warm + expected
    assert len({texts[0] for texts in asked[warm:]}) == expected  # the test split's own, each once


def test_without_a_form_only_the_model_is_timed(bench: Bench, data: Artefact) -> None:
    def refuse(folder: Path) -> None:
        Says(same(1.0)).export(folder)

    export_ = exported(bench, data, same(0.0, 1.0), refuse)
    teacher = Speaker(same(0.0, 1.0))
    model = bench.run("teacher", {"data": data}, teacher=teacher)
    found = bench.run("latency", {"data": data, "model": model, "export": export_}, teacher=teacher)
    assert [each["backend"] for each in found.result["latency"]] == ["native"]


def test_percentiles_are_of_single_texts(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10**9, 10**6))  # each look at it is a millisecond later
    stopwatch = SimpleNamespace(perf_counter_ns=lambda: next(clock), perf_counter=lambda: 0.0)
    monkeypatch.setattr(latency, "time", stopwatch)
    found = timed(bench, 20, lambda texts: np.zeros((1, 2), np.float32))
    assert [found[name] for name in ("mean_ms", "p50_ms", "p90_ms", "p99_ms")] == [1, 1, 1, 1]
