"""The command, as people type it: what it prints, leaves behind and returns, whatever happens meanwhile."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from click.testing import CliRunner, Result
from components import (
    SMALL,
    SUITE,
    Home,
    events,
    fake_distribution,
    install_toys,
    installed,
    named,
    plan_of,
    until,
    without_times,
    without_workers,
)

from harness import __version__, catalog
from harness.cli import main

STEPS, CELLS = 31, 13
Invoke = Callable[..., Result]


@pytest.fixture
def invoke(toys: Home) -> Iterator[Invoke]:
    """The command in this process; what it prints is kept apart by stream."""
    before = signal.getsignal(signal.SIGTERM)
    yield lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def at_once() -> Iterator[None]:
    """Run the steps of `invoke` in this process, for tests that are not about workers."""
    with without_workers():
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, toy_site: Path) -> Home:
    """A folder in which the suite has run, undisturbed. Not to be changed: `copied` is for that."""
    home = Home(tmp_path_factory.mktemp("finished"), toy_site)
    done = home.run("bench", home.write(), "--devices", "cpu:2")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return home


@pytest.fixture
def copied(finished: Home, toys: Home) -> Home:
    """A copy of it, for this test."""
    for name in ("store", "results"):
        shutil.copytree(finished.path / name, toys.path / name)
    shutil.copy(finished.path / "toys.toml", toys.path)
    return toys


def by_cell(records: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {one["cell"]: without_times(one) for one in records}


# -- what a run leaves -----------------------------------------------------------------------------------


def test_a_run_leaves_records_and_tables(finished: Home) -> None:
    folder = finished.path / "results" / "toys"
    assert sorted(path.name for path in folder.iterdir()) == [
        "index.html",
        "leaderboard.csv",
        "leaderboard.md",
        "leaderboard.tex",
        "predictions.parquet",
        "records.jsonl",
    ]
    records = finished.records()
    assert Counter((one["role"], one["status"]) for one in records) == {
        ("teacher", "ok"): 1,
        ("baseline", "ok"): 4,
        ("distilled", "ok"): 8,
    }
    assert "## toy, sample data" in (folder / "leaderboard.md").read_text()
    rows = list(csv.DictReader((folder / "leaderboard.csv").open()))
    assert len(rows) == 7
    assert finished.performed() == STEPS
    assert len(finished.journal()) == len(set(finished.journal())) == 16  # each shared step once
    assert list((finished.store / "tmp").iterdir()) == []
    assert list((finished.store / "locks").iterdir()) == []


def test_two_runs_into_one_folder_keep_each_others_rows(home: Home, finished: Home) -> None:
    home.write()
    runs = [
        home.start("bench", "toys.toml", "--devices", "cpu:1", "--store", role, "--only", f"role={role}")
        for role in ("baseline", "distilled")
    ]
    for process in runs:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    wanted = {key: one for key, one in by_cell(finished.records()).items() if one["role"] != "teacher"}
    found = by_cell(home.records())
    assert {key: one for key, one in found.items() if one["role"] != "teacher"} == wanted
    assert not (home.path / "results" / "toys" / ".lock").exists()


def test_a_second_run_runs_nothing(copied: Home, invoke: Invoke) -> None:
    before = (copied.path / "results" / "toys" / "records.jsonl").read_text()
    done = invoke("bench", "toys.toml")
    assert done.exit_code == 0
    assert "all 31 steps are stored: nothing to run" in done.output
    assert "13 ok in" in done.output
    assert (copied.path / "results" / "toys" / "records.jsonl").read_text() == before
    assert copied.journal() == []


@pytest.mark.usefixtures("at_once")
def test_a_part_that_is_run_anew_leaves_the_other_rows(copied: Home, invoke: Invoke) -> None:
    shutil.rmtree(copied.store)  # as on a machine that has the results alone
    before = by_cell(copied.records())
    done = invoke("bench", "toys.toml", "--only", "augmenter=toy-plain", "--devices", "cpu:1")
    assert done.exit_code == 0
    told = "4 records of earlier runs are kept: this run has no newer results for their rows"
    assert told in done.output
    after = by_cell(copied.records())
    assert after == before and len(after) == CELLS
    assert copied.performed() < STEPS


def test_machines_are_told_in_json(copied: Home, invoke: Invoke) -> None:
    done = invoke("bench", "toys.toml", "--json")
    assert done.exit_code == 0
    found = events(done.stdout)
    assert [one["event"] for one in found] == ["plan", "run", "end"]
    assert found[0]["sources"] == {"toy": "sample (generated by toykit)"}
    assert found[2] == {
        "event": "end",
        "interrupted": False,
        "ok": CELLS,
        "failed": 0,
        "unavailable": 0,
        "incompatible": 0,
        "results": "results/toys",
    }


def test_the_same_bits_from_one_worker_and_in_another_order(
    toys: Home, finished: Home, invoke: Invoke
) -> None:
    head, *tables = dedent(SUITE).split("\n[[")
    order = "\n[[".join([head, *reversed(tables)])
    text = order.replace("[1, 2]", "[2, 1]").replace("seeds = [0, 1]", "seeds = [0, 1]")
    done = invoke("bench", toys.write(text), "--devices", "cpu:1", "--json")
    assert done.exit_code == 0, done.stderr
    assert by_cell(toys.records()) == by_cell(finished.records())
    kinds = ("student", "teacher", "transfer", "targets", "evaluation")
    for place, manifest in toys.manifests().items():
        if place.partition("/")[0] in kinds:
            files = json.loads(manifest)["files"]
            assert files == json.loads((finished.store / place).read_text())["files"]


# -- parts of a suite ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("at_once")
def test_only_does_what_is_asked_for(toys: Home, invoke: Invoke) -> None:
    toys.write()
    only = ("--only", "augmenter=toy-plain", "--only", "student=toy", "--seeds", "1")
    done = invoke("bench", "toys.toml", *only, "--devices", "cpu:1", "--json")
    assert done.exit_code == 0, done.output
    # data, teacher, its evaluation, the transfer set, its targets, two students and their baselines
    assert named(events(done.stdout), "run")[0]["todo"] == 5 + 4 * 2
    assert toys.performed() == 13
    assert Counter((one["role"], one["seed"]) for one in toys.records()) == {
        ("teacher", 0): 1,
        ("baseline", 1): 2,
        ("distilled", 1): 2,
    }
    assert named(events(done.stdout), "end")[0]["ok"] == 5


def test_a_cell_without_a_result_is_listed_if_it_was_asked_for(toys: Home, invoke: Invoke) -> None:
    toys.write(SUITE + '\n    [[teacher]]\n    use = "toy-teacher"\n    weights = "missing"\n')

    def missing() -> int:
        return sum(one["status"] == "unavailable" for one in toys.records())

    part = ("bench", "toys.toml", "--only", "role=baseline", "--seeds", "0", "--devices", "cpu:1")
    assert invoke(*part).exit_code == 0
    assert missing() == 0 and len(toys.records()) == 2
    assert invoke("bench", "toys.toml", "--only", "teacher.weights=missing").exit_code == 0
    assert (found := missing()) > 0
    assert invoke(*part).exit_code == 0
    assert missing() == found  # it is still known


def test_cells_that_were_not_asked_for_stay_in_the_tables(copied: Home, invoke: Invoke) -> None:
    done = invoke("bench", "toys.toml", "--only", "role=baseline", "--seeds", "0", "--json")
    assert done.exit_code == 0
    assert named(events(done.stdout), "end")[0]["ok"] == 2
    assert len(copied.records()) == CELLS


@pytest.mark.usefixtures("at_once")
def test_fresh_does_the_selected_steps_again(copied: Home, finished: Home, invoke: Invoke) -> None:
    before = copied.manifests()
    only = ("--only", "role=baseline", "--seeds", "0")
    done = invoke("bench", "toys.toml", *only, "--fresh", "--devices", "cpu:1")
    assert done.exit_code == 0, done.output
    after = copied.manifests()
    changed = Counter(place.partition("/")[0] for place in after if after[place] != before[place])
    assert changed == {"data": 1, "student": 2, "evaluation": 2}
    assert after.keys() == before.keys()
    assert by_cell(copied.records()) == by_cell(finished.records())


# -- what goes wrong in cells ----------------------------------------------------------------------------

SHUFFLED = """
    [[augmenter]]
    use = "toy-shuffle"
    copies = 2
