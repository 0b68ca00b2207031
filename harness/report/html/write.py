"""Write the report of a suite: its page, charts and LaTeX table, and the overview of all suites.

Everything comes from records and predictions; no step is run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.api import HarnessError
from harness.report import verdict
from harness.results.board import Leaderboard, build
from harness.results.record import Record, read
from harness.storage.files import publish

if TYPE_CHECKING:
    from harness.results.predictions import Splits
    from harness.task_types.base import Prediction

__all__ = ["renew", "without_charts", "write", "write_charts"]


def write(
    board: Leaderboard,
    records: Sequence[Record],
    predictions: Mapping[str, Prediction],
    folder: Path,
    validation: Mapping[str, Prediction] | None = None,
) -> None:
    """Write ``index.html`` and ``leaderboard.tex`` into a suite's results, and the overview beside them.

    ``board`` is the leaderboard of these records and predictions; `validation` are predictions on that split.
    The page shows the verdict in the folder.
    """
    from harness.report.html import overview
    from harness.report.html.page import render
    from harness.report.latex import to_latex

    name = records[0]["suite"] if records else folder.resolve().name
    trouble = ""
    try:
        found = verdict.read(folder)
    except HarnessError as error:
        found, trouble = None, str(error)
    publish(folder / "index.html", render(board, records, predictions, name, found, trouble, validation))
    publish(folder / "leaderboard.tex", to_latex(board, records))
    place = folder.resolve()
    overview.write(place.parent, {place.name: (board, records)})


def renew(folder: Path) -> tuple[Leaderboard, list[Record], Splits]:
    """Write the report again from the results in a folder; return these."""
    from harness.results import predictions

    records, answers = read(folder / "records.jsonl"), predictions.read_splits(folder)
    board = build(records, answers.test)
    write(board, records, answers.test, folder, answers.validation)
    return board, records, answers


def without_charts() -> str:
    """Return why charts cannot be drawn here, or an empty string if they can."""
    from harness.report.html import svg

    return svg.missing()


def write_charts(
    board: Leaderboard,
    records: Sequence[Record],
    predictions: Mapping[str, Prediction],
    folder: Path,
    validation: Mapping[str, Prediction] | None = None,
) -> list[Path]:
    """Write the page's charts as SVG into ``charts/``. Raise HarnessError if no browser can draw them."""
    from harness.report.html import svg

    return svg.write(svg.all_charts(board, records, predictions, validation), folder / "charts")
