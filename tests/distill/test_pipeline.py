"""The command distill: a labelled file becomes a small model in a folder; the rule that fits a budget."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from components import inline

from harness import HarnessError, catalog
from harness.cli import main
from harness.distill import candidates, stages
from harness.distill.budget import Level, Time
from harness.distill.inspect import look
from harness.distill.pipeline import DryRun, _Run
from harness.distill.runs import Runs
from harness.distill.stages import Taught
from harness.distill.wishes import Wishes
from harness.plan.planner import build
from harness.report.verdict import read as read_verdict
from harness.results.recommend import Limits
from harness.run.estimates import Size
from harness.suite import reader as suite

GOOD, BAD = ("sunny", "warm", "bright", "calm", "mild"), ("rainy", "cold", "grey", "stormy", "wet")
INSTALLED = catalog.load()
SMALL = [{"use": "mlp", "min_examples": 20_000}, {"use": "cnn", "min_examples": 5_000}]


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


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["distill", *map(str, arguments)])


# -- the whole way -------------------------------------------------------------------------------------------


def harness(folder: Path, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness.cli", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "160"}
    return subprocess.run(command, cwd=folder, env=environment, input=given, capture_output=True, text=True)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which distill ran once, with smaller students than usual, and what it said."""
    folder = tmp_path_factory.mktemp("home")
    weather(folder / "weather.csv")
    columns = ("--text", "message", "--label", "mood", "--out", "out")
    with pytest.MonkeyPatch.context() as patch, inline():
        patch.chdir(folder)
        patch.setenv("COLUMNS", "160")
        patch.setitem(candidates.recipe(), "student", SMALL)  # type: ignore[arg-type]
        patch.setattr(Time, "spare", 1000.0)
        ran = invoke("weather.csv", *columns, "--teacher", "tfidf-logreg", "--budget", "2min", "--seeds", "1")
    assert ran.exit_code == 0, ran.output
    return folder, ran.stdout


def test_a_file_becomes_a_model(done: tuple[Path, str]) -> None:
    folder, said = done
    assert "200 texts of 8 words on average, 2 classes" in said
    assert "160 for training, 20 for validation, 20 for test" in said
    assert "teachers: tfidf-logreg: as asked for" in said
    assert re.search("expected time: .*, with a last training on all rows", said)
    assert "on the validation split: " in said
    assert "chosen: 1 seed; teacher tfidf-logreg; " in said
    assert said.count("file, local data") == 1  # of the stages, what follows from them is enough
    out = folder / "out"
    made = [out / "suite.toml", out / "trials" / "teachers.toml"]
    made += [out / "weather" / name for name in ("index.html", "leaderboard.md")]
    assert all(path.is_file() for path in made)
    assert "Ship " in said and "distillation " in said
    verdict = read_verdict(out / "weather")
    assert verdict is not None and verdict.about == "weather.csv" and not verdict.stale
    assert verdict.sections[0].title.startswith("Ship ")
    assert verdict.sections[0].command == "harness predict out/model < texts.txt"
    assert f"<h2>{verdict.sections[0].title}</h2>" in (out / "weather" / "index.html").read_text()
    record = json.loads((out / "model" / "record.json").read_text())
    assert record["metrics"]["accuracy"] > 0.9
    assert "trained again on 200 rows, validation and test rows too; the scores are from before that" in said
    assert record["task"]["train"] == 160 and record["refitted"]["task"]["train"] == 200
    answers = harness(folder, "predict", "out/model", given="sunny and warm\nwet and cold\n")
    assert [json.loads(line)["label"] for line in answers.stdout.splitlines()] == ["good", "bad"]


def test_only_the_form_to_ship_is_shipped(done: tuple[Path, str]) -> None:
    from harness.runtime.forms import FORMS, SHIPPED

    model = done[0] / "out" / "model"
    names = {path.relative_to(model).as_posix() for path in model.rglob("*")}
    assert len(names & {SHIPPED.get(file, file) for file in FORMS.values()}) == 1


def test_the_suites_that_it_wrote_are_ordinary_ones(done: tuple[Path, str], monkeypatch: Any) -> None:
    folder, _ = done
    monkeypatch.chdir(folder)
    read = suite.load(Path("out/suite.toml"), INSTALLED)
    assert read.name == "weather" and read.seeds == (0,)
    assert [task.name for task in read.tasks] == ["file"]
    trial = suite.load(Path("out/trials/teachers.toml"), INSTALLED)
    assert trial.name == "weather-teachers" and not trial.latency


