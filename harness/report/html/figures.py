"""Build figures for plotly.js as plain JSON, for the page and for the export to SVG.

Strings under the keys in DATA are data, and not escaped yet. :func:`painted` escapes them, because plotly
reads texts as a kind of HTML, and replaces "@ink" and the other names of colours with the colours of a theme.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

DATA = frozenset(
    {"x", "y", "text", "name", "customdata", "legendgroup", "categoryarray", "ticktext", "tickvals"}
)
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
HEIGHT = 400  # the default height of a chart, in pixels
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
HOVER = "<b>%{customdata[0]}</b><br>%{customdata[1]}<br>%{customdata[2]}<extra></extra>"


@dataclass(frozen=True)
class Chart:
    """A figure with a title, a note, and a table of the same numbers."""

    id: str  # unique on the page
    title: str
    note: str
    data: list[Json]
    layout: Json
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    @property
    def figure(self) -> Json:
        """Return the figure for plotly.js, before :func:`painted`."""
        return {"data": self.data, "layout": self.layout}


def painted(value: Any, theme: str = "light", data: bool = False) -> Any:
    """Return a figure with escaped data and the colours of a theme."""
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
    """Return an axis with a title, light lines, and room for its labels."""
    return {
        "title": {"text": title, "standoff": 8},
        "automargin": True,
        "gridcolor": "@grid",
        "linecolor": "@grid",
        "zeroline": False,
        **options,
    }


def names_axis(names: Sequence[str], most: int, title: str = "", **options: Any) -> Json:
    """Return an axis of names, which it shows with at most `most` characters each."""
    shown = [shortened(name, most) for name in names]
    return axis(title, type="category", tickvals=list(names), ticktext=shown, **options)


def shortened(name: str, most: int) -> str:
    """Return a name with at most `most` characters: a long one loses its middle, as ends often differ."""
    tail = most // 3
    return name if len(name) <= most else f"{name[: most - tail - 1]}…{name[-tail:]}"


def log_axis(title: str, values: Sequence[float]) -> Json:
    """Return a logarithmic axis for positive values, with ticks at powers of ten or closer if necessary."""
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
    """Return a short text for a number: "20M", "50k", "3" or "0.05"."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size * 0.9999:
            return f"{value / size:.3g}{unit}"
    return f"{value:.2g}" if value >= 1e-4 else f"{value:.0e}"


def layout(x: Json, y: Json, height: int = HEIGHT, **options: Any) -> Json:
    """Return the layout that all charts share, with these axes and options."""
    return {
        "xaxis": x,
        "yaxis": y,
        "height": height,
        "margin": {"l": 56, "r": 16, "t": 12, "b": 48},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 13, "color": "@ink"},
        "legend": {
            "itemwidth": 44,
            "orientation": "h",
            "yanchor": "top",
            "y": -60 / (height - 100),  # below the title of the x axis
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
