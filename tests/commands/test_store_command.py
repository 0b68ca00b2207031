"""``harness store``: what is kept, what may go, and copies elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from components import SMALL, Home, plan_of, recorded

from harness.cli import main
from harness.report import leaderboard
from harness.storage.inventory import using
from harness.storage.store import Store


@pytest.fixture
def home(toys: Home) -> Home:
    """A folder in which a suite of one cell has run, with an artefact of another suite in its store."""
    toys.write(SMALL, "small")
    (toys.path / "results" / "small").mkdir(parents=True)
    leaderboard.write(recorded(plan_of(SMALL), toys), toys.path / "results" / "small")
    store = Store(toys.store)
    with store.workspace("e" * 32) as folder:
        (folder / "model.txt").write_text("an old model")
        store.publish("student", "e" * 32, folder, {}, {"seconds": 0.0})
    return toys


def call(*arguments: str) -> tuple[int, list[str]]:
    done = CliRunner().invoke(main, ["store", *arguments])
    assert "Traceback" not in done.output
    return done.exit_code, (done.stderr + done.stdout).splitlines()


def test_ls(home: Home) -> None:
    status, lines = call("ls")
    assert status == 0 and lines[-1].startswith(f"{home.store}: 4 artefacts, ")
    assert lines[0].split() == ["kind", "artefacts", "size", "newest", "oldest"]
    assert [line.split()[:2] for line in lines[2:-1]] == [
        ["data", "1"],
        ["student", "2"],
        ["evaluation", "1"],
    ]
    status, lines = call("ls", "--suite", "small.toml")
    assert status == 0 and lines[-1] == "3 of the 3 steps of the suites are stored"
    told = json.loads(call("ls", "--suite", "small.toml", "--json")[1][0])
    assert told["steps_of_suites"] == 3
    (students,) = (kind for kind in told["kinds"] if kind["kind"] == "student")
    assert (students["artefacts"], students["used"]) == (2, 1) and students["used_bytes"] < students["bytes"]


def test_gc_keeps_what_is_needed(home: Home) -> None:
    before = home.manifests()
    for needed in (("--suite", "small.toml"), ("--results", "results"), ("--results", "results/small")):
        status, lines = call("gc", *needed, "--dry-run")
        assert status == 0
        assert lines == [
            "would delete 1 student, 12.0 B",
            f"{home.store}: would delete 1 artefacts (12.0 B), 3 are kept",
        ]
    assert home.manifests() == before
    assert call("gc", "--suite", "small.toml", "--older-than", "1d")[1][-1].endswith("4 are kept")
    told = json.loads(call("gc", "--suite", "small.toml", "--json")[1][0])
    assert [one["key"] for one in told["removed"]] == ["e" * 32] and told["kept"] == 3
    assert len(home.manifests()) == len(before) - 1
    done = CliRunner().invoke(main, ["bench", "small.toml", "--devices", "cpu:1"])
    assert done.exit_code == 0 and "nothing to run" in done.stdout


def test_gc_refuses_what_is_unclear(home: Home) -> None:
    before = home.manifests()
    for arguments, message in (
        ((), "cannot choose what to delete: give --suite, --results or --older-than"),
        (("--older-than", "3"), "expected an age, got '3'; write it like 12h, 30d or 8w"),
        (("--results", "."), "cannot find records in '.'; name a folder with results"),
        (("--older-than", "1d", "--store", "typo"), "cannot find a store at 'typo'; name its folder"),
    ):
        status, lines = call("gc", *arguments)
        assert status == 2 and message in lines[0]
    with using(Store(home.store)):
        status, lines = call("gc", "--older-than", "0h")
        assert status == 2 and "is using the store; try again when it has ended" in lines[0]
    assert home.manifests() == before and not Path("typo").exists()


def test_push_and_pull(home: Home) -> None:
    status, lines = call("push", "shared", "--suite", "small.toml")
    assert status == 0
    assert lines[0].startswith("copied 3 artefacts (") and lines[0].endswith(" to shared; 0 were there")
    assert call("push", "shared")[1][0].startswith("copied 1 artefacts (12.0 B) to shared; 3 were there")
    assert call("pull", "shared", "--store", "second", "--suite", "small.toml")[1][0].startswith("copied 3 ")
    done = CliRunner().invoke(main, ["bench", "small.toml", "--store", "second", "--devices", "cpu:1"])
    assert done.exit_code == 0 and "nothing to run" in done.stdout
    assert call("verify", "--store", "shared")[1][0].startswith("shared: 4 artefacts are sound")
    model = next(Path("shared").glob("evaluation/*/manifest.json"))
    model.write_text(model.read_text().replace("1", "2", 1))
    status, lines = call("pull", "shared", "--store", "third")
    assert status == 1
    assert lines[0].startswith("error: evaluation ") and "it is damaged there (its manifest " in lines[0]
    assert lines[1].startswith("copied 3 artefacts (") and lines[1].endswith("0 were there, 1 failed")
    for command in (("push", "s3:/bucket"), ("pull", "s3:/bucket"), ("ls", "--store", "s3:/bucket")):
        status, lines = call(*command)
        assert status == 2 and "'s3:/bucket' is not a URL; did you mean 's3://bucket'?" in lines[-1]
        assert not Path("s3:").exists()
    status, lines = call("pull", "nosuch://place")
    assert status == 2 and lines[0].startswith("error: cannot open the store nosuch://place: ")


def test_the_copies_of_a_store_elsewhere_are_named_so(home: Home) -> None:
    url = f"file://{home.path}/elsewhere"
    assert call("push", url)[0] == 0
    for command in (("ls",), ("verify",), ("gc", "--older-than", "1d")):
        status, lines = call(*command, "--store", url)
        assert status == 0
        assert any(f" (copies of what is used of {url}): " in line for line in lines)
