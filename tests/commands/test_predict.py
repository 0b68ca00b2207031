"""What `harness predict` reads and prints: nothing that a terminal obeys, nothing that two meanings share."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from click.testing import CliRunner, Result
from pyarrow import parquet

from harness.cli import main
from harness.exports.onnx import export_module
from harness.featurise.featuriser import Words
from harness.runtime.calibration import Calibration, write
from harness.runtime.forms import LABELS, MANIFEST
from harness.runtime.risk import Point
from harness_students.modules import AveragedWords

ODD = ["\x1b[31mred", "tab\there", "line\nend\\", "\u202eright\x9b"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An export with logits of 2 for the word of a class, and of -2 for the others."""
    words = Words(["sun", "rain", "wind", "snow"], 8)
    module = AveragedWords(words.size, 4, 0, 4, 0.0, 1.0)
    with torch.no_grad():
        module.embedding.weight.copy_(torch.cat([torch.full((2, 4), -2.0), 4 * torch.eye(4) - 2]))
        module.output.weight.copy_(torch.eye(4))
        module.output.bias.zero_()
    export_module(module, words, ODD, tmp_path)
    return tmp_path


def predict(folder: Path, *arguments: str, given: str | bytes = "sun\nrain\nwind\nsnow\n") -> Result:
    return CliRunner().invoke(main, ["predict", str(folder), *arguments], input=given)


def inert(text: str) -> bool:
    return all(char.isprintable() or char in "\n\t" for char in text)


def test_labels_do_not_reach_the_terminal_raw(folder: Path) -> None:
    done = predict(folder, "--format", "tsv")
    assert done.exit_code == 0 and inert(done.stdout)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == [r"\x1b[31mred", r"tab\there", r"line\nend\\", r"\u202eright\x9b"]
    assert all(len(row) == 2 for row in rows)
    done = predict(folder)
    assert inert(done.stdout) and [json.loads(line)["label"] for line in done.stdout.splitlines()] == ODD


def test_a_line_without_an_answer_is_told_from_one_without_labels(folder: Path) -> None:
    task_type = {"name": "multi-label", "module": "harness_multilabel.task_type", "options": {}}
    (folder / MANIFEST).write_text(json.dumps({"format": 1, "task_type": task_type}))
    (folder / LABELS).write_text('["a", "b", "c", "d"]')
    given = '{"text": "sun"}\n{"text": "none of them"}\n{"text": 3}\n{"text": "rain"}\n'
    done = predict(folder, "--text", "text", "--format", "tsv", given=given)
    assert done.exit_code == 1 and done.stdout == "a\n\n\\N\nb\n"
    assert done.stderr == "warning: line 3: expected text in 'text', got a number\n"
    done = predict(folder, "--text", "text", "--format", "tsv", "--top", "2", given=given)
    assert done.stdout.splitlines()[0] == "a\t0.880797\tb\t0.119203"
    assert [line.count("\t") for line in done.stdout.splitlines()] == [3, 3, 0, 3]


@pytest.mark.parametrize("options", [[], ["--int8"], ["--format", "tsv"]])
def test_a_bad_export_is_one_line(options: list[str], folder: Path) -> None:
    (folder / LABELS).write_text('{"a": 1}')
    done = predict(folder, *options)
    assert done.exit_code == 2 and not done.stdout
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: ")


def test_a_read_only_folder_is_enough(folder: Path) -> None:
    for path in (*folder.iterdir(), folder):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert predict(folder).exit_code == 0
    finally:
        folder.chmod(0o755)


def test_a_number_is_the_answer_of_a_regression(tmp_path: Path) -> None:
    from harness.api import Unsupported
    from harness.runtime import load

    words = Words(["sun"], 8)
    module = AveragedWords(words.size, 1, 0, 1, 0.0, 1.0)
    with torch.no_grad():
        module.embedding.weight.copy_(torch.tensor([[0.0], [0.0], [2.0]]))
        module.output.weight.fill_(1)
        module.output.bias.fill_(0.5)
    export_module(module, words, ["score"], tmp_path)
    for form in ("numpy", "onnx"):
        model: Any = load(tmp_path, form)
        assert (model.answer("sun"), model.answer("rain")) == (2.5, 0.5)
        with pytest.raises(Unsupported, match=r"this model is for regression; call answer\(text\)"):
            model.label("sun")


