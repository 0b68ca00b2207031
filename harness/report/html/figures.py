"""Figures as plotly.js takes them: plain JSON, drawn by the page and by the export to SVG alike.

In a figure, strings under DATA are data and stand there as they are; :func:`painted` escapes them for plotly,
which reads its texts as a kind of HTML, and puts a theme's colours in the place of "@ink" and its like.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

DATA = frozenset({"x", "y", "text", "name", "customdata", "legendgroup", "categoryarray", "ticktext"})
THEMES: dict[str, dict[str, str]] = {
    "light": {"@ink": "#1b1f24", "@muted": "#6b7480", "@grid": "#e3e6ea", "@surface": "#ffffff"},
    "dark": {
        "@ink": "#e8eaed",
        "@muted": "#98a1ac",
        "@grid": "#30363d",
        "@surface": "#171b21",
        "#0072B2": "#2b8ed8",
    },
}
HEIGHT = 400  # of a chart, where it says nothing else
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
HOVER = "<b>%{customdata[0]}</b><br>%{customdata[1]}<br>%{customdata[2]}<extra></extra>"


@dataclass(frozen=True)
class Chart:
    """A figure, what it says, and the table of the same numbers."""

    id: str  # unique on the page
    title: str
    note: str
    data: list[Json]
    layout: Json
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    @property
    def figure(self) -> Json:
        """As plotly.js takes it, once painted."""
        return {"data": self.data, "layout": self.layout}


def painted(value: Any, theme: str = "light", data: bool = False) -> Any:
    """A figure with its data's strings escaped and its colours filled in."""
    if isinstance(value, str):
        if data:
            return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return THEMES[theme].get(value, value)
    if isinstance(value, Mapping):
        plain = {"data": False, "layout": False}
        return {
            key: painted(item, theme, plain.get(key, data or key in DATA) if isinstance(key, str) else data)
            for key, item in value.items()
        }
    return [painted(item, theme, data) for item in value] if isinstance(value, list | tuple) else value


def axis(title: str = "", **options: Any) -> Json:
    """An axis with its title beside it, quiet lines and room for its labels."""
    return {
        "title": {"text": title, "standoff": 8},
        "automargin": True,
        "gridcolor": "@grid",
        "linecolor": "@grid",
        "zeroline": False,
        **options,
    }


def log_axis(title: str, values: Sequence[float]) -> Json:
    """A logarithmic axis of values above 0: powers of ten, or where there are few between them 1, 2 and 5."""
    low, high = math.log10(min(values)), math.log10(max(values))
    room = max(0.08 * (high - low), 0.1)  # for names beside points
    low, high = low - room, high + room
    powers = range(math.floor(low), math.ceil(high) + 1)
    for steps in ((1,), (1, 2, 5), tuple(range(1, 10)), tuple(n / 10 for n in range(10, 100))):
        ticks = [step * 10.0**power for power in powers for step in steps]
        ticks = [tick for tick in ticks if low <= math.log10(tick) <= high]
        if len(ticks) > 2:
            break
    ticks = ticks[:: math.ceil(len(ticks) / 9)]
    labels = {"tickvals": ticks, "ticktext": [_short(tick) for tick in ticks]}
    return axis(f"{title} (log scale)", type="log", range=[low, high], **labels)


def _short(value: float) -> str:
    """20M, 50k, 3, 0.05."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size * 0.9999:
            return f"{value / size:.3g}{unit}"
    return f"{value:.2g}" if value >= 1e-4 else f"{value:.0e}"


def layout(x: Json, y: Json, **options: Any) -> Json:
    """What all charts share."""
    return {
        "xaxis": x,
        "yaxis": y,
        "height": HEIGHT,
        "margin": {"l": 56, "r": 16, "t": 12, "b": 48},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 13, "color": "@ink"},
        "legend": {
            "itemwidth": 44,
            "orientation": "h",
            "yanchor": "top",
            "y": -0.2,
            "x": 0,
            "font": {"size": 12},
        },
        "hoverlabel": {
            "align": "left",
            "bgcolor": "@surface",
            "bordercolor": "@muted",
            "font": {"color": "@ink"},
        },
        "hovermode": "closest",
        **options,
    }
