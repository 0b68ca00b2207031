from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.catalog import DISTRIBUTION
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