"""
SINGLE = SUITE.replace(SHUFFLED, "").replace("seeds = [0, 1]", "seeds = [0]")
TROUBLED = SINGLE.replace(
    "size = { sweep = [1, 2] }",
    'trouble = { sweep = ["", "print", "full-disk", "exit", "kill", "unavailable"] }',
)


def test_failures_are_rows_and_a_status(home: Home) -> None:
    done = home.run("bench", home.write(TROUBLED), "--devices", "cpu:2")
    assert done.returncode == 1, done.stderr
    assert "    | ValueError: the toy broke" in done.stdout  # the tail of a failed step's log
    assert "    | gone without a word" in done.stdout
    found: dict[str, set[tuple[str, str]]] = {}
    for one in home.records():
        trouble = one["student"]["params"]["trouble"] if one["student"] else "teacher"
        found.setdefault(trouble, set()).add((one["status"], one["reason"].partition("': ")[2]))
    for status, reason in found.pop("full-disk"):
        assert (status, reason.partition(": ")[0]) == ("failed", "No space left on device")
    assert found == {
        "teacher": {("ok", "")},
        "": {("ok", "")},
        "print": {("failed", "ValueError: the toy broke")},
        "exit": {("failed", "its worker ended with status 3")},
        "kill": {("failed", "its worker was ended by SIGKILL, perhaps because memory ran out")},
        "unavailable": {("unavailable", "the toy is out of stock")},
    }
    assert "3 ok, 8 failed, 2 unavailable" in done.stdout


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(("options", "status"), [((), 0), (("--strict",), 1)])
def test_what_is_unavailable_is_a_failure_where_asked(
    toys: Home, invoke: Invoke, options: tuple[str, ...], status: int
) -> None:
    toys.write(SMALL.replace('use = "toy"\n', 'use = "toy"\n    trouble = "unavailable"\n', 1), "small")
    done = invoke("bench", "small.toml", *options)
    assert done.exit_code == status
    assert "1 unavailable in" in done.output
    (one,) = toys.records("small")
    assert (one["status"], one["reason"]) == ("unavailable", "the toys are in another box")


def test_a_source_that_there_is_not_is_unavailable(toys: Home, invoke: Invoke) -> None:
    toys.write(SMALL, "small")
    assert invoke("bench", "small.toml", "--source", "hub", "--strict").exit_code == 1
    (one,) = toys.records("small")
    assert one["task"]["source"] is None


def test_incompatible_cells_are_no_failure(toys: Home, invoke: Invoke) -> None:
    text = SUITE.replace('use = "toy"\n    size = { sweep = [1, 2] }', 'use = "toy-strict"')
    toys.write(text.replace("seeds = [0, 1]", "seeds = [0]"))
    done = invoke("bench", "toys.toml", "--only", "role=distilled", "--strict")
    assert done.exit_code == 0
    assert "2 incompatible in" in done.output


@pytest.mark.usefixtures("at_once")
def test_a_disk_that_takes_no_more_costs_what_needs_it(toys: Home, invoke: Invoke) -> None:
    text = SUITE.replace("copies = 2", "copies = 200").replace("seeds = [0, 1]", "seeds = [0]")
    toys.write(text)

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    process = toys.start("bench", "toys.toml", "--devices", "cpu:1", prepare=small_files)
    _, errors = process.communicate()
    assert process.returncode == 1, errors
    statuses = Counter(
        (one["augmenter"] or {"name": ""})["name"] + " " + one["status"] for one in toys.records()
    )
    assert statuses == {" ok": 3, "toy-plain ok": 2, "toy-shuffle failed": 2}
    reasons = {one["reason"] for one in toys.records() if one["status"] == "failed"}
    assert len(reasons) == 1
    assert reasons.pop().startswith("step 'transfer toy-shuffle': ")
    performed = toys.performed()
    assert invoke("bench", "toys.toml", "--devices", "cpu:1").exit_code == 0
    assert performed < toys.performed() == len(plan_of(text).steps)


@pytest.mark.usefixtures("at_once")
def test_damage_in_the_store_is_mended(copied: Home, finished: Home, invoke: Invoke) -> None:
    path = next(copied.store.glob("student/*/model/points.json"))
    size = path.stat().st_size
    path.write_bytes(b"0" * size)
    evaluation = next(
        place
        for place, text in copied.manifests().items()
        if place.startswith("evaluation/") and place.split("/")[1] in evaluations_of(copied, path.parts[-3])
    )
    shutil.rmtree((copied.store / evaluation).parent)
    before = copied.performed()
    done = invoke("bench", "toys.toml", "--devices", "cpu:1")
    assert done.exit_code == 0, done.output
    assert (
        "is damaged (the checksum of model/points.json is wrong); it was set aside and will be made again"
        in done.output
    )
    assert copied.performed() == before + 2
    assert by_cell(copied.records()) == by_cell(finished.records())


def evaluations_of(home: Home, student: str) -> set[str]:
    """The keys of the evaluations of a student's model."""
    done = json.loads(CliRunner().invoke(main, ["plan", "toys.toml", "--json"]).stdout)
    return {
        step["key"] for step in done["steps"] if step["kind"] == "evaluation" and student in step["needs"]
    }


