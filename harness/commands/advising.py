"""The commands ``harness compare`` and ``harness recommend``: what results say, and what to ship."""

from __future__ import annotations

from pathlib import Path

import click

from harness import HarnessError
from harness.commands.common import AS_JSON, HELP, OK, SOME_FAILED, reported, results_option
from harness.results.folders import results_of

FOUND = SOME_FAILED  # what compare should fail on was found; or nothing that recommend could name

RESULTS = results_option("Where tables are.")


@click.command(context_settings=HELP)
@click.argument("a")
@click.argument("b")
@click.option("--in", "within", type=click.Path(path_type=Path), metavar="SUITE", help="Where two rows are.")
@RESULTS
@click.option("--metric", help="What to compare; each task's own headline unless given.")
@click.option(
    "--fail-on",
    type=click.Choice(["regression", "any"]),
    help="Exit with 1 where something got worse, or where anything differs.",
)
@AS_JSON
@reported
def compare(
    a: str,
    b: str,
    within: Path | None,
    results: Path,
    metric: str | None,
    fail_on: str | None,
    as_json: bool,
) -> int:
    """Say what is better, worse or not separable in B than in A.

    A and B are suites, folders of results or files of records; or two rows of one set, such as
    student=mlp,loss=kl and student=mlp,loss=mse, with --in naming the suite or the folder.
    """
    from harness.commands.console import show
    from harness.results import compare as comparing
    from harness.results import comparison

    selectors = [("=" in each and not Path(each).exists()) for each in (a, b)]
    if all(selectors):
        found = comparing.rows(comparing.load(_within(within, results)), a, b, metric)
    elif any(selectors) or within is not None:
        raise HarnessError(
            "compare takes two sets of results, or two rows such as student=mlp,loss=kl with --in <suite>"
        )
    else:
        old, new = (
            comparing.load(path if (path := Path(side)).is_file() else results_of(path, results))
            for side in (a, b)
        )
        found = comparing.sets(old, new, metric)
    show(comparison.to_json(found) if as_json else comparison.to_rich(found))
    if fail_on and not found.tests:
        raise HarnessError("nothing could be tested, so that --fail-on has nothing to go by")
    return FOUND if fail_on and found.fails(fail_on) else OK


def _within(suite: Path | None, results: Path) -> Path:
    """Where rows are looked for: what was named, else the only folder of results that there is."""
    if suite is not None:
        return results_of(suite, results)
    folders = sorted(path.parent for path in results.glob("*/records.jsonl"))
    if len(folders) != 1:
        there = ", ".join(folder.name for folder in folders) or "none"
        raise HarnessError(f"say which results with --in; in {results}/ there are: {there}")
    return folders[0]


@click.command(context_settings=HELP)
@click.argument("suite", type=click.Path(path_type=Path))
@RESULTS
@click.option("--max-parameters", metavar="N", help="Such as 100k.")
@click.option("--max-p50", metavar="TIME", help="For one text, such as 1ms.")
@click.option("--max-size", metavar="BYTES", help="Of the form that is shipped, such as 1MB.")
@click.option("--max-train", metavar="TIME", help="To train it once, such as 10min.")
@click.option("--min-accuracy", metavar="SCORE", help="Such as 0.9 or 90%.")
@click.option(
    "--limit", multiple=True, metavar="METRIC=SCORE", help="For any other score, such as f1_macro=0.85."
)
@click.option(
    "--tolerance",
    default="0.5%",
    show_default=True,
    help="How far behind the best a row that tests cannot tell from it counts as equally good.",
)
@click.option("--backend", help="Only this form of the models, such as onnx.")
@click.option(
    "--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="For --max-p50."
)
@click.option("--source", type=click.Choice(["local", "hub", "sample"]), help="Data source.")
@AS_JSON
@reported
def recommend(
    suite: Path,
    results: Path,
    limit: tuple[str, ...],
    min_accuracy: str | None,
    tolerance: str,
    backend: str | None,
    device: str,
    source: str | None,
    as_json: bool,
    **most: str | None,
) -> int:
    """Name the row of SUITE to ship within limits, and its runner-up.

    SUITE is a suite's file, its name, or a folder of results. Exit status 1: no row is within the limits.
    """
    from harness.commands.console import show
    from harness.results import advice
    from harness.results import recommend as choosing
    from harness.results.compare import load
    from harness.results.quantities import quantity

    scores = [*limit, *([f"accuracy={min_accuracy}"] if min_accuracy else [])]
    texts = {name.removeprefix("max_"): text for name, text in most.items()}
    limits = choosing.Limits.read(texts, scores, backend, device)
    found = load(results_of(suite, results))
    given = choosing.recommend(found, limits, source, quantity(tolerance, "score"))
    show(advice.to_json(given) if as_json else advice.to_rich(given))
    return OK if all(each.chosen for each in given) else FOUND
