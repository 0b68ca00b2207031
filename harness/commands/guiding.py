"""The commands ``harness distill`` and ``harness diagnose``: from one's own texts to a model, or advice."""

from __future__ import annotations

from pathlib import Path

import click

from harness.api import HarnessError
from harness.commands.common import AS_JSON, HELP, OK, STORE, reported

_BUDGET = "10min"

DEVICES = click.option("--devices", default="auto", show_default=True, help="As for bench.")


@click.command(context_settings=HELP)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--text", metavar="COLUMN", help="That holds the text, or words.  [default: text, or tokens]")
@click.option("--label", metavar="COLUMN", help="That holds the label, or tags.  [default: label, or tags]")
@click.option("--teacher", metavar="NAME", help="A teacher, or a student to learn from; chosen if not given.")
@click.option("--budget", metavar="TIME", help=f"About how long it may take.  [default: {_BUDGET}]")
@click.option("--max-parameters", metavar="N", help="Of what is shipped, such as 100k.")
@click.option("--max-p50", metavar="TIME", help="For one text, such as 1ms.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Default: <FILE>-distilled.")
@click.option("--seeds", type=click.IntRange(1, 100), metavar="N", help="How many; chosen if not given.")
@click.option("--unlabelled", type=click.Path(path_type=Path), metavar="FILE", help="More texts, unlabelled.")
@STORE
@DEVICES
@reported
def distill(
    file: Path,
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
    """Make a small model of the labelled texts in FILE: choose, train, compare, recommend, export.

    FILE is CSV, TSV, JSON lines or Parquet; of tagged words CoNLL text (.conll, .bio, .iob, .txt), or lists
    of words and of tags in JSON lines or Parquet. DIR gets the suite that was run, its report and
    leaderboard, and the model. Interrupted, the same command goes on from there; a suite that stands in DIR
    is run as it is.
    """
    from harness.guiding import distilling, labelled
    from harness.results.quantities import quantity
    from harness.results.recommend import Limits

    limits = Limits.read({"parameters": max_parameters, "p50": max_p50}, (), None, "cpu")
    seconds = quantity(budget or _BUDGET, "time")
    out = out or Path(f"{file.name.partition('.')[0] or 'texts'}-distilled")
    optional = {"teacher": teacher, "seeds": seeds, "unlabelled": unlabelled, "budget": budget}
    tagged = labelled.is_tagged(file, text)
    columns = (text or "", label or "") if tagged else (text or "text", label or "label")
    wishes = distilling.Wishes(file, *columns, teacher, seconds, seeds, unlabelled, out, tagged)
    given = [f"--{name}" for name, value in optional.items() if value is not None]
    return distilling.distill(wishes, limits, store, devices, given)


@click.command(context_settings=HELP)
@click.argument("target", metavar="FILE|SUITE", type=click.Path(path_type=Path))
@click.option("--text", show_default="text", metavar="COLUMN", help="FILE's texts.")
@click.option("--label", show_default="label", metavar="COLUMN", help="Of FILE: holds the label.")
@click.option("--teacher", metavar="NAME", help="Fit this teacher, if it is not stored, and look at it too.")
@click.option(
    "--source", type=click.Choice(["auto", "local", "hub", "sample"]), default="auto", help="Data source."
)
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Where tables are.",
)
@STORE
@DEVICES
@AS_JSON
@reported
def diagnose(
    target: Path,
    text: str | None,
    label: str | None,
    teacher: str | None,
    source: str,
    results: Path,
    store: Path,
    devices: str,
    as_json: bool,
) -> int:
    """Say of labelled texts whether distillation is likely to pay, before it is tried.

    It counts classes, lengths, duplicates, leaks between splits and contradictory labels, fits a bag of
    words, and holds the teachers that are stored, or the one that is named, against it. A target that ends in
    .toml is a suite; any other is a file of labelled texts.
    """
    from harness.commands.common import installed
    from harness.commands.console import show
    from harness.devices import slots
    from harness.guiding import diagnosing, findings

    if target.suffix == ".toml" and (text or label):
        raise HarnessError("--text and --label name columns of a file; a suite's tasks name their own")
    catalog = installed()
    where = diagnosing.Where(catalog, slots(devices), store, results, source, as_json)
    if target.suffix == ".toml":
        from harness.suite import load

        suite = load(target, catalog)
        fitted = diagnosing.named(teacher, suite, catalog)
        found = diagnosing.of_suite(suite, fitted, target, where)
    else:
        found = diagnosing.of_file(target, text or "text", label or "label", teacher, where)
    show(findings.to_json(found) if as_json else findings.to_rich(found))
    return OK