# -- bad usage -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bench", "absent.toml"), "error: absent.toml: cannot read the suite: no such file"),
        (
            ("bench", "toy.toml"),
            "error: toy.toml: cannot read the suite: no such file; did you mean toys.toml?",
        ),
        (("bench", "bad.toml"), "error: bad.toml:3: suite.seeds: key 'seeds' of [suite] must be"),
        (("bench", "bad.toml"), "\nerror: bad.toml:6: task[0].use: unknown task 'toi'; did you mean 'toy'?"),
        (
            ("plan", "bad.toml"),
            "error: bad.toml:10: student[0].sise: parameter 'sise' of student 'toy' is unknown",
        ),
        (
            ("bench", "toys.toml", "--only", "student=tyo"),
            "error: --only 'student=tyo': the suite has no student",
        ),
        (("bench", "toys.toml", "--seeds", "9"), "error: --seeds: the suite has no seed 9; it has: 0, 1"),
        (("bench", "toys.toml", "--devices", "gpu"), "error: --devices must be auto, cpu"),
        (("bench", "toys.toml", "--source", "web"), "Invalid value for '--source': 'web' is not one of"),
        (("bench", "toys.toml", "--no-such"), "No such option"),
        (("bench",), "Missing argument 'SUITE'"),
        (("bunch", "toys.toml"), "No such command 'bunch'"),
        (
            ("bench", "toys.toml", "--results", "file"),
            "error: cannot write results to 'file/toys': Not a directory",
        ),
        (("bench", "toys.toml", "--store", "file"), "error: cannot write the store 'file': "),
        (
            ("plan", "toys.toml", "--store", "file/x"),
            "error: cannot write the store 'file/x': Not a directory",
        ),
        (("leaderboard", "toys.toml"), "error: there are no results of 'toys.toml' in results/"),
        (("leaderboard", "torn"), "error: torn/records.jsonl, line 1: damaged, expected a JSON object"),
    ],
)
def test_bad_usage_is_a_sentence(
    toys: Home, invoke: Invoke, arguments: tuple[str, ...], message: str
) -> None:
    toys.write()
    toys.write(
        '[suite]\n\nseeds = "0"\n\n[[task]]\nuse = "toi"\n\n[[student]]\nuse = "toy"\nsise = 3\n', "bad"
    )
    (toys.path / "file").touch()
    (toys.path / "torn").mkdir()
    (toys.path / "torn" / "records.jsonl").write_text('{"schema": 1, \n')
    done = invoke(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert toys.journal() == []  # found out before anything was done


def test_results_that_cannot_be_read_are_not_overwritten(copied: Home, invoke: Invoke) -> None:
    path = copied.path / "results" / "toys" / "records.jsonl"
    path.write_text("torn\n")
    done = invoke("bench", "toys.toml")
    assert done.exit_code == 2
    assert "records.jsonl, line 1: damaged" in done.stderr
    assert path.read_text() == "torn\n"


def test_a_read_only_folder_of_results_is_found_out_first(
    toys: Home, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tempfile

    def refused(**options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refused)  # tests may run as root, whom no folder refuses
    toys.write()
    done = invoke("bench", "toys.toml")
    assert done.exit_code == 2
    assert done.stderr == "error: cannot write results to 'results/toys': Permission denied\n"
    assert toys.journal() == []


# -- the other commands ----------------------------------------------------------------------------------


def test_a_plan_runs_nothing(toys: Home, invoke: Invoke) -> None:
    toys.write()
    done = invoke("plan", "toys.toml")
    assert done.exit_code == 0
    assert "31 steps to do, about" in done.output
    assert not (toys.path / "results").exists()
    assert toys.performed() == 0
    assert [line.partition(" ")[0] for line in toys.journal()] == ["read"]  # how much there is to do
    found = json.loads(
        invoke("plan", "toys.toml", "--json", "--only", "role=baseline", "--seeds", "1").stdout
    )
    assert len(found["cells"]) == 2
    assert len(found["steps"]) == 5


def test_a_plan_knows_what_is_stored(copied: Home, invoke: Invoke) -> None:
    assert "everything is stored: bench would run no step" in invoke("plan", "toys.toml").output
    text = (copied.path / "toys.toml").read_text().replace("[1, 2]", "[1, 2, 3]")
    (copied.path / "toys.toml").write_text(text)
    found = json.loads(invoke("plan", "toys.toml", "--json").stdout)
    todo = Counter(step["kind"] for step in found["steps"] if not step["stored"])
    assert todo == {"student": 6, "evaluation": 6}
    assert Counter(cell["state"] for cell in found["cells"]) == {"stored": CELLS, "to do": 6}
    guesses = [step["expected_s"] for step in found["steps"] if not step["stored"]]
    assert len(guesses) == 12
    assert max(guesses) < 2  # from the timings of the others, not the first guess of 40 s and 2 s


def test_plugins_with_where_they_come_from(toys: Home, invoke: Invoke) -> None:
    done = invoke("plugins")
    assert done.exit_code == 0
    assert "  toy-strict  Learns gold labels and nothing else.  [toykit 1.0]" in done.output
    found = json.loads(invoke("plugins", "--json").stdout)
    assert found["failures"] == []
    assert {(one["kind"], one["name"]) for one in found["components"]} == {
        *{("task", "toy"), ("teacher", "toy-teacher"), ("student", "toy"), ("student", "toy-strict")},
        *{("augmenter", "toy-plain"), ("augmenter", "toy-shuffle")},
        *{("loss", "toy-labels"), ("loss", "toy-soft"), ("loss", "toy-hidden")},
        ("tracker", "toy-tracker"),
        ("executor", "toy-executor"),
    }


def test_a_broken_plugin_is_named_and_stops_nothing(tmp_path: Path) -> None:
    site = install_toys(tmp_path / "site")
    (site / "broken_kit.py").write_text("raise RuntimeError('half installed')\n")
    fake_distribution(site, "broken-kit", points={"odd": "broken_kit"})
    with installed(Home(tmp_path, site)) as home:
        home.write()
        done = CliRunner().invoke(main, ["plan", "toys.toml", "--json"])
        assert done.exit_code == 0
        assert done.stderr == (
            "warning: plugin 'odd' of broken-kit: cannot be imported: RuntimeError: half installed; "
            "for details run: harness plugins\n"
        )
        assert json.loads(done.stdout)["suite"] == "toys"
        done = CliRunner().invoke(main, ["plugins"])
        assert done.exit_code == 0
        assert "plugin 'odd' of broken-kit: cannot be imported: RuntimeError: half installed\n" in done.output
        assert "broken_kit.py" in done.output
        done = CliRunner().invoke(main, ["plan", home.write(SUITE.replace('"toy-soft"', '"toy-sort"')).name])
        assert "not all plugins could be loaded (odd): see `harness plugins`" in done.stderr


@pytest.mark.parametrize("suite", ["toys.toml", "toys", "results/toys"])
def test_a_leaderboard_by_file_name_or_folder(copied: Home, invoke: Invoke, suite: str) -> None:
    done = invoke("leaderboard", suite)
    assert done.exit_code == 0
    assert "toy, sample data" in done.output
    written = copied.path / "results" / "toys"
    assert (
        invoke("leaderboard", suite, "--format", "markdown").output
        == (written / "leaderboard.md").read_text()
    )
    table = invoke("leaderboard", suite, "--format", "csv").output
    assert len(list(csv.DictReader(io.StringIO(table)))) == 7
    assert json.loads(invoke("leaderboard", suite, "--format", "json").output)


def test_a_leaderboard_by_the_name_that_stands_in_a_file(copied: Home, invoke: Invoke) -> None:
    (copied.path / "toys.toml").rename(copied.path / "other.toml")
    assert "toy, sample data" in invoke("leaderboard", "other.toml").output
    assert invoke("leaderboard", "another.toml").exit_code == 2


def test_what_a_run_leaves_can_be_compared_and_advised_on(copied: Home, invoke: Invoke) -> None:
    rows = json.loads(invoke("leaderboard", "toys", "--format", "json").output)["tables"][0]["rows"]
    assert all(row["interval"] and row["places"] for row in rows)
    assert all(row["gain_p"] is not None for row in rows if row["role"] == "distilled")
    same = json.loads(invoke("compare", "toys", "toys", "--json").output)
    assert same["tests"] == len(rows) == same["counts"]["not separable"]
    assert {row["difference"]["value"] for row in same["rows"]} == {0.0}
    told = json.loads(invoke("recommend", "toys", "--json").output)["tasks"][0]
    assert told["split"] == "validation" and told["candidates"] == len(rows)


def test_a_run_keeps_the_predictions_of_other_sources(copied: Home, invoke: Invoke) -> None:
    from harness.results import predictions

    folder = copied.path / "results" / "toys"
    before = predictions.read(folder)
    records = copied.records()
    other = records[0] | {"cell": "elsewhere", "task": records[0]["task"] | {"source": "hub"}}
    with (folder / "records.jsonl").open("a") as file:
        file.write(json.dumps(other) + "\n")
    predictions.write(
        folder, {**before, "elsewhere": next(iter(before.values())), "gone": before[records[1]["cell"]]}
    )
    assert invoke("bench", "toys.toml").exit_code == 0
    assert set(predictions.read(folder)) == {*before, "elsewhere"}


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("leaderboard", "toys", "--format", "json"), 0),
        (("leaderboard", "toys"), 0),
        (("plugins",), 0),
        (("plan", "toys.toml"), 0),
        (("bench", "toys.toml", "--only", "role=baseline", "--fresh"), 130),  # it has not ended
        (("bench", "toys.toml", "--json"), 130),
    ],
)
def test_a_reader_that_has_read_enough(copied: Home, arguments: tuple[str, ...], status: int) -> None:
    process = copied.start(*arguments)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == status


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_behind_stdout_is_an_error(copied: Home) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    process = copied.start("leaderboard", "toys", prepare=lambda: os.dup2(full, 1))
    assert process.communicate() == ("", "error: stdout: No space left on device\n")
    assert process.returncode == 2
    os.close(full)


