"""The command ``harness compare``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.options import AS_JSON, HELP, OK, SOME_FAILED, reported, results_option
from harness.results.locate import results_of
from harness.values import HarnessError

FOUND = SOME_FAILED  # what --fail-on names was found


@click.command(context_settings=HELP)
@click.argument("a")
@click.argument("b")
@click.option("--in", "within", type=click.Path(path_type=Path), metavar="SUITE", help="Where two rows are.")
@results_option("Where tables are.")
@click.option("--metric", help="What to compare; each task's own headline unless given.")
@click.option(
    "--fail-on",
    type=click.Choice(["regression", "any"]),
    help="Exit with 1 where something got worse, or where anything differs.",
)
@AS_JSON
@reported
def compare(
    a: str,
    b: str,
    within: Path | None,
    results: Path,
    metric: str | None,
    fail_on: str | None,
    as_json: bool,
) -> int:
    """Say what is better, worse or not separable in B than in A.

    A and B are suites, folders of results or files of records; or two rows of one set, such as
    student=mlp,loss=kl and student=mlp,loss=mse, with --in naming the suite or the folder.
    """
    from harness.commands.console import show
    from harness.report import comparison
    from harness.results import compare as comparing

    selectors = [("=" in each and not Path(each).exists()) for each in (a, b)]
    if all(selectors):
        found = comparing.rows(comparing.load(_within(within, results)), a, b, metric)
    elif any(selectors) or within is not None:
        raise HarnessError(
            "compare takes two sets of results, or two rows such as student=mlp,loss=kl with --in <suite>"
        )
    else:
        old, new = (
            comparing.load(path if (path := Path(side)).is_file() else results_of(path, results))
            for side in (a, b)
        )
        found = comparing.sets(old, new, metric)
    show(comparison.to_json(found) if as_json else comparison.to_rich(found))
    if fail_on and not found.tests:
        raise HarnessError("nothing could be tested, so that --fail-on has nothing to go by")
    return FOUND if fail_on and found.fails(fail_on) else OK


def _within(suite: Path | None, results: Path) -> Path:
    """Where rows are looked for: what was named, else the only folder of results that there is."""
    if suite is not None:
        return results_of(suite, results)
    folders = sorted(path.parent for path in results.glob("*/records.jsonl"))
    if len(folders) != 1:
        there = ", ".join(folder.name for folder in folders) or "none"
        raise HarnessError(f"say which results with --in; in {results}/ there are: {there}")
    return folders[0]
