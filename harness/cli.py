"""The command ``harness``. Each command imports what it needs when it runs: ``--help`` is instant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness import __version__
from harness.commands import advising, guiding, shipping
from harness.commands.common import (
    AS_JSON,
    HELP,
    INTERRUPTED,
    OK,
    SOME_FAILED,
    STORE,
    installed,
    results_option,
)
from harness.commands.common import BAD_USAGE as BAD_USAGE
from harness.commands.common import reported as _reported
from harness.results.folders import results_of

if TYPE_CHECKING:
    from harness.catalog import Catalog
    from harness.plan import Plan
    from harness.suite import Suite

F = TypeVar("F", bound=Callable[..., Any])

SUITE = click.argument("suite", type=click.Path(path_type=Path))


def _together(*options: Callable[[F], F]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


WHICH = _together(
    click.option(
        "--only",
        multiple=True,
        metavar="KIND[.PARAMETER]=VALUE,…",
        help="Only cells with these components or roles, and what they are compared to.",
    ),
    click.option("--seeds", metavar="N,…", help="Only these of the suite's seeds."),
    click.option(
        "--source", type=click.Choice(["auto", "local", "hub", "sample"]), default="auto", help="Data source."
    ),
    STORE,
    click.option(
        "--devices",
        default="auto",
        show_default=True,
        help="auto, cpu, cpu:<workers>, cuda, cuda:<index>*<workers>,…",
    ),
)
RESULTS = results_option("Where tables go.")


@click.group(context_settings=HELP)
@click.version_option(__version__, prog_name="harness")
def main() -> None:
    """Benchmark knowledge distillation of text models: teachers × students × augmenters × losses × tasks."""


@main.command(context_settings=HELP)
@SUITE
@WHICH
@RESULTS
@click.option("--executor", type=click.Choice(["local"]), default="local", help="What runs the steps.")
@click.option("--fresh", is_flag=True, help="Do the selected steps again, though they are stored.")
@click.option("--strict", is_flag=True, help="A cell that is unavailable counts as failed.")
@click.option(
    "--tracker",
    "trackers",
    multiple=True,
    metavar="NAME[:PARAMETER=VALUE,…]",
    help="Tell this tracker of the run too, beside those of the suite.",
)
@AS_JSON
@_reported
def bench(
    suite: Path,
    only: tuple[str, ...],
    seeds: str | None,
    source: str,
    store: Path,
    devices: str,
    results: Path,
    executor: str,
    fresh: bool,
    strict: bool,
    trackers: tuple[str, ...],
    as_json: bool,
) -> int:
    """Run what is missing of SUITE and write results/<suite>/."""
    from harness.commands import benching
    from harness.devices import slots
    from harness.tracking import chosen as tracker

    catalog = installed()
    loaded = _suite(suite, catalog)
    told = (*loaded.trackers, *(tracker(text, catalog) for text in trackers))
    places = slots(devices)
    plan = _plan(loaded, catalog, source, places)
    chosen = _select(plan, only, seeds)
    ran = benching.bench(
        plan, chosen, catalog, places, store, results, fresh=fresh, as_json=as_json, trackers=told
    )
    if ran.interrupted:
        return INTERRUPTED
    return SOME_FAILED if ran.counts["failed"] or (strict and ran.counts["unavailable"]) else OK


@main.command(context_settings=HELP)
@SUITE
@WHICH
@AS_JSON
@_reported
def plan(
    suite: Path,
    only: tuple[str, ...],
    seeds: str | None,
    source: str,
    store: Path,
    devices: str,
    as_json: bool,
) -> None:
    """Show what bench would do: cells, shared steps, what is stored, what cannot run, expected time."""
    from harness.commands.listing import show_plan
    from harness.devices import slots
    from harness.estimates import expected
    from harness.runner import prepare
    from harness.store import Store

    catalog = installed()
    places = slots(devices)
    chosen = _select(_plan(_suite(suite, catalog), catalog, source, places), only, seeds)
    gpus, kept = [place.is_gpu for place in places], Store(store)
    show_plan(chosen, prepare(chosen, kept, estimates=expected(chosen, kept, any(gpus))), gpus, as_json)


@main.command(context_settings=HELP)
@SUITE
@RESULTS
@click.option(
    "--charts/--no-charts", default=True, help="Draw the charts as SVG too, where a browser can be found."
)
@_reported
def report(suite: Path, results: Path, charts: bool) -> None:
    """Make the page, the LaTeX table and the charts of SUITE: a suite's file, its name, or its results.

    bench writes the page too; this makes it anew from the records, and the charts for papers.
    """
    from harness import report as pages
    from harness.commands.benching import check_writable
    from harness.results import predictions
    from harness.results.ranking import build
    from harness.results.record import read

    folder = results_of(suite, results)
    records, answers = read(folder / "records.jsonl"), predictions.read(folder)
    check_writable(folder)
    board = build(records, answers)
    pages.write(board, records, answers, folder)
    click.echo(f"wrote {folder / 'index.html'} and leaderboard.tex")
    if not charts:
        return
    if why := pages.without_charts():
        click.echo(f"no charts were drawn: {why}", err=True)
        return
    drawn = pages.write_charts(board, records, answers, folder)
    click.echo(f"drew {len(drawn)} charts in {folder / 'charts'}")


@main.command(context_settings=HELP)
@AS_JSON
@_reported
def plugins(as_json: bool) -> None:
    """List components by kind, with where they come from, and plugins that failed."""
    from harness.catalog import load
    from harness.commands.listing import show_plugins

    show_plugins(load(), as_json)


@main.command(context_settings=HELP)
@SUITE
@RESULTS
@click.option(
    "--format",
    "form",
    type=click.Choice(["terminal", "markdown", "csv", "json"]),
    default="terminal",
    help="How to print the table.",
)
@_reported
def leaderboard(suite: Path, results: Path, form: str) -> None:
    """Print the table of SUITE: a suite's file, its name, or a folder of results."""
    from harness.commands.listing import show_leaderboard
    from harness.results import predictions
    from harness.results.record import read

    folder = results_of(suite, results)
    show_leaderboard(read(folder / "records.jsonl"), predictions.read(folder), form)


main.add_command(advising.compare)
main.add_command(advising.recommend)
main.add_command(guiding.diagnose)
main.add_command(guiding.distill)
main.add_command(shipping.export)
main.add_command(shipping.predict)


# -- what commands share -----------------------------------------------------------------------------------


def _suite(path: Path, catalog: Catalog) -> Suite:
    from harness.suite import load

    return load(path, catalog)


def _plan(suite: Suite, catalog: Catalog, source: str, slots: Any) -> Plan:
    from harness.devices import precision
    from harness.plan import build

    return build(suite, catalog, source=source, precision=precision(suite.precision, slots))


def _select(plan: Plan, only: tuple[str, ...], seeds: str | None) -> Plan:
    """The part of a plan that ``--only`` and ``--seeds`` name."""
    from harness.select import select

    return select(plan, only, seeds)


if __name__ == "__main__":
    main()
