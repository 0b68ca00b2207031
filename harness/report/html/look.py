"""Define a look: a figure for one or two rows, whose data are stored separately for each row.

The page can therefore compare any two rows, although each row's data are in the page only once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.report.html.figures import Chart, Json
from harness.report.html.sections import Entry


@dataclass(frozen=True)
class Look:
    """A figure without data: ``styles`` has the style of the row's trace and, if any, of the other row's.

    ``series`` has the data of each entry by index, or None. ``keys`` are the columns of the table below the
    figure, as paths into a trace such as "x" or "customdata.0"; it is empty if the trace is a matrix.
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
        """Return the chart of one row, or of two: the same that the page draws."""
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
    """Return a style with "@row" replaced by the colour of the entry's student."""
    if isinstance(style, Mapping):
        return {key: dressed(value, entry) for key, value in style.items()}
    if isinstance(style, list):
        return [dressed(value, entry) for value in style]
    return entry.colour if style == "@row" else style


def pair(style: Json) -> tuple[Json, Json]:
    """Return a style in the student's colour, and one in the muted colour for the row beside it."""
    marker = style.get("marker", {})
    own, other = (
        {**style, "line": {"color": colour, "width": width}, "marker": {**marker, "color": colour}}
        for colour, width in (("@row", 2.5), ("@muted", 1.5))
    )
    return own, other
