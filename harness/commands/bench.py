"""Implement ``harness bench``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from harness.commands.options import (
    AS_JSON,
    HELP,
    INTERRUPTED,
    OK,
    SOME_FAILED,
    SUITE,
    executor_named,
    installed,
    planned,
    reported,
    results_option,
    warn,
    which,
)

if TYPE_CHECKING:
    from pathlib import Path


@click.command(context_settings=HELP)
@SUITE
@which
@results_option("Folder for the results; each suite gets a folder in it.")
@click.option("--fresh", is_flag=True, help="Run the selected steps again, even if they are stored.")
@click.option("--strict", is_flag=True, help="Count unavailable cells as failed in the exit status.")
@click.option(
    "--tracker",
    "trackers",
    multiple=True,
    metavar="NAME[:PARAMETER=VALUE,…]",
    help="Tracker that follows the run, in addition to the suite's own; may be repeated.",
)
@AS_JSON
@reported
def bench(
    suite: Path,
    only: tuple[str, ...],
    seeds: str | None,
    limit: int,
    source: str,
    store: Path,
    executor: str,
    devices: str,
    results: Path,
    fresh: bool,
    strict: bool,
    trackers: tuple[str, ...],
    as_json: bool,
) -> int:
    """Run the missing steps of a suite and write its results.

    SUITE is a TOML file, or the name of a suite that `harness suites` lists. Finished steps are stored and
    never run twice, so an interrupted run can be continued with the same command. The exit status is 1 if a
    cell failed.
    """
    from harness.bench import bench as run
    from harness.commands.progress import display
    from harness.naming import component_of
    from harness.plan.select import select
    from harness.suite.reader import load
    from harness.tracking import Tracker

    catalog = installed()
    loaded = load(suite, catalog, limit)
    more = (component_of(Tracker.kind, text, catalog) for text in trackers)
    told = (*loaded.trackers, *(tracker for tracker in more if isinstance(tracker, Tracker)))
    runs = executor_named(executor, catalog)
    places = runs.slots(devices, store, warn)
    whole = planned(loaded, catalog, places, source)
    chosen = select(whole, only, seeds)
    ran = run(
        *(whole, chosen, catalog, places, store, results),
        executor=runs,
        fresh=fresh,
        watch=partial(display, as_json),
        trackers=told,
    )
    if ran.interrupted:
        return INTERRUPTED
    return SOME_FAILED if ran.counts["failed"] or (strict and ran.counts["unavailable"]) else OK
