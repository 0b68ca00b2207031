"""The command distill: a labelled file becomes a small model in a folder; the rule that fits a budget."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from harness import HarnessError, catalog
from harness.cli import main
from harness.distill import budget
from harness.distill import pipeline as distilling
from harness.distill.budget import Level
from harness.distill.inspect import Data
from harness.distill.pipeline import Wishes, fill
from harness.plan.planner import build
from harness.report.verdict import read as read_verdict
from harness.run.estimates import Size
from harness.suite import reader as suite
from harness.task_types.classification import Classification
from harness.task_types.tagging import Tagging
from harness_multilabel.task_type import MultiLabel

GOOD, BAD = ("sunny", "warm", "bright", "calm", "mild"), ("rainy", "cold", "grey", "stormy", "wet")
PLAIN = ["the", "weather", "in", "town", "is", "very", "much", "so", "today"]
MLP = 'use = "mlp"\n'
LEAST = Level(1, 1, 0, ("mlp",), ("kl",))
INSTALLED = catalog.load()


def weather(path: Path, rows: int = 200, text: str = "message", label: str = "mood") -> Path:
    draw = random.Random(0)
    lines = [f"{text},{label}"]
    for row in range(rows):
        good = draw.random() < 0.6
        words = [
            *draw.sample(["the", "weather", "in", "town", "is", "very", "much", "so", "today"], 5),
            f"day{row}",
        ]
        words += draw.sample(GOOD if good else BAD, 2)
        draw.shuffle(words)
        lines.append(f"{' '.join(words)},{'good' if good else 'bad'}")
    path.write_text("\n".join(lines) + "\n")
    return path


def wishes(folder: Path, **changed: Any) -> Wishes:
    given: dict[str, Any] = {"file": Path("rows.csv"), "text": "text", "label": "label", "teacher": None}
    rest: dict[str, Any] = {"seconds": 60.0, "seeds": None, "unlabelled": None, "out": folder / "out"}
    return Wishes(**(given | rest | changed))


def data(**columns: Any) -> Data:
    """What was found of a file, for a suite of it."""
    table = {"use": "file", "train": "rows.csv", "text": "text", "label": "label", **columns}
    return Data(table, Classification(), Size(1000, 200, 20.0), 2, True, ())


def levels(train: int, seeds: int | None = None) -> list[Level]:
    return budget.levels(Size(train, 200, 20.0), Classification(), INSTALLED, seeds)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["distill", *map(str, arguments)])


# -- the whole way -------------------------------------------------------------------------------------------


def harness(folder: Path, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness.cli", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "160"}
    return subprocess.run(command, cwd=folder, env=environment, input=given, capture_output=True, text=True)


def short(*arguments: Any, **options: Any) -> str:
    """The recipe that was chosen, with a shorter training."""
    text, least = fill(*arguments, **options), "min_examples = 20000\n"
    return text.replace(MLP, MLP + least) if options["chosen"] else text


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which distill ran once, with a shorter training than it chose, and what it said."""
    folder = tmp_path_factory.mktemp("home")
    weather(folder / "weather.csv")
    columns = ("--text", "message", "--label", "mood", "--out", "out")

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("COLUMNS", "160")
        patch.setattr(distilling, "fill", short)
        ran = invoke("weather.csv", *columns, "--teacher", "tfidf-logreg", "--budget", "20s")
    assert ran.exit_code == 0, ran.output
    return folder, ran.stdout


def test_a_file_becomes_a_model(done: tuple[Path, str]) -> None:
    folder, said = done
    assert "200 texts of 8 words on average, 2 classes" in said
    assert "160 for training, 20 for validation, 20 for test" in said
    assert "teacher: tfidf-logreg, as asked for" in said
    assert "chosen: 1 seed; teacher tfidf-logreg; no new texts; students tfidf-logreg, mlp" in said
    out = folder / "out"
    made = [out / "suite.toml", *(out / "weather" / name for name in ("index.html", "leaderboard.md"))]
    assert all(path.is_file() for path in made)
    assert "distillation did not help" in said and "Ship mlp on the labels alone" in said
    assert json.loads((out / "model" / "record.json").read_text())["role"] == "baseline"
    verdict = read_verdict(out / "weather")
    assert verdict is not None and verdict.about == "weather.csv" and not verdict.stale
    assert verdict.sections[0].title == "Ship mlp on the labels alone"
    assert verdict.sections[0].command == "harness predict out/model < texts.txt"
    assert "<h2>Ship mlp on the labels alone</h2>" in (out / "weather" / "index.html").read_text()
    answers = harness(folder, "predict", "out/model", given="sunny and warm\nwet and cold\n")
    assert [json.loads(line)["label"] for line in answers.stdout.splitlines()] == ["good", "bad"]


