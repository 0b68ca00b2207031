"""Implement ``harness leaderboard``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from harness.commands.console import open_console, show
from harness.commands.options import HELP, SUITE, reported, results_option
from harness.results.locate import results_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from harness.results.record import Record
    from harness.task_types.base import Prediction


@click.command(context_settings=HELP)
@SUITE
@results_option("Folder with the results of suites.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["terminal", "markdown", "csv", "json"]),
    default="terminal",
    show_default=True,
    help="Format of the leaderboard.",
)
@reported
def leaderboard(suite: Path, results: Path, form: str) -> None:
    """Print the leaderboard of a suite.

    SUITE is a suite's file, its name, or a folder of results.
    """
    from harness.results import predictions
    from harness.results.record import read

    folder = results_of(suite, results)
    show_leaderboard(read(folder / "records.jsonl"), predictions.read(folder), form)


def show_leaderboard(records: list[Record], predictions: Mapping[str, Prediction], form: str) -> None:
    """Print the leaderboard in a form: terminal, markdown, csv or json."""
    from harness.report import leaderboard
    from harness.results.board import build

    board = build(records, predictions)
    if form == "terminal":
        console = open_console()
        console.print(leaderboard.to_rich(board, console.width))
        return
    render = {"markdown": leaderboard.to_markdown, "csv": leaderboard.to_csv, "json": leaderboard.to_json}[
        form
    ]
    show(render(board))
