"""The command ``harness recommend``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.options import AS_JSON, HELP, OK, SOME_FAILED, reported, results_option
from harness.results.locate import results_of


@click.command(context_settings=HELP)
@click.argument("suite", type=click.Path(path_type=Path))
@results_option("Where tables are.")
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
    from harness.report import advice
    from harness.results import recommend as choosing
    from harness.results.compare import load
    from harness.wording import quantity

    scores = [*limit, *([f"accuracy={min_accuracy}"] if min_accuracy else [])]
    texts = {name.removeprefix("max_"): text for name, text in most.items()}
    limits = choosing.Limits.read(texts, scores, backend, device)
    found = load(results_of(suite, results))
    given = choosing.recommend(found, limits, source, quantity(tolerance, "score"))
    show(advice.to_json(given) if as_json else advice.to_rich(given))
    return OK if all(each.chosen for each in given) else SOME_FAILED
