"""The export and latency steps: a checked ONNX form, and how long single texts take in each form."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stepbench import Bench, Says, Scored, Speaker

from harness.api import HarnessError, Unsupported
from harness.devices import cpu_count
from harness.featurise.featuriser import Words
from harness.runtime.calibration import Calibration
from harness.runtime.forms import FORMS, load
from harness.steps import clock, latency
from harness.storage.store import Artefact
from harness.task_types.classification import Classification
from harness.testing.tiny import FromLabels
from harness_students.words import Mlp

ROWS = [("sun today", "good"), ("rain today", "bad"), ("wind", "bad"), ("sun sun", "good")]
STUDENT = Mlp(vocabulary=20, width=3, epochs=1, min_examples=0)

OWN = ("onnx", "onnx-int8", "numpy")  # the forms of averaged words


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

        from harness.exports.onnx import export_module
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
    files = {
        path.name: path.stat().st_size for path in found.folder.iterdir() if path.name != "manifest.json"
    }
    assert set(files) == {
        *("model.onnx", "model.int8.onnx", "averaged.npz", "featuriser.json", "labels.json", "export.json"),
        *("tokenizer.json", "tokenizer_config.json"),
    }
    beside = sum(size for name, size in files.items() if name not in {*FORMS.values(), "export.json"})
    forms = found.result["forms"]
    manifests = {forms[form]["size_bytes"] - files[FORMS[form]] - beside for form in OWN}  # without times
    assert len(manifests) == 1 and 0 < manifests.pop() < files["export.json"]
    assert tuple(forms) == OWN
    for form in OWN:
        assert forms[form]["file_bytes"] == files[FORMS[form]] > 0
        assert forms[form]["p50_ms"] > 0 and forms[form]["samples_per_s"] > 0
        assert forms[form]["texts"] == 4
    assert found.result["size_bytes"] == forms["onnx"]["size_bytes"]
    manifest = json.loads((found.folder / "export.json").read_text())
    assert manifest["order"] == found.result["order"] and manifest["why"] == found.result["why"]
    assert manifest["forms"]["onnx"]["p50_ms"] == forms["onnx"]["p50_ms"] and manifest["cpu"]
    assert load(found.folder).form == found.result["order"][0]
    texts = [text for text, _ in ROWS]
    for form in OWN:
        assert load(found.folder, form).predict(texts).shape == (4, 2)


def test_large_models_have_more_forms(
    bench: Bench, data: Artefact, student: Artefact, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.exports import vino

    monkeypatch.setattr("harness.steps.export.LARGE", -1)
    found = bench.run("export", {"data": data, "model": student}, student=STUDENT)
    forms = found.result["forms"]
    more = ["openvino-int8"] if vino.installed() else []
    assert [*forms] == ["onnx", "onnx-int8", *more, "onnx-fp16", "numpy"]
    for form, report in forms.items():
        assert "rejected" not in report and report["changed"] == 0
        assert load(found.folder, form).form == form
        assert ("p50_ms" in report) == (form != "onnx-fp16")  # which is for GPUs
    assert "onnx-fp16" not in found.result["order"]


def test_int8_is_tried_again_without_the_products_that_lose_most(
    bench: Bench, data: Artefact, student: Artefact, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = iter([3, 2, 9])

    def bad(compared: Any) -> str:
        return "changes too much" if "spared" not in compared else ""

    monkeypatch.setattr("harness.steps.export.LARGE", -1)
    monkeypatch.setattr("harness.steps.export.differs", bad)
    monkeypatch.setattr("harness.exports.vino.possible", lambda featuriser: False)
    monkeypatch.setattr("harness.exports.sensitivity.worst", lambda *given: ["a node"])
    asked: list[list[str]] = []
    from harness.exports.quantise import quantise

    def write(folder: Path, spared: Any = ()) -> None:
        asked.append([*spared])
        quantise(folder)

    monkeypatch.setattr("harness.exports.quantise.quantise", write)
    original = Classification.parity

    def parity(self: Any, model: Any, examples: Any) -> Any:
        compare = original(self, model, examples)

        def compared(form: Any) -> Any:
            found = compare(form)
            return {**found, "changed": next(changes)} if form.form == "onnx-int8" else found

        return compared

    monkeypatch.setattr(Classification, "parity", parity)
    found = bench.run("export", {"data": data, "model": student}, student=STUDENT)
    assert asked == [[], ["a node"]]
    int8 = found.result["forms"]["onnx-int8"]
    assert int8["spared"] == ["a node"] and int8["changed"] == 2


def test_thresholds_are_calibrated_on_the_validation_split(bench: Bench, monkeypatch: Any) -> None:
    rows = [("sun", "good"), ("rain", "bad")]
    held = [(f"{'sun' if n % 3 else 'rain'} {n}", "good" if n % 3 else "bad") for n in range(90)]
    held += [("wind", "good"), ("wind", "bad")] * 5  # of which the model is not sure
    data = bench.data(rows, held, [*held[:9], ("wind", "good")])

    def outputs(texts: Sequence[str]) -> Any:
        found = [[2.0 * ("rain" in text), 2.0 * ("sun" in text)] for text in texts]
        return np.array(found, dtype=np.float32)

    def write(folder: Path) -> None:
        import torch

        from harness.exports.onnx import export_module
        from harness_students.modules import AveragedWords

        words = Words(["sun", "rain"], 1)
        module = AveragedWords(words.size, 2, 0, 2, 0.0, 1.0)
        with torch.no_grad():
            module.embedding.weight.copy_(torch.tensor([[0.0, 0], [0, 0], [0, 2], [2, 0]]))
            module.output.weight.copy_(torch.eye(2))
            module.output.bias.zero_()
        export_module(module, words, ["bad", "good"], folder)

    model_type = type("Exports", (Says,), {"export": lambda self, folder: write(folder)})
    teacher = Speaker(outputs, model_type)
    model = bench.run("teacher", {"data": data}, teacher=teacher)
    evaluation = bench.run("evaluation", {"data": data, "model": model}, teacher=teacher)
    needs = {"data": data, "model": model, "evaluation": evaluation}
    found = bench.run("export", needs, teacher=teacher)
    told = found.result["abstaining"]
    (point,) = (each for each in told["points"] if each["risk"] == 0.1)
    assert point["threshold"] == pytest.approx(0.880797) and point["validation_coverage"] == 0.9
    assert point["test_coverage"] == 0.9 and point["test_error"] == 0.0
    assert told["texts"] == 100 and 0.03 < told["lowest_risk"] <= 0.1
    exact = Calibration.read(found.folder, load(found.folder, "onnx"))
    assert exact == Calibration.read(found.folder, load(found.folder, "numpy"))
    assert exact.threshold(0.1) == point["threshold"]
    own = Calibration.read(found.folder, load(found.folder, "onnx-int8"))
    assert own.forms == ("onnx-int8",) and own.texts == 100
    monkeypatch.setattr("harness.steps.export.LARGE", -1)
    monkeypatch.setattr("harness.steps.export.CALIBRATED", 50)
    found = bench.run("export", needs, teacher=teacher)
    assert Calibration.read(found.folder, load(found.folder, "onnx-int8")).texts == 50
    manifest = json.loads((found.folder / "export.json").read_text())
    assert "calibration.json" in manifest["files"]
    (found.folder / "calibration.json").write_text("{}")
    with pytest.raises(HarnessError, match=r"calibration\.json is damaged, or from another export"):
        Calibration.read(found.folder, load(found.folder))


def test_numbers_have_no_thresholds(bench: Bench) -> None:
    task = Scored.of(("sun", "1.0"), ("rain", "2.0"), ("wind", "3.0"))
    data = bench.run("data", task=task)
    model_type = type("Exports", (Says,), {"export": lambda self, folder: constant(2.0)(folder)})
    teacher = Speaker(same(2.0), model_type)
    model = bench.run("teacher", {"data": data}, teacher=teacher)
    evaluation = bench.run("evaluation", {"data": data, "model": model}, teacher=teacher, task=task)
    found = bench.run("export", {"data": data, "model": model, "evaluation": evaluation}, teacher=teacher)
    assert found.result["exported"]
    assert "abstaining" not in found.result and not (found.folder / "calibration.json").exists()


def test_each_form_is_scored_against_gold(bench: Bench, data: Artefact) -> None:
    # Two of four texts are "bad": that is what the model, and every form of it, always says.
    found = exported(bench, data, same(1.0, 0.0), constant(1.0, 0.0)).result["forms"]
    assert [found[form]["score"] for form in OWN] == [0.5, 0.5, 0.5]
    assert [found[form]["lost"] for form in OWN] == [0, 0, 0]


@pytest.mark.parametrize(
    ("count", "wrong", "why"),
    [
        (400, 20, "it loses 5.0 points of the score on 400 texts; allowed: less than 1"),
        (400, 4, ""),  # a point, but within chance: 4 against 2 * 2
        (400, 3, ""),
        (20, 3, ""),  # many points on few texts
    ],
)
def test_int8_may_not_lose_a_point_beyond_chance(
    count: int, wrong: int, why: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bench.data([(f"text {number}", "good") for number in range(count)] + [("other", "bad")])

    def mistaken(folder: Path, form: str, threads: int) -> Any:
        def predict(texts: Sequence[str]) -> Any:
            logits = np.tile(np.float32([0.0, 1.0]), (len(texts), 1))
            if form == "onnx-int8":
                logits[:wrong] = [1.0, 0.0]
            return logits

        return Says(predict)

    # What quantising does to a real model cannot be chosen.
    monkeypatch.setattr("harness.runtime.forms.open_form", mistaken)
    found = exported(bench, data, same(0.0, 1.0), constant(0.0, 1.0))
    int8 = found.result["forms"]["onnx-int8"]
    assert int8["changed"] == wrong and int8.get("rejected", "") == why.replace(f"{count}", f"{count + 1}")
    assert (found.folder / "model.int8.onnx").exists() == (not why)
    if why:
        with pytest.raises(HarnessError, match=f"has no form 'onnx-int8': {int8['rejected']}"):
            load(found.folder, "onnx-int8")


def test_numbers_are_compared_by_their_correlation(bench: Bench) -> None:
    rows = [("sun", "1.0"), ("rain", "2.0"), ("wind", "3.0")]
    task = Scored.of(*rows)
    data = bench.run("data", task=task)
    found = exported(bench, data, same(2.0), constant(2.0)).result["forms"]
    assert {form: (each["score"], each["lost"]) for form, each in found.items()} == dict.fromkeys(OWN, (0, 0))


def test_a_plugin_need_not_write_the_manifest(bench: Bench, data: Artefact) -> None:
    def write(folder: Path) -> None:
        constant(0.0, 1.0)(folder)
        (folder / "export.json").unlink()

    assert load(exported(bench, data, same(0.0, 1.0), write).folder).label("sun") == "good"


def test_what_cannot_be_quantised_says_why(
    bench: Bench, data: Artefact, student: Artefact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> None:
        raise Unsupported("the graph cannot be quantised: too odd")

    monkeypatch.setattr("harness.exports.quantise.quantise", refuse)
    found = bench.run("export", {"data": data, "model": student}, student=STUDENT)
    assert found.result["forms"]["onnx-int8"] == {"rejected": "the graph cannot be quantised: too odd"}
    with pytest.raises(HarnessError, match="has no form 'onnx-int8': the graph cannot be quantised: too odd"):
        load(found.folder, "onnx-int8")


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
    with pytest.raises(HarnessError, match="the ONNX export of 'speaker' differs from the model") as caught:
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
    assert found.result == {"exported": False, "reason": "Says cannot be exported to ONNX"}
    assert found.files == {}


def test_other_mistakes_of_an_export_are_not_hidden(bench: Bench, data: Artefact) -> None:
    with pytest.raises(ZeroDivisionError):
        exported(bench, data, same(0.0, 1.0), lambda folder: 1 / 0)


# -- latency --------------------------------------------------------------------------------------------


def test_a_model_and_its_forms_are_timed(bench: Bench, data: Artefact, student: Artefact) -> None:
    needs = {"data": data, "model": student}
    needs["export"] = bench.run("export", needs, student=STUDENT)
    found = bench.run("latency", needs, student=STUDENT).result
    every = sorted({1, cpu_count()})
    assert [(each["backend"], each["threads"], each["scenario"]) for each in found["latency"]] == [
        (backend, threads, scenario)
        for backend in ("torch", "onnx", "onnx-int8", "numpy")
        for threads in (every if backend != "numpy" else [1])
        for scenario in ("single-stream", "offline")
    ]
    for each in found["latency"]:
        assert each["device"] == "cpu"
        if each["scenario"] == "offline":
            assert each["batch"] == 4 and each["n"] % 4 == 0 and each["samples_per_s"] > 0
        else:
            fewest = 64 if each["threads"] == 1 else latency.FEWEST
            assert each["batch"] == 1 and fewest <= each["n"] <= 664  # whole passes over four texts, if quick
            assert each["p90_ms"] is None if each["n"] < 64 else 0 < each["p50_ms"] <= each["p90_ms"]
            assert each["p99_ms"] is None if each["n"] < 662 else each["p90_ms"] <= each["p99_ms"]
            assert each["mean_ms"] > 0 and each["tokenising_ms"] > 0
    assert found["load"] >= 0


def test_threads_of_torch_are_put_back(bench: Bench, data: Artefact, student: Artefact) -> None:
    import torch

    before = torch.get_num_threads()
    bench.run("latency", {"data": data, "model": student}, student=STUDENT)
    assert torch.get_num_threads() == before


def timed(bench: Bench, count: int, outputs: Any) -> list[dict[str, Any]]:
    rows = [(f"text {number}", "ab"[number % 2]) for number in range(count)]
    data, teacher = bench.data(rows), Speaker(outputs)
    model = bench.run("teacher", {"data": data}, teacher=teacher)
    found = bench.run("latency", {"data": data, "model": model}, teacher=teacher)
    return found.result["latency"]  # type: ignore[no-any-return]


def test_the_test_splits_own_texts_are_asked(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "QUERIES", 90)
    asked: list[list[str]] = []

    def outputs(texts: Sequence[str]) -> Any:
        asked.append(list(texts))
        return np.zeros((len(texts), 2), np.float32)

    single, offline = timed(bench, 100, outputs)
    assert single["backend"] == offline["backend"] == "native" and "tokenising_ms" not in single
    assert 64 <= single["n"] <= 720 and offline["batch"] == 90 and offline["n"] % 90 == 0
    alone = [texts[0] for texts in asked if len(texts) == 1]
    counts = Counter(alone[clock.WARM_UP :]).values()
    assert max(counts) - min(counts) <= 1  # equally often
    assert alone != sorted(alone) and set(alone) <= {f"text {number}" for number in range(100)}
    assert all(len(set(texts)) == 90 for texts in asked if len(texts) == 90)


def test_without_a_form_only_the_model_is_timed(bench: Bench, data: Artefact) -> None:
    def refuse(folder: Path) -> None:
        Says(same(1.0)).export(folder)

    export_ = exported(bench, data, same(0.0, 1.0), refuse)
    teacher = Speaker(same(0.0, 1.0))
    model = bench.run("teacher", {"data": data}, teacher=teacher)
    found = bench.run("latency", {"data": data, "model": model, "export": export_}, teacher=teacher)
    assert {each["backend"] for each in found.result["latency"]} == {"native"}


def test_one_text_alone_has_no_offline_speed(bench: Bench) -> None:
    data = bench.data([("sun", "a"), ("rain", "b")], test=[("sun", "a")])
    teacher = Speaker(same(0.0, 1.0))
    model = bench.run("teacher", {"data": data}, teacher=teacher)
    (found,) = bench.run("latency", {"data": data, "model": model}, teacher=teacher).result["latency"]
    assert found["scenario"] == "single-stream" and 64 <= found["n"] <= 662
