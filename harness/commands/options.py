"""Define what commands share: options, exit statuses, one-line errors, and the way to a plan."""

from __future__ import annotations

import gc
import io
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness import HarnessError
from harness.commands.console import complain, own_stdout
from harness.suite.size import LIMIT
from harness.wording import printable

if TYPE_CHECKING:
    from harness.catalog import Catalog
    from harness.devices import Slot
    from harness.executors.base import Executor
    from harness.plan.planner import Plan
    from harness.suite.reader import Suite

F = TypeVar("F", bound=Callable[..., Any])

OK, SOME_FAILED, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130
RUNS = ("bench", "distill")  # commands whose work is kept even if nobody reads what they print

HELP = {"help_option_names": ["-h", "--help"]}

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print machine-readable JSON.")


class _Store(click.ParamType[Path]):
    """A folder, or a URL, whose value is the folder in front of it."""

    name = "folder or URL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the folder."""
        from harness.storage.shared import folder_of

        if isinstance(value, Path):
            return value
        try:
            return folder_of(value)
        except HarnessError as error:
            self.fail(str(error), param, ctx)


STORE = click.option(
    "--store",
    type=_Store(),
    default=Path(".harness/store"),
    envvar="HARNESS_STORE",
    show_default=True,
    show_envvar=True,
    help="Store, which keeps all finished steps: a folder, or a URL such as s3://bucket/prefix.",
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
EXECUTOR = click.option(
    "--executor",
    default="local",
    show_default=True,
    metavar="NAME[:PARAMETER=VALUE,…]",
    help="Executor that runs the steps; `harness plugins` lists them.",
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
    """Add the options that choose cells, data, store, executor and devices."""
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
            EXECUTOR,
            DEVICES,
        )
    ):
        function = option(function)
    return function


def reported(function: F) -> F:
    """Print our errors as one line on stderr, and exit with the right status."""
    runs = function.__name__ in RUNS

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # not every terminal can show an en dash
        stopped: list[int] = []
        try:
            with stoppable(stopped), own_stdout(patient=runs):
                status = function(*args, **kwargs) or OK
        except HarnessError as error:
            complain("".join(f"error: {line}\n" for line in str(error).splitlines()))
            status = BAD_USAGE
        except KeyboardInterrupt:
            complain("interrupted")
            status = INTERRUPTED
        except BrokenPipeError:
            # `harness leaderboard … | head` is a success, but a run that is cut off is an interrupt.
            status = INTERRUPTED if runs else OK
        except OSError as error:  # e.g. a folder that cannot be read, or a full disk
            complain(f"error: {said(error)}")
            status = BAD_USAGE
        sys.exit(128 + stopped[0] if stopped and status == INTERRUPTED else status)

    return wrapper  # type: ignore[return-value]


def said(error: OSError) -> str:
    """Return an error of the system in one line, with the file if it names one."""
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)


@contextmanager
def stoppable(stopped: list[int]) -> Iterator[None]:
    """Treat SIGTERM and SIGHUP like Ctrl-C, so that results are written; put the signal's number in a list.

    Further ones are ignored then, because a terminal that is closed may send several. A signal that the
    caller ignores, as nohup does, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    heeded = [number for number, handler in before.items() if handler is not signal.SIG_IGN]

    def stop(number: int, _: object) -> None:
        for one in heeded:
            signal.signal(one, signal.SIG_IGN)
        stopped.append(number)
        raise KeyboardInterrupt

    try:
        for one in heeded:
            signal.signal(one, stop)
        yield
    finally:
        for one in () if stopped else heeded:  # the process ends; its status is that of the first signal
            signal.signal(one, before[one])


def installed() -> Catalog:
    """Return all installed components, after printing a warning for each plugin that failed."""
    from harness.catalog import load

    catalog = load(notice=complain)
    for failure in catalog.failures:
        told = f"plugin '{failure.plugin}' of {failure.package}: {failure.reason}"
        warn(f"{told}; for details run: harness plugins")
    return catalog


def warn(message: str) -> None:
    """Print a warning."""
    complain(printable(f"warning: {message}"))


def executor_named(text: str, catalog: Catalog) -> Executor:
    """Return the executor that ``--executor`` names; the core's own needs no plugin that registers it."""
    from harness.executors.base import Executor
    from harness.naming import component_of
    from harness.run.local import Local

    if text == Local.name and text not in catalog.names(Executor.kind):
        return Local()
    found = component_of(Executor.kind, text, catalog)
    assert isinstance(found, Executor)
    return found


def planned(suite: Suite, catalog: Catalog, places: Sequence[Slot], source: str = "auto") -> Plan:
    """Return the plan of a suite on the given slots."""
    from harness.plan.planner import build
    from harness.speeds import choose

    # Plans and records have millions of objects, and looking through them for garbage takes long.
    gc.set_threshold(200_000, 1_000)
    return build(suite, catalog, source=source, precision=choose(suite, places))
