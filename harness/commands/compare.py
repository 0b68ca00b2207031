"""Implement ``harness compare``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.options import AS_JSON, HELP, OK, SOME_FAILED, reported, results_option
from harness.results.locate import results_of
from harness.values import HarnessError

FOUND = SOME_FAILED  # the exit status if --fail-on applies


@click.command(context_settings=HELP)
@click.argument("a")
@click.argument("b")
@click.option(
    "--in",
    "within",
    type=click.Path(path_type=Path),
    metavar="SUITE",
    help="Suite or folder with the two rows.",
)
@results_option("Folder with the results of suites.")
@click.option("--metric", help="Metric to compare.  [default: the headline metric of each task]")
@click.option(
    "--fail-on",
    type=click.Choice(["regression", "any"]),
    help="Exit with status 1 if something got worse (regression), or if anything differs (any).",
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
    """Test what is better, worse or inconclusive in B than in A.

    A and B are suites, folders of results, or files of records. They can also be two rows of the same
    results, such as student=mlp,loss=kl and student=mlp,loss=mse; --in then names the suite or folder.
    """
    from harness.commands.console import show
    from harness.report import comparison
    from harness.results import compare as comparing

    selectors = [("=" in each and not Path(each).exists()) for each in (a, b)]
    if all(selectors):
        found = comparing.rows(comparing.load(_within(within, results)), a, b, metric)
    elif any(selectors) or within is not None:
        raise HarnessError(
            "expected two sets of results, or two rows such as student=mlp,loss=kl with --in SUITE; "
            f"got '{a}' and '{b}'"
        )
    else:
        old, new = (
            comparing.load(path if _has_records(path) else results_of(path, results))
            for path in (Path(a), Path(b))
        )
        found = comparing.sets(old, new, metric)
    show(comparison.to_json(found) if as_json else comparison.to_rich(found))
    if fail_on and not found.tests:
        raise HarnessError("cannot apply --fail-on: A and B have no rows in common that can be tested")
    return FOUND if fail_on and found.fails(fail_on) else OK


def _has_records(path: Path) -> bool:
    """Return whether a path is a file of records; a suite is a file too."""
    return path.is_file() and path.suffix != ".toml"


def _within(suite: Path | None, results: Path) -> Path:
    """Return the folder with the rows: the named one, or the only folder of results that exists."""
    if suite is not None:
        return results_of(suite, results)
    folders = sorted(path.parent for path in results.glob("*/records.jsonl"))
    if len(folders) != 1:
        there = ", ".join(folder.name for folder in folders) or "none"
        raise HarnessError(
            f"cannot tell which results contain the rows; name them with --in (allowed: {there})"
        )
    return folders[0]
