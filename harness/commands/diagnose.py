"""Implement ``harness diagnose``."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.commands.options import (
    AS_JSON,
    DEVICES,
    HELP,
    OK,
    SOURCE,
    STORE,
    TASK_OF_FILE,
    installed,
    reported,
    results_option,
)
from harness.values import HarnessError

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.plan.planner import Plan


@click.command(context_settings=HELP)
@click.argument("target", metavar="FILE|SUITE", type=click.Path(path_type=Path))
@TASK_OF_FILE
@click.option("--text", metavar="COLUMN", help="Column of FILE with the text.  [default: text]")
@click.option(
    "--label", metavar="COLUMN", help="Column of FILE with the label or labels.  [default: label, or labels]"
)
@click.option(
    "--teacher",
    metavar="NAME",
    help="Teacher to examine too, as in distill; it is fitted if it is not stored.",
)
@SOURCE
@results_option("Folder with the results of suites.")
@STORE
@DEVICES
@AS_JSON
@reported
def diagnose(
    target: Path,
    task: str | None,
    text: str | None,
    label: str | None,
    teacher: str | None,
    source: str,
    results: Path,
    store: Path,
    devices: str,
    as_json: bool,
) -> int:
    """Check whether distillation is likely to help on a data set.

    A target that ends with .toml, or is the name of a suite, is a suite; any other target is a file of
    labelled texts.

    The command counts classes, text lengths, duplicates, texts that appear in several splits, and
    contradictory labels. It fits a bag-of-words model and compares it with the stored teachers, or with the
    teacher that --teacher names.
    """
    from harness.commands.console import show
    from harness.commands.progress import display
    from harness.devices import slots
    from harness.diagnose import report as findings
    from harness.diagnose import run as diagnosing
    from harness.storage.inventory import using
    from harness.storage.shared import opened
    from harness.suite.bundled import find, suggested

    suite_file = find(target)
    if (
        target.suffix in ("", ".toml")
        and not suite_file.exists()
        and (near := " or ".join(suggested(target)))
    ):
        raise HarnessError(f"cannot diagnose '{target}': no such file or suite; did you mean {near}?")
    of_suite = suite_file.suffix == ".toml"
    if of_suite and (task or text or label):
        raise HarnessError(
            "--task, --text and --label are only for a file; remove them, because a suite names its tasks "
            "and their columns"
        )
    catalog = installed()

    def watch(plan: Plan, count: int) -> AbstractContextManager[Callable[[dict[str, Any]], None]]:
        return nullcontext(lambda event: None) if as_json else display(False, plan, count)

    where = diagnosing.Where(catalog, slots(devices), store, results, source, watch)
    with using(opened(store)):
        if of_suite:
            from harness.suite.reader import load

            suite = load(suite_file, catalog, limit=None)
            fitted = diagnosing.named(teacher, suite, catalog)
            found = diagnosing.of_suite(suite, fitted, suite_file, where)
        else:
            found, told = diagnosing.of_file(target, text or "", label or "", task, teacher, where)
            if not as_json:
                show("".join(f"{line}\n" for line in told))
    show(findings.to_json(found) if as_json else findings.to_rich(found))
    return OK
