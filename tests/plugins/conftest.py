"""Fixtures that the plugins' tests share."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pretrained
import pytest
import translators

from harness.testing.tiny import CheckContext


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Do not trace the tests of plugins, a third of their time: what is measured is the core."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("no_cover")


@pytest.fixture(autouse=True)
def one_thread(one_thread: None) -> None:
    """As everywhere, but in use by itself."""


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny pretrained model of a kind; not to be changed.

    Others than kinds are a "classifier", a "translator", "masked-" before a kind for a language model, and
    "minilm", a part of the real one.
    """

    @cache
    def folder(kind: str) -> Path:
        path = tmp_path_factory.mktemp(kind)
        if kind == "classifier":
            labels = [f"It's {topic}" for topic in ("snow", "rain", "sun", "wind")]
            return pretrained.make("bert", path, labels)
        if kind == "minilm":
            return pretrained.part_of_minilm(path)
        if kind == "scorer":
            return pretrained.make("bert", path, ["LABEL_0"])
        if kind.startswith("masked-"):
            return pretrained.make(kind.removeprefix("masked-"), path, masked=True)
        return translators.make(path) if kind == "translator" else pretrained.make(kind, path)

    return folder


@pytest.fixture
def context(tmp_path: Path) -> CheckContext:
    (scratch := tmp_path / "scratch").mkdir()
    return CheckContext(scratch)
