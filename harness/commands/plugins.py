"""Implement ``harness plugins``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from harness.commands.console import complain, inert, open_console, show
from harness.commands.options import AS_JSON, HELP, reported

if TYPE_CHECKING:
    from harness.catalog import Catalog


@click.command(context_settings=HELP)
@AS_JSON
@reported
def plugins(as_json: bool) -> None:
    """List all components, their parameters, and failed plugins."""
    from harness.catalog import load

    show_plugins(load(notice=complain), as_json)


def show_plugins(catalog: Catalog, as_json: bool) -> None:
    """Print components by kind, and the plugins that could not be loaded."""
    from harness.catalog import REGISTERED

    kinds = list(REGISTERED)
    entries = sorted(catalog.entries.values(), key=lambda e: (kinds.index(e.kind), e.name))
    if as_json:
        value = {
            "components": [
                {
                    "kind": e.kind,
                    "name": e.name,
                    "version": e.component.version,
                    "package": e.package,
                    "package_version": e.package_version,
                    "plugin": e.plugin,
                    "file": e.file,
                    "line": e.line,
                    "summary": e.summary,
                    "parameters": [vars(parameter) for parameter in e.parameters()],
                }
                for e in entries
            ],
            "failures": [vars(failure) for failure in catalog.failures],
        }
        show(json.dumps(value, indent=1) + "\n")
        return
    console = open_console()
    for kind in kinds:
        console.print(f"{kind}s" if kind != "loss" else "losses", style="bold")
        for e in entries:
            if e.kind == kind:
                console.print(f"  {e.name}", style="green", end="", markup=False)
                console.print(
                    inert(f"  {e.summary}  [{e.package} {e.package_version}]"), markup=False, soft_wrap=True
                )
                for p in e.parameters():
                    default = f" = {p.default}" if p.default is not None else " (required)"
                    console.print(
                        inert(f"      {p.name}{default}  {p.type}"),
                        style="dim",
                        markup=False,
                        soft_wrap=True,
                    )
    for failure in catalog.failures:
        console.print()
        told = f"plugin '{failure.plugin}' of {failure.package}: {failure.reason}"
        console.print(inert(told), style="red", markup=False)
        for line in failure.traceback.splitlines():
            console.print(inert(line), style="dim", markup=False)
