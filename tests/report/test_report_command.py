"""`harness report`, which makes from records what `bench` leaves, and more."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from reporting import Results

from harness.cli import main
from harness.results import predictions
from harness.results.record import write as write_records


@pytest.fixture
def folder(tmp_path: Path, results: Results) -> Path:
    """A folder of results as a run leaves it, without a report."""
    path = tmp_path / "results" / "emotion"
    path.mkdir(parents=True)
    write_records(results.records, path / "records.jsonl")
    predictions.write(path, results.predictions)
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["report", *map(str, arguments)])


def test_a_report_is_made_from_a_folder_of_results(folder: Path) -> None:
    done = run(folder, "--no-charts")
    assert done.exit_code == 0, done.output
    assert {path.name for path in folder.iterdir()} == {
        *("records.jsonl", "predictions.parquet", "index.html", "leaderboard.tex"),
    }
    assert {path.name for path in folder.parent.iterdir()} == {"emotion", "index.html", "README.md"}
    assert str(folder / "index.html") in done.output
    assert "Calibration" in (folder / "index.html").read_text(encoding="utf-8")


def test_a_suite_is_found_by_its_name(folder: Path) -> None:
    assert run("emotion", "--results", folder.parent, "--no-charts").exit_code == 0
    assert (folder / "index.html").exists()


def test_results_without_predictions_make_a_report(folder: Path) -> None:
    (folder / predictions.FILE).unlink()
    assert run(folder, "--no-charts").exit_code == 0
    assert "Calibration" not in (folder / "index.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("without_browser")
def test_without_a_browser_the_rest_is_made(folder: Path) -> None:
    done = run(folder)
    assert done.exit_code == 0
    assert "no charts were drawn" in done.stderr
    assert (folder / "index.html").exists()
    assert not (folder / "charts").exists()


def test_no_results_are_an_error_in_one_line(tmp_path: Path) -> None:
    done = run("nothing", "--results", tmp_path)
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
