"""Figures as plotly.js takes them: plain JSON, drawn by the page and by the export to SVG alike.

In a figure, strings under DATA are data and stand there as they are; :func:`painted` escapes them for plotly,
which reads its texts as a kind of HTML, and puts a theme's colours in the place of "@ink" and its like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

DATA = frozenset({"x", "y", "text", "name", "customdata", "legendgroup", "categoryarray"})
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


def layout(x: Json, y: Json, **options: Any) -> Json:
    """What all charts share."""
    return {
        "xaxis": x,
        "yaxis": y,
        "height": 400,
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
