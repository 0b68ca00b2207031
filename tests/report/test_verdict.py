"""A verdict beside results: kept, checked, and shown in a terminal."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.api import HarnessError
from harness.report import verdict
from harness.report.verdict import FILE, Section, Verdict

MADE = Verdict(
    "tickets.csv",
    (
        Section("Ship mlp", ("accuracy 91.0 %", "12 kB"), "harness predict model < texts.txt"),
        Section("Did distillation pay?", ("no",)),
    ),
)


def kept(folder: Path, value: Any = MADE) -> Path:
    (folder / "records.jsonl").write_text("{}\n", encoding="utf-8")
    verdict.write(value, folder)
    return folder / FILE


def test_a_verdict_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert verdict.read(tmp_path) is None
    value = json.loads(kept(tmp_path).read_text(encoding="utf-8"))
    assert verdict.read(tmp_path) == MADE
    assert value["schema"] == 1 and value["about"] == "tickets.csv"
    assert value["sections"][1] == {"title": "Did distillation pay?", "lines": ["no"], "command": ""}


def test_a_verdict_on_other_records_is_stale(tmp_path: Path) -> None:
    kept(tmp_path)
    (tmp_path / "records.jsonl").write_text("{}\n{}\n", encoding="utf-8")
    found = verdict.read(tmp_path)
    assert found is not None and found.stale and found.sections == MADE.sections
    verdict.write(MADE, tmp_path)
    assert verdict.read(tmp_path) == MADE
    (tmp_path / "records.jsonl").unlink()
    assert verdict.read(tmp_path) == Verdict(MADE.about, MADE.sections, stale=True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ("[]", "expected an object"),
        ('{"schema": 2}', "expected schema 1, got 2; update the harness"),
        ('{"schema": 1}', "expected a text as 'about', got None"),
        ('{"schema": 1, "about": "a", "records": ""}', "expected a list as 'sections', got None"),
        ("[5]", "expected an object as section 1, got 5"),
        ('[{"lines": []}]', "expected a text as the title of section 1, got None"),
        ('[{"title": "", "lines": []}]', "expected a text as the title of section 1, got ''"),
        ('[{"title": "a", "lines": "b"}]', "expected a list of texts as the lines of section 1, got 'b'"),
        ('[{"title": "a", "lines": [1]}]', "expected a list of texts as the lines of section 1, got [1]"),
        ('[{"title": "a", "lines": [], "command": 1}]', "expected a text as the command of section 1, got 1"),
    ],
)
def test_what_is_no_verdict_is_an_error(tmp_path: Path, text: str, told: str) -> None:
    if text.startswith("[") and text[1:2] in "5{":
        text = f'{{"schema": 1, "about": "a", "records": "", "sections": {text}}}'
    (tmp_path / FILE).write_text(text, encoding="utf-8")
    with pytest.raises(HarnessError) as raised:
        verdict.read(tmp_path)
    assert str(raised.value).startswith(f"cannot read {str(tmp_path / FILE)!r}: ")
    assert told in str(raised.value)


def test_a_folder_in_its_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(HarnessError, match="cannot read"):
        verdict.read(tmp_path)


def test_a_terminal_gets_texts_and_whole_commands() -> None:
    command = f"harness predict {'long/' * 30}model < texts.txt"
    hostile = Section("Ship [red]\x1b[31mmlp", ("word " * 30, "[bold]"), command)
    out = io.StringIO()
    console = Console(file=out, width=60, color_system=None)
    console.print(verdict.to_rich(Verdict("a", (hostile, MADE.sections[1]))), crop=False)
    lines = out.getvalue().splitlines()
    assert "\x1b" not in out.getvalue() and lines[0].startswith("Ship [red]")
    assert f"  {command}" in lines and "[bold]" in lines
    assert all(len(line) <= 60 for line in lines if command not in line)
    assert lines[-3:] == ["", "Did distillation pay?", "no"]
