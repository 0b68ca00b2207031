"""Fixtures that the tests of reports share: results, a page of them, a browser to open it with."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opening import Browser
from reporting import Results, hostile

from harness.report import verdict as verdicts
from harness.report.html import write as report
from harness.report.verdict import Section, Verdict
from harness.results.record import write as write_records

VERDICT = Verdict(
    "tickets.csv",
    (
        Section(
            "Ship wide, taught by big", ("89.6 % accuracy", "200 kB"), "harness predict out/model < texts.txt"
        ),
        Section("Did distillation pay?", ("<b>yes</b>",)),
        Section("Smaller", (), "harness export out/tickets --row student=small"),
    ),
)

# No window, no sandbox (as root there is none), and nothing that the browser does on its own account.
ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    "--disable-dev-shm-usage",  # containers have little of it
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


@pytest.fixture(scope="session")
def results() -> Results:
    """One task; not to be changed."""
    return Results()


def _written(results: Results, folder: Path, verdict: Verdict | None = None) -> Path:
    folder.mkdir(parents=True)
    write_records(results.records, folder / "records.jsonl")
    if verdict:
        verdicts.write(verdict, folder)
    report.write(results.board, results.records, results.predictions, folder)
    return folder / "index.html"


@pytest.fixture(scope="session")
def page(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of one task."""
    return _written(results, tmp_path_factory.mktemp("one") / "results" / "emotion")


@pytest.fixture(scope="session")
def distilled_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a distilled file, with a verdict, and a student with a long name."""
    results = Results(names={"small": "small(width=128, layers=4, vocabulary=12000)"})
    return _written(results, tmp_path_factory.mktemp("file") / "out" / "tickets", VERDICT)


@pytest.fixture(scope="session")
def page_of_tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of two tasks, whose errors can be held side by side."""
    results = Results(("emotion", "reviews"), shift=2)
    return _written(results, tmp_path_factory.mktemp("two") / "results" / "emotion")


@pytest.fixture(scope="session")
def hostile_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of results whose every text is hostile."""
    return _written(
        hostile(), tmp_path_factory.mktemp("hostile") / "results" / "<img src=x onerror=alert(5)>"
    )


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A Chromium without a window."""
    from harness.report.html.svg import browser

    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = browser()
    if path is None:
        pytest.skip("no Chromium was found; $CHROMIUM may name one")
    with sync_api.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def browser(chromium: Any) -> Iterator[Browser]:
    """Opens pages; at the end none may have complained, asked the network for anything or shown a dialog."""
    opening = Browser(chromium)
    yield opening
    opening.close()
    assert opening.complaints == []


@pytest.fixture
def without_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which no browser is found."""
    for name in ("CHROMIUM", "BROWSER_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
