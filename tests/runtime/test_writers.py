"""Rows are written with their answers, all columns as they were, in any format."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from harness.api import HarnessError
from harness.runtime import writers
from harness.runtime.writers import Target, flat, open_writer
from harness.sources.rows import Rows, read_file, read_stream

SAMPLE = {"label": "x", "score": 0.5}
ANSWERS: list[dict[str, Any]] = [
    {"label": "joy", "score": 0.75},
    {"error": "no text"},
    {"label": "a\tb", "score": 1.0},
]
CSV = 'id;text\n1;"a; ""b"""\n2;\n3;"x\ny"\n'
ROWS = [
    {"text": "a", "n": 1, "of": [1, "x"]},
    {"text": None, "n": 2.5, "of": None},
    {"text": "é", "yes": True},
]
OBJECTS = "".join(json.dumps(row) + "\n" for row in ROWS)
TABLE = pa.table({"text": ["a", None, "é"], "when": pa.array([datetime(2026, 1, 2)] * 3, pa.timestamp("ms"))})


def written(
    rows: Rows,
    form: str,
    answers: Sequence[dict[str, Any]] = ANSWERS,
    name: str | None = None,
    sample: Any = SAMPLE,
) -> bytes:
    """Return what a writer writes for rows and answers."""
    out = io.BytesIO()
    writer = open_writer(form, rows, sample, name, Target(None, out.write))
    left = list(answers)
    for block in rows.blocks:
        count = len(block.numbers)
        writer.write(block, left[:count])
        left = left[count:]
    writer.close()
    return out.getvalue()


def stream(content: str, kind: str) -> Rows:
    return read_stream(io.BytesIO(content.encode()), kind, ["text"])


def in_parquet(
    rows: Rows, path: Path, answers: Sequence[dict[str, Any]] = ANSWERS, sample: Any = SAMPLE
) -> pa.Table:
    target = Target(path, lambda data: None)
    writer = open_writer("parquet", rows, sample, None, target)
    left = list(answers)
    for block in rows.blocks:
        writer.write(block, left[: len(block.numbers)])
        left = left[len(block.numbers) :]
    writer.close()
    target.close()
    return parquet.read_table(path)


def test_cells_keep_their_delimiter_and_get_two_more() -> None:
    found = written(stream(CSV, "csv"), "csv").decode()
    assert list(csv.reader(io.StringIO(found, ""), delimiter=";")) == [
        ["id", "text", "label", "score"],
        ["1", 'a; "b"', "joy", "0.75"],
        ["2", "", "", ""],
        ["3", "x\ny", "a\tb", "1.0"],
    ]


def test_a_tsv_without_quotation_marks_stays_one() -> None:
    found = written(stream('text\tn\n"a\\b"\t1\nc\t2\nd\t3\n', "tsv"), "tsv").decode()
    assert found == 'text\tn\tlabel\tscore\n"a\\b"\t1\tjoy\t0.75\nc\t2\t\t\nd\t3\ta\\tb\t1.0\n'


def test_objects_get_fields() -> None:
    lines = written(stream(OBJECTS, "jsonl"), "jsonl").decode().splitlines()
    assert [json.loads(line) for line in lines] == [
        {**ROWS[0], **ANSWERS[0]},
        {**ROWS[1], "label": None, "score": None},
        {**ROWS[2], **ANSWERS[2]},
    ]
    assert "é" in lines[2]


def test_cells_become_objects_and_objects_cells() -> None:
    first, *_ = written(stream(CSV, "csv"), "jsonl").decode().splitlines()
    assert json.loads(first) == {"id": "1", "text": 'a; "b"', **ANSWERS[0]}
    header, *cells = csv.reader(io.StringIO(written(stream(OBJECTS, "jsonl"), "csv").decode()))
    assert header == ["text", "n", "of", "yes", "label", "score"]
    assert cells[0] == ["a", "1", '[1, "x"]', "", "joy", "0.75"]
    assert cells[1:] == [["", "2.5", "", "", "", ""], ["é", "", "", "true", "a\tb", "1.0"]]


def test_lines_become_a_table() -> None:
    assert written(stream("a\nb\n", "lines"), "csv").decode() == "text,label,score\na,joy,0.75\nb,,\n"


def test_parquet_keeps_its_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "_GROUP", 2)
    parquet.write_table(TABLE, tmp_path / "in.parquet", row_group_size=1)
    found = in_parquet(read_file(tmp_path / "in.parquet", None, ["text"]), tmp_path / "out.parquet")
    assert found.select(["text", "when"]).equals(TABLE)
    assert (
        found["label"].to_pylist() == ["joy", None, "a\tb"]
        and found.schema.field("score").type == pa.float64()
    )
    rows = read_file(tmp_path / "in.parquet", None, ["text"])
    assert written(rows, "csv").decode().splitlines()[1] == "a,2026-01-02 00:00:00,joy,0.75"
    rows = read_file(tmp_path / "in.parquet", None, ["text"])
    assert json.loads(written(rows, "jsonl").splitlines()[0])["when"] == "2026-01-02 00:00:00"


