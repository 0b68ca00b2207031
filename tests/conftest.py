"""Fixtures that tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from components import Home, install_toys, installed
from local_hub import LocalHub, local_hub


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch works on one thread, so that nothing depends on how many a machine has."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def toy_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the toys installed; not to be changed."""
    return install_toys(tmp_path_factory.mktemp("toys") / "site")


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    """A hub on this machine without repositories, for processes that get its `variables`."""
    with local_hub() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, toy_site: Path) -> Home:
    """A folder to run the command in, as a process of its own."""
    return Home(tmp_path, toy_site)


@pytest.fixture
def toys(home: Home) -> Iterator[Home]:
    """The same, with the toys installed for this process too."""
    with installed(home):
        yield home
