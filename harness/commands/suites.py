"""Implement ``harness suites``."""

from __future__ import annotations

import json

import click

from harness.commands.console import inert, show
from harness.commands.options import AS_JSON, HELP, reported
from harness.values import HarnessError


@click.command(
    context_settings=HELP,
    epilog="""\b
    Examples:
      harness suites
      harness bench emotion
      harness suites emotion > my.toml
    """,
)
@click.argument("name", required=False)
@AS_JSON
@reported
def suites(name: str | None, as_json: bool) -> None:
    """List the suites that come with the package, or print one.

    With NAME, print this suite's TOML, as a start for your own. Other commands take such a name as SUITE.
    """
    from harness.suite.bundled import bundled, title
    from harness.wording import choices

    found = bundled()
    if name is not None:
        if (path := found.get(name.removesuffix(".toml"))) is None:
            raise HarnessError(f"unknown suite '{name}'{choices(name, found)}")
        show(path.read_text(encoding="utf-8"))
    elif as_json:
        value = [{"name": name, "title": title(path), "file": str(path)} for name, path in found.items()]
        show(json.dumps(value, indent=1) + "\n")
    else:
        width = max(map(len, found), default=0)
        show("".join(f"{name:{width}}  {inert(title(path))}\n" for name, path in found.items()))