def close(*numbers: int) -> Callable[[], None]:
    return lambda: [os.close(number) for number in numbers] and None


def fill(number: int) -> Callable[[], None]:
    return lambda: os.dup2(os.open("/dev/full", os.O_WRONLY), number) and None


CLOSED = "error: stdout: Bad file descriptor\n"
FULL = "error: stdout: No space left on device\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize(
    ("prepare", "status", "said"),
    [
        (close(1), 2, CLOSED),
        (fill(1), 2, FULL),
        (close(2), 0, ""),
        (fill(2), 0, ""),
        (close(0), 0, ""),
        (close(0, 1, 2), 2, ""),
    ],
)
@pytest.mark.parametrize("arguments", [("--help",), ("suites", "emotion")], ids=" ".join)
def test_streams_that_are_closed_or_full(
    home: Home, arguments: tuple[str, ...], prepare: Callable[[], None], status: int, said: str
) -> None:
    process = home.start(*arguments, prepare=prepare)
    assert process.communicate()[1] == said
    assert process.returncode == status


@pytest.mark.parametrize(
    "arguments",
    [
        *(("plan", "toys.toml"), ("plan", "toys.toml", "--json"), ("leaderboard", "toys"), ("plugins",)),
        *(("compare", "toys", "toys"), ("recommend", "toys"), ("bench", "toys.toml", "--json")),
    ],
    ids=" ".join,
)
def test_a_closed_stdout_is_an_error_of_every_command(copied: Home, arguments: tuple[str, ...]) -> None:
    process = copied.start(*arguments, prepare=close(1))
    assert (process.communicate()[1], process.returncode) == (CLOSED, 2)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("prepare", [close(1), fill(1)])
