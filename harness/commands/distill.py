"""Implement ``harness distill``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.commands.console import show
from harness.commands.options import (
    DEVICES,
    HELP,
    INTERRUPTED,
    OK,
    SOME_FAILED,
    STORE,
    TASK_OF_FILE,
    installed,
    reported,
)

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from harness.bench import Display
    from harness.distill.pipeline import Distilled
    from harness.distill.wishes import Wishes
    from harness.plan.planner import Plan
    from harness.results.recommend import Limits


_BUDGET, _SIZE = "10min", "1.5MB"


@click.command(context_settings=HELP)
@click.argument("file", type=click.Path(path_type=Path))
@TASK_OF_FILE
@click.option(
    "--text",
    metavar="COLUMN",
    help="Column with the text (for tagging, with the words).  [default: text, or tokens]",
)
@click.option(
    "--label",
    metavar="COLUMN",
    help="Column with the label or labels (for tagging, with the tags).  [default: label, labels, or tags]",
)
@click.option(
    "--teacher",
    metavar="NAME",
    help="Teacher, student that acts as the teacher, pretrained model to fine-tune (hub id, folder or name "
    "in HARNESS_MODELS), or none.  [default: chosen automatically]",
)
@click.option("--budget", metavar="TIME", help=f"Approximate time for everything.  [default: {_BUDGET}]")
@click.option(
    "--max-parameters", metavar="N", help="Upper limit on the exported model's parameters, e.g. 100k."
)
@click.option(
    "--max-size", metavar="SIZE", help=f"Upper limit on the size of the shipped files.  [default: {_SIZE}]"
)
@click.option("--max-p50", metavar="TIME", help="Upper limit on the median latency of one text, e.g. 1ms.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder for the model and the results.  [default: <FILE>-distilled]",
)
@click.option(
    "--seeds",
    type=click.IntRange(1, 100),
    metavar="N",
    help="Number of seeds.  [default: chosen automatically]",
)
@click.option(
    "--unlabelled", type=click.Path(path_type=Path), metavar="FILE", help="File with more, unlabelled texts."
)
@click.option(
    "--validation",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File with the validation texts.  [default: a tenth of FILE]",
)
@click.option(
    "--test",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File with the test texts.  [default: a tenth of FILE]",
)
@click.option(
    "--metric",
    metavar="NAME",
    help="Metric that the model should be best by, e.g. f1_macro.  [default: that of the type of task]",
)
@click.option(
    "--class-weights",
    type=click.Choice(["uniform", "balanced", "square-root"]),
    help="Weights of the classes in training.  [default: uniform]",
)
@click.option("--dry-run", is_flag=True, help="Show what would be done and how long it takes, and stop.")
@STORE
@DEVICES
@reported
def distill(
    file: Path,
    task: str | None,
    text: str | None,
    label: str | None,
    teacher: str | None,
    budget: str | None,
    max_parameters: str | None,
    max_size: str | None,
    max_p50: str | None,
    out: Path | None,
    seeds: int | None,
    unlabelled: Path | None,
    validation: Path | None,
    test: Path | None,
    metric: str | None,
    class_weights: str | None,
    dry_run: bool,
    store: Path,
    devices: str,
) -> int:
    """Train and export a small model from labelled texts.

    Choose a teacher and students for the time that is given, train and compare them, and export the
    recommended model.

    FILE is CSV, TSV, JSON lines or Parquet. For tagging, it is CoNLL text (.conll, .bio, .iob, .txt), or JSON
    lines or Parquet with lists of words and of tags.

    DIR gets the suite, its report and leaderboard, and the model. If the command is interrupted, run it
    again to continue. If DIR already contains a suite, that suite is run unchanged.
    """
    from harness.devices import slots
    from harness.distill import pipeline
    from harness.distill.wishes import Wishes
    from harness.results.recommend import Limits
    from harness.storage.inventory import using
    from harness.storage.shared import opened
    from harness.wording import quantity

    limits = Limits.read(
        {"parameters": max_parameters, "size": max_size or _SIZE, "p50": max_p50}, (), None, "cpu"
    )
    seconds = quantity(budget or _BUDGET, "time")
    out = out or Path(f"{file.name.partition('.')[0] or 'texts'}-distilled")
    optional: dict[str, Any] = {
        "task": task,
        "test": test,
        "validation": validation,
        "unlabelled": unlabelled,
        "teacher": teacher,
        "seeds": seeds,
        "class_weights": class_weights,
        "metric": metric,
    }
    wishes = Wishes(file, text or "", label or "", out, seconds, dry=dry_run, **optional)
    optional["budget"] = budget
    given = [f"--{name.replace('_', '-')}" for name, value in optional.items() if value is not None]
    try:
        with using(opened(store)):
            done = pipeline.distill(wishes, limits, store, slots(devices), installed(), _Shown(), given)
    except pipeline.DryRun:
        return OK
    if done.shipped is None:
        return INTERRUPTED
    _show_end(done, wishes, limits)
    return OK if done.shipped.record and not done.ran.counts["failed"] else SOME_FAILED


class _Shown:
    """The display of ``harness distill``; see :class:`harness.distill.pipeline.Shown`."""

    def say(self, *lines: str) -> None:
        show("".join(f"{line}\n" for line in lines))

    def watch(self, plan: Plan, slots: int) -> AbstractContextManager[Display]:
        from harness.commands.progress import display

        return display(False, plan, slots, tables=False)  # the verdict says what matters of them


def _show_end(done: Distilled, wishes: Wishes, limits: Limits) -> None:
    """Show the recommendation, its reasons, and the paths of all results."""
    from harness.distill import pipeline
    from harness.distill.stages import again
    from harness.distill.wishes import MODEL
    from harness.report import advice
    from harness.report import verdict as verdicts

    assert done.shipped is not None and done.verdict is not None
    out, say = wishes.out, _Shown().say
    show(advice.to_rich([done.shipped.advice]))
    show("\n")
    show(verdicts.to_rich(done.verdict))
    show("\n")
    path = out / pipeline.SUITE
    if done.shipped.record:
        say(f"  model       {out / MODEL}/")
    elif done.stood and limits.parameters is not None:
        say(f"delete {path} to choose students for {limits.parameters:,.0f} parameters")
    say(
        f"  report      {done.ran.folder / 'index.html'}; table: {done.ran.folder / 'leaderboard.md'}",
        f"  suite       {path}: edit it, then run: harness bench {again(out)}",
    )