# -- tables ------------------------------------------------------------------------------------------------


@pytest.fixture
def mood(folder: Path) -> Path:
    """The same export with plain labels. Its score is 0.95 for a word that it knows, and 0.25 for others."""
    (folder / LABELS).write_text(json.dumps(["red", "tab", "line", "right"]))
    points = (Point(0.02, 0.9, 0.5), Point(0.1, 0.0, 1.0))
    write(folder, [Calibration(("onnx", "numpy"), 1000, points)], "validation")
    return folder


def cells(text: str, delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, ""), delimiter=delimiter))


SURE = round(1 / (1 + 3 * math.exp(-4)), 6)
TABLE = 'id,message\n1,"sun\nsun"\n2,rain\n'


def test_a_file_keeps_its_columns_and_format(mood: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(TABLE.encode()))
    done = predict(mood, str(tmp_path / "rows.csv.gz"), "--text", "message")
    assert done.exit_code == 0 and not done.stderr
    assert cells(done.stdout) == [
        ["id", "message", "label", "score"],
        ["1", "sun\nsun", "red", str(SURE)],
        ["2", "rain", "tab", str(SURE)],
    ]
    done = predict(
        mood, str(tmp_path / "rows.csv.gz"), "--text", "message", "--format", "jsonl", "--as", "is"
    )
    assert json.loads(done.stdout.splitlines()[1]) == {
        "id": "2",
        "message": "rain",
        "is": "tab",
        "is_score": SURE,
    }


