"""Implement ``harness data``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.console import complain, show
from harness.commands.options import HELP, SOURCE, installed, reported
from harness.values import HarnessError


@click.command(
    context_settings=HELP,
    epilog="""\b
    Examples:
      harness data emotion data --source sample
      harness data tickets.toml data --license CC-BY-4.0 --creator "Our team" --url https://example.org
    """,
)
@click.argument("suite", type=click.Path(path_type=Path))
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@SOURCE
@click.option(
    "--license",
    "licence",
    default="",
    metavar="CODE",
    help="Licence of the data: a code of SPDX or an address.  [required, but for a sample corpus]",
)
@click.option("--creator", default="", metavar="NAME", help="Who made the data.")
@click.option("--url", default="", metavar="URL", help="Address of a page about the data.")
@click.option("--language", default="", metavar="CODE", help="Language of the texts, e.g. en.")
@reported
def data(suite: Path, folder: Path, source: str, licence: str, creator: str, url: str, language: str) -> None:
    """Write a suite's data to files, with Croissant metadata.

    For each task, DIR/TASK gets train.jsonl, validation.jsonl, test.jsonl, and croissant.json, with which
    other programs load them. The splits are those that bench uses. Set HARNESS_DATA to DIR to use the files
    as local data.

    Copies of data from elsewhere need a licence that allows them: read its terms, then name it.
    """
    from harness.sources import croissant
    from harness.steps.data import checked
    from harness.suite.bundled import find
    from harness.suite.reader import load

    catalog = installed()
    tasks = load(find(suite), catalog, limit=None).tasks
    names = [task.name for task in tasks]
    if several := sorted({name for name in names if names.count(name) > 1}):
        raise HarnessError(
            f"cannot write the data of {suite}: it has several tasks '{several[0]}'; give each its own suite"
        )
    found = [(task, task.resolve(source)) for task in tasks]
    for task, origin in found:
        if origin.name != "sample" and not licence:
            raise HarnessError(
                f"cannot write the data of task '{task.name}' from {origin.origin}: their licence is not "
                "known; if its terms allow copies, name it with --license"
            )
    for task, origin in found:
        task_type = catalog.task_type_of(task)
        tables = {
            split: table for split, table in checked(task, task_type, origin).tables.items() if table.num_rows
        }
        sample = origin.name == "sample"
        about = croissant.About(
            name=task.name,
            description=(
                f"{type(task).__doc__ or task.name}".strip().partition("\n")[0]
                if not sample
                else f"A corpus for {task_type.name} that distil-harness generates; no real texts."
            )
            + f" Read from {origin.origin}, fingerprint {origin.fingerprint}.",
            licence=licence or "https://spdx.org/licenses/Apache-2.0.html",
            url=url or ("https://github.com/distil-harness/distil-harness" if sample else ""),
            creator=creator or ("distil-harness" if sample else ""),
            language=language or str(getattr(task, "language", "")),
        )
        sizes = croissant.write(folder / task.name, tables, about)
        for name, size in sizes.items():
            show(f"{size:>12,}  {folder / task.name / name}\n")
        if about.missing:
            complain(
                f"warning: {folder / task.name / croissant.FILE} lacks {' and '.join(about.missing)}, which "
                f"Croissant requires; add {' and '.join(f'--{name}' for name in about.missing)}\n"
            )
