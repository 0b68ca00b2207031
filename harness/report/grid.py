"""Lay out large tables for a terminal. They look as those of rich do, which takes a millisecond a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.segment import Segment

_GAP = " " * 3  # between two columns


class Grid:
    """A table that rich can print: titles, a line, and rows of texts.

    If a table is too wide, its widest columns are made narrower, and their texts continue on further lines.
    Titles may have several lines. Numeric columns are aligned to the right, and are never made narrower.
    """

    def __init__(self, titles: Sequence[str], numeric: Sequence[bool]) -> None:
        self._titles = titles
        self._numeric = numeric
        self._rows: list[tuple[Sequence[str], str]] = []

    def add(self, row: Sequence[str], style: str = "") -> None:
        """Add a row, with a style of rich for all of it."""
        self._rows.append((row, style))

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        """Yield the lines, for rich."""
        from rich.segment import Segment

        known: dict[tuple[str, int], list[str]] = {}
        widths = self._widths(options.max_width)

        def lines(row: Sequence[str], style: str, last: int = 0) -> Iterator[Segment]:
            found = []
            for cell, width in zip(row, widths, strict=True):
                if (cell, width) not in known:
                    known[cell, width] = _wrapped(cell, width, console)
                texts = known[cell, width]
                found.append([""] * (last - len(texts)) + texts)
            drawn = console.get_style(style) if style else None
            for pieces in zip_longest(*found, fillvalue=""):
                cells = zip(pieces, widths, self._numeric, strict=True)
                yield Segment(_GAP.join([_placed(*cell) for cell in cells]), drawn)
                yield Segment.line()

        titles = [_wrapped(title, width, console) for title, width in zip(self._titles, widths, strict=True)]
        yield from lines(self._titles, "bold", max(map(len, titles)))  # short titles are next to the line
        yield Segment("─" * (sum(widths) + len(_GAP) * (len(widths) - 1)))
        yield Segment.line()
        for row, style in self._rows:
            yield from lines(row, style)

    def _widths(self, room: int) -> list[int]:
        """Return the width of each column, so that a row fits into `room` characters if possible."""
        columns = zip(self._titles, *(row for row, _ in self._rows), strict=True)
        widths = [
            max(_length(line) for cell in set(column) for line in cell.split("\n")) for column in columns
        ]
        room -= len(_GAP) * (len(widths) - 1)
        flexible = [place for place, numeric in enumerate(self._numeric) if not numeric]
        while sum(widths) > room and flexible and max(widths[place] for place in flexible) > 1:
            widest = max(flexible, key=lambda place: widths[place])
            widths[widest] -= 1
        return widths


def _length(text: str) -> int:
    """Return the number of places that a text takes in a terminal."""
    from rich.cells import cell_len

    return len(text) if text.isascii() else cell_len(text)


def _placed(text: str, width: int, numeric: bool) -> str:
    space = " " * (width - _length(text))
    return space + text if numeric else text + space


def _wrapped(cell: str, width: int, console: Console) -> list[str]:
    """Return a cell's text in lines of at most `width` places, broken at spaces where possible."""
    if "\n" not in cell and _length(cell) <= width:
        return [cell]
    from rich.text import Text

    return [line.plain.rstrip() for line in Text(cell).wrap(console, width, overflow="fold")]
