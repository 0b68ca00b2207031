"""Implement ``harness distill``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

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
    from harness.distill.pipeline import Distilled, Wishes
    from harness.plan.planner import Plan
    from harness.results.recommend import Limits


_BUDGET = "10min"


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
    help="Teacher, or student that acts as the teacher.  [default: chosen automatically]",
)
@click.option("--budget", metavar="TIME", help=f"Approximate time for everything.  [default: {_BUDGET}]")
@click.option(
    "--max-parameters", metavar="N", help="Upper limit on the exported model's parameters, e.g. 100k."
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
    max_p50: str | None,
    out: Path | None,
    seeds: int | None,
    unlabelled: Path | None,
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
    from harness.results.recommend import Limits
    from harness.wording import quantity

    limits = Limits.read({"parameters": max_parameters, "p50": max_p50}, (), None, "cpu")
    seconds = quantity(budget or _BUDGET, "time")
    out = out or Path(f"{file.name.partition('.')[0] or 'texts'}-distilled")
    optional = {"task": task, "teacher": teacher, "seeds": seeds, "unlabelled": unlabelled, "budget": budget}
    wishes = pipeline.Wishes(file, text or "", label or "", teacher, seconds, seeds, unlabelled, out, task)
    given = [f"--{name}" for name, value in optional.items() if value is not None]
    done = pipeline.distill(wishes, limits, store, slots(devices), installed(), _Shown(), given)
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

        return display(False, plan, slots)


def _show_end(done: Distilled, wishes: Wishes, limits: Limits) -> None:
    """Show the recommendation, its reasons, and the paths of all results."""
    from harness.distill import pipeline
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
        say(f"  model       {out / pipeline.MODEL}/")
    elif done.stood and limits.parameters is not None:
        say(f"delete {path} to choose students for {limits.parameters:,.0f} parameters")
    say(
        f"  report      {done.ran.folder / 'index.html'}; table: {done.ran.folder / 'leaderboard.md'}",
        f"  suite       {path}: edit it, then run: harness bench {pipeline.again(out)}",
    )
