"""Write the leaderboard as LaTeX tables (booktabs): one ``table`` for each task and source."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from harness.report.html.sections import Section, sections
from harness.report.leaderboard import printable, provenance
from harness.results.board import Leaderboard
from harness.results.ranking import ROLES
from harness.results.record import Record

# Columns that are too much for a paper; the CSV has them.
_LEFT_OUT = frozenset({"#", "role", "size", "agreement, %", "train, s", "n"})
_TITLES = {"parameters": "params"}
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "[": "{[}",  # at the start of a line, LaTeX would read it as an argument of the previous \\
    "]": "{]}",
    "*": "{*}",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    "±": r"$\pm$",
    "·": r"$\cdot$",
    "×": r"$\times$",
    "—": "{}---{}",
    "†": r"\textdagger{}",
    "‡": r"\textdaggerdbl{}",
}


def escaped(text: str) -> str:
    """Return a text on one line, escaped so that LaTeX prints it unchanged."""
    plain = "".join(_SPECIAL.get(char, char) for char in printable(text))
    return plain.replace("--", "-{}-").replace(
        "--", "-{}-"
    )  # no ligatures to dashes; twice, because matches do not overlap


def to_latex(board: Leaderboard, records: Sequence[Record]) -> str:
    r"""Return all tables.

    They need ``\usepackage{booktabs}`` and, for quotes in names, ``\usepackage[T1]{fontenc}``.
    """
    head = [
        f"% {printable(provenance(board))}",
        r"% \usepackage[T1]{fontenc} \usepackage{textcomp} \usepackage{booktabs}",
    ]
    return "\n".join([*head, *(_table(section) for section in sections(board, records))]) + "\n"


def _table(section: Section) -> str:
    shown = [column for column in section.columns if column.title not in _LEFT_OUT]
    layout = "".join("r" if column.numeric else "l" for column in shown)
    groups = []
    # The best first within each role.
    by_role = sorted(section.entries, key=lambda entry: ROLES.index(entry.row.role))
    for _, group in groupby(by_role, key=lambda entry: entry.row.role):
        lines = []
        for entry in group:
            cells = []
            for column in shown:
                text = column.cell(entry.row)
                number = escaped(text).replace("-", "$-$") if column.numeric else escaped(text)
                cells.append(number or "---")
            lines.append(" & ".join(cells) + r" \\")
        groups.append("\n".join(lines))
    return "\n".join(
        [
            "",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escaped(f'{section.title}; {section.details}')}.}}",
            rf"\label{{tab:{section.slug}}}",
            rf"\begin{{tabular}}{{{layout}}}",
            r"\toprule",
            " & ".join(escaped(_TITLES.get(column.title, column.title)) for column in shown) + r" \\",
            r"\midrule",
            "\n\\midrule\n".join(groups),
            r"\bottomrule",
            r"\end{tabular}",
            *(rf"\par{{\footnotesize {escaped(note)}}}" for note in section.footnotes),
            r"\end{table}",
        ]
    )
