"""Fixtures that the steps' tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from stepbench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A bench with an empty store."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Bench(tmp_path / "store")
    torch.set_num_threads(before)
