"""Implement ``harness verify``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.commands.console import inert, show
from harness.commands.options import AS_JSON, HELP, OK, SOME_FAILED, STORE, reported, results_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.storage.verify import Findings


@click.command(context_settings=HELP)
@STORE
@results_option("Folder with the results of suites, which are checked too.")
@click.option("--repair", is_flag=True, help="Set damaged artefacts aside, and remove leftovers.")
@AS_JSON
@reported
def verify(store: Path, results: Path, repair: bool, as_json: bool) -> int:
    """Check all files of a store and of its results.

    Each file's checksum is compared to the one in its manifest. With --repair, the next run makes the damaged
    artefacts again. The exit status is 1 if something damaged is left.
    """
    from harness.plan.planner import STEP_KINDS
    from harness.storage.files import dumps
    from harness.storage.verify import check

    found = check(store, STEP_KINDS, repair)
    records, broken = _results(results)
    if as_json:
        told = {"store": str(store), **vars(found), "records": records, "results": broken}
        show(dumps({**told, "sound": found.sound and not broken}) + "\n")
    else:
        for line in _lines(store, found, repair):
            show(f"{inert(line)}\n")
        for message in broken:
            show(f"{inert(f'damaged: {message}')}\n")
        if records:
            show(f"{inert(str(results))}: {records:,} records can be read\n")
    return OK if found.sound and not broken else SOME_FAILED


def _results(results: Path) -> tuple[int, list[str]]:
    """Return the number of records that can be read, and a sentence for each file that cannot."""
    from harness import HarnessError
    from harness.results import predictions
    from harness.results.record import read

    count = 0
    broken: list[str] = []
    for path in sorted(results.glob("*/records.jsonl")):
        try:
            count += len(read(path))
            predictions.read(path.parent)
        except HarnessError as error:
            broken.append(str(error))
    return count, broken


def _lines(store: Path, found: Findings, repair: bool) -> Iterator[str]:
    from harness.commands.console import inert
    from harness.storage.shared import shown
    from harness.wording import size

    for one in found.damaged:
        yield inert(f"damaged: {one['kind']} {one['key'][:12]}: {one['reason']}")
    for name in found.unknown:
        yield inert(f"unknown: {name} (not made by the harness; left alone)")
    for name in found.leftovers:
        yield inert(f"leftover of a killed run: {name}{' (removed)' if repair else ''}")
    yield inert(
        f"{shown(store)}: {found.artefacts:,} artefacts are sound "
        f"({found.files:,} files, {size(found.bytes)}), {len(found.damaged):,} damaged"
    )
    if found.damaged and repair:
        yield f"{len(found.damaged):,} set aside in {store / 'damaged'}; the next run makes them again"
    elif found.damaged:
        yield "to set them aside, so that the next run makes them again: harness verify --repair"
    if found.set_aside:
        yield f"{store / 'damaged'} contains {found.set_aside:,} artefacts; delete it to free its space"
