"""What distill and diagnose find in a file: which task reads it, and why."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet

from harness import HarnessError, catalog
from harness.cli import main
from harness.distill.inspect import Data
from harness.distill.inspect import look as inspected
from harness.distill.wishes import Wishes

INSTALLED = catalog.load()
CELLS = [["rain"], ["sun"], ["rain", "sun"], []]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, cells: Sequence[Any], column: str = "labels", rows: int = 80) -> Path:
    """A file of different texts, whose labels are the cells in turn."""
    path = Path(name)
    texts = [f"it is day {n} of the year" for n in range(rows)]
    given = [cells[n % len(cells)] for n in range(rows)]
    if name.endswith(".csv"):
        with path.open("w", newline="") as stream:
            csv.writer(stream).writerows([("text", column), *zip(texts, given, strict=True)])
    elif name.endswith(".jsonl"):
        pairs = zip(texts, given, strict=True)
        path.write_text("".join(json.dumps({"text": text, column: cell}) + "\n" for text, cell in pairs))
    else:
        parquet.write_table(pa.table({"text": texts, column: given}), path)
    return path


def seen(path: Path, text: str = "", label: str = "", task: str | None = None) -> Data:
    return inspected(Wishes(path, text, label, Path("out"), task=task), INSTALLED)


def joined(separator: str) -> list[str]:
    return [separator.join(labels) for labels in CELLS]


@pytest.mark.parametrize(
    ("name", "cells", "separator", "shown"),
    [
        ("rows.csv", joined("|"), "|", "rain|sun"),
        ("rows.csv", joined(";"), ";", "rain;sun"),
        ("rows.csv", joined("; "), ";", "rain; sun"),
        ("rows.csv", [json.dumps(labels) for labels in CELLS], None, '["rain", "sun"]'),
        ("rows.jsonl", CELLS, None, "['rain', 'sun']"),
        ("rows.parquet", CELLS, None, "['rain', 'sun']"),
    ],
)
@pytest.mark.parametrize("column", ["labels", "label"])
def test_several_labels_are_recognised(
    name: str, cells: list[Any], separator: str | None, shown: str, column: str
) -> None:
    data = seen(write(name, cells, column))
    table = {"use": "file-multilabel", "train": name, "text": "text", "label": column}
    assert data.task == (table if separator is None else {**table, "separator": separator})
    assert data.task_type.name == "multi-label" and data.outputs == 2 and data.english
    assert data.size.train + data.size.held_out == 80 and data.size.words == 7
    told = "\n".join(data.told)
    assert "80 texts of 7 words on average, 2 labels, 1.00 a text (most frequent: rain, 50%)" in told
    what = f"lists, such as {shown}" if separator is None else f"several labels, such as {shown!r}"
    assert f"read as task 'file-multilabel', because cells of column {column!r} have {what}" in told
    assert "to read it otherwise, give --task file" in told


def test_a_column_that_the_user_names_is_looked_at() -> None:
    path = write("rows.csv", joined("|"), "mood")
    assert seen(path, label="mood").task["use"] == "file-multilabel"
    with pytest.raises(HarnessError, match="has no column 'label'; found: 'text', 'mood'"):
        seen(path)


def test_what_is_asked_for_is_done() -> None:
    path = write("rows.csv", joined("|")[:3])
    data = seen(path, label="labels", task="file")
    assert data.task == {"use": "file", "train": "rows.csv", "text": "text", "label": "labels"}
    assert data.outputs == 3 and "read as" not in "\n".join(data.told)
    plain = write("plain.csv", ["rain", "sun"])
    assert seen(plain, label="labels").task["use"] == "file"
    asked = seen(plain, task="file-multilabel")
    assert (asked.task_type.name, asked.outputs) == ("multi-label", 2)


@pytest.mark.parametrize(
    "cells",
    [["joy", "fear", "other; unknown"], ["a|b", "c|d"], ["yes", "no"], ["[sighs]", "[laughs]"]],
)
def test_names_with_a_separator_are_one_class(cells: list[str]) -> None:
    data = seen(write("rows.csv", cells, "label"))
    assert data.task["use"] == "file" and data.outputs == len(cells)
    assert "read as" not in "\n".join(data.told)


def tagged() -> list[dict[str, Any]]:
    return [{"tokens": ["Ann", f"was{n}"], "tags": ["B-per", "O"], "labels": ["O"]} for n in range(60)]


def test_lists_of_words_are_tagged_words() -> None:
    Path("words.jsonl").write_text("".join(json.dumps(row) + "\n" for row in tagged()))
    parquet.write_table(pa.Table.from_pylist(tagged()), "words.parquet")
    Path("words.conll").write_text("\n\n".join(f"Ann B-per\nwas{n} O" for n in range(60)))
    for name, why in (
        ("words.jsonl", "it has lists of words; "),
        ("words.parquet", "it has lists of words; "),
        ("words.conll", "its name ends in .conll"),
    ):
        data = seen(Path(name))
        assert (data.task["use"], data.task_type.name) == ("conll-file", "tagging")
        (told,) = (line for line in data.told if line.startswith("read as"))
        assert told.startswith(f"read as task 'conll-file', because {why}")
        # The task `file` reads no CoNLL text, and is not offered for it.
        assert ("give --task file" in told) == (name != "words.conll")


def test_words_in_the_column_of_texts_are_no_text() -> None:
    rows = [{"text": ["Ann", f"was{n}"], "labels": ["B-per", "O"]} for n in range(60)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(HarnessError, match="has a list or object in column 'text'"):
        seen(Path("rows.jsonl"), label="labels")
    data = seen(Path("rows.jsonl"), text="text", label="labels")
    assert data.task["use"] == "conll-file"


def test_mistakes_are_told() -> None:
    write("rows.csv", joined("|"))
    write("few.csv", joined("|"), rows=20)
    write("none.csv", ["[]"])
    write("ids.csv", [cell for n in range(40) for cell in (f"{n}", f"{n}|{n + 1}")])
    for arguments, says in (
        (
            ("rows.csv", "--task", "file-multilable"),
            "unknown task 'file-multilable'; did you mean 'file-multi",
        ),
        (
            ("rows.csv", "--task", "emotion"),
            "task 'emotion' cannot read rows.csv; name one of these with --task",
        ),
        (("rows.csv", "--task", "emotion"), ": file-multilabel, file, file-regression"),
        (
            ("few.csv",),
            "expected at least 50 labelled texts in few.csv, got 20; add more texts; few.csv was read",
        ),
        (("few.csv",), "have several labels, such as 'rain|sun': name another with --task"),
        (
            ("none.csv",),
            "expected labels in column 'labels' of none.csv, got none; name another column with --label",
        ),
        (("ids.csv",), "different labels in 80 rows, too many to learn"),
        (
            ("rows.csv", "--task", "file-multilabel", "--label", "label"),
            "no column 'label'; found: 'text', 'la",
        ),
    ):
        for command in ("distill", "diagnose"):
            result = CliRunner().invoke(main, [command, *arguments])
            assert result.exit_code == 2, (command, arguments, result.output)
            assert result.stderr.startswith("error: ") and says in result.stderr, result.output


def test_unlabelled_texts_are_counted() -> None:
    path = write("rows.csv", joined("|"))
    Path("more.txt").write_text("one\ntwo\nthree\n")
    write("more.csv", ["x"], rows=70)
    for name, count in (("more.txt", 3), ("more.csv", 70)):
        assert (
            inspected(Wishes(path, "", "", Path("out"), unlabelled=Path(name)), INSTALLED).size.pool == count
        )
    with pytest.raises(HarnessError) as told:
        inspected(Wishes(path, "", "", Path("out"), unlabelled=Path("absent.csv")), INSTALLED)
    assert str(told.value).startswith("cannot read the unlabelled file 'absent.csv': it does not exist")
    assert "was read as" not in str(told.value)  # which has nothing to do with it


def test_rare_labels_and_skipped_rows_are_told() -> None:
    cells: list[Any] = [*CELLS, None, *CELLS, ["odd", "rain"]]
    data = seen(write("rows.jsonl", cells, rows=80))
    told = "\n".join(data.told)
    assert "skipped 8 rows: 8 because the labels are missing" in told
    assert "fewer than 10 texts, too few to learn or measure: odd" in told


def test_damage_is_reported_by_the_task_that_has_the_column() -> None:
    """Not as the lack of the column that another task reads by default."""
    for name, content, says in (
        ("a.csv", "text,labels\na,x|y\nb,x,y\n", "line 3 has 3 cells, expected 2"),
        ("a.jsonl", '{"text": "a", "labels": ["x"]}\n{\n', "a.jsonl line 2 is not JSON"),
        ("b.jsonl", "{\n", "b.jsonl line 1 is not JSON"),
        ("b.csv", "", "b.csv is empty"),
    ):
        Path(name).write_text(content)
        with pytest.raises(HarnessError) as told:
            seen(Path(name))
        assert says in str(told.value)
        assert ("because it has a column 'labels'" in str(told.value)) == name.startswith("a")


@pytest.mark.parametrize("kind", [pa.list_(pa.string(), 1), pa.list_view(pa.string())])
def test_lists_of_every_type_are_recognised(kind: pa.DataType) -> None:
    cells = pa.array([["rain"], ["sun"]] * 40, pa.list_(pa.string()))
    texts = [f"it is day {n} of the year" for n in range(80)]
    try:
        parquet.write_table(pa.table({"text": texts, "labels": cells.cast(kind)}), "rows.parquet")
    except pa.ArrowException:
        pytest.skip("this version of Arrow does not write such lists")
    assert seen(Path("rows.parquet")).task["use"] == "file-multilabel"


def test_two_tasks_that_recognise_a_file_are_named() -> None:
    rows = [
        {"text": f"a {n}", "tokens": ["a", f"b{n}"], "tags": ["O", "B-x"], "labels": ["x"]} for n in range(80)
    ]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(HarnessError) as told:
        seen(Path("rows.jsonl"))
    for part in (
        "several tasks could read rows.jsonl: ",
        "'conll-file', because",
        "'file-multilabel', because",
    ):
        assert part in str(told.value)
    assert str(told.value).endswith("name one with --task")
    assert seen(Path("rows.jsonl"), task="conll-file").task["use"] == "conll-file"


@pytest.mark.parametrize(
    ("cells", "several"),
    [
        (["rain", "sun", "rain, sun"], True),
        (["rain, sun", "sun, wind", "rain, wind", "rain, sun, wind", "sun, rain", "wind, sun"], True),
        (["Paris, France", "Lyon, France", "Bonn, Germany", "Rome, Italy", "Berlin, Germany"], False),
    ],
)
def test_commas_between_labels(cells: list[str], several: bool) -> None:
    data = seen(write("rows.csv", cells, "label"))
    assert data.task["use"] == ("file-multilabel" if several else "file")
    assert not several or data.task["separator"] == ","
