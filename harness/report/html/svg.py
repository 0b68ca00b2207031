"""Write the page's charts as SVG, for papers, with plotly.js in a headless browser.

This needs the extra ``charts`` (kaleido), and Chromium or Chrome. If it is not on the path, set ``$CHROMIUM``
or ``$BROWSER_PATH``.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.api import HarnessError
from harness.report.html import charts, looks, tasks
from harness.report.html.figures import Chart, painted
from harness.report.html.page import beside
from harness.report.html.sections import sections
from harness.results.board import Leaderboard
from harness.results.record import Record
from harness.storage.files import publish

if TYPE_CHECKING:
    from harness.task_types.base import Prediction

WIDTH = 640
LIMIT = 120  # seconds for all charts
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")


def browser() -> str | None:
    """Return the path of a browser, or None if there is none."""
    wanted = [os.environ.get("CHROMIUM"), os.environ.get("BROWSER_PATH"), *_NAMES]
    return next((path for name in wanted if name and (path := shutil.which(name))), None)


def missing() -> str:
    """Return why charts cannot be drawn here, or an empty string if they can."""
    import importlib.util

    if importlib.util.find_spec("kaleido") is None:
        return "kaleido is not installed; run: pip install 'distil-harness[charts]'"
    return "" if browser() else "there is no Chromium or Chrome on the path; install one, or set $CHROMIUM"


def all_charts(
    board: Leaderboard,
    records: Sequence[Record],
    predictions: Mapping[str, Prediction],
    validation: Mapping[str, Prediction] | None = None,
) -> list[Chart]:
    """Return all charts of the page; those that compare two rows have the rows that the page shows first.

    Charts of sample corpora are included only if there are no others.
    """
    found = sections(board, records)
    across = tasks.error_reduction(found)
    made = [across] if across else []
    real = [section for section in found if not section.sample]
    for section in real or found:
        made += charts.of_section(section)
        row, other = beside(section)
        if row:
            looked = (look.chart(row, other) for look in looks.of_section(section, predictions, validation))
            made += [chart for chart in looked if chart]
    return made


def write(made: Sequence[Chart], folder: Path) -> list[Path]:
    """Write ``<id>.svg`` for each chart, and return the paths. Raise HarnessError if the browser fails."""
    if why := missing():
        raise HarnessError(why)
    try:
        with ThreadPoolExecutor(1) as thread:  # the caller may already have an event loop
            drawn = thread.submit(lambda: asyncio.run(asyncio.wait_for(_drawn(made), LIMIT))).result()
    except TimeoutError:
        raise HarnessError(
            f"cannot draw charts: the browser took longer than {LIMIT} s; set $CHROMIUM to another browser"
        ) from None
    except Exception as error:  # the browser and its driver raise many types
        reason = (str(error).splitlines() or [""])[0]
        raise HarnessError(
            f"cannot draw charts: the browser failed ({type(error).__name__}: {reason}); "
            "set $CHROMIUM to another browser"
        ) from None
    paths = []
    for chart, text in zip(made, drawn, strict=True):
        paths.append(folder / f"{chart.id}.svg")
        publish(paths[-1], text)
    return paths


async def _drawn(made: Sequence[Chart]) -> list[str]:
    import kaleido

    # Without MathJax, which needs the network and would read names with dollars as formulas.
    async with kaleido.Kaleido(n=1, mathjax=False, path=browser()) as pen:
        return [_steady(await pen.calc_fig(_figure(chart), opts=_options(chart))) for chart in made]


def _options(chart: Chart) -> dict[str, Any]:
    return {"format": "svg", "width": WIDTH, "height": chart.layout["height"]}


def _figure(chart: Chart) -> dict[str, Any]:
    """Return the figure with a white background, and a font for papers."""
    figure: dict[str, Any] = painted(chart.figure)
    font = {**figure["layout"]["font"], "family": "Helvetica, Arial, sans-serif"}
    for i, trace in enumerate(figure["data"]):
        trace["uid"] = f"t{i}"  # otherwise it is random
    figure["layout"] |= {"paper_bgcolor": "#ffffff", "plot_bgcolor": "#ffffff", "font": font}
    return figure


def _steady(svg: bytes) -> str:
    """Return the SVG without its random id, so that the same chart gives the same file."""
    text = svg.decode()
    found = re.search(r'id="defs-([0-9a-f]+)"', text)
    return text.replace(found[1], "chart") if found else text
