"""Draw the figure that compares the latencies of two rows, by runtime."""

from __future__ import annotations

import math
from collections import defaultdict

from harness.report.html.figures import Json, axis, layout, log_axis
from harness.report.html.look import Look
from harness.report.html.sections import Entry, Section
from harness.report.leaderboard import printable
from harness.results.record import Latency

_MOST = 3  # measurements that are named in a sentence


def timing(section: Section) -> Look:
    """Return the figure of the median time from one text to its label, for each measured runtime."""
    series = [_series(entry) for entry in section.entries]
    most = max((len(one["y"]) for one in series if one), default=0)
    style = {
        "type": "scatter",
        "mode": "markers",
        "cliponaxis": False,
        "hovertemplate": "<b>%{y}</b><br>%{x:.3g} ms<extra></extra>",
    }
    muted = {"color": "@muted", "size": 10, "symbol": "line-ns", "line": {"width": 3, "color": "@muted"}}
    return Look(
        id=f"{section.slug}-timing",
        title="How fast it answers",
        note="Median time from one text to its label, tokenisation included, by runtime and threads."
        + _disturbed(section),
        styles=({**style, "marker": {"color": "@row", "size": 12}}, {**style, "marker": muted}),
        fixed=[],
        layout=layout(
            log_axis("ms", [x for one in series if one for x in one["x"]] or [1.0]),
            axis(type="category", autorange="reversed"),
            height=180 + 40 * most,
        ),
        head=("runtime", "p50, ms", "p90, ms", "p99, ms", "of it tokenising, ms"),
        keys=("y", "x", "customdata.0", "customdata.1", "customdata.2"),
        series=series,
    )


def _series(entry: Entry) -> Json | None:
    """Return each runtime with its percentiles, as means over seeds; the fastest comes first."""
    runs = _runs(entry)
    if not runs:
        return None
    rows = [
        (name, *(_mean(several, key) for key in ("p50_ms", "p90_ms", "p99_ms", "tokenising_ms")))
        for name, several in runs.items()
    ]
    rows.sort(key=lambda row: (row[1] or math.inf, row[0]))
    return {
        "x": [row[1] for row in rows],
        "y": [row[0] for row in rows],
        "customdata": [row[2:] for row in rows],
    }


def _runs(entry: Entry) -> dict[str, list[Latency]]:
    """Return the measurements of each runtime; disturbed ones only if there are no others."""
    runs: dict[str, list[Latency]] = defaultdict(list)
    for record in entry.records:
        for run in record.get("latency") or []:
            if run["batch"] == 1 and run.get("p50_ms", 0) > 0:
                runs[_name(run)].append(run)
    return {name: [run for run in all_ if "disturbed" not in run] or all_ for name, all_ in runs.items()}


def _disturbed(section: Section) -> str:
    """Return a sentence with the measurements that other programs disturbed, or an empty string."""
    every = {
        f"{entry.label} by {name}": "disturbed" in runs[0]
        for entry in section.entries
        for name, runs in _runs(entry).items()
    }
    found = [name for name, disturbed in every.items() if disturbed]
    if not found:
        return ""
    if len(found) == len(every) > 1:
        return " Other programs slowed all these measurements: the true times are shorter."
    more = f"; and {len(found) - _MOST} more" if len(found) > _MOST else ""
    return f" Slowed by other programs: {'; '.join(found[:_MOST])}{more}."


def _name(run: Latency) -> str:
    where = "" if run["device"] == "cpu" else f" on {run['device']}"
    return printable(f"{run['backend']}{where}, {run['threads']} thread{'s' if run['threads'] > 1 else ''}")


def _mean(runs: list[Latency], key: str) -> float | None:
    """Return the mean of a number, or None if a run lacks it, e.g. a percentile of too few texts."""
    values = [dict(run).get(key) for run in runs]
    known = [float(value) for value in values if isinstance(value, int | float)]
    return float(f"{math.fsum(known) / len(known):.4g}") if len(known) == len(values) else None
