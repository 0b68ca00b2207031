"""What commands share: options, exit statuses, errors in one line, and how a suite becomes a plan."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness import HarnessError

if TYPE_CHECKING:
    from harness.catalog import Catalog
    from harness.devices import Slot
    from harness.plan.planner import Plan
    from harness.suite.reader import Suite

F = TypeVar("F", bound=Callable[..., Any])

OK, SOME_FAILED, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130

HELP = {"help_option_names": ["-h", "--help"]}

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
STORE = click.option(
    "--store",
    type=click.Path(path_type=Path),
    default=Path(".harness/store"),
    envvar="HARNESS_STORE",
    show_default=True,
    help="Where artefacts are kept.",
)


def results_option(told: str) -> Callable[[F], F]:
    """The option ``--results``, with its help."""
    kind = click.Path(path_type=Path)
    return click.option("--results", type=kind, default=Path("results"), show_default=True, help=told)


DEVICES = click.option(
    "--devices",
    default="auto",
    show_default=True,
    help="auto, cpu, cpu:<workers>, cuda, cuda:<index>*<workers>,…",
)
SOURCE = click.option(
    "--source",
    type=click.Choice(["auto", "local", "hub", "sample"]),
    default="auto",
    show_default=True,
    help="Where data come from.",
)
SUITE = click.argument("suite", type=click.Path(path_type=Path))


def which(function: F) -> F:
    """Add the options that choose cells, data, store and devices."""
    for option in reversed(
        (
            click.option(
                "--only",
                multiple=True,
                metavar="KIND[.PARAMETER]=VALUE,…",
                help="Only cells with these components or roles, and the rows they are compared with.",
            ),
            click.option("--seeds", metavar="N,…", help="Only these seeds of the suite."),
            SOURCE,
            STORE,
            DEVICES,
        )
    ):
        function = option(function)
    return function


def reported(function: F) -> F:
    """Turn our errors into one line on stderr and the right exit status."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # not every terminal has an en dash
        try:
            status = function(*args, **kwargs) or OK
            sys.stdout.flush()
            sys.exit(status)
        except HarnessError as error:
            for line in str(error).splitlines():
                click.echo(f"error: {line}", err=True)
            sys.exit(BAD_USAGE)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            # `harness leaderboard … | head`: whoever reads has read enough. But a run has not ended.
            _write_no_more()
            sys.exit(INTERRUPTED if function.__name__ == "bench" else OK)
        except OSError as error:  # a folder that may not be read, a disk that is full
            where = f"{error.filename}: " if error.filename else ""
            click.echo(f"error: {where}{error.strerror or error}", err=True)
            _write_no_more()
            sys.exit(BAD_USAGE)

    return wrapper  # type: ignore[return-value]


def _write_no_more() -> None:
    """Let what is still held back for stdout go nowhere, or Python would fail over it once more."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def installed() -> Catalog:
    """All components that are installed, after a warning of each plugin that failed."""
    from harness.catalog import load

    catalog = load()
    for failure in catalog.failures:
        click.echo(
            f"warning: plugin '{failure.plugin}' of {failure.package}: {failure.reason} (harness plugins)",
            err=True,
        )
    return catalog


def planned(suite: Suite, catalog: Catalog, places: Sequence[Slot], source: str = "auto") -> Plan:
    """Return the plan of a suite on the devices that are there."""
    from harness.devices import precision
    from harness.plan.planner import build

    return build(suite, catalog, source=source, precision=precision(suite.precision, places))
