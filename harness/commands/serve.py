"""Implement ``harness serve``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.console import complain
from harness.commands.options import HELP, reported
from harness.commands.predict import ASKED, Asked


@click.command(
    context_settings=HELP,
    epilog="""\b
    Examples:
      harness serve model
      harness serve model --host 0.0.0.0 --port 8080 --threads 4
      curl -d '{"text": "what a day"}' http://127.0.0.1:8000/predict
    """,
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port to listen at; 0 for any free one.",
)
@click.option(
    "--batch",
    type=click.IntRange(1),
    default=256,
    show_default=True,
    help="Most texts that the model answers at once, of requests that wait.",
)
@click.option(
    "--most-texts", type=click.IntRange(1), default=1_000, show_default=True, help="Most texts of a request."
)
@click.option(
    "--most-bytes",
    type=click.IntRange(1),
    default=1_000_000,
    show_default=True,
    help="Most bytes of a request.",
)
@click.option(
    "--most-waiting",
    type=click.IntRange(1),
    default=10_000,
    show_default=True,
    help="Most texts that wait for an answer; further requests get the status 503.",
)
@ASKED
@reported
def serve(
    folder: Path,
    host: str,
    port: int,
    batch: int,
    most_texts: int,
    most_bytes: int,
    most_waiting: int,
    asked: Asked,
) -> None:
    """Answer texts over HTTP with an exported model.

    DIR is a folder that export wrote. POST /predict takes {"text": "a text"} or {"texts": [...]}, optionally
    with "top", and returns what predict prints. GET /model, /health and /metrics (Prometheus) say what is
    served and how it fares. Requests that wait while the model computes are answered together.

    It has neither encryption nor passwords: put it behind a server that has them. It needs the extra `serve`.
    """
    from harness.runtime.server import Bounds
    from harness.runtime.server import serve as served

    answerer = asked.answerer(folder)
    bounds = Bounds(batch, most_texts, most_bytes, most_waiting)

    def told(address: str) -> None:
        complain(f"serving {folder} at {address}; stop with Ctrl-C")

    served(answerer, folder.resolve().name, bounds, host, port, told)
