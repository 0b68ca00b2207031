"""Files of JSON objects in every layout, with values of every type."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.api import HarnessError
from harness.sources import read_table
from harness.sources.objects import json_rows
from harness.sources.opening import noted

ROWS = [{"text": "a", "label": "joy"}, {"text": "b [", "label": "fear"}]


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ("".join(json.dumps(row) + "\n" for row in ROWS), [1, 2]),
        ("\n" + "\n\n".join(map(json.dumps, ROWS)), [2, 4]),
        ("\r".join(map(json.dumps, ROWS)), [1, 1]),
        (json.dumps(ROWS), [1, 1]),
        (json.dumps(ROWS, indent=1) + "\n\n", [2, 6]),
        ("\n [" + ",\n\n".join(map(json.dumps, ROWS)) + "]", [2, 4]),
        ("\n".join(json.dumps(row, indent=2) for row in ROWS), [1, 5]),
        (json.dumps({"version": 1, "data": ROWS}), [1, 1]),
        (json.dumps({"text": {"0": "a", "7": "b ["}, "label": {"0": "joy", "7": "fear"}}) + "\n\n", [1, 1]),
    ],
)
def test_layouts(content: str, lines: list[int], tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(content)
    assert list(json_rows(tmp_path / "a.json", "a")) == list(zip(lines, ROWS, strict=True))
    assert read_table(tmp_path / "a.json").to_pylist() == ROWS


def test_lists_as_columns_are_read_only_where_rows_have_none(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"text": ["a", "b ["], "label": ["joy", "fear"]}))
    assert read_table(tmp_path / "a.json").to_pylist() == ROWS
    words = {"tokens": ["a", "b"], "tags": ["O", "O"]}
    (tmp_path / "b.jsonl").write_text(json.dumps(words))
    assert list(json_rows(tmp_path / "b.jsonl", "b")) == [(1, words)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{\n", "a line 1 is not JSON: Expecting property name enclosed in double quotes (line 2, column 1)"),
        ('[{"text": "a"}\n,{"text": ]', "a line 2 is not JSON: Expecting value (column 11)"),
        ('[{"text": "a"}\n', "a line 1 is not JSON: the list of objects is never closed"),
        ('[{"text": "a"} {}]', "a line 1 is not JSON: expected ',' or ']' after it"),
        ('{"text": "a"}\n[1]\n', "a line 2 is not a JSON object"),
        ("[1, 2]", "a line 1 is not a JSON object"),
        ("3", "a line 1 is not a JSON object"),
        ('{"text": "a"}\n{"text": "\0"}\n', "a line 2 has a NUL byte"),
        ("[" * 99_999, "a line 1 is not JSON: "),
    ],
)
def test_what_is_wrong_is_told_with_its_line(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(HarnessError) as told:
        list(json_rows(tmp_path / "a.jsonl", "a"))
    assert str(told.value).startswith(message)


@pytest.mark.parametrize(
    ("labels", "expected", "told"),
    [
        ([True, "true", 1, 1.0, "x", None], ["true", "true", "1", "1", "x", None], True),
        ([False, 0], ["false", "0"], True),
        ([float("nan"), "a"], [None, "a"], False),
        ([0.5, "a"], ["0.5", "a"], True),
        ([2**70, 1], [str(2**70), "1"], False),
    ],
)
def test_values_of_several_types(labels: list[Any], expected: Any, told: bool, tmp_path: Path) -> None:
    rows = [{"text": "t", "label": label} for label in labels]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with noted() as notes:
        assert read_table(tmp_path / "a.jsonl")["label"].to_pylist() == expected
    assert bool(notes) == told and all("column 'label'; all were read as strings" in one for one in notes)
