"""Several labels for each text, from a suite to answers: each command on one small benchmark."""

from __future__ import annotations

import csv
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from components import brief, without_workers

from harness.cli import main
from harness.results.record import read
from harness.runtime import load
from harness_multilabel.outputs import sigmoid
from harness_multilabel.task_type import MultiLabel

WORDS = {
    "rain": ["rainy", "wet", "drizzle", "umbrella"],
    "sun": ["sunny", "bright", "warm", "shades"],
    "wind": ["windy", "gusts", "breeze", "stormy"],
}
PLAIN = ["the", "day", "in", "town", "was", "very", "much", "so", "today", "and", "again"]
SUITE = """
[suite]
name = "weather"

[[task]]
use = "file-multilabel"
train = "weather.csv"
text = "text"
label = "labels"
separator = "|"

[[teacher]]
use = "student"
student = { use = "mlp", width = 12, min_examples = 6000, learning_rate = 2e-2 }

[[student]]
use = "mlp"
width = 8
vocabulary = 40
min_examples = 4000
learning_rate = 2e-2

[[student]]
use = "cnn"
width = 8
filters = 16
vocabulary = 40
min_examples = 8000
learning_rate = 2e-2

[[augmenter]]
use = "mask"
copies = 1

[[loss]]
use = "binary-kl"
temperature = 2.0

[[loss]]
use = "binary-cross-entropy"
positive_weight = 2.0
"""


def weather(path: Path, rows: int = 240) -> None:
    """Texts that have one or more of three labels, or none, each shown by two of its words."""
    draw = random.Random(0)
    with path.open("w", newline="") as stream:
        out = csv.writer(stream)
        out.writerow(["text", "labels"])
        for row in range(rows):
            labels = [
                name for name, share in zip(WORDS, (0.4, 0.4, 0.25), strict=True) if draw.random() < share
            ]
            words = [*draw.sample(PLAIN, 5), f"day{row}"]
            words += [word for name in labels for word in draw.sample(WORDS[name], 2)]
            draw.shuffle(words)
            out.writerow([" ".join(words), "|".join(labels)])