def test_cells_and_objects_become_parquet(tmp_path: Path) -> None:
    found = in_parquet(stream(CSV, "csv"), tmp_path / "a.parquet")
    assert found.schema.types == [pa.string()] * 3 + [pa.float64()]
    assert found["text"].to_pylist() == ['a; "b"', None, "x\ny"]
    rows = '{"text": "a", "n": 1, "of": ["x"]}\n{"text": null, "n": 2, "never": null}\n'
    found = in_parquet(stream(rows, "jsonl"), tmp_path / "b.parquet")
    assert found.schema.types[:4] == [pa.string(), pa.int64(), pa.list_(pa.string()), pa.string()]
    assert found["of"].to_pylist() == [["x"], None]


def test_alternatives_have_their_own_columns_and_lists_are_json() -> None:
    top = [{"label": "a", "score": 0.5}, {"label": "b", "score": 0.25}]
    answer = {**top[0], "top": top}
    assert flat(answer) == {"label": "a", "score": 0.5, "label_2": "b", "score_2": 0.25}
    assert flat({"labels": ["a", "é"], "scores": []}) == {"labels": '["a", "é"]', "scores": "[]"}
    found = written(stream("text\nx\n", "csv"), "csv", [answer], sample=answer).decode()
    assert found == "text,label,score,label_2,score_2\nx,a,0.5,b,0.25\n"
    (line,) = written(stream('{"text": "x"}\n', "jsonl"), "jsonl", [answer], sample=answer).splitlines()
    assert json.loads(line)["top"] == top


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        (SAMPLE, "text,mood,mood_score"),
        ({"score": 0.5}, "text,mood"),
        ({"labels": [], "scores": []}, "text,mood,mood_scores"),
        ({"words": [], "tags": [], "entities": []}, "text,mood_words,mood,mood_entities"),
        ({"masks": []}, "text,mood"),
    ],
)
def test_new_columns_are_called_as_asked(sample: Any, expected: str) -> None:
    assert written(stream("text\n", "csv"), "csv", [], "mood", sample).decode() == expected + "\n"


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet"])
def test_a_column_of_a_new_name_is_said(form: str) -> None:
    with pytest.raises(HarnessError) as error:
        written(stream("text,label\na,b\n", "csv"), form)
    assert str(error.value) == (
        "the input already has a column 'label'; name the new column by --as, e.g. --as predicted"
    )


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_columns_of_later_objects(form: str) -> None:
    lines = ['{"text": "a"}\n'] * 300 + ['{"text": "a", "label": 1}\n']
    with pytest.raises(HarnessError, match=r"the input line 301 (already )?has a column 'label'"):
        written(stream("".join(lines), "jsonl"), form, [ANSWERS[0]] * 301)


def test_columns_that_do_not_fit_parquet_are_said(tmp_path: Path) -> None:
    lines = ['{"text": "a", "n": 1}\n'] * 300
    for odd, message in (
        ('"n": "x"', "cannot write the rows from the input line 2"),
        ('"m": 1', "has a column 'm'"),
    ):
        rows = stream("".join([*lines, f'{{"text": "a", {odd}}}\n']), "jsonl")
        with pytest.raises(HarnessError, match=f"{message}.*give --format jsonl"):
            in_parquet(rows, tmp_path / "a.parquet", [ANSWERS[0]] * 301)


def test_twofold_columns_can_only_stay_cells() -> None:
    rows = "text,n,n\na,1,2\n"
    assert written(stream(rows, "csv"), "csv").decode() == "text,n,n,label,score\na,1,2,joy,0.75\n"
    with pytest.raises(HarnessError, match="has more than one column 'n'; rename or remove"):
        written(stream(rows, "csv"), "jsonl")


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_table_without_rows(form: str, tmp_path: Path) -> None:
    parquet.write_table(TABLE.slice(0, 0), tmp_path / "in.parquet")
    rows = read_file(tmp_path / "in.parquet", None, ["text"])
    if form == "parquet":
        assert in_parquet(rows, tmp_path / "out.parquet").column_names == ["text", "when", "label", "score"]
    else:
        assert written(rows, form).decode() == ("text,when,label,score\n" if form == "csv" else "")


def test_nothing_is_obeyed_by_a_terminal_in_json() -> None:
    (line,) = written(stream('{"text": "\\u001b[31m\\u202e"}\n', "jsonl"), "jsonl").decode().splitlines()
    assert line.isprintable() and json.loads(line)["text"] == "\x1b[31m\u202e"


def test_a_file_is_made_when_something_is_written(tmp_path: Path) -> None:
    for name in ("a.csv", "a.csv.gz"):
        target = Target(tmp_path / name, lambda data: None)
        target.write(b"")
        assert not (tmp_path / name).exists()
        target.write(b"a\n")
        content = (tmp_path / name).read_bytes()
        assert (
            content == b"a\n" if name == "a.csv" else content.startswith(b"\x1f\x8b")
        )  # before it is closed
        target.write(b"b\n")
        target.close()
    assert gzip.decompress((tmp_path / "a.csv.gz").read_bytes()) == b"a\nb\n"
    with pytest.raises(FileExistsError):
        Target(tmp_path / "a.csv", lambda data: None).write(b"c\n")


def test_where_no_file_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    for name, message in (
        ("a.csv", "it exists; name another file, or remove it"),
        ("a.csv.bz2", r"ends with \.gz if it is compressed"),
        ("none/a.csv", "the folder .*none does not exist"),
    ):
        with pytest.raises(HarnessError, match=f"cannot write .*{message}"):
            Target.check(tmp_path / name)
    Target.check(tmp_path / "b.csv.gz")
