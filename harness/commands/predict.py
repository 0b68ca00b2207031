"""Implement ``harness predict``."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from harness.commands.console import complain, inert, output
from harness.commands.options import HELP, OK, SOME_FAILED, reported
from harness.values import HarnessError

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.runtime.answerer import Answerer
    from harness.runtime.writers import Target
    from harness.sources.rows import Rows

FAILED = r"\N"  # the line of a text without an answer in TSV; a label cannot be it, because "\\" is escaped
MOST_WARNINGS = 20  # about rows of a table; their number is printed at the end


_ASKED = (
    click.option(
        "--abstain",
        "risk",
        metavar="ERROR",
        help="Answer only texts of which the model is so sure that at most this share of its answers is "
        "wrong, e.g. 5%.",
    ),
    click.option(
        "--threshold",
        type=click.FloatRange(0, 1),
        metavar="SCORE",
        help="Answer only texts whose score is at least this; in place of --abstain.",
    ),
    click.option(
        "--cascade",
        type=click.Path(path_type=Path),
        metavar="DIR2",
        help="Second exported model, which answers the texts that the first one is not sure of.",
    ),
    click.option(
        "--cascade-int8", is_flag=True, help="Use the second model's ONNX graph with 8-bit weights."
    ),
    click.option(
        "--form",
        "shape",
        metavar="NAME",
        help="Form of the model to use, e.g. onnx-int8.  [default: the fastest that has the model's answers, "
        "measured when it was exported]",
    ),
    click.option("--int8", is_flag=True, help="Use the ONNX graph with 8-bit weights: --form onnx-int8."),
    click.option(
        "--threads",
        type=click.IntRange(1, 256),
        default=1,
        show_default=True,
        help="Number of CPU threads for ONNX Runtime.",
    ),
    click.option(
        "--device",
        type=click.Choice(["cpu", "cuda"]),
        default="cpu",
        show_default=True,
        help="Where ONNX Runtime computes; cuda needs onnxruntime-gpu.",
    ),
)


@dataclass(frozen=True)
class Asked:
    """The options on which models answer, and how."""

    risk: str | None
    threshold: float | None
    cascade: Path | None
    cascade_int8: bool
    shape: str | None
    int8: bool
    threads: int
    device: str

    def answerer(self, folder: Path) -> Answerer:
        """Return what answers texts: the model in a folder, and perhaps a second one.

        Raise HarnessError for options that do not belong together, and for models that cannot be used.
        """
        from harness.runtime import forms
        from harness.runtime.answerer import Answerer
        from harness.runtime.calibration import Calibration
        from harness.wording import quantity

        form = _form_named(self.shape, self.int8)
        threshold = self.threshold
        if self.cascade is not None and self.risk is None and threshold is None:
            raise HarnessError(
                "--cascade needs --abstain or --threshold, which say when the second model answers"
            )
        if self.cascade is None and self.cascade_int8:
            raise HarnessError("--cascade-int8 needs --cascade")
        share = None if self.risk is None else quantity(self.risk, "score")
        if share is not None and threshold is not None:
            raise HarnessError("expected --abstain or --threshold, got both; give one of them")
        if share is not None and not 0 < share < 1:
            raise HarnessError(
                f"expected a share between 0 and 1 as --abstain, got {share:g}; "
                f"for per cent, write {share:g}%"
            )
        model = forms.load(folder, form, self.threads, self.device)
        other = None
        if self.cascade is not None:
            second = "onnx-int8" if self.cascade_int8 else "auto"
            other = forms.load(self.cascade, second, self.threads, self.device)
        if share is not None:
            threshold = Calibration.read(folder, model).threshold(share)
        return Answerer(model, threshold, other)


def ASKED(command: Callable[..., Any]) -> Callable[..., Any]:  # noqa: N802 - as the other decorators are
    """Add the options on which models answer, and how; the command gets them as `asked`, an Asked."""

    @wraps(command)
    def called(**given: Any) -> Any:
        asked = Asked(**{field.name: given.pop(field.name) for field in fields(Asked)})
        return command(asked=asked, **given)

    for option in reversed(_ASKED):
        called = option(called)
    return called


@click.command(
    context_settings=HELP,
    epilog="""\b
    Examples:
      harness predict model < texts.txt
      harness predict model tickets.csv --text message --out answers.csv
      harness predict model tickets.csv --abstain 5% --out answers.csv
      harness predict model posts.jsonl.gz --cascade teacher --abstain 5%
    """,
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("file", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--text",
    "column",
    metavar="COLUMN",
    help="Column with the text, or list of words. Without FILE and --input, the input is then JSON lines.  "
    "[default: the column that the model was trained on, or text]",
)
@click.option(
    "--input",
    "kind",
    type=click.Choice(["lines", "csv", "tsv", "jsonl"]),
    help="Format of the input.  [default: by the name of FILE; lines for standard input]",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "tsv", "jsonl", "parquet"]),
    help="Format of the answers.  [default: by the name of --out, or that of the input; for lines, jsonl]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="New file for the answers; .gz compresses it.  [default: standard output]",
)
@click.option(
    "--as",
    "name",
    metavar="NAME",
    help="Name of the new column with the label; further ones are called NAME_score and so on.",
)
@click.option(
    "--top",
    type=click.IntRange(1),
    metavar="K",
    help="Number of most probable labels to print.  [default: 1, or all above their thresholds; for "
    "language models, 5]",
)
@ASKED
@reported
def predict(
    folder: Path,
    file: Path | None,
    column: str | None,
    kind: str | None,
    form: str | None,
    out: Path | None,
    name: str | None,
    top: int | None,
    asked: Asked,
) -> int:
    r"""Label texts with an exported model.

    DIR is a folder that export wrote. FILE is CSV, TSV, JSON lines or Parquet, also compressed, or has one
    text on each line (.txt). All columns are copied, in the format of FILE, and the answer is added in new
    columns: a label with its score. A file may be larger than the memory. Without FILE, each line of the
    standard input is a text, and the command prints an answer as soon as it has read a line.

    For tagging, an answer contains the words of the text, their tags and the entities. Spaces separate words,
    so separate punctuation marks as in the training data. For a masked language model, an answer contains the
    most likely tokens for each [MASK] in the text. With several labels for each text, an answer contains all
    labels whose probability reaches their threshold.

    With --abstain, texts of which the model is not sure get no label. The lowest score of an answer was
    chosen on the validation split, so that the error holds with a probability of 95%. With --cascade, a
    second model answers these texts. Only models that give each text one label can do either.

    A row or line without a text gets no answer, and one that cannot be read is left out; each is named on
    stderr, and the exit status is then 1. If the input is lines, such a line gets an error instead of an
    answer, and between JSON objects, blank lines are skipped. In the TSV of lines the line of an error is \N,
    and tabs, line breaks and control codes in labels are escaped, as \t, \n and \x1b.
    """
    from harness.runtime.writers import Target
    from harness.sources.files import LINES

    if file is not None and str(file) == "-":
        file = None
    if file is None and sys.stdin is None:
        raise HarnessError("cannot read texts: standard input is closed; pass them, as in < texts.txt")
    if out is not None:
        Target.check(out)
        form = form or _form_of(out)
    answerer = asked.answerer(folder)
    target = Target(out, _echo)
    try:
        if kind is None and file is not None and file.name.lower().endswith(LINES):
            kind = "lines"
        by_line = kind == "lines" or (file is None and kind is None)
        if by_line and form in (None, "jsonl", "tsv"):
            if kind == "lines" and column is not None:
                raise HarnessError("lines of text have no columns: remove --text, or give another --input")
            if name is not None:
                raise HarnessError("answers to lines have no columns: remove --as, or give --format csv")
            status = _answer_lines(answerer, file, column, form or "jsonl", top, target)
        else:
            wanted = _columns_of(folder) if column is None else [column]
            if file is None:
                kind = kind or ("lines" if column is None else "jsonl")
            rows = _rows(file, kind, wanted)
            status = _answer_rows(answerer, rows, form or rows.kind, name, top, target)
    finally:
        target.close()
        if answerer.asked:
            complain(answerer.summary)
    return status


def _form_named(name: str | None, int8: bool) -> str:
    """Return the form that is asked for, or "auto"; raise HarnessError for an unknown one."""
    from harness.runtime.forms import FORMS
    from harness.wording import choices

    if int8 and name not in (None, "onnx-int8"):
        raise HarnessError(f"expected --int8 or --form {name}, got both; give one of them")
    if name is not None and name not in FORMS:
        raise HarnessError(f"unknown form '{name}'{choices(name, FORMS)}")
    return "onnx-int8" if int8 else name or "auto"


# -- what is read and written --------------------------------------------------------------------------------


def _form_of(out: Path) -> str | None:
    from harness.runtime.writers import FORMATS

    name = out.name.lower().removesuffix(".gz")
    return next((form for form in FORMATS if name.endswith(f".{form}")), None)


def _columns_of(folder: Path) -> list[str]:
    """Return the columns that may have the text: the one that the model was trained on, or a usual one."""
    import json

    try:
        found = json.loads((folder / "record.json").read_bytes())["task"]["params"]["text"]
    except (OSError, ValueError, KeyError, TypeError):  # an export without a record, or of other data
        found = None
    return list(dict.fromkeys([*([found] if isinstance(found, str) else []), "text", "tokens"]))


def _echo(data: bytes) -> None:
    """Write to stdout; on a terminal without control codes."""
    stream = output()
    if stream.isatty():
        lines = data.decode("utf-8", "replace").split("\n")
        data = "\n".join("\t".join(map(inert, line.split("\t"))) for line in lines).encode()
    click.echo(data, file=stream, nl=False)


def _rows(file: Path | None, kind: str | None, wanted: list[str]) -> Rows:
    from harness.sources.opening import noted
    from harness.sources.rows import read_file, read_stream

    with noted() as notes:
        if file is None:
            found = read_stream(sys.stdin.buffer, kind or "lines", wanted)
        else:
            found = read_file(file, kind, wanted)
    for note in notes:
        complain(f"note: {note}")
    return found


def _answer_rows(
    asked: Answerer, rows: Rows, form: str, name: str | None, top: int | None, target: Target
) -> int:
    """Write the rows with their answers; return the exit status."""
    from harness.runtime.streaming import answered
    from harness.runtime.writers import open_writer

    if form == "parquet" and target.path is None:
        raise HarnessError("cannot write Parquet to standard output; name a file with --out")
    task_type = asked.model.task_type
    (sample,) = replace(asked).answers([task_type.input_of(task_type.example) or ""], top)
    if "error" in sample:
        raise HarnessError(sample["error"])
    writer = open_writer(form, rows, sample, name, target)
    written = failed = 0
    try:
        for block, answers in answered(asked, rows, top):
            writer.write(block, answers)
            written += len(answers)
            wrong = [(number, f" {why}; it is left out") for number, why in block.lost]
            wrong += [
                (number, f": {answer['error']}")
                for number, answer in zip(block.numbers, answers, strict=True)
                if "error" in answer
            ]
            for number, why in sorted(wrong):
                failed += 1
                if failed <= MOST_WARNINGS:
                    complain(f"warning: {rows.at(number)}{why}")
    except BaseException as error:
        if not written:
            raise
        writer.close()  # what is written is kept
        if not isinstance(error, HarnessError):
            raise
        where = target.path or "standard output"
        raise HarnessError(f"{error}; the {written:,} rows before it are in {where}") from None
    writer.close()
    if failed > MOST_WARNINGS:
        complain(f"warning: {failed:,} rows in all have no answer")
    return SOME_FAILED if failed else OK


def _answer_lines(
    asked: Answerer, file: Path | None, column: str | None, form: str, top: int | None, target: Target
) -> int:
    """Write an answer for each line; return the exit status."""
    import json

    from harness.runtime import streaming
    from harness.sources.opening import open_bytes, readable
    from harness.wording import inert_json

    status = OK
    with readable(file, str(file)) if file is not None else nullcontext():
        stream: BinaryIO = sys.stdin.buffer if file is None else open_bytes(file)  # type: ignore[assignment]
        for answer in streaming.answers(asked, stream, column, top):
            if "error" in answer:
                status = SOME_FAILED
                if form == "tsv":
                    complain(f"warning: {answer['error']}")
            if form == "jsonl":
                line = inert_json(json.dumps(answer, ensure_ascii=False, allow_nan=False))
            else:
                line = FAILED if "error" in answer else asked.as_tsv(answer, top)
            target.write(f"{line}\n".encode("utf-8", "backslashreplace"))
    return status