def test_the_thresholds_stay_those_of_the_model_that_was_measured(done: tuple[Path, str]) -> None:
    """The second training has seen all texts, so thresholds cannot be found again."""
    from harness.runtime.calibration import FILE
    from harness.runtime.reading import digests, read_manifest

    folder, _ = done
    model = folder / "out" / "model"
    record = json.loads((model / "record.json").read_text())
    kept = folder / ".harness" / "store" / "export"
    stored = next(path for path in kept.rglob(FILE) if record["artefacts"]["export"] in str(path))
    assert (model / FILE).read_bytes() == stored.read_bytes()
    assert read_manifest(model)["files"][FILE] == digests(model, [FILE])[FILE]
    assert "trained again in the same way, on 200 texts" in (model / "README.md").read_text()
    answered = harness(folder, "predict", "out/model", "--abstain", "20%", given="sunny and warm\n")
    assert answered.returncode == 0, answered.stderr


def test_again_runs_the_suite_as_it_stands(done: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(done[0])
    monkeypatch.setenv("COLUMNS", "160")
    columns = ("--text", "message", "--label", "mood", "--out", "out")
    again = invoke("weather.csv", *columns, "--seeds", "2", "--max-parameters", "10")
    assert again.exit_code == 1, again.stderr
    assert "running the existing out/suite.toml; " in again.stdout and "--seeds had no effect" in again.stdout
    assert "steps are stored: nothing to run" in again.stdout
    assert "no student is within the limits, so no model was exported" in again.stdout
    other = invoke("weather.csv", "--text", "mood", "--label", "message", "--out", "out")
    assert other.exit_code == 2 and "error: " in other.stderr and "Traceback" not in other.stderr


@pytest.mark.usefixtures("steps_inline")
def test_limits_files_and_no_teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit on parameters is kept by knowing fewer words; own files for test and validation are used."""
    weather(tmp_path / "weather.csv")
    weather(tmp_path / "test.csv", rows=30)
    weather(tmp_path / "held.csv", rows=25)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(candidates.recipe(), "student", SMALL)  # type: ignore[arg-type]
    columns = ("--text", "message", "--label", "mood", "--out", "out", "--teacher", "none", "--seeds", "1")
    files = ("--test", "test.csv", "--validation", "held.csv")
    dry = invoke("weather.csv", *columns, *files, "--max-parameters", "2k", "--dry-run")
    assert dry.exit_code == 0 and "no teacher: as asked for" in dry.stdout and "expected time" in dry.stdout
    assert not Path("out").exists()
    monkeypatch.setattr(Time, "spare", 1000.0)
    ran = invoke("weather.csv", *columns, *files, "--max-parameters", "2k")
    assert ran.exit_code == 0, ran.output
    assert "200 for training, 25 for validation, 30 for test" in ran.stdout
    assert "no student learnt from a teacher" in ran.stdout
    record = json.loads(Path("out/model/record.json").read_text())
    assert record["parameters"]["total"] <= 2000 and record["task"]["test"] == 30
    assert record["refitted"]["task"]["train"] == 225  # the test file stays a test


@pytest.mark.usefixtures("steps_inline")
def test_a_teacher_has_the_students_that_a_limit_made_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weather(tmp_path / "weather.csv")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(candidates.recipe(), "student", SMALL)  # type: ignore[arg-type]
    columns = ("--text", "message", "--label", "mood", "--out", "out", "--teacher", "tfidf-logreg")
    ran = invoke("weather.csv", *columns, "--seeds", "1", "--max-parameters", "2k", "--budget", "2min")
    assert ran.exit_code == 0, ran.output
    read = suite.load(Path("out/suite.toml"), INSTALLED)
    assert {student.name for student in read.students} & {"mlp", "cnn"}
    assert json.loads(Path("out/model/record.json").read_text())["parameters"]["total"] <= 2000


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
        (("rows.csv", "--test", "none.csv"), "none.csv"),
        (("rows.csv", "--metric", "f1_macr"), "f1_macro"),
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


# -- the suites ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("copies", [0, 3])
@pytest.mark.parametrize("unlabelled", [False, True])
def test_every_stage_is_a_sound_suite(
    copies: int, unlabelled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    weather(Path("rows.csv"), text="text", label="label")
    weather(Path("more.csv"), text="text")
    data = look(Wishes(Path("rows.csv"), "", "", Path("out")), INSTALLED)
    some = candidates.Candidates(data.task_type, INSTALLED)
    teacher = {"use": "student", "student": {"use": "tfidf-logreg"}}
    pool = {"use": "unlabelled", "file": "more.csv", "column": "text", "size": 50} if unlabelled else None
    taught = Taught(teacher, copies, some.augmenters(None), some.loss(2), pool)
    task, students, simple = dict(data.task), some.students(teacher), some.simple(2)
    for made in (
        stages.of_teachers("a", task, [teacher], simple),
        stages.of_students("b", task, taught, students, 160, "cross-entropy"),
        stages.final("c", task, taught, students, simple, [{"use": "mlp"}], 2, 160, "cross-entropy"),
        stages.final("d", task, None, students, simple, [], 2, 160, "cross-entropy"),
    ):
        text = stages.written(made, Path("out"), "one\ntwo")
        plan = build(suite.parse(text, INSTALLED), INSTALLED)
        assert {cell.status for cell in plan.cells} == {"ok"}, text


def test_names_from_outside_stay_values(tmp_path: Path) -> None:
    hostile = 'a"\n[[task]]\nuse = "emotion'
    task = {"use": "file", "train": "x\u007f.csv", "text": hostile, "label": "label"}
    text = stages.written(stages.of_teachers("x", task, [{"use": "minilm"}], []), Path("a\nb"), "one\ntwo")
    (read,) = suite.parse(text, INSTALLED).tasks
    assert vars(read)["text"] == hostile and vars(read)["train"] == Path("x\u007f.csv")


class _Said:
    """What was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, *lines: str) -> None:
        """Keep lines of text."""
        self.lines += lines

    def watch(self, plan: Any, slots: int) -> Any:
        """Refuse to run."""
        raise AssertionError("nothing should run")


