"""A few trials of each family of disturbances; `make faults` or HARNESS_FAULTS=whole runs them all."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from faults import bases, page
from faults.families import FAMILIES, cases
from faults.judge import CRITERIA, Case, Fault, Outcome, details, figures, judge, read, table

WHOLE = os.environ.get("HARNESS_FAULTS") == "whole"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of undisturbed worlds, which all test processes share."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "undisturbed"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are found in /proc")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", cases(WHOLE), ids=lambda case: f"{case.family}: {case.name}")
def test_nothing_is_lost_or_changed(case: Case, undisturbed: Path) -> None:
    bases.build(case.base, undisturbed)
    outcome = judge(case, undisturbed)
    if outcome.skipped:
        pytest.skip(outcome.skipped)
    assert not outcome.faults


def test_the_whole_has_as_many_trials_as_the_page_says() -> None:
    for family in FAMILIES:
        names = [case.name for case in cases(True, [family])]
        assert len(set(names)) == len(names)
    assert len(cases(True, ["hostile plugins"])) >= 40


def test_the_table_counts_faults_by_criterion() -> None:
    outcomes = [
        Outcome("kills", "a", 7, [Fault("lost", "x"), Fault("left", "y")]),
        Outcome("kills", "b", 3),
        Outcome("disks", "c", 1, skipped="no disk"),
    ]
    found = figures(outcomes)
    assert found["families"]["kills"] | {"reasons": 0} == {
        **dict.fromkeys(CRITERIA, 0),
        "cases": 2,
        "trials": 10,
        "lost": 1,
        "left": 1,
        "skipped": 0,
        "reasons": 0,
        "seconds": 0,
    }
    assert found["families"]["disks"]["reasons"] == ["no disk"]
    lines = table(found).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["kills", "disks", "all"]
    assert len({len(line) for line in lines}) == 1


def test_outcomes_are_read_as_they_were_written(tmp_path: Path) -> None:
    outcomes = [
        Outcome("kills", "a", 7, [Fault("lost", "x")], seconds=1.5),
        Outcome("disks", "c", skipped="no"),
    ]
    (path := tmp_path / "outcomes.jsonl").write_text(details(outcomes))
    assert read(path) == outcomes


def test_the_page_has_the_figures_of_the_last_whole_run() -> None:
    found = json.loads((ROOT / page.FIGURES).read_text())
    assert (ROOT / page.PAGE).read_text() == page.text(found), "run: make faults"
