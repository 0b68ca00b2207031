from __future__ import annotations

import os
from pathlib import Path

from reporting import Results, hostile

from harness.report.html import overview
from harness.results.record import write as write_records


def put(results: Results, folder: Path) -> None:
    folder.mkdir()
    write_records(results.records, folder / "records.jsonl")


def test_each_suite_has_a_line_for_each_task(tmp_path: Path) -> None:
    put(Results(("emotion", "reviews")), tmp_path / "first")
    put(Results(suite="second"), tmp_path / "second")
    (tmp_path / "neither").mkdir()
    overview.write(tmp_path)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "## [first](first/leaderboard.md)" in text
    assert "30 cells measured, 2 tables" in text
    assert "| emotion, local data | big | 91.7 % | wide · mask · kl | 89.6 ± 0.6 % | +5.8 | 50,000 |" in text
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert page.count("<tr>") == 5  # two heads, three tasks
    assert 'href="second/index.html"' in page
    assert "neither" not in text + page


def test_a_file_of_somebodys_own_is_left_alone(tmp_path: Path) -> None:
    put(Results(), tmp_path / "emotion")
    (tmp_path / "README.md").write_text("# My project\n", encoding="utf-8")
    for _ in range(2):
        overview.write(tmp_path)
        assert (tmp_path / "README.md").read_text(encoding="utf-8") == "# My project\n"
    before = (tmp_path / "index.html").read_text(encoding="utf-8")
    put(Results(suite="second"), tmp_path / "second")
    overview.write(tmp_path)
    assert (tmp_path / "index.html").read_text(encoding="utf-8") != before  # ours is made anew


def test_a_folder_whose_name_is_no_utf8(tmp_path: Path) -> None:
    put(Results(), tmp_path / os.fsdecode(b"caf\xe9"))
    overview.write(tmp_path)
    assert 'href="caf%E9/index.html"' in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_damaged_records_cost_their_suite_only(tmp_path: Path) -> None:
    put(Results(), tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "records.jsonl").write_text("{\n", encoding="utf-8")
    found = {suite.name: suite for suite in overview.suites(tmp_path)}
    assert "damaged" in found["bad"].summary
    assert found["good"].rows


def test_hostile_names_are_no_markup(tmp_path: Path) -> None:
    put(hostile(), tmp_path / "<img src=x onerror=alert(1)>")
    overview.write(tmp_path)
    for name in ("README.md", "index.html"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        for tag in ("<img", "<svg", "<script", "</script", "<b>"):
            assert tag not in text, (name, tag)
        assert "%3Cimg" in text  # the folder, in a link
    for line in (tmp_path / "README.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| "):
            assert line.replace("\\|", "").count("|") == len(overview.TITLES) + 1


def test_no_suites_make_an_empty_overview(tmp_path: Path) -> None:
    overview.write(tmp_path)
    assert "No results yet." in (tmp_path / "index.html").read_text(encoding="utf-8")
