"""Fixtures that the steps' tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from stepbench import Bench


@pytest.fixture
def bench(one_thread: None, tmp_path: Path) -> Bench:
    """A bench with an empty store."""
    return Bench(tmp_path / "store")