def test_the_suite_that_it_wrote_is_an_ordinary_one(done: tuple[Path, str], monkeypatch: Any) -> None:
    folder, _ = done
    monkeypatch.chdir(folder)
    read = suite.load(Path("out/suite.toml"), INSTALLED)
    assert read.name == "weather" and read.seeds == (0,)
    assert [task.name for task in read.tasks] == ["file"]


def test_again_runs_the_suite_as_it_stands(done: tuple[Path, str]) -> None:
    folder, _ = done
    columns = ("--text", "message", "--label", "mood", "--out", "out")
    again = harness(folder, "distill", "weather.csv", *columns, "--seeds", "2", "--max-parameters", "10")
    assert again.returncode == 1, again.stderr
    assert "running the existing out/suite.toml; " in again.stdout and "--seeds had no effect" in again.stdout
    assert "steps are stored: nothing to run" in again.stdout
    assert "no student is within the limits, so no model was exported" in again.stdout
    other = harness(folder, "distill", "weather.csv", "--text", "mood", "--label", "message", "--out", "out")
    assert other.returncode == 2 and "error: " in other.stderr and "Traceback" not in other.stderr


def test_a_limit_on_parameters_is_kept_by_knowing_fewer_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the 221 words, with which the student would have 3,600 parameters, those that tell most."""
    weather(tmp_path / "weather.csv")
    monkeypatch.chdir(tmp_path)

    monkeypatch.setattr(distilling, "fill", short)
    columns = ("--text", "message", "--label", "mood", "--out", "out", "--teacher", "tfidf-logreg")
    ran = invoke("weather.csv", *columns, "--budget", "20s", "--max-parameters", "2k")
    assert ran.exit_code == 0, ran.output
    assert "for 2,000 parameters: mlp with vocabulary 122, words telling" in ran.stdout
    assert (
        'use = "mlp"\nmin_examples = 20000\nvocabulary = 122\nwords = "telling"'
        in Path("out/suite.toml").read_text()
    )
    record = json.loads(Path("out/model/record.json").read_text())
    assert record["parameters"]["total"] == 122 * 16 + 16 * 2 + 2
    assert record["metrics"]["accuracy"] > 0.9
    known = json.loads(Path("out/model/featuriser.json").read_text())["vocabulary"]
    assert {*GOOD, *BAD} < set(known)
    again = invoke("weather.csv", *columns, "--max-parameters", "20")
    assert again.exit_code == 1
    assert "delete out/suite.toml to choose students for 20 parameters" in again.stdout


# -- what is wrong is told -----------------------------------------------------------------------------------


def test_mistakes_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    Path("full/model").mkdir(parents=True)
    Path("full/model/mine.txt").touch()
    weather(Path("rows.csv"), text="text", label="label")
    weather(Path("few.csv"), rows=12, text="text", label="label")
    Path("one.csv").write_text("text,label\n" + "".join(f"text {n},same\n" for n in range(60)))
    Path("ids.csv").write_text("text,label\n" + "".join(f"text {n},{n}\n" for n in range(60)))
    Path("pairs.csv").write_text(
        "text,label\n" + "".join(f"a {n} [SEP] b,{'x' if n % 2 else 'y'}\n" for n in range(60))
    )
    for arguments, says in (
        (("nothing.csv",), "the train file 'nothing.csv' does not exist"),
        (("rows.csv", "--text", "txt"), "rows.csv has no column 'txt'; found: 'text', 'label'; did you mean"),
        (("few.csv",), "expected at least 50 labelled texts in few.csv, got 12"),
        (("one.csv",), "expected at least two classes in column 'label' of one.csv, got only"),
        (("ids.csv",), "60 different values in 60 rows, too many for classes"),
        (("pairs.csv",), "cannot distil pairs.csv: it has pairs of texts"),
        (("rows.csv", "--teacher", "minilmm"), "unknown teacher 'minilmm'; did you mean 'minilm'?"),
        (("rows.csv", "--budget", "soon"), "expected a time, got 'soon'; write it like 90s, 10min or 2h"),
        (
            ("rows.csv", "--budget", "1s", "--teacher", "mlp"),
            "cannot distil within 1 s: the shortest plan takes about",
        ),
        (("rows.csv", "--teacher", "roberta-base"), "name another with --teacher"),
        (("rows.csv", "--teacher", "checkpoint"), "checkpoint"),
        (("rows.csv", "--text", "label"), "text and label are both 'label'"),
        (("rows.txt",), "cannot read the train file 'rows.txt': unknown format"),
        (("rows.csv", "--out", "full"), "cannot export to full/model: it contains other files"),
        (
            ("rows.csv", "--unlabelled", "more.csv"),
            "cannot read the unlabelled file 'more.csv': it does not exist",
        ),
    ):
        result = invoke(*arguments)
        assert result.exit_code == 2, (arguments, result.output)
        assert result.stderr.startswith("error: ") and says in result.stderr, result.output
    assert not Path("rows-distilled").exists()


def test_without_a_teacher_the_way_out_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    lines = [f"el tiempo es {'bueno' if n % 2 else 'malo'} hoy {n},{n % 2}\n" for n in range(60)]
    Path("rows.csv").write_text("text,label\n" + "".join(lines))
    result = invoke("rows.csv")
    assert result.exit_code == 2
    assert (
        "cannot choose a teacher: the texts do not look English, and no teacher for them is available"
        in result.output
    )
    assert "--teacher" in result.output and "distil-harness[embedded]" in result.output


# -- the budget ----------------------------------------------------------------------------------------------


def test_the_first_level_that_fits_is_taken() -> None:
    offered = [Level(seeds, 3, 8, ("mlp",), ("kl",)) for seeds in (3, 2, 1)]
    cost = {3: 300.0, 2: 200.0, 1: 100.0}
    taken = budget.choose(offered, lambda level: cost[level.seeds], 250)
    assert (taken.level.seeds, taken.seconds, taken.more, taken.fits) == (2, 200.0, 300.0, True)
    assert budget.choose(offered, lambda level: cost[level.seeds], 1000).more is None
    none = budget.choose(offered, lambda level: cost[level.seeds], 50)
    assert (none.level.seeds, none.seconds, none.fits) == (1, 100.0, False)


def test_few_texts_get_more_passes_and_copies() -> None:
    few, many = levels(800)[0], levels(16_000)[0]
    assert (few.epochs, few.copies) == (10, 30)  # 12,000 / 800 is above the most
    assert (many.epochs, many.copies) == (3, 8)
    assert levels(3000)[0].epochs == 4  # 12,000 / 3,000
    assert {level.seeds for level in levels(800, 5)} == {5}
    least = levels(16_000)[-1]
    assert (least.seeds, least.epochs, least.copies) == (1, 1, 0)


@pytest.mark.parametrize("level", levels(1000))
def test_every_level_is_a_sound_suite(level: Level, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    weather(Path("rows.csv"), text="text", label="label")
    weather(Path("more.csv"), text="text")
    teacher = {"use": "tfidf-logreg", "pupil": True, "epochs": False}
    given = wishes(tmp_path, unlabelled=Path("more.csv"))
    text = fill(given, data(), INSTALLED, level, teacher, pool=50, chosen="")
    plan = build(suite.parse(text, INSTALLED), INSTALLED)
    assert {cell.status for cell in plan.cells} == {"ok"}
    assert {cell.role for cell in plan.cells} == {"teacher", "baseline", "distilled"}


def test_every_level_of_several_labels_is_a_sound_suite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ("sun", "rain", "sun|rain")
    rows = [f"day {n} is like day {n + 1},{names[n % 3]}" for n in range(60)]
    Path("rows.csv").write_text("\n".join(["text,labels", *rows]))
    given = wishes(tmp_path, text="", label="", teacher="mlp", unlabelled=Path("rows.csv"))
    found = distilling.look(given, INSTALLED)
    teacher, why = distilling.teacher_of(given, found, INSTALLED)
    assert teacher == {"use": "mlp", "pupil": True, "epochs": False} and why == "mlp, as asked for"
    offered = budget.levels(found.size, found.task_type, INSTALLED)
    assert {name for level in offered for name in level.students} == {"mlp", "cnn", "bigru"}
    assert {level.losses for level in offered} == {("binary-kl",)} and offered[-1].students == ("mlp",)
    for level in offered:
        text = fill(given, found, INSTALLED, level, teacher, pool=50, chosen="")
        plan = build(suite.parse(text, INSTALLED), INSTALLED)
        assert {cell.status for cell in plan.cells} == {"ok"}
        assert {cell.role for cell in plan.cells} == {"teacher", "baseline", "distilled"}
    with pytest.raises(HarnessError, match=r"student 'tfidf-logreg' cannot learn multi-label; name another"):
        distilling.teacher_of(replace(given, teacher="tfidf-logreg"), found, INSTALLED)


def test_the_bag_of_words_is_one_for_the_type() -> None:
    types = (Classification(), MultiLabel(), Tagging())
    assert [budget.bag_of_words(one, INSTALLED) for one in types] == ["tfidf-logreg", "mlp", None]


def test_names_from_outside_stay_values(tmp_path: Path) -> None:
    hostile = 'a"\n[[task]]\nuse = "emotion'
    text = fill(
        wishes(tmp_path, text=hostile, file=Path("x\u007f.csv")),
        data(text=hostile, train="x\u007f.csv"),
        INSTALLED,
        LEAST,
        {"use": "minilm", "pupil": False, "epochs": True},
        pool=0,
        chosen="one\ntwo",
    )
    (task,) = suite.parse(text, INSTALLED).tasks
    assert vars(task)["text"] == hostile and vars(task)["train"] == Path("x\u007f.csv")


def test_english_is_told_from_others() -> None:
    assert budget.looks_english(["I was not sure that it is what you want", "the best of them"])
    assert not budget.looks_english(["das ist nicht gut und wir wissen", "le temps est mauvais aujourd'hui"])
    assert not budget.looks_english([])
