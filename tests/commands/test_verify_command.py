"""``harness verify``, from damage to a store that is whole again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from components import SMALL, Home, plan_of, recorded

from harness.cli import main
from harness.report import leaderboard


@pytest.fixture
def home(toys: Home) -> Home:
    """A folder in which a suite of one cell has run."""
    toys.write(SMALL, "small")
    (toys.path / "results" / "small").mkdir(parents=True)
    leaderboard.write(recorded(plan_of(SMALL), toys), toys.path / "results" / "small")
    return toys


def verify(*arguments: str) -> tuple[int, list[str]]:
    done = CliRunner().invoke(main, ["verify", *arguments])
    assert not done.stderr or done.exit_code == 2
    return done.exit_code, (done.stderr or done.stdout).splitlines()


def test_from_damage_to_a_whole_store(home: Home) -> None:
    status, lines = verify()
    assert status == 0
    assert lines[0].startswith(f"{home.store}: 3 artefacts are sound (")
    assert lines[1:] == ["results: 1 records can be read"]

    model = next(home.store.glob("student/*/model/points.json"))  # no step would open it
    model.write_bytes(b"0" * model.stat().st_size)
    key = model.parts[-3]
    status, lines = verify()
    assert status == 1
    assert lines[0] == f"damaged: student {key[:12]}: the checksum of model/points.json is wrong"
    assert "to set them aside, so that the next run makes them again: harness verify --repair" in lines
    status, lines = verify("--repair")
    assert status == 0
    assert f"1 set aside in {home.store}/damaged; the next run makes them again" in lines
    done = CliRunner().invoke(main, ["bench", "small.toml", "--devices", "cpu:1"])
    assert done.exit_code == 0 and "1 student" in done.stdout  # whose results the record has
    status, lines = verify("--json")
    told = json.loads(lines[0])
    assert (status, told["sound"], told["artefacts"], told["set_aside"]) == (0, True, 2, 1)


def test_results_are_read_too(home: Home) -> None:
    records = home.path / "results" / "small" / "records.jsonl"
    records.write_text(records.read_text() + "torn\n")
    status, lines = verify()
    assert status == 1
    assert "damaged: results/small/records.jsonl, line 2: damaged, expected a JSON object" in lines[-1]
    assert json.loads(verify("--json")[1][0])["results"]


def test_no_store_is_one_sentence(home: Home) -> None:
    expected = "error: cannot find a store at 'nowhere'; name its folder with --store"
    assert verify("--store", "nowhere") == (2, [expected])
    assert not Path("nowhere").exists()
