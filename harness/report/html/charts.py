"""Draw the charts of one table: scores against size, latency, and the number of training texts."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence

from harness.report.html.figures import HEIGHT, HOVER, Chart, Json, axis, layout, log_axis
from harness.report.html.sections import Entry, Section

MOST_LINES = 16
MOST_NAMED = 6
LONG = 30  # characters; a longer name does not fit beside a point, and takes a line of the legend
SIZES_TITLE = "texts in the transfer set"


def _alone(section: Section) -> Json:
    """Return the entry of the legend that explains open symbols."""
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [None],
        "y": [None],
        "hoverinfo": "skip",
        "name": f"open symbol: {section.alone}",
        "marker": {"symbol": "circle-open", "size": 9, "color": "@muted", "line": {"width": 2}},
    }


def of_section(section: Section) -> list[Chart]:
    """Return the charts of a table for which its rows have enough data."""
    made = (parameters(section), latency(section), transfer(section))
    return [chart for chart in made if chart is not None]


# -- costs ---------------------------------------------------------------------------------------------------


def parameters(section: Section) -> Chart | None:
    """Return the chart of the share of the teacher's score against parameters."""
    return _tradeoff(
        section,
        kind="parameters",
        title="Score by model size",
        x_title="parameters",
        value=lambda entry: entry.mean("parameters_total"),
        shown=lambda entry: f"{section.shown(entry, 'parameters_total')} parameters",
    )


def latency(section: Section) -> Chart | None:
    """Return the chart of the share of the teacher's score against the time for one text."""
    return _tradeoff(
        section,
        kind="latency",
        title="Score by latency",
        x_title="median time for one text, ms",
        value=lambda entry: entry.latency[0] if entry.latency else None,
        shown=lambda entry: f"{entry.latency[0]:.3g} ms ({entry.latency[1]})" if entry.latency else "",
    )


def _tradeoff(
    section: Section,
    kind: str,
    title: str,
    x_title: str,
    value: Callable[[Entry], float | None],
    shown: Callable[[Entry], str],
) -> Chart | None:
    relative = section.first("teacher") is not None
    points = []
    for entry in section.entries:
        x, y = value(entry), section.share(entry) if relative else section.score(entry)
        if x and x > 0 and y is not None:
            points.append((entry, x, y))
    if len(points) < 2:
        return None
    best = front([(x, y) for _, x, y in points], lower=section.lower and not relative)
    xs = [x for _, x, _ in points]
    groups: dict[tuple[str, str], list[tuple[Entry, float, float]]] = defaultdict(list)
    for point in points:
        groups[point[0].row.role, point[0].family].append(point)
    listed = {family for role, family in groups if role == "distilled"}
    data = [_front([points[i] for i in best], math.sqrt(min(xs) * max(xs)))]
    for (role, family), group in sorted(groups.items(), key=lambda item: _legend_place(*item[0])):
        said = [[e.label, sentence(section, e), shown(e), e.index] for e, _, _ in group]
        trace = _points(section, group, said) | {"mode": "markers", "legendgroup": f"{role[0]} {family}"}
        trace["name"] = group[0][0].label if role == "teacher" else family
        data.append(trace | {"showlegend": role != "baseline" or family not in listed})
    if any(role == "baseline" for role, _ in groups):
        data.append(_alone(section))
    of_teacher = f"{section.metric}, % of the teacher's"
    if section.lower:  # so that higher is better
        of_teacher = f"the teacher's {section.metric}, % of the row's"
    own = f"{section.metric}, %" if section.percent else section.metric
    on_front = {points[i][0].index for i in best}
    return Chart(
        id=f"{section.slug}-{kind}",
        title=title,
        note="The dotted line joins the best trade-offs: no other row beats them on both axes. "
        + _bars(section),
        data=data,
        layout=layout(
            log_axis(x_title, xs),
            axis(of_teacher if relative else own),
            height=HEIGHT + 24 * sum(len(t["name"]) > LONG and t.get("showlegend", True) for t in data),
        ),
        head=(
            "row",
            x_title,
            own,
            *([of_teacher.partition(", ")[2]] if relative else []),
            "best trade-off",
        ),
        rows=[
            (
                entry.label,
                shown(entry).removesuffix(" parameters"),
                section.shown(entry, section.table.headline),
                *([f"{y:.1f}"] if relative else []),
                "yes" if entry.index in on_front else "no",
            )
            for entry, x, y in sorted(points, key=lambda point: point[1])
        ],
    )


