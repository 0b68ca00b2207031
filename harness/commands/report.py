"""Implement ``harness report``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from harness.commands.console import complain, show
from harness.commands.options import HELP, SUITE, reported, results_option
from harness.results.locate import results_of

if TYPE_CHECKING:
    from pathlib import Path


@click.command(context_settings=HELP)
@SUITE
@results_option("Folder with the results of suites.")
@click.option(
    "--charts/--no-charts",
    default=True,
    show_default=True,
    help="Draw the charts as SVG files too; this needs Chromium or Chrome.",
)
@reported
def report(suite: Path, results: Path, charts: bool) -> None:
    """Write a suite's HTML report, LaTeX table and charts.

    SUITE is a suite's file, its name, or a folder of results. bench writes the report too. This command
    writes it again from the records, and draws charts for papers.
    """
    from harness.bench import check_writable
    from harness.report.html import write as pages

    folder = results_of(suite, results)
    check_writable(folder)
    board, records, answers = pages.renew(folder)
    show(f"wrote {folder / 'index.html'} and leaderboard.tex\n")
    if not charts:
        return
    if why := pages.without_charts():
        complain(f"no charts were drawn: {why}")
        return
    drawn = pages.write_charts(board, records, answers.test, folder, answers.validation)
    show(f"drew {len(drawn)} charts in {folder / 'charts'}\n")
