"""Fixtures that tests share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from components import Home, install_toys


@pytest.fixture(scope="session")
def toy_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the toys installed; not to be changed."""
    return install_toys(tmp_path_factory.mktemp("toys") / "site")


@pytest.fixture
def home(tmp_path: Path, toy_site: Path) -> Home:
    """A folder to run the command in, as a process of its own."""
    return Home(tmp_path, toy_site)


@pytest.fixture
def toys(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """The same for runs in this process: the toys, and nothing else, are installed here too."""
    before = set(sys.modules)
    for name, value in home.variables().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(home.path)
    monkeypatch.syspath_prepend(str(home.site))
    yield home
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "toykit":
            del sys.modules[name]
