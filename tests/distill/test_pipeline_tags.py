"""The command distill on tagged words: a file of sentences becomes a small tagger in a folder."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet

from harness import catalog
from harness.cli import main
from harness.distill import stages
from harness.distill.candidates import Candidates
from harness.distill.inspect import look
from harness.distill.stages import Taught
from harness.distill.wishes import Wishes
from harness.plan.planner import build
from harness.run.estimates import Estimates, Size
from harness.sources.tagged import is_tagged
from harness.storage.timings import Timings
from harness.suite import reader as suite
from harness.task_types.tagging import Tagging
from harness_tasks.conll import ConllFile

INSTALLED = catalog.load()
SIZE = Size(1000, 200, 20.0, 50)


def sentences(count: int = 160) -> list[tuple[list[str], list[str]]]:
    draw = random.Random(0)
    found = []
    for row in range(count):
        name, more = draw.choice(["Ann", "Bo", "Cy", "Di"]), draw.choice(["Li", "Ek", "Ray"])
        place = draw.choice(["Rome", "Oslo", "Bonn", "Nice"])
        rest = draw.sample(["today", "again", "now", "with", "the", "others", f"day{row}"], 3)
        words = [name, more, "was", "in", place, *rest]
        found.append((words, ["B-per", "I-per", "O", "O", "B-loc", "O", "O", "O"]))
    return found


def conll(path: Path, count: int = 160) -> Path:
    every = ("\n".join(map(" ".join, zip(*pair, strict=True))) for pair in sentences(count))
    path.write_text("\n\n".join(every) + "\n")
    return path


def harness(folder: Path, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness.cli", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "160"}
    return subprocess.run(command, cwd=folder, env=environment, input=given, capture_output=True, text=True)


@pytest.mark.usefixtures("steps_inline")
def test_sentences_become_a_tagger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    conll(tmp_path / "names.conll")
    arguments = ("names.conll", "--teacher", "cnn-tagger", "--budget", "200s", "--seeds", "1", "--out", "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "suite.toml").write_text(SMALL)
    done = CliRunner().invoke(main, ["distill", *arguments])
    assert done.exit_code == 0, done.output
    assert "160 sentences of 8 words on average, 320 entities of 2 types (per 160, loc 160)" in done.stdout
    assert "128 for training, 16 for validation, 16 for test" in done.stdout
    assert "running the existing out/suite.toml; " in done.stdout and "Ship cnn-tagger" in done.stdout
    answered = harness(tmp_path, "predict", "out/model", given="Di Ek was in Bonn today\n")
    (answer,) = map(json.loads, answered.stdout.splitlines())
    assert [(each["text"], each["type"]) for each in answer["entities"]] == [
        ("Di Ek", "per"),
        ("Bonn", "loc"),
    ]
    record = json.loads((tmp_path / "out" / "model" / "record.json").read_text())
    assert record["task"]["type"] == "tagging"
    other = CliRunner().invoke(main, ["distill", *arguments, "--text", "1"])
    assert other.exit_code == 2 and "it is for other data or columns" in other.stderr, other.stderr


SMALL = """
[suite]
name = "names"
[[task]]
use = "conll-file"
train = "names.conll"
[[teacher]]
use = "student"
student = { use = "cnn-tagger", vocabulary = 90, min_examples = 1500 }
[[student]]
use = "cnn-tagger"
vocabulary = 90
width = 8
hidden = 12
min_examples = 2000
learning_rate = 2e-2
[[augmenter]]
use = "none"
[[loss]]
use = "kl"
"""


def wishes(file: str) -> Wishes:
    return Wishes(Path(file), "", "", Path("out"))


@pytest.mark.parametrize("copies", [0, 2])
def test_every_stage_is_a_sound_suite(copies: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    conll(Path("rows.conll"))
    Path("more.csv").write_text("text\n" + "".join(f"a text {n}\n" for n in range(60)))
    data = look(wishes("rows.conll"), INSTALLED)
    some = Candidates(data.task_type, INSTALLED)
    pool = {"use": "unlabelled", "file": "more.csv", "column": "text", "size": 50}
    (baseline, *_) = INSTALLED.baselines(Tagging())
    for teacher in ({"use": "bilstm-crf"}, {"use": "minilm", "epochs": 3}):
        taught = Taught(teacher, copies, some.augmenters(None), some.loss(2), pool)
        task, students = dict(data.task), some.students(teacher)
        assert [table["use"] for table in students] == ["cnn-tagger", "bilstm-tagger"]
        for made in (
            stages.of_students("b", task, taught, students, 160, baseline),
            stages.final("c", task, taught, students, some.simple(2), [], 2, 160, baseline),
        ):
            plan = build(suite.parse(stages.written(made, Path("out"), ""), INSTALLED), INSTALLED)
            assert {cell.status for cell in plan.cells} == {"ok"}
            expected = Estimates(Timings({}, {}), plan.steps, lambda step: SIZE)
            assert all(expected.seconds(step) > 0 for step in plan.steps.values())


def test_columns_are_names_or_numbers() -> None:
    for text, label, tokens, tags in (("", "", "", ""), ("2", "-1", 2, -1), ("form", "ner", "form", "ner")):
        read = ConllFile.of_file(Path("a.conll"), text, label)
        assert read is not None
        table = stages.of_teachers("x", {"use": "conll-file", **read.parameters}, [{"use": "minilm"}], [])
        (task,) = suite.parse(stages.written(table, Path("out"), ""), INSTALLED).tasks
        assert (vars(task)["tokens"], vars(task)["tags"]) == (tokens, tags)


def test_tagged_words_are_told_from_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.conll", "a.bio", "a.txt"):
        conll(Path(name))
    rows = [{"tokens": words, "tags": tags} for words, tags in sentences(3)]
    Path("words.jsonl").write_text("\n".join(map(json.dumps, rows)))
    Path("texts.jsonl").write_text('{"text": "a", "label": "b"}\n')
    Path("broken.jsonl").write_text("{\n")
    Path("broken.parquet").write_text("{\n")
    Path("texts.csv").write_text("text,label\na,b\n")
    parquet.write_table(pa.Table.from_pylist(rows), "words.parquet")
    tagged = ("a.conll", "a.bio", "a.txt", "words.jsonl", "words.parquet", "absent.conll")
    others = ("texts.jsonl", "texts.csv", "broken.jsonl", "broken.parquet", "absent.txt", "absent.jsonl")
    assert all(is_tagged(Path(name)) for name in tagged)
    assert not any(is_tagged(Path(name)) for name in others)
    assert is_tagged(Path("words.jsonl"), "tags") and not is_tagged(Path("words.jsonl"), "other")


def test_iob1_and_languages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [f"der O\nHund{n} O\nauf O\nBad I-loc\nEms I-loc\n" for n in range(60)]
    Path("rows.conll").write_text("\n".join(lines))
    data = look(wishes("rows.conll"), INSTALLED)
    assert "60 entities of 1 types (loc 60)" in data.told[0] and not data.english
    assert (data.size.train, data.size.held_out, data.size.words) == (48, 12, 5.0)


def test_mistakes_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    conll(Path("few.conll"), 20)
    conll(Path("rows.conll"))
    Path("none.conll").write_text("\n\n".join(f"a O\nword{n} O" for n in range(60)))
    Path("odd.conll").write_text("\n\n".join(f"a NOUN\nword{n} VERB" for n in range(60)))
    Path("plain.txt").write_text("so it goes\nno rain today at all\n")
    for arguments, says in (
        (("plain.txt",), "plain.txt was read as task 'conll-file', because its name ends in .txt"),
        (("few.conll",), "expected at least 50 labelled sentences in few.conll, got 20; add more sentences"),
        (
            ("none.conll",),
            "cannot train a tagger on none.conll: it has no entities, because all tags are 'O'",
        ),
        (("odd.conll",), "got 'NOUN'"),
        (("absent.conll",), "'absent.conll' does not exist"),
        (
            ("rows.conll", "--teacher", "mlp"),
            "student 'mlp' cannot learn tagging; name another with --teacher",
        ),
        (("rows.conll", "--text", "form"), "does not name its columns in a line"),
        (
            ("rows.conll", "--unlabelled", "more.csv"),
            "cannot read the unlabelled file 'more.csv': it does not exist",
        ),
    ):
        result = CliRunner().invoke(main, ["distill", *arguments])
        assert result.exit_code == 2, (arguments, result.output)
        assert result.stderr.startswith("error: ") and says in result.stderr, result.output
