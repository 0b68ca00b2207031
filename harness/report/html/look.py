"""A look: a figure without its data, of which each row brings one trace's worth.

So the page can show any row beside any other from little more than their numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.report.html.figures import Chart, Json
from harness.report.html.sections import Entry


@dataclass(frozen=True)
class Look:
    """A figure to be filled: ``styles`` of the row's trace and, where there are two, of the other row's.

    ``series`` holds each entry's data by index, None where it has none. ``keys`` are the columns of its
    table: paths into a trace, such as "x" or "customdata.0"; none means that the trace is a matrix.
    """

    id: str
    title: str
    note: str
    styles: tuple[Json, ...]
    fixed: list[Json]
    layout: Json
    head: tuple[str, ...]
    keys: tuple[str, ...]
    series: list[Json | None]

    def chart(self, row: Entry, other: Entry | None) -> Chart | None:
        """The chart of one row beside another: what the page draws, too."""
        if self.series[row.index] is None:
            return None
        data = list(self.fixed)
        shown = [row, other] if other and other.index != row.index else [row]
        for style, entry in zip(self.styles, shown, strict=False):
            series = self.series[entry.index]
            if series is not None:
                trace = dressed(style, entry) | series | {"name": entry.label}
                trace["marker"] = dressed(style, entry).get("marker", {}) | series.get("marker", {})
                data.append(trace)
        return Chart(self.id, self.title, self.note, data, self.layout, self.head, [])


def dressed(style: Any, entry: Entry) -> Any:
    """A style with the colour of the entry's student in the place of "@row"."""
    if isinstance(style, Mapping):
        return {key: dressed(value, entry) for key, value in style.items()}
    if isinstance(style, list):
        return [dressed(value, entry) for value in style]
    return entry.colour if style == "@row" else style


def pair(style: Json) -> tuple[Json, Json]:
    """The style in the student's own colour, and in the muted one of what it is held against."""
    marker = style.get("marker", {})
    own, other = (
        {**style, "line": {"color": colour, "width": width}, "marker": {**marker, "color": colour}}
        for colour, width in (("@row", 2.5), ("@muted", 1.5))
    )
    return own, other
