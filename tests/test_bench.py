"""What a run leaves of earlier results when the store, the disk or another run is in its way."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from components import SMALL, SUITE, Home, installed, without_times, without_workers

from harness.cli import main
from harness.results import predictions
from harness.storage import files
from harness.storage.store import Store

SINGLE = SUITE.replace("seeds = [0, 1]", "seeds = [0]").replace("size = { sweep = [1, 2] }", "")
Invoke = Callable[..., Result]


@pytest.fixture
def invoke(toys: Home) -> Iterator[Invoke]:
    yield lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def at_once() -> Iterator[None]:
    """Run the steps of `invoke` in this process, without workers."""
    with without_workers():
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, toy_site: Path) -> Home:
    """A folder in which a suite of four cells has run; not to be changed."""
    home = Home(tmp_path_factory.mktemp("finished"), toy_site)
    home.write(SINGLE)
    with installed(home), without_workers():
        done = CliRunner().invoke(main, ["bench", "toys.toml", "--devices", "cpu:1"])
        assert done.exit_code == 0, done.output
    return home


@pytest.fixture
def copied(finished: Home, toys: Home) -> Home:
    """A copy of it, for this test."""
    for name in ("store", "results"):
        shutil.copytree(finished.path / name, toys.path / name)
    shutil.copy(finished.path / "toys.toml", toys.path)
    return toys


def content(home: Home) -> dict[str, bytes]:
    folder = home.path / "results" / "toys"
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def by_cell(home: Home) -> dict[str, dict[str, Any]]:
    return {one["cell"]: without_times(one) for one in home.records()}


# -- a store that lost something ---------------------------------------------------------------------------


def test_lost_artefacts_leave_records_as_they_were(copied: Home, invoke: Invoke) -> None:
    before = copied.records()
    for kind in ("student", "teacher", "transfer", "targets"):
        shutil.rmtree(copied.store / kind)
    (data,) = copied.store.glob("data/*")
    (data / "train.arrow").write_bytes(b"")
    done = invoke("bench", "toys.toml")
    assert done.exit_code == 0, done.output
    assert f"stored data {data.name[:12]} is damaged (train.arrow has 0 bytes" in done.output
    told = "(1 data, 3 student, 2 targets, 1 teacher, 2 transfer); earlier records have their results"
    assert told in done.output
    assert "all 13 steps are stored: nothing to run" in done.output
    assert {one["cell"]: one["cost"] for one in before} == {
        one["cell"]: one["cost"] for one in copied.records()
    }
    assert by_cell(copied) == {one["cell"]: without_times(one) for one in before}
    assert len(predictions.read(copied.path / "results" / "toys")) == 4


def test_a_run_without_news_reads_its_results_once_and_keeps_their_files(
    copied: Home, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Path] = []
    read = predictions.read_splits
    monkeypatch.setattr(predictions, "read_splits", lambda folder: reads.append(folder) or read(folder))
    path = copied.path / "results" / "toys" / predictions.FILE
    before, number = content(copied), path.stat().st_ino
    assert invoke("bench", "toys.toml").exit_code == 0
    assert len(reads) == 1
    assert path.stat().st_ino == number
    assert content(copied)["leaderboard.csv"] == before["leaderboard.csv"]

    def replace(*_: object) -> None:  # as another run may do after this one has read it
        path.write_bytes(before[predictions.FILE])
        path.touch()

    monkeypatch.setattr(files, "sweep", replace)
    assert invoke("bench", "toys.toml").exit_code == 0
    assert len(reads) == 3


@pytest.mark.usefixtures("at_once")
def test_lost_artefacts_without_results_are_made_again(copied: Home, finished: Home, invoke: Invoke) -> None:
    shutil.rmtree(copied.path / "results")
    for kind in ("student", "data"):
        shutil.rmtree(copied.store / kind)
    performed = copied.performed()
    done = invoke("bench", "toys.toml", "--devices", "cpu:1")
    assert done.exit_code == 0, done.output
    assert copied.performed() == performed + 4
    assert by_cell(copied) == by_cell(finished)


# -- failures ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("at_once")
def test_a_failing_environment_erases_no_result(copied: Home, finished: Home, invoke: Invoke) -> None:
    before = content(copied)
    shutil.rmtree(copied.store / "evaluation")
    (copied.store / "evaluation").touch()  # nothing can be stored there
    done = invoke("bench", "toys.toml", "--devices", "cpu:1")
    assert done.exit_code == 1, done.output
    assert "4 failed in" in done.output
    told = "4 records of earlier runs are kept: their cells failed in this run (see last_failure)"
    assert told in done.output
    records = copied.records()
    assert len(records) == 4
    for one in records:
        failure = one.pop("last_failure")
        assert failure["status"] == "failed" and "File exists" in failure["reason"]
        assert failure["when"]
    assert {one["cell"]: without_times(one) for one in records} == by_cell(finished)
    after = content(copied)
    assert after["predictions.parquet"] == before["predictions.parquet"]
    for name in ("leaderboard.md", "index.html"):
        assert after[name].count(b"the result is of an earlier run; on") == 4
    assert after["leaderboard.md"].decode().count(" †") == 4

    (copied.store / "evaluation").unlink()
    assert invoke("bench", "toys.toml", "--devices", "cpu:1").exit_code == 0
    assert by_cell(copied) == by_cell(finished)
    assert "†" not in content(copied)["leaderboard.md"].decode()


@pytest.mark.parametrize("most", [5_000, 9_000])
def test_a_full_disk_of_results_loses_nothing(copied: Home, finished: Home, most: int) -> None:
    before = content(copied)
    assert len(before["records.jsonl"]) > 5_000

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    process = copied.start("bench", "toys.toml", prepare=small_files)
    _, errors = process.communicate()
    assert process.returncode in (0, 2)  # 0 if only the page did not fit
    if process.returncode:
        assert errors.startswith("error: cannot write results/toys/") and errors.count("\n") == 1
        assert "finished steps are in the store: run the same command again" in errors
    assert content(copied).keys() == before.keys()
    assert by_cell(copied) == by_cell(finished)
    assert len(predictions.read(copied.path / "results" / "toys")) == 4


@pytest.mark.parametrize("where", ["results", "store"])
def test_a_disk_that_is_full_from_the_start(
    copied: Home, invoke: Invoke, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    before = content(copied)
    shutil.rmtree(copied.store / "evaluation")
    real = files.check_writable

    def check(folder: Path) -> None:
        if folder.name == ("toys" if where == "results" else "tmp"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(folder)

    monkeypatch.setattr(files, "check_writable", check)
    done = invoke("bench", "toys.toml")
    place = "cannot write results to 'results/toys'" if where == "results" else "cannot write the store"
    assert done.exit_code == 2
    assert place in done.stderr and done.stderr.endswith("No space left on device\n")
    assert content(copied) == before


# -- other runs, and what killed ones left -----------------------------------------------------------------


def test_waiting_for_another_runs_step_is_shown(copied: Home) -> None:
    lost = copied.records()[0]["artefacts"]["evaluation"]
    shutil.rmtree(copied.store / "evaluation" / lost)
    with Store(copied.store).claim(lost):
        process = copied.start("bench", "toys.toml", "--devices", "cpu:1")
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert any(
            line.startswith("  waiting for another run, which does the same step: evaluation")
            for line in lines
        )
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "4 ok in" in out
    assert list((copied.store / "locks").iterdir()) == []


def test_waiting_for_another_runs_results_is_shown(copied: Home, invoke: Invoke) -> None:
    folder = copied.path / "results" / "toys"
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with files.locked(folder / ".lock"):
            held.set()
            done.wait(3.0)  # a busy machine takes long to come here

    other = threading.Thread(target=hold)
    other.start()
    held.wait()
    told = invoke("bench", "toys.toml")
    done.set()
    other.join()
    assert told.exit_code == 0
    assert "waiting for another run to write its results to results/toys" in told.output


def test_what_a_killed_run_left_is_removed(copied: Home, invoke: Invoke) -> None:
    results, tmp = copied.path / "results" / "toys", copied.store / "tmp"
    mine = files.owned(".records.jsonl.0123abcd")
    left = [results / mine.replace(f"-{os.getpid()}@", "-99999999@"), copied.store / "locks" / "k.lock"]
    for path in left:
        path.touch()
    left.append(tmp / Store(copied.store).logs().name.replace(f"-{os.getpid()}@", "-99999999@"))
    left[-1].mkdir()
    kept = [results / mine, tmp / files.owned("k")]
    for path in kept:
        path.touch()
    assert invoke("bench", "toys.toml").exit_code == 0
    assert not [path for path in left if path.exists()]
    assert all(path.exists() for path in kept)  # their process is alive


def test_a_store_that_cannot_be_written_is_said_once(
    toys: Home, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    toys.write(SMALL, "small")
    for place, message in (
        ("file", "error: cannot write the store 'file': Not a directory\n"),
        ("loop", "error: cannot write the store 'loop': Too many levels of symbolic links\n"),
        ("odd", "error: cannot write the store 'odd': 'odd/tmp' is not a folder\n"),
    ):
        (toys.path / "file").touch()
        (toys.path / "odd").mkdir(exist_ok=True)
        (toys.path / "odd" / "tmp").touch()
        if place == "loop":
            (toys.path / "loop").symlink_to("loop")
        done = invoke("bench", "small.toml", "--store", place)
        assert (done.exit_code, done.stderr) == (2, message)
    (toys.store / "locks").mkdir(parents=True)
    (toys.store / "locks").chmod(0o500)
    if os.geteuid():
        done = invoke("bench", "small.toml")
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
        assert "cannot write the store" in done.stderr
    (toys.store / "locks").chmod(0o700)
