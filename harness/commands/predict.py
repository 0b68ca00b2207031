"""Implement ``harness predict``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.console import complain, output
from harness.commands.options import HELP, OK, SOME_FAILED, reported
from harness.values import HarnessError

FAILED = r"\N"  # the line of a text without an answer in TSV; a label cannot be it, because "\\" is escaped


@click.command(context_settings=HELP)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--text",
    "column",
    metavar="COLUMN",
    help="Column with the text, or list of words, if each line is a JSON object.",
)
@click.option(
    "--top",
    type=click.IntRange(1),
    metavar="K",
    help="Number of most probable labels to print.  [default: 1, or all above their thresholds; for "
    "language models, 5]",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "tsv"]),
    default="jsonl",
    show_default=True,
    help="Format of the answers.",
)
@click.option("--int8", is_flag=True, help="Use the ONNX graph with 8-bit weights.")
@click.option(
    "--threads",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Number of CPU threads for ONNX Runtime.",
)
@reported
def predict(folder: Path, column: str | None, top: int | None, form: str, int8: bool, threads: int) -> int:
    r"""Label texts from standard input with an exported model.

    DIR is a folder that export wrote. Each line of the input is a text. The command prints an answer, a label
    with its score, as soon as it has read a line.

    For tagging, an answer contains the words of the text, their tags and the entities. Spaces separate words,
    so separate punctuation marks as in the training data. For a masked language model, an answer contains the
    most likely tokens for each [MASK] in the text. With several labels for each text, an answer contains all
    labels whose probability reaches their threshold.

    A line without a text, such as a blank one, or a line that is not UTF-8 gets an error instead of an
    answer, and the exit status is then 1. Between JSON objects, blank lines are skipped. With --format tsv
    the line of an error is \N, and the error is printed to stderr. Tabs, line breaks and control codes in
    labels are escaped, as \t, \n and \x1b.
    """
    import json
    import sys

    from harness.runtime import forms as runtime
    from harness.runtime import streaming
    from harness.wording import inert_json

    if sys.stdin is None:
        raise HarnessError("cannot read texts: standard input is closed; pass them, as in < texts.txt")
    model = runtime.load(folder, "onnx-int8" if int8 else "auto", threads)
    as_tsv = model.task_type.as_tsv
    status = OK
    for answer in streaming.answers(model, sys.stdin.buffer, column, top):
        if "error" in answer:
            status = SOME_FAILED
            if form == "tsv":
                complain(f"warning: {answer['error']}")
        if form == "jsonl":
            line = inert_json(json.dumps(answer, ensure_ascii=False, allow_nan=False))
        elif "error" in answer:
            line = FAILED
        else:
            line = as_tsv(answer) if top is None else as_tsv(answer, top)
        click.echo(line.encode("utf-8", "backslashreplace"), file=output())
    return status
