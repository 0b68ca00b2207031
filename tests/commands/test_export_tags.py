"""Tagged words from a suite to answers: ``harness bench``, ``export`` and ``predict``, as a user would."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from components import call, call_here

from harness.cli import main
from harness.runtime.answerer import Answerer
from harness.runtime.forms import load
from harness.runtime.streaming import BadLine, answers, text_of
from harness.task_types.classification import Classification
from harness.task_types.tagging import Tagging

SUITE = """
[suite]
name = "names"
[[task]]
use = "conll-file"
train = "rows.conll"
[[teacher]]
use = "bilstm-crf"
vocabulary = 60
affixes = 40
shapes = 20
letters = 50
characters = 6
width = 8
hidden = 12
min_examples = 1200
batch_size = 8
learning_rate = 3e-2
[[student]]
use = "cnn-tagger"
vocabulary = 60
affixes = 40
shapes = 20
letters = 50
characters = 6
width = 8
hidden = 12
min_examples = 2500
batch_size = 8
learning_rate = 1e-2
[[augmenter]]
use = "none"
[[loss]]
use = "kl"
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of a suite, a student's export in ``out`` and its teacher's in ``large``."""
    folder = tmp_path_factory.mktemp("home")
    rows = [
        f"{name} B-per\n{more} I-per\nmet O\nus O\nin O\n{place} B-loc\n{end} O\n\n"
        for name in ("Ann", "Bo", "Cy")
        for more in ("Li", "Ek")
        for place in ("Rome", "Oslo", "Bonn")
        for end in (".", "today", "!")
    ]
    rows += [
        f"{first} O\n{second} O\n{third} O\n\n"
        for first in ("nothing", "much", "so")
        for second in ("happened", "is", "was", "seems")
        for third in ("today", "here", "now", "!")
    ]
    (folder / "rows.conll").write_text("".join(rows))
    (folder / "names.toml").write_text(SUITE)
    roles = ("--only", "role=teacher", "--only", "role=distilled")  # what is shipped here
    done = call_here(folder, "bench", "names.toml", "--devices", "cpu:1", *roles)
    assert done.exit_code == 0, done.output
    for cell, out in (("student=cnn-tagger,role=distilled", "out"), ("role=teacher", "large")):
        done = call_here(folder, "export", cell, out, "--suite", "names.toml")
        assert done.exit_code == 0, done.output
    return folder


@pytest.mark.parametrize("model", ["out", "large"])
def test_words_and_entities_are_answered(model: str, home: Path) -> None:
    done = call(home, "predict", model, given="Ann Li met us in  Rome .\n\nnothing happened today\n")
    assert done.returncode == 1 and not done.stderr  # because of the blank line
    first, empty, third = map(json.loads, done.stdout.splitlines())
    assert first["words"] == ["Ann", "Li", "met", "us", "in", "Rome", "."]
    assert first["tags"] == ["B-per", "I-per", "O", "O", "O", "B-loc", "O"]
    assert len(first["scores"]) == 7 and all(0.2 < score <= 1 for score in first["scores"])
    person, place = first["entities"]
    assert person == {
        "text": "Ann Li",
        "type": "per",
        "start": 0,
        "end": 2,
        "score": min(first["scores"][:2]),
    }
    assert place == {"text": "Rome", "type": "loc", "start": 5, "end": 6, "score": first["scores"][5]}
    assert empty == {"error": "line 2: expected a text, got a blank line"}
    assert third["entities"] == [] and third["tags"] == ["O"] * 3


def test_lists_of_words_columns_and_int8(home: Path) -> None:
    given = '{"w": ["Bo", "Ek", "met us"]}\n{"w": "in Oslo"}\n{"w": [1]}\n{"w": []}\n'
    done = call(home, "predict", "out", "--text", "w", "--top", "2", "--int8", given=given)
    assert done.returncode == 1 and not done.stderr
    first, second, third, empty = map(json.loads, done.stdout.splitlines())
    assert first["words"] == ["Bo", "Ek", "met_us"] and len(first["top"]) == 3
    for word, tag, score in zip(first["top"], first["tags"], first["scores"], strict=True):
        assert len(word) == 2 and word[0] == {"tag": tag, "score": score} and word[1]["score"] <= score
    assert second["words"] == ["in", "Oslo"] and empty["words"] == []
    assert third == {"error": "line 3: expected text or a list of words in 'w', got a list"}
    done = call(home, "predict", "out", "--format", "tsv", given="Ann Li met us\n\nmuch is here\n")
    assert done.stdout == b"B-per I-per O O\n\\N\nO O O\n"


def test_the_card_says_what_it_tags_and_how(home: Path) -> None:
    card = (home / "out" / "README.md").read_text()
    assert "finds entities of these types: loc, per." in card and "The scheme is BIO" in card
    assert "Labels: O, B-loc, I-loc, B-per, I-per." in card and 'model.tags("words of a text")' in card
    assert "| F1 |" in card and "A `cnn-tagger` distilled from a `bilstm-crf`" in card
    assert not (home / "out" / "transitions.json").exists()
    assert (home / "large" / "transitions.json").exists()


def test_the_record_tells_of_every_form(home: Path) -> None:
    for folder in ("out", "large"):
        record = json.loads((home / folder / "record.json").read_text())
        forms = record["export"]["forms"]
        assert set(forms) == {"onnx", "onnx-int8"}
        assert forms["onnx"]["score"] == pytest.approx(record["metrics"]["f1"])
        assert forms["onnx"]["outputs"] > forms["onnx"]["texts"] > 0
        assert {run["backend"] for run in record["latency"]} == {"torch", "onnx", "onnx-int8"}
        size = sum(
            (home / folder / name).stat().st_size
            for name in (
                "onnx/model.onnx",
                "featuriser.json",
                "labels.json",
                "export.json",
                "transitions.json",
            )
            if (home / folder / name).exists()
        )
        # Without the times in export.json, whose digits would make the records of two runs differ.
        assert size - (home / folder / "export.json").stat().st_size < record["size_bytes"]["onnx"] < size
    table = (home / "results" / "names" / "leaderboard.md").read_text()
    assert "onnx p50, ms" in table


def test_a_crf_replaced_by_another_model_leaves_no_transitions(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    for cell in ("role=teacher", "student=cnn-tagger,role=distilled"):
        done = CliRunner().invoke(main, ["export", cell, "again", "--suite", "names.toml"])
        assert done.exit_code == 0, done.output
    assert not (home / "again" / "transitions.json").exists()
    assert load(home / "again").tags("Bo Ek met us") == ["B-per", "I-per", "O", "O"]


def test_answers_are_the_same_alone_and_together(home: Path) -> None:
    model = load(home / "large")
    texts = ["Ann Li met us in Rome .", "", "nothing here", "Cy Ek"]
    task_type = model.task_type
    together = task_type.answers(model, texts, None)
    assert together == [task_type.answers(model, [text], None)[0] for text in texts]
    assert task_type.answers(model, [], None) == []
    assert [answer["tags"] for answer in together] == [model.tags(text) if text else [] for text in texts]
    assert [task_type.as_tsv(each) for each in answers(Answerer(model), io.BytesIO(b"Cy Ek\n"))] == [
        "B-per I-per"
    ]


def test_words_of_a_line() -> None:
    assert text_of(b"  a\tb \xc2\xa0 c\r", None, Tagging()) == "a b c"
    assert text_of(b'{"w": ["a", " ", "b c"]}', "w", Tagging()) == "a _ b_c"
    with pytest.raises(BadLine, match="expected text in 'w', got a list"):
        text_of(b'{"w": ["a"]}', "w", Classification())
