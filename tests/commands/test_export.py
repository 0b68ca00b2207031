"""From a suite to answers: ``harness bench``, ``export`` and ``predict``, each in its own process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from components import call, call_here

from harness import HarnessError
from harness.cli import main
from harness.report.html.demo import libraries

SUITE = """
[suite]
name = "weather"
[[task]]
use = "file"
train = "rows.csv"
[[teacher]]
use = "student"
student = { use = "cnn", vocabulary = 30, width = 4, filters = 4, min_examples = 4000 }
[[student]]
use = "mlp"
vocabulary = 30
min_examples = 8000
[[augmenter]]
use = "none"
[[loss]]
use = "kl"
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of a suite, and the export of its distilled student in ``out``."""
    folder = tmp_path_factory.mktemp("home")
    good, bad = ("sun", "warm", "bright"), ("rain", "cold", "grey")
    rows = [
        f"the {word} is {more} today {n},{label}"
        for n in range(8)
        for label, words in (("good", good), ("bad", bad))
        for word in words
        for more in words
    ]
    (folder / "rows.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    (folder / "weather.toml").write_text(SUITE)
    roles = ("--only", "role=teacher", "--only", "role=distilled")  # what is shipped here
    done = call(folder, "bench", "weather.toml", "--devices", "cpu:1", *roles)
    assert done.returncode == 0, done.stderr.decode()
    done = call(folder, "export", "student=mlp,loss=kl", "out", "--suite", "weather.toml")
    assert done.returncode == 0, done.stderr.decode()
    assert b"out/onnx/model.onnx" in done.stdout
    return folder


def test_texts_are_answered(home: Path) -> None:
    done = call(home, "predict", "out", given="the sun is warm\nthe rain is cold\n")
    assert done.returncode == 0 and not done.stderr
    first, second = map(json.loads, done.stdout.splitlines())
    assert (first["label"], second["label"]) == ("good", "bad")
    assert 0.5 < first["score"] <= 1


def test_rows_are_answered_and_bad_ones_told(home: Path) -> None:
    given = '{"t": "the sun is bright"}\nno JSON\n{"t": "grey rain"}\n'
    done = call(home, "predict", "out", "--text", "t", "--top", "2", "--int8", given=given)
    assert done.returncode == 1 and not done.stderr
    first, second, third = map(json.loads, done.stdout.splitlines())
    assert [each["label"] for each in first["top"]] == ["good", "bad"]
    why = "line 2: expected a JSON object, got something that is not JSON"
    assert second == {"error": why} and third["label"] == "bad"
    done = call(home, "predict", "out", "--text", "t", "--format", "tsv", given=given)
    assert [line.partition(b"\t")[0] for line in done.stdout.split(b"\n")] == [b"good", rb"\N", b"bad", b""]
    assert done.stderr.decode() == f"warning: {why}\n"


def test_no_bytes_are_too_odd(home: Path) -> None:
    done = call(home, "predict", "out", given=b"\xff\xfa\x00\n\n\r\n" + b"sun " * 50_000 + b"\nsun")
    assert done.returncode == 1 and not done.stderr
    assert len(done.stdout.splitlines()) == 5


def test_a_reader_that_has_enough_ends_it(home: Path) -> None:
    command = [sys.executable, "-m", "harness.cli", "predict", "out"]
    with subprocess.Popen(
        command, cwd=home, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(b"the sun is warm\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["label"] == "good"  # before the input ends
        process.stdout.close()
        try:
            process.stdin.write(b"the sun is warm\n" * 100_000)
            process.stdin.close()
        except BrokenPipeError:
            pass
        assert process.wait(60) == 0
        assert process.stderr.read() == b""


def test_thresholds_are_shipped_and_kept(home: Path, tmp_path: Path) -> None:
    record = json.loads((home / "out" / "record.json").read_text())
    lowest = record["export"]["abstaining"]["lowest_risk"]
    card = (home / "out" / "README.md").read_text()
    assert f"The lowest error that can be kept is {100 * lowest:.3g}%" in card
    given = "the sun is warm\nqwerty\n"
    done = call(home, "predict", "out", "--abstain", f"{100 * lowest - 0.1:.1f}%", given=given)
    assert done.returncode == 2 and not done.stdout
    assert f"the lowest that it can keep is {100 * lowest:.1f}%".encode() in done.stderr
    for form in ("--int8", "--threads=1"):
        done = call(home, "predict", "out", "--abstain", f"{100 * lowest:.1f}%", form, given=given)
        assert done.returncode == 0 and len(done.stdout.splitlines()) == 2, done.stderr
    done = call_here(home, "export", "role=teacher", str(tmp_path / "teacher"), "--suite", "weather.toml")
    assert done.exit_code == 0 and (tmp_path / "teacher" / "calibration.json").is_file()
    (tmp_path / "rows.csv").write_text("n,text\n1,the sun is warm\n2,qwerty\n")
    scores = [
        json.loads(line)["score"] for line in call(home, "predict", "out", given=given).stdout.splitlines()
    ]
    between = str(sum(scores) / 2)
    arguments = (
        "out",
        str(tmp_path / "rows.csv"),
        "--threshold",
        between,
        "--cascade",
        str(tmp_path / "teacher"),
    )
    done = call(home, "predict", *arguments, "--cascade-int8")
    header, *answered = done.stdout.decode().splitlines()
    assert header == "n,text,label,score,answered_by"
    by = ["student" if score == max(scores) else "teacher" for score in scores]
    assert [line.rpartition(",")[2] for line in answered] == by and len(set(by)) == 2
    assert done.stderr.startswith(b"the second model answered 1 of 2 texts (50.0%)")


def test_mistakes_are_one_line(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    for arguments, message in (
        (("predict", "nowhere"), "error: cannot read the export in nowhere"),
        (("export", "student=cnn", "other"), "error: there is no student 'cnn' in these results"),
        (("export", "role=teacher", "."), "error: cannot export to .: it contains other files"),
        (("export", "role=teacher", "other", "--results", "none"), "error: cannot find any results in none/"),
    ):
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 2 and not done.stdout
        (line,) = done.stderr.splitlines()
        assert line.startswith(message)


def test_the_record_tells_of_every_form(home: Path) -> None:
    record = json.loads((home / "out" / "record.json").read_text())
    assert set(record["size_bytes"]) == {"model", "onnx", "onnx-int8", "numpy"}
    assert {run["backend"] for run in record["latency"]} == {"torch", "onnx", "onnx-int8", "numpy"}
    forms = record["export"]["forms"]
    assert forms["onnx"]["score"] == forms["numpy"]["score"] == pytest.approx(record["metrics"]["accuracy"])
    table = (home / "results" / "weather" / "leaderboard.md").read_text()
    assert "numpy p50, ms" in table


def test_a_page_is_added_on_request(home: Path, tmp_path: Path) -> None:
    export = ("export", "student=mlp,loss=kl", "shown", "--suite", "weather.toml")
    for options, why in (
        (("--demo-runtime", "."), "error: cannot use --demo-runtime without --demo"),
        (
            ("--demo", "--demo-runtime", str(tmp_path)),
            "error: cannot find onnxruntime-web in ",
        ),
        (("--demo", "--form", "numpy"), "the form 'numpy' runs in Python only"),
    ):
        done = call_here(home, *export, *options)
        assert done.exit_code == 2 and why in done.stderr, options
    try:
        libraries()
    except HarnessError as error:
        pytest.skip(str(error))
    done = call_here(home, *export, "--demo")
    assert done.exit_code == 0 and "shown/demo.html" in done.stdout, done.output
    page = (home / "shown" / "demo.html").read_text()
    assert page.count('<button type="button" dir="auto">the ') == 6
    done = call_here(home, *export, "--demo", "--demo-examples", "0")
    assert done.exit_code == 0
    assert '<button type="button" dir' not in (home / "shown" / "demo.html").read_text()
    assert call_here(home, *export).exit_code == 0 and not (home / "shown" / "demo.html").exists()