class _Slow(Runs):
    """Runs in which a teacher takes too long."""

    def expected(
        self, suite: stages.Suite, done: frozenset[str] = frozenset(), size: Size | None = None
    ) -> float:
        """Return the expected seconds."""
        return 1000.0 if suite.get("teacher") else 20.0


@pytest.mark.parametrize("teacher", [None, "tfidf-svm"])
def test_too_little_time_for_a_teacher(teacher: str | None, tmp_path: Path) -> None:
    weather(tmp_path / "rows.csv", text="text", label="label")
    rows = tmp_path / "rows.csv"
    wishes = Wishes(rows, "text", "label", tmp_path / "out", teacher=teacher, dry=True)
    data, said = look(wishes, INSTALLED), _Said()
    runs = _Slow(wishes, data, tmp_path / "store", (), INSTALLED, said)
    run = _Run(wishes, Limits(), data, INSTALLED, runs)
    if teacher:
        with pytest.raises(HarnessError, match=r"cannot distil within 10 min: .* or a faster --teacher"):
            run.chosen()
    else:
        with pytest.raises(DryRun):
            run.chosen()
        assert "no teacher: 10 min is too short for one; give more with --budget" in said.lines


def test_models_read_long_texts_whole(tmp_path: Path) -> None:
    """If one text in twenty is longer than what models read by default, they read more."""
    path, said = tmp_path / "long.csv", _Said()
    rows = [f"{'word ' * (300 if row % 5 else 20)}{row},{'ab'[row % 2]}" for row in range(100)]
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    wishes = Wishes(path, "text", "label", tmp_path / "out", dry=True)
    data = look(wishes, INSTALLED)
    run = _Run(wishes, Limits(), data, INSTALLED, Runs(wishes, data, tmp_path, (), INSTALLED, said))
    assert data.longest == 301
    assert run._long("student", {"use": "cnn"}) == {"use": "cnn", "longest": 320}
    assert run._long("student", {"use": "tfidf-svm"}) == {"use": "tfidf-svm"}  # reads as much by default
    assert run._long("teacher", {"use": "minilm", "epochs": 2})["longest"] == 448
    assert run._long("teacher", {"use": "linear-probe"})["encoder"] == {"use": "minilm", "longest": 448}
    first, *_, last = run._shares([{"use": "minilm"}])
    assert first[0]["longest"] == 448 and "longest" not in last[0]


def test_every_student_is_taught_beside_one_that_learns_alone(tmp_path: Path) -> None:
    """The student on the labels alone has the name of others, which are not left out with it."""
    path, said = weather(tmp_path / "rows.csv", text="text", label="label"), _Said()
    wishes = Wishes(path, "text", "label", tmp_path / "out", teacher="minilm", dry=True)
    data = look(wishes, INSTALLED)
    run = _Run(wishes, Limits(), data, INSTALLED, Runs(wishes, data, tmp_path, (), INSTALLED, said))
    teacher, level = {"use": "minilm"}, Level(copies=2, full=True, finalists=4, seeds=2)
    students = run._students(teacher)
    made = run._final(run._taught(teacher, level), students, run.candidates.simple(2), level)
    plan = build(suite.parse(stages.written(made, tmp_path / "out", ""), INSTALLED), INSTALLED)
    taught = {(cell.student, cell.seed) for cell in plan.cells if cell.role == "distilled"}
    wanted = [INSTALLED.build("student", table) for table in students]
    assert taught == {(student, seed) for student in wanted for seed in (0, 1)}
    plain = INSTALLED.build("student", {"use": "cnn"})
    assert [cell.seed for cell in plan.cells if cell.student == plain] == [0]