def test_a_run_whose_output_cannot_be_written_runs_to_its_end(
    home: Home, prepare: Callable[[], None]
) -> None:
    process = home.start("bench", home.write(SMALL), "--devices", "cpu:1", prepare=prepare)
    assert process.communicate()[1] in (CLOSED, FULL)
    assert process.returncode == 2
    assert {one["status"] for one in home.records("small")} == {"ok"}


def test_messages_that_cannot_be_written(home: Home) -> None:
    for prepare in (close(2), close(0, 1, 2)):
        for arguments in (("plan", "absent.toml"), ("plan", "--wrong"), ("wrong",)):
            process = home.start(*arguments, prepare=prepare)
            assert process.communicate() == ("", "")
            assert process.returncode == 2


def test_a_run_that_is_cut_off_writes_its_results(toys: Home) -> None:
    toys.write(GATED)
    process = toys.start("bench", "toys.toml", "--devices", "cpu:1", "--json")
    assert process.stdout is not None and process.stderr is not None
    until(lambda: any("gate" in line for line in toys.journal()), process)
    process.stdout.close()
    (toys.path / "gate").touch()
    assert process.stderr.read() == ""
    assert process.wait() == 130
    finished = sum(place.startswith("evaluation/") for place in toys.manifests())
    assert len(toys.records()) == finished


