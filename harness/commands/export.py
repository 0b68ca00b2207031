"""The command ``harness export``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.options import HELP, STORE, reported, results_option


@click.command(context_settings=HELP)
@click.argument("cell")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--suite", type=click.Path(path_type=Path), help="Only its results: a name, file or folder.")
@results_option("Where tables are.")
@STORE
@reported
def export(cell: str, folder: Path, suite: Path | None, results: Path, store: Path) -> None:
    """Write the measured model of CELL to DIR, with all that running it needs and a card that describes it.

    CELL is the start of a cell's key, or a selector such as student=mlp,loss=kl. Of several seeds the one
    that is best on the validation split is taken.
    """
    from harness import bundle
    from harness.storage.store import Store

    record = bundle.choose(bundle.read(results, suite), cell)
    files = bundle.write(record, Store(store), folder)
    for name, size in files.items():
        click.echo(f"{size:>12,}  {folder / name}")
