from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.hookspecs import DISTRIBUTION
from harness.results import provenance


def test_environment() -> None:
    found = provenance.environment()
    assert found["python"].startswith("3.")
    assert "numpy" in found["packages"] and DISTRIBUTION in found["packages"]
    assert found["cpu"] and "core" in found["cpu"] and found["os"]
    assert found["git"] is None or len(found["git"].removesuffix("-dirty")) == 40
    assert json.loads(json.dumps(found)) == found
    found["packages"].clear()
    assert provenance.environment()["packages"], "a caller's changes must not reach the next"


def test_environment_loads_nothing_heavy() -> None:
    code = (
        "import sys, harness.results.provenance; harness.results.provenance.environment();"
        "assert not {'torch', 'pandas', 'pydantic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_installed_copy_does_not_claim_the_commit_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    installed = tmp_path / "site-packages" / "harness" / "results" / "provenance.py"
    monkeypatch.setattr(provenance, "__file__", str(installed))
    assert provenance._commit() is None


def test_a_commit_is_dirty_by_what_runs_and_not_by_what_a_run_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        command = ("git", "-C", str(tmp_path), *who, *arguments)
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    code, table = tmp_path / "harness" / "results" / "provenance.py", tmp_path / "results" / "table.md"
    for file in (code, table):
        file.parent.mkdir(parents=True)
        file.write_text("1")
    monkeypatch.setattr(provenance, "__file__", str(code))
    git("init", "-q")
    assert provenance._commit() is None  # nothing is committed yet
    git("add", ".")
    git("commit", "-qm", "all")
    commit = git("rev-parse", "HEAD")
    assert provenance._commit() == commit
    table.write_text("2")
    assert provenance._commit() == commit
    code.write_text("2")
    assert provenance._commit() == f"{commit}-dirty"
    git("add", ".")
    assert provenance._commit() == f"{commit}-dirty"
