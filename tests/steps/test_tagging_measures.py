"""Taggers through the export and latency steps: real graphs, whole entities, and what int8 may not lose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stepbench import Bench, Says, Spans, Speaker
from tiny_taggers import SIZES

from harness.api import Examples, HarnessError, Teacher
from harness.devices import cpu_count
from harness.runtime.forms import load
from harness.steps.export import is_same, too_much_lost
from harness.task_types.entities import spans_of
from harness.task_types.tagging import Tagging
from harness_students.taggers import CnnTagger
from harness_teachers.bilstm_crf import BiLstmCrf
from harness_teachers.pupil import Pupil

pytestmark = pytest.mark.usefixtures("brief_latencies")
ROWS = [
    (["Ann", "met", "Bo", "Li"], ["B-per", "O", "B-per", "I-per"]),
    (["in", "New", "Oslo", "today"], ["O", "B-loc", "I-loc", "O"]),
    (["rain"], ["O"]),
    (["Bo", "left", "Oslo"], ["B-per", "O", "B-loc"]),
]
CLASSES = ("O", "B-loc", "I-loc", "B-per", "I-per")
SMALL = SIZES | {"epochs": 40, "batch_size": 2, "dropout": 0.0, "word_dropout": 0.0}
TEACHERS = {"crf": BiLstmCrf(**SMALL), "cnn": Pupil(student=CnnTagger(**SMALL))}


@pytest.mark.parametrize("kind", TEACHERS)
def test_a_tagger_is_exported_scored_and_timed(kind: str, bench: Bench) -> None:
    teacher: Teacher = TEACHERS[kind]
    source = bench.run("data", task=Spans.of(*ROWS))
    model = bench.run("teacher", {"data": source}, teacher=teacher)
    found = bench.run("export", {"data": source, "model": model}, teacher=teacher)
    assert found.result["exported"] is True and found.result["changed"] == 0
    forms = found.result["forms"]
    assert set(forms) == {"onnx", "onnx-int8"}  # there is none in NumPy
    assert forms["onnx"]["texts"] == 4 and forms["onnx"]["outputs"] == 12
    assert forms["onnx"]["score"] > 0.9 and forms["onnx"]["lost"] == 0
    files = {path.name: path.stat().st_size for path in found.folder.iterdir()}
    assert ("transitions.json" in files) == (kind == "crf")
    named = ("featuriser.json", "labels.json", "transitions.json")
    beside = [files[name] for name in named if name in files]
    manifest = forms["onnx"]["size_bytes"] - files["model.onnx"] - sum(beside)  # without the times
    assert 0 < manifest < files["export.json"]
    assert load(found.folder).tags("Bo left Oslo") == ["B-per", "O", "B-loc"]
    needs = {"data": source, "model": model, "export": found}
    measured = bench.run("latency", needs, teacher=teacher).result["latency"]
    every = sorted({1, cpu_count()})
    assert [(one["backend"], one["threads"], one["scenario"]) for one in measured] == [
        (backend, threads, scenario)
        for backend in ("torch", "onnx", "onnx-int8")
        for threads in every
        for scenario in ("single-stream", "offline")
    ]
    assert all(one["mean_ms"] > 0 for one in measured if one["scenario"] == "single-stream")
    assert all(one["samples_per_s"] > 0 for one in measured if one["scenario"] == "offline")


def test_a_graph_that_is_another_tagger_fails(bench: Bench) -> None:
    teacher = TEACHERS["cnn"]
    source = bench.run("data", task=Spans.of(*ROWS))
    model = bench.run("teacher", {"data": source}, teacher=teacher)
    graph = bench.run("export", {"data": source, "model": model}, teacher=teacher).folder

    class Copies(Says):
        """Says nothing, and exports another's graph."""

        def export(self, folder: Path) -> None:
            for path in graph.iterdir():
                (folder / path.name).write_bytes(path.read_bytes())

    silent = Speaker(zeros, model=Copies)
    fitted = bench.run("teacher", {"data": source}, teacher=silent)
    with pytest.raises(HarnessError, match=r"differs from the model: \d of 12 predictions changed"):
        bench.run("export", {"data": source, "model": fitted}, teacher=silent)


def zeros(texts: Sequence[str]) -> Any:
    return np.zeros((sum(text.count(" ") + 1 for text in texts), 5), np.float32)


# -- what int8 may not lose --------------------------------------------------------------------------------


class Decided(Says):
    """A model, or a form of one, with these logits, whose tags are others."""

    def __init__(self, logits: Any, tags: Any) -> None:
        super().__init__(lambda texts: logits)
        self.tags = tags

    def decide(self, texts: Sequence[str], logits: Any) -> Any:
        return self.tags


def compared_by(logits: Any, before: Any, after: Any, examples: Examples) -> dict[str, Any]:
    """What is found of a form whose logits are the model's, and whose tags are others."""
    return Tagging().parity(Decided(logits, before), examples)(Decided(logits, after))


def entities(count: int, wrong: int) -> dict[str, Any]:
    """The comparison of a form that misses `wrong` of `count` entities, with one entity in each text."""
    gold = np.array([3, 0] * count)
    examples = Examples(["Ann left"] * count, CLASSES, gold, task_type=Tagging())
    logits = np.eye(5, dtype=np.float32)[gold]
    changed = gold.copy()
    changed[: 2 * wrong : 2] = 0
    return compared_by(logits, gold, changed, examples)


@pytest.mark.parametrize(("count", "wrong", "rejected"), [(400, 20, True), (400, 6, False), (20, 3, False)])
def test_an_f1_may_not_fall_by_a_point_beyond_chance(count: int, wrong: int, rejected: bool) -> None:
    compared = entities(count, wrong)
    right = count - wrong
    assert compared["score"] == pytest.approx(2 * right / (count + right))
    assert compared["lost"] == pytest.approx(1 - compared["score"])
    assert compared["changed"] == wrong and compared["outputs"] == 2 * count and compared["texts"] == count
    assert bool(too_much_lost(compared)) == rejected
    if rejected:
        assert too_much_lost(compared).startswith("it loses 2.6 points of the score on 400 texts")
    assert is_same(compared) == (wrong <= 0.005 * 2 * count)


def test_the_error_of_a_difference_is_that_of_resamples() -> None:
    """Of two taggers that err apart, on texts of different lengths."""
    generator = np.random.default_rng(0)
    lengths = generator.integers(1, 12, 500)
    gold = generator.choice(5, int(lengths.sum()), p=[0.6, 0.15, 0.05, 0.15, 0.05])
    examples = Examples([" ".join("w" * n) for n in lengths], CLASSES, gold, task_type=Tagging())
    tags = [np.where(generator.random(len(gold)) < 0.2, 0, gold) for _ in range(2)]
    logits = np.eye(5, dtype=np.float32)[gold]
    compared = compared_by(logits, tags[0], tags[1], examples)
    before = np.concatenate([[0], np.cumsum(lengths)])
    counted = spans_of(tags, gold, before, CLASSES)
    draws = generator.multinomial(500, np.full(500, 1 / 500), 2000).T  # (N, B)
    right, guessed = (each.sum(1) @ draws for each in (counted.right, counted.guessed))
    f1 = 2 * right / (guessed + counted.gold.sum(0) @ draws)
    assert compared["error"] == pytest.approx((f1[0] - f1[1]).std(), rel=0.1)
    assert compared["lost"] == pytest.approx((f1[0] - f1[1]).mean(), abs=3 * compared["error"] / 40)
