"""The page's charts as SVG, for papers: drawn by the same plotly.js in a browser without a window.

Needs the extra ``charts`` (kaleido) and a Chromium or Chrome; ``$CHROMIUM`` or ``$BROWSER_PATH`` name one
that is not on the path.
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
LIMIT = 120  # seconds for all of them
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")


def browser() -> str | None:
    """The path of a browser that can draw; None where there is none."""
    wanted = [os.environ.get("CHROMIUM"), os.environ.get("BROWSER_PATH"), *_NAMES]
    return next((path for name in wanted if name and (path := shutil.which(name))), None)


def missing() -> str:
    """Why no chart can be drawn here; "" where nothing stands in the way."""
    import importlib.util

    if importlib.util.find_spec("kaleido") is None:
        return "kaleido is not installed: pip install 'distil-harness[charts]'"
    return "" if browser() else "no Chromium or Chrome was found; $CHROMIUM may name one"


def all_charts(
    board: Leaderboard, records: Sequence[Record], predictions: Mapping[str, Prediction]
) -> list[Chart]:
    """Every chart of the page, the closer looks with the rows that the page starts with.

    Those of a sample corpus, which say nothing about real texts, only where there are no others.
    """
    found = sections(board, records)
    across = tasks.error_reduction(found)
    made = [across] if across else []
    real = [section for section in found if not section.sample]
    for section in real or found:
        made += charts.of_section(section)
        row, other = beside(section)
        if row:
            looked = (look.chart(row, other) for look in looks.of_section(section, predictions))
            made += [chart for chart in looked if chart]
    return made


def write(made: Sequence[Chart], folder: Path) -> list[Path]:
    """Write ``<id>.svg`` for each chart; HarnessError where the browser is missing or fails."""
    if why := missing():
        raise HarnessError(why)
    try:
        with ThreadPoolExecutor(1) as thread:  # whoever calls may have an event loop of their own
            drawn = thread.submit(lambda: asyncio.run(asyncio.wait_for(_drawn(made), LIMIT))).result()
    except TimeoutError:
        raise HarnessError(f"the browser took longer than {LIMIT} s to draw the charts") from None
    except Exception as error:  # whatever the browser or its driver comes up with
        reason = (str(error).splitlines() or [""])[0]
        raise HarnessError(f"the browser drew no charts: {type(error).__name__}: {reason}") from None
    paths = []
    for chart, text in zip(made, drawn, strict=True):
        paths.append(folder / f"{chart.id}.svg")
        publish(paths[-1], text)
    return paths


async def _drawn(made: Sequence[Chart]) -> list[str]:
    import kaleido

    # Without MathJax, which would come from the network and take names with dollars for formulas.
    async with kaleido.Kaleido(n=1, mathjax=False, path=browser()) as pen:
        return [_steady(await pen.calc_fig(_figure(chart), opts=_options(chart))) for chart in made]


def _options(chart: Chart) -> dict[str, Any]:
    return {"format": "svg", "width": WIDTH, "height": chart.layout["height"]}


def _figure(chart: Chart) -> dict[str, Any]:
    """On paper's white, in a font that papers have."""
    figure: dict[str, Any] = painted(chart.figure)
    font = {**figure["layout"]["font"], "family": "Helvetica, Arial, sans-serif"}
    for i, trace in enumerate(figure["data"]):
        trace["uid"] = f"t{i}"  # a random one else
    figure["layout"] |= {"paper_bgcolor": "#ffffff", "plot_bgcolor": "#ffffff", "font": font}
    return figure


def _steady(svg: bytes) -> str:
    """Without the random id of the drawing, so that the same chart is the same file."""
    text = svg.decode()
    found = re.search(r'id="defs-([0-9a-f]+)"', text)
    return text.replace(found[1], "chart") if found else text