def test_the_column_of_the_record_is_the_default(mood: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(TABLE)
    done = predict(mood, str(tmp_path / "rows.csv"))
    assert done.exit_code == 2
    assert (
        "has no column 'text'; found: 'id', 'message'; name the column with the text by --text" in done.stderr
    )
    (mood / "record.json").write_text('{"task": {"params": {"text": "message"}}}')
    assert predict(mood, str(tmp_path / "rows.csv")).exit_code == 0
    (tmp_path / "rows.csv").write_text("id,text\n1,sun\n")
    assert predict(mood, str(tmp_path / "rows.csv")).exit_code == 0  # a usual column


@pytest.mark.parametrize("name", ["a.csv", "a.tsv.gz", "a.jsonl", "a.parquet", "a.out"])
def test_the_name_of_a_new_file_tells_its_format(name: str, mood: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text\nsun\n")
    done = predict(mood, str(tmp_path / "rows.csv"), "--out", str(tmp_path / name))
    assert done.exit_code == 0 and not done.stdout and not done.stderr
    content = (tmp_path / name).read_bytes()
    if name == "a.parquet":
        rows = parquet.read_table(tmp_path / name).to_pylist()
    elif name == "a.jsonl":
        rows = [json.loads(content)]
    else:
        text = (gzip.decompress(content) if name.endswith(".gz") else content).decode()
        header, row = cells(text, "\t" if ".tsv" in name else ",")
        rows = [dict(zip(header, [*row[:2], float(row[2])], strict=True))]
    assert rows == [{"text": "sun", "label": "red", "score": SURE}]
    done = predict(mood, str(tmp_path / "rows.csv"), "--out", str(tmp_path / name))
    assert done.exit_code == 2 and "it exists; name another file, or remove it" in done.stderr
    assert (tmp_path / name).read_bytes() == content


def test_parquet_keeps_its_types(mood: Path, tmp_path: Path) -> None:
    table = pa.table({"text": ["sun", "x"], "n": pa.array([1, None], pa.int8())})
    parquet.write_table(table, tmp_path / "rows.parquet")
    done = predict(mood, str(tmp_path / "rows.parquet"), "--out", str(tmp_path / "out.parquet"), "--top", "2")
    assert done.exit_code == 0
    found = parquet.read_table(tmp_path / "out.parquet")
    assert found.select(["text", "n"]).equals(table)
    assert found.column_names[2:] == ["label", "score", "label_2", "score_2"]
    done = predict(mood, str(tmp_path / "rows.parquet"))
    assert done.exit_code == 2 and done.stderr.endswith("name a file with --out\n")


def test_a_table_on_standard_input(mood: Path) -> None:
    done = predict(mood, "--input", "csv", "--text", "message", given=TABLE)
    assert [row[2] for row in cells(done.stdout)] == ["label", "red", "tab"]
    done = predict(mood, "--input", "jsonl", given='{"text": "sun", "n": 1}\n')
    assert json.loads(done.stdout) == {"text": "sun", "n": 1, "label": "red", "score": SURE}
    done = predict(mood, "-", "--input", "tsv", given="text\tn\nsun\t1\n")
    assert done.stdout == f"text\tn\tlabel\tscore\nsun\t1\tred\t{SURE}\n"
    done = predict(mood, "--format", "csv", given="sun\n")
    assert done.stdout == f"text,label,score\nsun,red,{SURE}\n"
    done = predict(mood, "--input", "csv", given="")
    assert done.exit_code == 2 and done.stderr.startswith("error: the input is empty")


def test_a_file_of_lines_is_answered_as_standard_input(mood: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("sun\n\nrain\n")
    done = predict(mood, str(tmp_path / "a.txt"), "--out", str(tmp_path / "out.jsonl"))
    assert done.exit_code == 1
    same = predict(mood, given="sun\n\nrain\n")
    assert same.stdout == (tmp_path / "out.jsonl").read_text() and same.exit_code == 1
    for arguments, message in ((("--text", "a"), "remove --text"), (("--as", "a"), "remove --as")):
        done = predict(mood, str(tmp_path / "a.txt"), *arguments)
        assert done.exit_code == 2 and message in done.stderr


@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a.parquet", "a.jsonl"])
def test_files_that_are_not_there_are_one_line(name: str, mood: Path, tmp_path: Path) -> None:
    done = predict(mood, str(tmp_path / name), "--out", str(tmp_path / "out.csv"))
    assert done.exit_code == 2 and not (tmp_path / "out.csv").exists()
    assert done.stderr == f"error: cannot read {tmp_path / name}: it does not exist\n"


def test_an_error_in_the_first_rows_leaves_no_file(mood: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "sun"}\n{"text": "sun", "label": 1}\n')
    for form in ("csv", "jsonl", "parquet"):
        done = predict(mood, str(tmp_path / "a.jsonl"), "--out", str(tmp_path / f"out.{form}"))
        assert done.exit_code == 2 and not (tmp_path / f"out.{form}").exists()
        assert "already has a column 'label'; name the new column by --as" in done.stderr


def test_bad_rows_are_told_and_the_others_answered(mood: Path, tmp_path: Path) -> None:
    lines = ["id,text", "1,sun", "2", "3,", "4,rain,more", "5,rain"]
    (tmp_path / "rows.csv").write_text("\n".join([*lines, *["6"] * 30]) + "\n")
    done = predict(mood, str(tmp_path / "rows.csv"))
    assert done.exit_code == 1
    assert [row[:3] for row in cells(done.stdout)] == [
        ["id", "text", "label"],
        ["1", "sun", "red"],
        ["3", "", ""],
        ["5", "rain", "tab"],
    ]
    told = done.stderr.splitlines()
    where = f"warning: {tmp_path / 'rows.csv'} line"
    assert (
        told[0]
        == f"{where} 3 has 1 cell, expected 2 as in the header; complete it, or remove it; it is left out"
    )
    assert told[1] == f"{where} 4: expected text in 'text', got nothing; correct the row, or remove it"
    assert told[2].startswith(f"{where} 5 has 3 cells")
    assert len(told) == 21 and told[-1] == "warning: 33 rows in all have no answer"


def test_what_is_written_before_an_error_stays(mood: Path, tmp_path: Path) -> None:
    lines = "".join(f'{{"text": "sun", "n": {n}}}\n' for n in range(1000))
    (tmp_path / "a.jsonl").write_text(lines + '{"text": "sun", "label": "x"}\n')
    for form in ("jsonl", "parquet"):
        out = tmp_path / f"out.{form}"
        done = predict(mood, str(tmp_path / "a.jsonl"), "--out", str(out))
        assert done.exit_code == 2 and done.stderr.count("\n") == 1
        rows = parquet.read_table(out).num_rows if form == "parquet" else out.read_text().count("\n")
        assert f"the {rows:,} rows before it are in {out}" in done.stderr and rows >= 744


def test_a_column_that_is_there_is_said_with_the_option(mood: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text,label\nsun,dry\n")
    done = predict(mood, str(tmp_path / "rows.csv"), "--out", str(tmp_path / "out.csv"))
    assert done.exit_code == 2 and not (tmp_path / "out.csv").exists()
    assert done.stderr == (
        f"error: {tmp_path / 'rows.csv'} already has a column 'label'; name the new column by --as, e.g. "
        "--as predicted\n"
    )
    assert (
        predict(mood, str(tmp_path / "rows.csv"), "--as", "p").stdout
        == f"text,label,p,p_score\nsun,dry,red,{SURE}\n"
    )


# -- abstaining --------------------------------------------------------------------------------------------


def test_unsure_texts_get_no_label(mood: Path) -> None:
    done = predict(mood, "--abstain", "5%", given="sun\nxxx\n")
    assert done.exit_code == 0
    sure, unsure = map(json.loads, done.stdout.splitlines())
    assert sure == {"label": "red", "score": SURE, "abstained": False}
    assert unsure == {"label": None, "score": 0.25, "abstained": True}
    assert done.stderr == "no label was given to 1 of 2 texts (50.0%): their scores are below 0.9\n"
    done = predict(mood, "--threshold", "0.9", "--format", "csv", given="sun\nxxx\n")
    assert done.stdout == f"text,label,score,abstained\nsun,red,{SURE},false\nxxx,,0.25,true\n"
    done = predict(mood, "--abstain", "0.1", "--format", "tsv", given="sun\nxxx\n")
    assert [line.split("\t")[0::2] for line in done.stdout.splitlines()] == [
        ["red", "false"],
        ["red", "false"],
    ]


def test_a_second_model_answers_unsure_texts(mood: Path, tmp_path: Path) -> None:
    words = Words(["xxx"], 8)
    module = AveragedWords(words.size, 4, 0, 4, 0.0, 1.0)
    with torch.no_grad():
        module.embedding.weight.fill_(0)
        module.output.weight.copy_(torch.eye(4))
        module.output.bias.copy_(torch.tensor([0.0, 9.0, 0.0, 0.0]))
    (tmp_path / "second").mkdir()
    export_module(module, words, ["line", "right", "red", "tab"], tmp_path / "second")
    arguments = ("--cascade", str(tmp_path / "second"), "--abstain", "2%")
    done = predict(mood, *arguments, given="sun\nxxx\n")
    first, second = map(json.loads, done.stdout.splitlines())
    assert (first["label"], first["answered_by"]) == ("red", "student")
    assert (second["label"], second["answered_by"]) == ("right", "teacher") and "abstained" not in second
    assert done.stderr == "the second model answered 1 of 2 texts (50.0%): their scores are below 0.9\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--abstain", "1%"],
            "cannot keep the error of this model within 1%: the lowest that it can keep is 2.0%",
        ),
        (["--abstain", "5"], "expected a share between 0 and 1 as --abstain, got 5; for per cent, write 5%"),
        (["--abstain", "some"], "expected a score, got 'some'"),
        (["--abstain", "5%", "--threshold", "0.5"], "expected --abstain or --threshold, got both"),
        (["--cascade", "x"], "--cascade needs --abstain or --threshold"),
        (["--cascade-int8"], "--cascade-int8 needs --cascade"),
        (["--cascade", "nowhere", "--threshold", "0.5"], "cannot read the export in nowhere"),
    ],
)
def test_mistakes_with_thresholds_are_one_line(arguments: list[str], message: str, mood: Path) -> None:
    done = predict(mood, *arguments)
    assert done.exit_code == 2 and not done.stdout and done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"error: {message}")


def test_other_types_of_task_and_earlier_exports_cannot_abstain(folder: Path) -> None:
    done = predict(folder, "--abstain", "5%")
    assert (
        done.exit_code == 2 and "has no calibration.json, as earlier versions wrote none; run" in done.stderr
    )
    task_type = {"name": "multi-label", "module": "harness_multilabel.task_type", "options": {}}
    (folder / MANIFEST).write_text(json.dumps({"format": 1, "task_type": task_type}))
    for arguments in (["--abstain", "5%"], ["--threshold", "0.5"]):
        done = predict(folder, *arguments)
        assert done.exit_code == 2 and done.stderr.count("\n") == 1
        assert (
            "cannot abstain: this model is for multi-label; expected one that gives each text one"
            in done.stderr
        )
    done = predict(folder, "--format", "csv", given="sun\n")  # but it answers tables
    assert cells(done.stdout)[0] == ["text", "labels", "scores"] and done.exit_code == 0