def front(points: Sequence[tuple[float, float]], lower: bool = False) -> list[int]:
    """Return the indices of the Pareto front of points (cost, score), sorted by cost.

    A point is not on the front if another one has at most its cost and a better score, or a lower cost and at
    least its score. If points are equal, the first one is taken. With ``lower``, a lower score is better.
    """
    sign = 1 if lower else -1
    found: list[int] = []
    for i in sorted(range(len(points)), key=lambda i: (points[i][0], sign * points[i][1], i)):
        if not found or sign * points[i][1] < sign * points[found[-1]][1]:
            found.append(i)
    return found


def _front(points: Sequence[tuple[Entry, float, float]], middle: float) -> Json:
    """Return the line of the front, with names where there is room; `middle` is the middle of the x axis."""
    models = [entry.model for entry, _, _ in points]
    # Of neighbours with the same name, the best one.
    named = [i for i, model in enumerate(models) if models[i + 1 : i + 2] != [model] and len(model) <= LONG]
    if len(named) > MOST_NAMED:
        named = [named[0], named[-1]]
    return {
        "type": "scatter",
        "mode": "lines+text",
        "name": "best trade-offs",
        "x": [x for _, x, _ in points],
        "y": [y for _, _, y in points],
        "line": {"shape": "hv", "color": "@muted", "width": 1.5, "dash": "dot"},
        # Wide spaces keep a distance from the points.
        "text": [
            f"\u2003{entry.model}\u2003" if i in named else "" for i, (entry, _, _) in enumerate(points)
        ],
        "textposition": ["bottom right" if x < middle else "middle left" for _, x, _ in points],
        "textfont": {"size": 12, "color": "@ink"},
        "hoverinfo": "skip",
        "cliponaxis": False,
    }


def _marker(entry: Entry) -> Json:
    """Return a marker in the student's colour and symbol, open for a baseline; a star for a teacher."""
    if entry.row.role == "teacher":
        return {"symbol": "star", "size": 14, "color": "@ink"}
    alone = entry.row.role == "baseline"
    return {
        "symbol": entry.symbol + ("-open" if alone else ""),
        "size": 9 if alone else 10,
        "color": entry.colour,
        "line": {"width": 2 if alone else 0.75, "color": entry.colour if alone else "@surface"},
    }


def _legend_place(role: str, model: str) -> tuple[bool, str, bool]:
    """Return the sort key: teachers first, then each student before its baseline."""
    return role != "teacher", model, role != "distilled"


def _bars(section: Section) -> str:
    """Return a sentence about the error bars."""
    if any(entry.row.interval for entry in section.entries):
        return "Bars are 95 % intervals: where the score would be with other test texts and seeds."
    if any(entry.row.stats[section.table.headline].std for entry in section.entries if section.score(entry)):
        return "Bars are standard deviations over seeds."
    return ""


def _spread(section: Section, group: Sequence[tuple[Entry, float, float]]) -> Json:
    """Return error bars on the scale of the axis: 95 % intervals, or standard deviations over seeds."""
    above, below = [], []
    for entry, _, y in group:
        stat = entry.row.stats[section.table.headline]
        low, high = entry.row.interval or (stat.mean - (stat.std or 0), stat.mean + (stat.std or 0))
        # y is proportional to the mean or to its inverse, so relative errors are the same.
        scale = abs(y / stat.mean) if stat.mean else 0
        above.append(scale * (high - stat.mean))
        below.append(scale * (stat.mean - low))
    visible = any(above + below)
    bars = {"array": above, "arrayminus": below, "symmetric": False, "visible": visible}
    return {"type": "data", "thickness": 1, "width": 0, "color": group[0][0].colour, **bars}


def sentence(section: Section, entry: Entry) -> str:
    """Return the headline metric and an entry's score, as a text."""
    score = section.shown(entry, section.table.headline)
    unit = " %" if section.percent else ""
    return ", ".join(filter(None, (f"{section.metric} {score}{unit}", entry.places)))


# -- more texts ----------------------------------------------------------------------------------------------


