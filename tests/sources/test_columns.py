"""Names are put into one form where that is certain."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.sources import read_table
from harness.sources.columns import tidy


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("joy", "joy"),
        (" joy\u00a0\u200b ", "joy"),
        ("\ufeffjoy\u2060", "joy"),
        ("cafe\u0301", "caf\u00e9"),
        ("a\u200db", "a\u200db"),  # within a name, such a character joins others
        ("\u200b", ""),
        ("\u2764\ufe0f", "\u2764\ufe0f"),
    ],
)
def test_tidy(name: str, expected: str, tmp_path: Path) -> None:
    assert tidy(name) == expected
    (tmp_path / "a.jsonl").write_text(
        "".join(json.dumps({"text": "t", "label": n}) + "\n" for n in (name, "x"))
    )
    assert read_table(tmp_path / "a.jsonl")["label"].to_pylist() == [expected or None, "x"]