LOUD = """
    import os, sys
    from ctypes import CDLL
    from dataclasses import dataclass
    import harness

    def shout(place):
        print("printed", place)
        print("printed more", place, file=sys.__stdout__)
        os.write(1, f"written {place}\\n".encode())
        CDLL(None).puts(f"put {place}".encode())

    shout("at import")

    @dataclass(frozen=True)
    class Loud(harness.Augmenter):
        \"""Speak.\"""

        name = "loud"

        def check(self):
            shout("in a check")

    @harness.hookimpl
    def register_augmenters(register):
        shout("in a hook")
        register(Loud)
"""


def add_plugin(home: Home, name: str, source: str) -> None:
    """Put a plugin beside the toys, for commands that run in processes of their own."""
    site = home.path / "more"
    fake_distribution(site, f"{name}-kit", points={name: f"{name}_kit"})
    (site / f"{name}_kit.py").write_text(dedent(source))
    home.environment["PYTHONPATH"] = os.pathsep.join([str(home.site), str(site)])


def test_what_plugins_print_is_not_output(home: Home) -> None:
    add_plugin(home, "loud", LOUD)
    home.write(SUITE.replace("[[loss]]", '[[augmenter]]\nuse = "loud"\n\n[[loss]]'))
    for arguments in (("plan", "toys.toml", "--json"), ("plugins", "--json")):
        done = home.run(*arguments)
        assert done.returncode == 0
        assert json.loads(done.stdout)
        places = ["at import", "in a hook", *(["in a check"] if arguments[0] == "plan" else [])]
        for place in places:
            for verb in ("printed", "printed more", "written", "put"):
                assert done.stderr.count(f"{verb} {place}\n") == 1


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import os; os._exit(9)", "its import ends the process, with exit status 9"),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            "its import ends the process, with SIGKILL",
        ),
        ("raise KeyboardInterrupt", "its import ends the process, with exit status 0"),
        ("input()", "cannot be imported: EOFError: EOF when reading a line"),
        ("def f(): f()\nf()", "cannot be imported: RecursionError: maximum recursion depth exceeded"),
        ("raise ValueError('two\\nlines \\x1b[31m')", "cannot be imported: ValueError: two lines  [31m"),
        ("def __dir__(): raise ValueError('no')", "cannot be used: ValueError: no"),
    ],
)
def test_a_plugin_that_would_end_the_command_is_named(home: Home, source: str, reason: str) -> None:
    add_plugin(home, "bad", source)
    home.write()
    done = home.run("plan", "toys.toml", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)
    assert f"warning: plugin 'bad' of bad-kit: {reason}" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    (failure,) = json.loads(home.run("plugins", "--json").stdout)["failures"]
    assert (failure["plugin"], failure["package"]) == ("bad", "bad-kit")