def harness(*arguments: object, given: str | None = None) -> Result:
    done = CliRunner().invoke(main, [*map(str, arguments)], input=given, env={"COLUMNS": "200"})
    assert done.exit_code == 0, (arguments, done.output)
    return done


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of the suite, and the export of one of its models in ``out``."""
    folder = tmp_path_factory.mktemp("home")
    weather(folder / "weather.csv")
    (folder / "weather.toml").write_text(SUITE)
    with pytest.MonkeyPatch.context() as patch, without_workers(), brief():
        patch.chdir(folder)
        harness("bench", "weather.toml", "--devices", "cpu:1")
        harness("export", "student=mlp,loss=binary-kl", "out", "--suite", "weather.toml")
    return folder


@pytest.fixture(autouse=True)
def there(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(home)
    with without_workers(), brief():
        yield


def records() -> list[Any]:
    return list(read(Path("results/weather/records.jsonl")))


# -- results -------------------------------------------------------------------------------------------------


def test_each_cell_has_all_scores() -> None:
    found = records()
    assert sorted(record["role"] for record in found) == ["baseline"] * 4 + ["distilled"] * 2 + ["teacher"]
    for record in found:
        assert record["status"] == "ok" and record["task"]["type"] == MultiLabel.name
        assert record["task"]["headline"] == "f1_macro"
        scores = record["metrics"]
        assert {"f1_macro", "f1_micro", "f1_samples", "map", "subset_accuracy", "hamming_loss"} <= set(scores)
        assert set(scores["per_class"]) == set(WORDS)
        assert scores["f1_macro"] > 0.5 and scores["map"] > 0.5, record["cell"]
        assert ("agreement" in scores) == (record["role"] == "distilled")
    (teacher,) = (record for record in found if record["role"] == "teacher")
    assert teacher["metrics"]["f1_micro"] > 0.9


def test_the_leaderboard_has_a_column_for_each_average() -> None:
    table = Path("results/weather/leaderboard.md").read_text()
    for title in (
        "macro F1, %",
        "micro F1, %",
        "samples F1, %",
        "mAP, %",
        "subset accuracy, %",
        "Hamming loss, %",
    ):
        assert title in table, title
    assert "Unless the task fixes the thresholds, they were chosen on the validation set." in table
    with Path("results/weather/leaderboard.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 7 and {row["task"] for row in rows} == {"file-multilabel"}
    shown = harness("leaderboard", "weather.toml").output
    assert "macro F1" in shown and "binary-kl" in shown


def test_the_report_shows_scores_for_each_label() -> None:
    page = Path("results/weather/index.html").read_text()
    start = page.index("Score by label")
    assert all(f'"{name}"' in page[start:] for name in WORDS)
    Path("results/weather/index.html").unlink()
    harness("report", "weather.toml")
    assert "Score by label" in Path("results/weather/index.html").read_text()


def test_results_are_compared_and_recommended() -> None:
    same = json.loads(harness("compare", "weather.toml", "results/weather", "--json").output)
    assert same["counts"]["worse"] == same["counts"]["better"] == 0
    one = harness("compare", "weather.toml", "results/weather", "--metric", "subset_accuracy")
    assert "subset_accuracy, %" in one.output
    advice = harness("recommend", "weather.toml").output
    assert (
        "validation macro F1, %" in advice and "next best minus chosen, macro F1 on the test split" in advice
    )


# -- shipping ------------------------------------------------------------------------------------------------


def test_an_export_has_the_thresholds_of_its_model_and_uses_them() -> None:
    record = json.loads(Path("out/record.json").read_text())
    kind = json.loads(Path("out/export.json").read_text())["task_type"]
    assert kind["name"] == "multi-label" and kind["module"] == "harness_multilabel.task_type"
    chosen = kind["options"]["chosen"]
    assert len(chosen) == 3 and all(0 < cut < 1 for cut in chosen) and len(set(chosen)) == 3
    assert record["task"]["type"] == "multi-label"
    forms = record["export"]["forms"]
    assert {"numpy", "onnx"} <= set(forms)
    assert all(forms[form]["changed"] == 0 for form in ("numpy", "onnx"))
    model = load(Path("out"))
    texts = ["a rainy and windy day", "so warm and bright", "the town again", "wet", "gusts, sunny"]
    scores = sigmoid(model.predict(texts))
    expected = [
        [name for name, has in zip(model.classes, row, strict=True) if has]
        for row in scores >= np.array(chosen)
    ]
    assert [model.answer(text) for text in texts] == expected
    found = model.task_type.answers(model, texts, None)
    assert [sorted(answer["labels"]) for answer in found] == expected
    # Other thresholds in the file are other answers.
    moved = Path("moved")
    shutil.copytree("out", moved)
    manifest = json.loads((moved / "export.json").read_text())
    manifest["task_type"]["options"]["chosen"] = [1e-6] * 3
    (moved / "export.json").write_text(json.dumps(manifest))
    assert load(Path("moved")).answer("the town again") == list(WORDS) != model.answer("the town again")


def test_predictions_have_labels_and_scores() -> None:
    given = "it was rainy and windy , wet with gusts\nwarm and bright\n"
    lines = harness("predict", "out", given=given).stdout.splitlines()
    first, second = map(json.loads, lines)
    assert sorted(first["labels"]) == ["rain", "wind"] and second["labels"] == ["sun"]
    assert first["scores"] == sorted(first["scores"], reverse=True) and "top" not in first
    ranked = json.loads(harness("predict", "out", "--top", "2", given=given).stdout.splitlines()[1])
    assert len(ranked["top"]) == 2 and ranked["top"][0] == {"label": "sun", "score": second["scores"][0]}
    table = harness("predict", "out", "--format", "tsv", given=given).stdout.splitlines()
    assert [set(line.split("\t")) for line in table] == [{"rain", "wind"}, {"sun"}]
    eighth = harness("predict", "out", "--int8", given=given).stdout.splitlines()
    assert [sorted(json.loads(line)["labels"]) for line in eighth] == [["rain", "wind"], ["sun"]]


def test_the_card_says_what_the_model_answers() -> None:
    card = Path("out/README.md").read_text()
    assert "each label whose probability reaches the threshold in brackets" in card
    assert all(f"{name} (0." in card for name in WORDS)


# -- files of one's own --------------------------------------------------------------------------------------


def test_a_suite_and_a_file_are_diagnosed() -> None:
    (found,) = json.loads(harness("diagnose", "weather.toml", "--json").stdout)["tasks"]
    assert found["compared"] == {"metric": "f1_macro", "title": "macro F1", "label": "label"}
    assert found["bag_of_words"]["student"] == "mlp" and found["bag_of_words"]["always_largest"] is None
    assert 0.8 < found["bag_of_words"]["f1_macro"] <= 1
    (teacher,) = found["teachers"]
    assert teacher["ece"] is None and teacher["histogram"] == []
    shares = [teacher[name] for name in ("agreement", "only_teacher_right", "only_bag_of_words_right")]
    assert 0.5 < shares[0] <= 1 and teacher["headroom"]["low"] <= teacher["headroom"]["high"]
    assert sum(teacher[name] for name in ("only_teacher_right", "both_wrong")) <= 1
    assert found["classes"]["largest"] in WORDS and found["classes"]["number"] == 3
    told = harness("diagnose", "weather.csv").stdout
    assert "read as task 'file-multilabel', because cells of column 'labels' have several labels" in told
    assert "3 labels, " in told and "bag of words (mlp)" in told and "macro F1, %" in told


def test_a_file_becomes_a_model() -> None:
    """The suite is there already, and its steps are stored: what is new is what is shipped."""
    Path("made").mkdir()
    Path("made/suite.toml").write_text(SUITE)
    told = harness("distill", "weather.csv", "--out", "made", "--devices", "cpu:1").stdout
    assert "read as task 'file-multilabel', because cells of column 'labels' have several labels" in told
    assert "running the existing made/suite.toml" in told and "macro F1" in told
    answer = harness("predict", "made/model", given="rainy and wet\n").stdout
    assert json.loads(answer)["labels"] == ["rain"]


def test_what_the_plugin_adds_is_listed() -> None:
    told = harness("plugins").stdout
    for name in ("multi-label", "file-multilabel", "go-emotions", "binary-kl", "binary-cross-entropy"):
        assert f"\n  {name}  " in told, name
