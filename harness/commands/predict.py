"""The command ``harness predict``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.options import HELP, OK, SOME_FAILED, reported


@click.command(context_settings=HELP)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--text",
    "column",
    metavar="COLUMN",
    help="Lines are JSON objects, and this is their text, or list of words.",
)
@click.option(
    "--top", type=click.IntRange(1), metavar="K", help="Give the K best labels.  [default: 1; of tokens 5]"
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "tsv"]),
    default="jsonl",
    show_default=True,
    help="How to print answers.",
)
@click.option("--int8", is_flag=True, help="Use the graph with weights of 8 bits.")
@click.option("--threads", type=click.IntRange(1, 256), default=1, show_default=True, help="Of ONNX Runtime.")
@reported
def predict(folder: Path, column: str | None, top: int | None, form: str, int8: bool, threads: int) -> int:
    """Read texts from standard input, one a line, and print a label and its score for each, as they come.

    DIR is what export wrote. Of a model that tags words, an answer has a text's words, their tags and the
    entities; words are what stands between spaces, so set punctuation apart as in the training data. Of a
    language model it has the likeliest tokens for each [MASK] in the text. A line that holds no text gets an
    error in place of an answer, and the exit status is 1 in the end.
    """
    import json
    import sys

    from harness.runtime import forms as runtime
    from harness.runtime import streaming

    model = runtime.load(folder, "onnx-int8" if int8 else "auto", threads)
    status = OK
    for answer in streaming.answers(model, sys.stdin.buffer, column, top):
        if "error" in answer:
            status = SOME_FAILED
            if form == "tsv":
                click.echo(f"warning: {answer['error']}", err=True)
        if form == "jsonl":
            line = json.dumps(answer, ensure_ascii=False)
        else:  # a line without a text stays empty
            line = "" if "error" in answer else model.task_type.as_tsv(answer)
        click.echo(line.encode("utf-8", "backslashreplace"))
    return status