def test_a_plugin_that_is_left_out_is_not_imported(home: Home) -> None:
    add_plugin(home, "bad", "import os; os._exit(9)")
    home.write()
    home.environment["HARNESS_DISABLE_PLUGINS"] = f"{catalog.DISTRIBUTION},bad"
    done = home.run("plan", "toys.toml", "--json")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_plugin_that_hangs_is_named(toys: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.isolation.probe.NOTICE_S", 1)  # other plugins take less
    monkeypatch.setattr("harness.isolation.probe.LIMIT_S", 2)
    fake_distribution(toys.path / "more", "slow-kit", points={"slow": "slow_kit"})
    (toys.path / "more" / "slow_kit.py").write_text("import time\ntime.sleep(600)\n")
    monkeypatch.syspath_prepend(str(toys.path / "more"))
    done = CliRunner().invoke(main, ["plan", toys.write().name, "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout)
    first, second = done.stderr.splitlines()
    remedy = "to leave it out, set HARNESS_DISABLE_PLUGINS=slow"
    assert first == f"plugin 'slow' of slow-kit is still being imported; {remedy}"
    assert f"'slow' of slow-kit: its import does not end within 2 seconds; {remedy}" in second


def test_names_that_no_file_can_have_are_a_sentence(copied: Home, invoke: Invoke) -> None:
    done = invoke("leaderboard", "x" * 300)
    assert done.exit_code == 2 and done.stderr.startswith("error: ") and "File name too long" in done.stderr


def test_a_terminal_without_our_signs(copied: Home) -> None:
    copied.environment["PYTHONIOENCODING"] = "ascii"
    process = copied.start("leaderboard", "toys")
    out, errors = process.communicate()
    assert process.returncode == 0 and errors == "" and "?" in out


def test_version_and_help(invoke: Invoke) -> None:
    assert invoke("--version").output == f"harness, version {__version__}\n"
    for arguments in (("--help",), ("-h",), ()):
        shown = invoke(*arguments).output
        assert "bench        Run the missing steps of a suite and write its results.\n" in shown
        assert "..." not in shown.partition("Commands:")[2]  # each command's summary fits into its line
    assert "--only KIND[.PARAMETER]=VALUE" in invoke("bench", "-h").output


LIGHT = """
    import sys
    from harness.cli import main
    try:
        main(sys.argv[1:])
    except SystemExit as end:
        assert not end.code, end.code
    print(sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.mark.parametrize("arguments", [("--help",), ("bench", "--help"), ("--version",)])
def test_help_imports_nothing_heavy_and_no_plugin(home: Home, arguments: tuple[str, ...]) -> None:
    environment = home.variables()
    del environment["HARNESS_DISABLE_PLUGINS"]
    done = subprocess.run(
        [sys.executable, "-c", dedent(LIGHT), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(json.loads(done.stdout.splitlines()[-1].replace("'", '"')))
    heavy = {"torch", "pandas", "numpy", "pyarrow", "pydantic", "datasets", "transformers", "sklearn"}
    assert not loaded & {*heavy, "rich", "pluggy", "toykit", "multiprocessing", "onnxruntime"}
    assert not {name for name in loaded if name.startswith("harness_")}
    assert "click" in loaded


def test_a_module_is_a_command_too(home: Home) -> None:
    done = home.run("--version")
    assert (done.returncode, done.stdout) == (0, f"harness, version {__version__}\n")


# -- interrupts ------------------------------------------------------------------------------------------

GATED = SINGLE.replace("size = { sweep = [1, 2] }", 'trouble = { sweep = ["", "gate"] }')


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.usefixtures("at_once")
def test_an_interrupted_run_goes_on_where_it_was(toys: Home, invoke: Invoke, number: signal.Signals) -> None:
    toys.write(GATED)
    process = toys.start("bench", "toys.toml", "--devices", "cpu:2")
    until(lambda: sum("gate" in line for line in toys.journal()) == 2, process)  # both workers are held up
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does: the workers get it too
    else:
        process.send_signal(number)
    out, err = process.communicate()
    assert process.returncode == 128 + number, err
    assert "interrupted: finished steps are kept; run the same command to continue" in out
    assert "Traceback" not in out + err
    with pytest.raises(ProcessLookupError):
        while True:
            os.killpg(process.pid, 0)  # until no worker is left
            time.sleep(0.005)
    finished_before = toys.manifests()
    assert finished_before
    assert len(toys.records()) == sum(place.startswith("evaluation/") for place in finished_before)
    began = Counter(toys.journal())

    (toys.path / "gate").touch()
    done = invoke("bench", "toys.toml", "--devices", "cpu:2")
    assert done.exit_code == 0, done.output
    assert len(toys.records()) == 5
    assert toys.performed() == 4 + 4 + 5
    after = toys.manifests()
    assert {place: after[place] for place in finished_before} == finished_before
    again = Counter(toys.journal()) - began
    assert [line for line in again if line in began and "gate" not in line] == []
    assert list((toys.store / "tmp").iterdir()) == []


def test_an_interrupt_keeps_what_is_finished_in_the_tables(
    copied: Home, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.bench.run", interrupted)
    lost = next(record for record in copied.records() if record["role"] == "distilled" and record["seed"])
    shutil.rmtree(copied.store / "evaluation" / lost["artefacts"]["evaluation"])
    done = invoke("bench", "toys.toml")
    assert done.exit_code == 130
    assert "12 ok in" in done.output
    assert "interrupted: finished steps are kept" in done.output
    assert len(copied.records()) == CELLS  # the earlier result of the cell stays: it is of the same code


def test_an_interrupt_before_anything_began(
    toys: Home, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(catalog, "load", interrupted)
    toys.write()
    done = invoke("bench", "toys.toml")
    assert (done.exit_code, done.stderr) == (130, "interrupted\n")


def test_a_signal_that_the_caller_ignores_stays_ignored(toys: Home) -> None:
    """As nohup does with SIGHUP."""
    toys.write(GATED)
    ignore = partial(signal.signal, signal.SIGHUP, signal.SIG_IGN)
    process = toys.start("bench", "toys.toml", "--devices", "cpu:1", prepare=ignore)
    until(lambda: any("gate" in line for line in toys.journal()), process)
    process.send_signal(signal.SIGHUP)
    (toys.path / "gate").touch()
    _, err = process.communicate()
    assert (process.returncode, err) == (0, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_while_results_are_written_change_nothing(toys: Home, number: signal.Signals) -> None:
    toys.write(GATED)
    process = toys.start("bench", "toys.toml", "--devices", "cpu:1")
    until(lambda: any("gate" in line for line in toys.journal()), process)
    while process.poll() is None:
        process.send_signal(number)
        time.sleep(0.002)
    out, err = process.communicate()
    assert process.returncode == 128 + number and "Traceback" not in out + err
    assert "interrupted: finished steps are kept" in out
    assert (toys.path / "results" / "toys" / "records.jsonl").is_file()


# -- kills, and company ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("at_once")
def test_a_run_killed_at_any_moment_goes_on_where_it_was(toys: Home, finished: Home, invoke: Invoke) -> None:
    toys.write()
    moments = random.Random(5)
    kills, workers = 3, 2
    kept: list[dict[str, str]] = []
    for _ in range(kills):
        enough = len(toys.journal()) + moments.randint(1, 5)
        process = toys.start("bench", "toys.toml", "--devices", f"cpu:{workers}")
        while len(toys.journal()) < enough and process.poll() is None:  # the last may end of itself
            time.sleep(0.005)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        kept.append(toys.manifests())
    done = invoke("bench", "toys.toml", "--devices", f"cpu:{workers}")
    assert done.exit_code == 0, done.output
    after = toys.manifests()
    assert len(after) == STEPS
    assert any(0 < len(before) < STEPS for before in kept)  # a kill did come while there was work
    for before in kept:  # what was published is not done again
        assert {place: after[place] for place in before} == before
    assert len(toys.journal()) - len(set(toys.journal())) <= kills * workers  # only what was in flight
    assert by_cell(toys.records()) == by_cell(finished.records())
    assert not (toys.store / "damaged").exists()
    assert list((toys.store / "tmp").iterdir()) == []


def test_two_runs_over_one_store_do_each_step_once(home: Home, finished: Home) -> None:
    home.write()
    options = ("--devices", "cpu:1")
    first = home.start("bench", "toys.toml", *options, "--results", "first")
    second = home.start("bench", "toys.toml", *options, "--results", "second")
    for process in (first, second):
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    assert home.performed() == STEPS
    assert len(home.journal()) == len(set(home.journal())) == 16
    for name in ("first", "second"):
        lines = (home.path / name / "toys" / "records.jsonl").read_text().splitlines()
        assert by_cell([json.loads(line) for line in lines]) == by_cell(finished.records())
    assert not (home.store / "damaged").exists()
