"""Implement ``harness recommend``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.options import AS_JSON, HELP, OK, SOME_FAILED, reported, results_option
from harness.results.locate import results_of


@click.command(context_settings=HELP)
@click.argument("suite", type=click.Path(path_type=Path))
@results_option("Folder with the results of suites.")
@click.option("--max-parameters", metavar="N", help="Upper limit on the model's parameters, e.g. 100k.")
@click.option("--max-p50", metavar="TIME", help="Upper limit on the median latency of one text, e.g. 1ms.")
@click.option("--max-size", metavar="BYTES", help="Upper limit on the size of the shipped model, e.g. 1MB.")
@click.option("--max-train", metavar="TIME", help="Upper limit on the time of one training, e.g. 10min.")
@click.option("--min-accuracy", metavar="SCORE", help="Lower limit on accuracy, e.g. 0.9 or 90%.")
@click.option(
    "--limit",
    multiple=True,
    metavar="METRIC=SCORE",
    help="Limit on any other metric, e.g. f1_macro=0.85; may be repeated.",
)
@click.option(
    "--tolerance",
    default="0.5%",
    show_default=True,
    help="Largest gap to the best row at which a row counts as equally good, if no test separates them.",
)
@click.option("--backend", help="Form of the models to consider, e.g. onnx.  [default: all]")
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="Device of the latencies for --max-p50.",
)
@click.option(
    "--source",
    type=click.Choice(["local", "hub", "sample"]),
    help="Source of the data to consider.  [default: all]",
)
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
    """Recommend the row of a suite to ship, within limits.

    SUITE is a suite's file, its name, or a folder of results. The next best row is shown too. The exit status
    is 1 if no row is within the limits.
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
