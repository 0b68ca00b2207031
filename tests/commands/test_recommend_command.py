"""The commands compare and recommend."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from test_compare import Cells, after, before
from test_intervals import scored
from test_leaderboard import part
from test_recommend import model

from harness.cli import main
from harness.report import leaderboard

Command = Callable[..., Result]


def folder(path: Path, cells: Cells) -> Path:
    leaderboard.write([record for record, _ in cells], path, {record["cell"]: one for record, one in cells})
    return path


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command in a folder with two results, old and new."""
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "results" / "old", before())
    folder(tmp_path / "elsewhere", after())
    return lambda *arguments: CliRunner().invoke(main, [*map(str, arguments)], env={"COLUMNS": "120"})


def test_two_sets(command: Command) -> None:
    done = command("compare", "old", "elsewhere")
    assert done.exit_code == 0, done.output
    assert "A: results/old" in done.output and "B: elsewhere" in done.output
    assert "1 worse, 1 better, 2 not separable" in done.output
    for old in ("results/old", "results/old/records.jsonl", "old.toml"):
        again = command("compare", old, "elsewhere", "--json")
        assert json.loads(again.output)["counts"]["worse"] == 1


def test_a_suite_stands_for_its_results(command: Command) -> None:
    Path("mine.toml").write_text('[suite]\nname = "old"\n')
    done = command("compare", "mine.toml", "elsewhere", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["counts"]["worse"] == 1


@pytest.mark.parametrize(
    ("sides", "fail", "status"),
    [
        (("old", "elsewhere"), "regression", 1),
        (("old", "elsewhere"), "any", 1),
        (("old", "old"), "regression", 0),
        (("old", "old"), "any", 0),
        (("elsewhere", "old"), "regression", 1),
    ],
)
def test_exit_statuses_for_builds(command: Command, sides: Any, fail: str, status: int) -> None:
    assert command("compare", *sides, "--fail-on", fail).exit_code == status
    assert command("compare", *sides, "--fail-on", fail, "--json").exit_code == status


def test_a_build_is_not_guarded_by_what_cannot_be_tested(command: Command, tmp_path: Path) -> None:
    folder(tmp_path / "results" / "other", [scored("baseline", 300, student=part("another"))])
    done = command("compare", "old", "other", "--fail-on", "regression")
    assert done.exit_code == 2 and "only in A" in done.output
    assert "cannot apply --fail-on: A and B have no rows in common that can be tested" in done.stderr
    assert command("compare", "old", "other").exit_code == 0


def test_two_rows(command: Command) -> None:
    for within in ((), ("--in", "old"), ("--in", "results/old")):
        done = command("compare", "student=up", "student=down", *within)
        assert done.exit_code == 0, done.output
        assert "1 not separable; on the same texts (McNemar), p corrected for 1 comparison" in done.output
    other = command("compare", "student=up", "student=down", "--in", "elsewhere", "--metric", "f1_macro")
    assert "f1_macro" in other.output


def test_a_metric_for_all(command: Command) -> None:
    done = command("compare", "old", "elsewhere", "--metric", "f1_macro", "--json")
    assert {row["metric"] for row in json.loads(done.output)["rows"]} == {"f1_macro"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("compare", "old", "student=up"), "expected two sets of results, or two rows such as"),
        (("compare", "old", "elsewhere", "--in", "old"), "expected two sets of results"),
        (("compare", "old", "nothing"), "there are no results of 'nothing' in results/"),
        (("compare", "student=u", "student=down"), "there is no student 'u' in these results"),
        (("compare", "old", "elsewhere", "--metric", "f2"), "these results have no metric 'f2'"),
        (("recommend", "nothing"), "there are no results of 'nothing' in results/"),
        (
            ("recommend", "old", "--max-p50", "fast"),
            "expected a time in milliseconds, got 'fast'; write it like 1ms",
        ),
        (("recommend", "old", "--limit", "f1"), "--limit 'f1' must be <metric>=<score>"),
        (("recommend", "old", "--limit", "f2=1"), "these results have no metric 'f2'"),
        (("recommend", "old", "--backend", "onxn"), "there is no backend 'onxn'; did you mean 'onnx'?"),
        (("recommend", "old", "--source", "hub"), "results/old has no row with a score on hub data"),
    ],
)
def test_bad_usage_is_a_sentence(command: Command, arguments: tuple[str, ...], says: str) -> None:
    done = command(*arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: {says}")
    assert done.stderr.count("\n") == 1


def test_which_results_must_be_clear(command: Command, tmp_path: Path) -> None:
    folder(tmp_path / "results" / "other", after())
    done = command("compare", "student=up", "student=down")
    assert done.exit_code == 2
    assert (
        done.stderr
        == "error: cannot tell which results contain the rows; name them with --in (allowed: old, other)\n"
    )


def test_damaged_predictions_are_said(command: Command, tmp_path: Path) -> None:
    (tmp_path / "results" / "old" / "predictions.parquet").write_bytes(b"PAR1")
    for arguments in (("compare", "old", "elsewhere"), ("recommend", "old"), ("leaderboard", "old")):
        done = command(*arguments)
        assert done.exit_code == 2
        assert "predictions.parquet is damaged; delete it and run harness bench again" in done.stderr


def test_what_to_ship(command: Command, tmp_path: Path) -> None:
    folder(tmp_path / "results" / "mine", [model("big", 360, 2.0), model("small", 330, 0.2)])
    done = command("recommend", "mine")
    assert done.exit_code == 0, done.output
    assert "among 2 of 2 rows within the limits" in done.output
    limits = ("--max-p50", "500us", "--max-parameters", "100k", "--max-size", "1MB", "--min-accuracy", "80%")
    value = json.loads(command("recommend", "mine", *limits, "--max-train", "1h", "--json").output)
    assert value["tasks"][0]["ship"]["student"]["name"] == "small"
    assert value["tasks"][0]["ruled_out"] == {"latency": 1}
    assert command("recommend", "mine", "--backend", "torch", "--max-p50", "3ms").exit_code == 0
    none = command("recommend", "mine", "--limit", "accuracy=0.99")
    assert none.exit_code == 1
    assert "none of 2 rows is within the limits (outside: 2 by accuracy" in none.output
    assert command("recommend", "mine", "--tolerance", "10%").exit_code == 0
