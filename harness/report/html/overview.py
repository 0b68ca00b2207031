"""Write the overview of all suites in a folder of results: ``index.html`` and ``README.md``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from harness import __version__
from harness.api import HarnessError
from harness.report.html.page import policy, static, template, trusted
from harness.report.html.sections import Section, sections
from harness.report.leaderboard import build, markdown, printable
from harness.results.board import Leaderboard
from harness.results.record import Record, read
from harness.storage.files import contents, publish

MARK = "<!-- written by harness, and anew by every run -->"
TITLES = ("task", "teacher", "score", "best student", "score", "gain", "parameters")


@dataclass(frozen=True)
class Suite:
    """The results of a suite, with a line for each task."""

    name: str
    folder: str  # its name, quoted for a link
    summary: str
    rows: tuple[tuple[str, ...], ...]  # under TITLES


Known = Mapping[str, tuple[Leaderboard, Sequence[Record]]]  # by folder: what it contains


def suites(results: Path, known: Known | None = None) -> list[Suite]:
    """Return the suites with records in a folder, by name; for damaged records, the summary is the error.

    The records in `known` folders are not read again.
    """
    found = []
    for path in sorted(results.glob("*/records.jsonl")):
        folder = path.parent.name
        link = quote(os.fsencode(folder))
        try:
            board, records = known[folder] if known and folder in known else _read(path)
        except HarnessError as error:
            found.append(Suite(printable(folder), link, printable(str(error)), ()))
            continue
        ok = sum(record["status"] == "ok" for record in records)
        of = f"{ok:,}" if ok == len(records) else f"{ok:,} of {len(records):,}"
        rows = tuple(map(_row, sections(board, records)))
        tables = f"{len(rows)} table{'' if len(rows) == 1 else 's'}"
        found.append(Suite(printable(folder), link, f"{of} cells measured, {tables}", rows))
    return found


def _read(path: Path) -> tuple[Leaderboard, Sequence[Record]]:
    records = read(path)
    return build(records), records


def _row(section: Section) -> tuple[str, ...]:
    teacher, best = section.first("teacher"), section.first("distilled") or section.first("baseline")
    headline, unit = section.table.headline, " %" if section.percent else ""

    def score(entry: object) -> str:
        return section.shown(entry, headline) + unit if entry else ""  # type: ignore[arg-type]

    gain = "" if best is None or best.row.gain is None else best.row.gain * (100 if section.percent else 1)
    return (
        section.title,
        teacher.model if teacher else "",
        score(teacher),
        best.label if best else "",
        score(best),
        f"{gain:+.1f}" if gain != "" else "",
        section.shown(best, "parameters_total") if best else "",
    )


def to_html(found: Sequence[Suite]) -> str:
    """Return a page with links to the pages of all suites."""
    return str(
        template("overview.html").render(
            mark=trusted(MARK),
            policy=policy(),
            version=__version__,
            style=trusted(static("page.css")),
            suites=found,
            titles=TITLES,
        )
    )


def to_markdown(found: Sequence[Suite]) -> str:
    """Return the overview as Markdown, with links to the tables of all suites."""
    lines = ["# Results", "", MARK, ""]
    for suite in found:
        lines += [
            f"## [{markdown(suite.name)}]({suite.folder}/leaderboard.md)",
            "",
            markdown(suite.summary),
            "",
        ]
        if suite.rows:
            lines += [_line(TITLES), "|---|---|---:|---|---:|---:|---:|", *map(_line, suite.rows), ""]
    lines.append(
        "Each folder has `leaderboard.md`, `.csv` and `.tex` and `records.jsonl`; `harness report` makes"
    )
    lines.append("`index.html`, which is too large to be kept here, and the charts.")
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(markdown(cell) or '—' for cell in cells)} |"


def write(results: Path, known: Known | None = None) -> None:
    """Write both files into the folder, but do not replace files that the harness did not write."""
    found = suites(results, known)
    for name, text in (("index.html", to_html(found)), ("README.md", to_markdown(found))):
        if _ours(results / name):
            publish(results / name, text)


def _ours(path: Path) -> bool:
    try:
        return MARK.encode() in contents(path, 2000)
    except FileNotFoundError:
        return True
    except OSError:
        return False
