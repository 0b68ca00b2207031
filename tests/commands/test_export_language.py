"""Raw texts from a suite to answers: ``harness bench``, ``export`` and ``predict``, as a user would."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from components import call, call_here

from harness.runtime.forms import load

SUITE = """
[suite]
name = "days"
precision = "fp32"
[[task]]
use = "text-file"
train = "texts.txt"
[[teacher]]
use = "masked-lm"
vocabulary = 300
width = 16
layers = 2
heads = 2
feedforward = 32
longest = 16
epochs = 10
batch_size = 8
[[student]]
use = "transformer"
epochs = 2
batch_size = 8
learning_rate = 1e-3
[[augmenter]]
use = "none"
[[loss]]
use = "triple"
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of a suite, a student's export in ``out`` and its teacher's in ``large``."""
    folder = tmp_path_factory.mktemp("home")
    days = ("monday", "tuesday", "friday", "sunday")
    lines = [
        f"it is {day} and the {thing} is {how}"
        for day in days
        for thing in ("sun", "rain", "wind", "snow")
        for how in ("here", "gone", "near", "far away")
    ]
    (folder / "texts.txt").write_text("\n".join(lines) + "\n")
    (folder / "days.toml").write_text(SUITE)
    roles = ("--only", "role=teacher", "--only", "role=distilled")  # what is shipped here
    done = call_here(folder, "bench", "days.toml", "--devices", "cpu:1", *roles)
    assert done.exit_code == 0, done.output
    for cell, out in (("student=transformer,role=distilled", "out"), ("role=teacher", "large")):
        done = call_here(folder, "export", cell, out, "--suite", "days.toml")
        assert done.exit_code == 0, done.output
    return folder


@pytest.mark.parametrize("model", ["out", "large"])
def test_hidden_words_are_told(model: str, home: Path) -> None:
    done = call(home, "predict", model, given="it is [MASK] and the rain is [MASK]\nnothing\n")
    assert done.returncode == 0 and not done.stderr
    first, second = map(json.loads, done.stdout.splitlines())
    assert [len(mask["top"]) for mask in first["masks"]] == [5, 5] and second == {"masks": []}
    for mask in first["masks"]:
        assert {"token": mask["token"], "score": mask["score"]} == mask["top"][0]
    done = call(home, "predict", model, "--text", "t", "--top", "1", given='{"t": "it is [MASK]"}\n')
    (mask,) = json.loads(done.stdout)["masks"]
    assert set(mask) == {"token", "score"}


def test_the_card_and_the_record(home: Path) -> None:
    card = (home / "out" / "README.md").read_text()
    assert "predicts the most probable tokens for each `[MASK]`" in card
    assert 'model.tokens("a [MASK] text")' in card
    assert "Labels" not in card and "| perplexity |" in card
    assert "A `masked-lm` trained on hidden words." in (home / "large" / "README.md").read_text()
    record = json.loads((home / "out" / "record.json").read_text())
    forms = record["export"]["forms"]
    assert forms["onnx"]["score"] == pytest.approx(record["metrics"]["masked_accuracy"])
    perplexity = f"{forms['onnx']['perplexity']:.3g}"
    head, row = (next(line for line in card.splitlines() if part in line) for part in ("| form |", "fp32 |"))
    place = [cell.strip() for cell in head.split("|")].index("perplexity")
    assert row.split("|")[place].strip() == perplexity
    assert forms["onnx"]["perplexity"] == pytest.approx(record["metrics"]["perplexity"], rel=1e-4)
    assert {"torch", "onnx"} <= {run["backend"] for run in record["latency"]}
    large = json.loads((home / "large" / "record.json").read_text())
    assert record["size_bytes"]["onnx"] < large["size_bytes"]["onnx"]
    assert record["size_bytes"]["onnx"] > 4 * record["parameters"]["total"]


def test_in_python(home: Path) -> None:
    model = load(home / "large")
    assert len(model.tokens("it is [MASK] and the [MASK] is near")) == 2 and model.tokens("nothing") == []
