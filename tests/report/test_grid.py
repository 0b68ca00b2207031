"""Large tables for a terminal look as rich's own do."""

from __future__ import annotations

import io

import pytest
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.report.grid import Grid

TITLES = ("model", "score,\n%", "why")
ROWS = [
    ("mlp(width=8)", "91.25", "it was the first"),
    ("日本語", "7.5", "wide characters count twice"),
    ("", "100", "a-word-that-is-far-too-long-for-a-narrow-column and more"),
]


def printed(what: object, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(what)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def grid() -> Grid:
    found = Grid(TITLES, (False, True, False))
    for row in ROWS:
        found.add(row)
    return found


def of_rich() -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for title, right in zip(TITLES, (False, True, False), strict=True):
        table.add_column(title, justify="right" if right else "left", no_wrap=right, overflow="fold")
    for row in ROWS:
        table.add_row(*map(Text, row))
    return table


@pytest.mark.parametrize("width", [200, 83, 60, 45, 30])
def test_a_grid_looks_as_a_table_of_rich(width: int) -> None:
    assert printed(grid(), width) == printed(of_rich(), width)
    assert len(grid()) == 3


def test_rows_may_have_a_style() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="standard")
    styled = Grid(("a", "b"), (False, False))
    styled.add(("one", "two"), "cyan")
    console.print(styled)
    header, _, row = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert header == "\x1b[1ma     b  \x1b[0m"
    assert row == "\x1b[36mone   two\x1b[0m"