def transfer(section: Section) -> Chart | None:
    """Return the chart of the score against the number of texts that a student learned from."""
    lines: dict[tuple[str, str, str], list[Entry]] = defaultdict(list)
    plain: list[Entry] = []
    alone: list[Entry] = []
    for entry in section.entries:
        if entry.learned_from is None or section.score(entry) is None:
            continue
        if entry.row.role == "baseline":
            alone.append(entry)
        elif entry.row.role == "distilled":
            augmenter = (entry.row.parts["augmenter"] or {}).get("name", "none")
            if augmenter == "none":
                plain.append(entry)
            else:
                lines[entry.model, entry.loss, augmenter].append(entry)
    for key, group in lines.items():
        group += [e for e in plain if (e.model, e.loss) == key[:2]]  # the start of each augmenter's line
        group.sort(key=lambda e: (e.learned_from, e.index))
    kept = sorted(lines.items(), key=lambda item: min(e.index for e in item[1]))
    kept = [item for item in kept if len({e.learned_from for e in item[1]}) > 1]
    if not kept:
        return None
    several = len({key[2] for key, _ in kept}) > 1
    losses = sorted({key[1] for key, _ in kept})
    dashes = dict(zip(losses, ("solid", "dash", "dot", "dashdot", "longdash") * len(losses), strict=False))
    data = []
    for (model, loss, augmenter), group in kept[:MOST_LINES]:
        first = group[0]
        data.append(_line(section, group, " · ".join([model, loss, *([augmenter] if several else [])])))
        data[-1]["line"] = {"color": first.colour, "dash": dashes[loss], "width": 2}
    models = {key[0] for key, _ in kept[:MOST_LINES]}
    for entry in alone:
        if entry.model in models:
            data.append(_line(section, [entry], entry.label) | {"mode": "markers", "showlegend": False})
    if models & {entry.model for entry in alone}:
        data.append(_alone(section))
    own = f"{section.metric}, %" if section.percent else section.metric
    rest = len(kept) - MOST_LINES
    drawn = [e for _, group in kept for e in group] + [e for e in alone if e.model in models]
    distinct = sorted({e.index: e for e in drawn}.values(), key=lambda e: (e.model, e.learned_from, e.index))
    return Chart(
        id=f"{section.slug}-transfer",
        title="Score by number of training texts",
        note=f"Each line is one student and loss; to the right, the augmenter adds texts. {_bars(section)}"
        + (
            f" The best {MOST_LINES} lines are drawn; the table has the other {rest} too." if rest > 0 else ""
        ),
        data=data,
        layout=layout(
            _sizes([e.learned_from for e in drawn if e.learned_from]),
            axis(own),
        ),
        head=("row", "texts", own),
        rows=[
            (e.label, f"{e.learned_from:,.0f}", section.shown(e, section.table.headline)) for e in distinct
        ],
    )


def _sizes(values: Sequence[float]) -> Json:
    """Return the axis of sizes, with a tick for each if they are few, and logarithmic if they differ much."""
    distinct = sorted(set(values))
    few = len(distinct) <= MOST_NAMED
    exact = {"tickvals": distinct, "ticktext": [f"{value:,.0f}" for value in distinct]} if few else {}
    if max(values) > 4 * min(values):
        return log_axis(SIZES_TITLE, values) | exact
    return axis(SIZES_TITLE, **exact)


def _line(section: Section, group: Sequence[Entry], name: str) -> Json:
    points = [(entry, entry.learned_from or 0.0, section.score(entry) or 0.0) for entry in group]
    said = [
        [entry.label, sentence(section, entry), f"{entry.learned_from:,.0f} texts", entry.index]
        for entry in group
    ]
    trace = _points(section, points, said) | {"mode": "lines+markers", "name": name}
    return trace | {"marker": trace["marker"] | {"size": 7}}


def _points(
    section: Section, group: Sequence[tuple[Entry, float, float]], said: Sequence[Sequence[object]]
) -> Json:
    """Return a trace of points (entry, x, y) in the style of the first entry."""
    return {
        "type": "scatter",
        "x": [x for _, x, _ in group],
        "y": [y for _, _, y in group],
        "error_y": _spread(section, group),
        "marker": _marker(group[0][0]),
        "customdata": said,
        "hovertemplate": HOVER,
        "cliponaxis": False,
    }
