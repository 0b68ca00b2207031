"""Implement ``harness export``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.console import show
from harness.commands.options import HELP, STORE, reported, results_option


@click.command(
    context_settings=HELP,
    epilog="""\b
    Examples:
      harness export 3f2a model
      harness export student=mlp,loss=kl,augmenter=mix model --suite emotion
    """,
)
@click.argument("cell")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--suite",
    type=click.Path(path_type=Path),
    help="Suite to search: a name, file or folder.  [default: all]",
)
@results_option("Folder with the results of suites.")
@STORE
@reported
def export(cell: str, folder: Path, suite: Path | None, results: Path, store: Path) -> None:
    """Write a measured model to a folder that can be shipped.

    CELL is the start of a cell's key, or a selector of a row such as student=mlp,loss=kl. If the row has
    several seeds, the one with the best validation score is exported. DIR gets everything that is needed to
    run the model, and a card that describes it.
    """
    from harness import bundle
    from harness.storage.store import Store

    record = bundle.choose(bundle.read(results, suite), cell)
    files = bundle.write(record, Store(store), folder)
    for name, size in files.items():
        show(f"{size:>12,}  {folder / name}\n")
