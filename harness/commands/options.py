"""Define what commands share: options, exit statuses, one-line errors, and the way to a plan."""

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
from harness.suite.size import LIMIT

if TYPE_CHECKING:
    from harness.catalog import Catalog
    from harness.devices import Slot
    from harness.plan.planner import Plan
    from harness.suite.reader import Suite

F = TypeVar("F", bound=Callable[..., Any])

OK, SOME_FAILED, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130

HELP = {"help_option_names": ["-h", "--help"]}

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print machine-readable JSON.")
STORE = click.option(
    "--store",
    type=click.Path(path_type=Path),
    default=Path(".harness/store"),
    envvar="HARNESS_STORE",
    show_default=True,
    show_envvar=True,
    help="Folder of the store, which keeps all finished steps.",
)


def results_option(told: str) -> Callable[[F], F]:
    """Return the option ``--results`` with a help text."""
    kind = click.Path(path_type=Path)
    return click.option("--results", type=kind, default=Path("results"), show_default=True, help=told)


DEVICES = click.option(
    "--devices",
    default="auto",
    show_default=True,
    help="Devices to use: auto, cpu, cpu:<workers>, cuda, or cuda:<index>*<workers>,…",
)
SOURCE = click.option(
    "--source",
    type=click.Choice(["auto", "local", "hub", "sample"]),
    default="auto",
    show_default=True,
    help="Source of the data; auto takes the first that is available.",
)
TASK_OF_FILE = click.option(
    "--task", metavar="NAME", help="Task that reads FILE.  [default: chosen by what FILE contains]"
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
                help="Select the cells with these components or roles, and the rows they are compared to.",
            ),
            click.option("--seeds", metavar="N,…", help="Select these seeds of the suite, e.g. 0,1."),
            click.option(
                "--limit",
                type=click.IntRange(min=1),
                default=LIMIT,
                show_default=True,
                help="Largest number of cells that a suite may have.",
            ),
            SOURCE,
            STORE,
            DEVICES,
        )
    ):
        function = option(function)
    return function


def reported(function: F) -> F:
    """Print our errors as one line on stderr, and exit with the right status."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # not every terminal can show an en dash
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
            # `harness leaderboard … | head` is a success, but a run that is cut off is an interrupt.
            _write_no_more()
            sys.exit(INTERRUPTED if function.__name__ == "bench" else OK)
        except OSError as error:  # e.g. a folder that cannot be read, or a full disk
            where = f"{error.filename}: " if error.filename else ""
            click.echo(f"error: {where}{error.strerror or error}", err=True)
            _write_no_more()
            sys.exit(BAD_USAGE)

    return wrapper  # type: ignore[return-value]


def _write_no_more() -> None:
    """Discard output that is still buffered for stdout; otherwise Python would fail again at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def installed() -> Catalog:
    """Return all installed components, after printing a warning for each plugin that failed."""
    from harness.catalog import load

    catalog = load()
    for failure in catalog.failures:
        click.echo(
            f"warning: plugin '{failure.plugin}' of {failure.package}: {failure.reason}; "
            "for details run: harness plugins",
            err=True,
        )
    return catalog


def planned(suite: Suite, catalog: Catalog, places: Sequence[Slot], source: str = "auto") -> Plan:
    """Return the plan of a suite on the given slots."""
    from harness.devices import precision
    from harness.plan.planner import build

    return build(suite, catalog, source=source, precision=precision(suite.precision, places))
