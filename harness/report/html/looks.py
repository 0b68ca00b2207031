"""Draw the figures that compare two rows in detail: classes, confusions, calibration and training.

See :mod:`harness.report.html.look`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.report.html import loose
from harness.report.html.figures import Json, axis, layout, names_axis
from harness.report.html.language import loss_parts
from harness.report.html.look import Look, pair
from harness.report.html.sections import Entry, Section
from harness.report.html.selective import selective
from harness.report.html.timing import timing
from harness.report.leaderboard import printable
from harness.task_types.label_scores import BINS

if TYPE_CHECKING:
    from harness.task_types.base import Prediction

MOST_CLASSES = 20
FEW_CLASSES = 12  # a confusion matrix has room for numbers and names
LONG, LONG_BELOW = 40, 24  # characters of a class's name beside an axis, and below one, where it is slanted
OTHERS = "(other classes)"
MOST_POINTS = 40
BLUE = "#0072B2"


def of_section(
    section: Section,
    predictions: Mapping[str, Prediction],
    validation: Mapping[str, Prediction] | None = None,
) -> list[Look]:
    """Return the looks for which at least one row has data.

    `validation` are predictions on that split, on which thresholds are chosen.
    """
    classes = _classes(section)
    bins = [_bins(entry, predictions) for entry in section.entries]
    found = [
        _per_class(section, classes),
        _confusion(section, classes),
        _reliability(section, bins),
        _confidence(section, bins),
        selective(section, predictions, validation or {}),
        _training(section, validated := _validated(section), _of_validation(section, validated)),
        _training(section, "loss", "training loss"),
        loss_parts(section),
        timing(section),
    ]
    return [look for look in found if any(series is not None for series in look.series)]


# -- classes -------------------------------------------------------------------------------------------------


def _classes(section: Section) -> list[tuple[int, str]]:
    """Return the index and name of each class to show; if there are many, those with the most errors."""
    errors: dict[int, float] = {}
    names: list[str] = []
    for entry in section.entries:
        for record in entry.records:
            of_class = loose.per_class(record)
            names = names or list(of_class)
            for i, name in enumerate(names):
                scores = of_class.get(name, {})
                missed = 1 - scores.get("recall", 0)
                errors[i] = errors.get(i, 0) + missed * scores.get("support", 0)
    worst = sorted(errors, key=lambda i: (-errors[i], i))[:MOST_CLASSES]
    return [(i, names[i]) for i in sorted(worst)]


def _some(section: Section, classes: list[tuple[int, str]]) -> str:
    entries = (loose.per_class(record) for entry in section.entries for record in entry.records)
    every = max(map(len, entries), default=0)
    return (
        f" The {len(classes)} of {every} classes with the most errors are shown."
        if every > len(classes)
        else ""
    )


def _per_class(section: Section, classes: list[tuple[int, str]]) -> Look:
    series: list[Json | None] = []
    for entry in section.entries:
        found = [of_class for record in entry.records if (of_class := loose.per_class(record))]
        if not found:
            series.append(None)
            continue

        def mean(name: str, score: str, found: list[Any] = found) -> float | None:
            values = [
                of_class[name][score] for of_class in found if of_class.get(name, {}).get(score) is not None
            ]
            return math.fsum(values) / len(values) if values else None

        scores = {s: [mean(name, s) for _, name in classes] for s in ("f1", "precision", "recall", "support")}
        series.append(
            {
                "x": [_percent(value) for value in scores["f1"]],
                "y": [name for _, name in classes],
                "customdata": [
                    [_percent(p), _percent(r), s]
                    for p, r, s in zip(scores["precision"], scores["recall"], scores["support"], strict=True)
                ],
            }
        )
    style = {
        "type": "scatter",
        "mode": "markers",
        "cliponaxis": False,
        "hovertemplate": "<b>%{y}</b>, F1 %{x:.1f} %<br>precision %{customdata[0]:.1f} %, "
        "recall %{customdata[1]:.1f} %<br>%{customdata[2]} in the test split<extra></extra>",
    }
    what, support = section.table.task_type.counted
    noun = what.partition(" ")[0]
    return Look(
        id=f"{section.slug}-classes",
        title=f"Score by {what}",
        note=f"F1 combines how many {support.partition(' ')[0]} of a {noun} are found (recall) with how many "
        f"answers are right (precision); mean over seeds.{_some(section, classes)}",
        styles=(
            {**style, "marker": {"color": "@row", "size": 12}},
            {
                **style,
                "marker": {
                    "color": "@muted",
                    "size": 10,
                    "symbol": "line-ns",
                    "line": {"width": 3, "color": "@muted"},
                },
            },
        ),
        fixed=[],
        layout=layout(
            axis("F1, %"),
            names_axis([name for _, name in classes], LONG, autorange="reversed"),
            height=_height(len(classes), 36, least=260),
        ),
        head=(noun, "F1, %", "precision, %", "recall, %", support),
        keys=("y", "x", "customdata.0", "customdata.1", "customdata.2"),
        series=series,
    )


def _confusion(section: Section, classes: list[tuple[int, str]]) -> Look:
    names = [name for _, name in classes]
    places = [i for i, _ in classes]
    few = len(classes) <= FEW_CLASSES
    rest = [OTHERS] if _some(section, classes) else []
    series: list[Json | None] = []
    for entry in section.entries:
        found = [loose.confusion(record) for record in entry.records]
        grids = [grid for grid in found if len(grid) > max(places, default=0)]
        if not grids or not places:
            series.append(None)
            continue
        counts = [[sum(grid[i][j] for grid in grids) for j in places] for i in places]
        totals = [sum(sum(grid[i]) for grid in grids) for i in places]
        if rest:
            for row, total in zip(counts, totals, strict=True):
                row.append(total - sum(row))
        shares = [
            [_percent(n / total) if total else 0 for n in row]
            for row, total in zip(counts, totals, strict=True)
        ]
        series.append({"x": [*names, *rest], "y": names, "z": shares, "customdata": counts})
    return Look(
        id=f"{section.slug}-confusion",
        title="Confusion matrix",
        note="Each row is a true class; the cells show the share of its texts that get each answer, in %, "
        "over all seeds." + _some(section, classes),
        styles=(
            {
                "type": "heatmap",
                "colorscale": [[0, "@surface"], [1, BLUE]],
                "zmin": 0,
                "zmax": 100,
                "showscale": False,
                "xgap": 1,
                "ygap": 1,
                **({"texttemplate": "%{z:.0f}"} if few else {}),
                "hovertemplate": "true class <b>%{y}</b>, answer <b>%{x}</b><br>"
                "%{z:.1f} % (%{customdata})<extra></extra>",
            },
        ),
        fixed=[],
        layout=layout(
            names_axis(
                [*names, *rest],
                LONG_BELOW,
                "answer" if few else "answer, in the order of the rows",
                showgrid=False,
                showticklabels=few,  # more names would overlap
                tickangle=-40 if len(classes) > 4 or max(map(len, names), default=0) > 12 else 0,
            ),
            names_axis(names, LONG, "true class", autorange="reversed", showgrid=False),
            height=_height(len(classes), 36),
        ),
        head=(),
        keys=(),
        series=series,
    )


def _height(count: int, each: int, least: int = 360) -> int:
    return max(least, 120 + each * count)


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 2)


# -- calibration ---------------------------------------------------------------------------------------------


def _bins(entry: Entry, predictions: Mapping[str, Prediction]) -> list[tuple[int, float, float]] | None:
    """Return, for bins of equal width, (number of answers, mean confidence, share of right answers)."""
    import numpy as np

    found = [predictions[record["cell"]] for record in entry.records if record["cell"] in predictions]
    found = [one for one in found if len(one.confidence)]  # a regression has none
    if not found:
        return None
    confidence = np.concatenate([np.asarray(one.confidence, dtype=np.float64) for one in found])
    right = np.concatenate([np.asarray(one.predicted) == np.asarray(one.gold) for one in found])
    known = np.isfinite(confidence) & (np.concatenate([one.gold for one in found]) >= 0)
    confidence, right = confidence[known], right[known]
    place = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)  # bin m is (m/15, (m+1)/15]
    counts = np.bincount(place, minlength=BINS)
    divisor = np.maximum(counts, 1)
    means = np.bincount(place, weights=confidence, minlength=BINS) / divisor
    shares = np.bincount(place, weights=right, minlength=BINS) / divisor
    return list(zip(counts.tolist(), means.tolist(), shares.tolist(), strict=True))


def _reliability(section: Section, bins: Sequence[list[tuple[int, float, float]] | None]) -> Look:
    series: list[Json | None] = []
    for of_entry in bins:
        if of_entry is None:
            series.append(None)
            continue
        filled = [one for one in of_entry if one[0]]
        total = sum(count for count, *_ in filled)
        series.append(
            {
                "marker": {"size": [round(5 + 15 * (count / total) ** 0.5, 1) for count, *_ in filled]},
                "x": [_percent(confidence) for _, confidence, _ in filled],
                "y": [_percent(right) for *_, right in filled],
                "customdata": [count for count, *_ in filled],
            }
        )
    style = {
        "type": "scatter",
        "mode": "lines+markers",
        "cliponaxis": False,
        "hovertemplate": "confidence %{x:.1f} %: %{y:.1f} % right (%{customdata} answers)<extra></extra>",
    }
    diagonal = {"x": [0, 100], "y": [0, 100], "line": {"color": "@muted", "dash": "dot", "width": 1}}
    return Look(
        id=f"{section.slug}-reliability",
        title="Calibration",
        note="How often answers are right, by how sure the model is of them. Below the dotted line, it is "
        "too sure. Larger points have more answers.",
        styles=pair(style),
        fixed=[{"type": "scatter", "mode": "lines", "hoverinfo": "skip", "showlegend": False, **diagonal}],
        layout=layout(axis("confidence, %", range=[0, 101]), axis("right, %", range=[0, 101])),
        head=("confidence, %", "right, %", "answers"),
        keys=("x", "y", "customdata"),
        series=series,
    )


def _confidence(section: Section, bins: Sequence[list[tuple[int, float, float]] | None]) -> Look:
    series: list[Json | None] = []
    for of_entry in bins:
        if of_entry is None:
            series.append(None)
            continue
        total = sum(count for count, *_ in of_entry)
        series.append(
            {
                "x": [round(100 * (i + 0.5) / BINS, 1) for i in range(BINS)],
                "y": [_percent(count / total) for count, *_ in of_entry],
                "customdata": [count for count, *_ in of_entry],
            }
        )
    style = {
        "type": "bar",
        "hovertemplate": "confidence about %{x:.0f} %: %{y:.1f} % of answers (%{customdata})<extra></extra>",
    }
    return Look(
        id=f"{section.slug}-confidence",
        title="Distribution of confidence",
        note="How sure the model is of its answers.",
        styles=({**style, "marker": {"color": "@row"}}, {**style, "marker": {"color": "@muted"}}),
        fixed=[],
        layout=layout(
            axis("confidence, %", range=[0, 101]), axis("answers, %"), barmode="group", bargap=0.15
        ),
        head=("confidence, %", "of answers, %", "answers"),
        keys=("x", "y", "customdata"),
        series=series,
    )


# -- training ------------------------------------------------------------------------------------------------


def _validated(section: Section) -> str:
    """Return the validation metric in the histories: the headline or, for some types, another one."""
    headline = f"validation_{section.table.headline}"
    if not section.table.task_type.scaled:
        return headline
    points = (point for e in section.entries for record in e.records for point in loose.history(record))
    names = {name: None for point in points for name in point if name.startswith("validation_")}
    return headline if headline in names else next(iter(names), headline)


def _of_validation(section: Section, name: str) -> str:
    own = name == f"validation_{section.table.headline}"
    metric = section.metric if own else printable(name.removeprefix("validation_").replace("_", " "))
    return f"{metric} on the validation split"


def _training(section: Section, name: str, title: str) -> Look:
    share = name == f"validation_{section.table.headline}" and section.percent
    series = [_curves(entry, name, 100 if share else 1) for entry in section.entries]
    style = {
        "type": "scatter",
        "mode": "lines+markers",
        "marker": {"size": 4},
        "hovertemplate": "%{y:.4g} after %{x:,.0f} texts (seed %{customdata})<extra></extra>",
    }
    return Look(
        id=f"{section.slug}-{'loss' if name == 'loss' else 'validation'}",
        title="Training: loss" if name == "loss" else "Training: validation",
        note="One line for each seed."
        + (" Different losses have different scales." if name == "loss" else ""),
        styles=pair(style),
        fixed=[],
        layout=layout(
            axis("texts seen", exponentformat="SI", rangemode="tozero"),
            axis(f"{title}, %" if share else title),
        ),
        head=("texts seen", title, "seed"),
        keys=("x", "y", "customdata"),
        series=series,
    )


def _curves(entry: Entry, name: str, scale: float) -> Json | None:
    """Return the curves of all seeds as one trace, with gaps between them."""
    found: Json = {"x": [], "y": [], "customdata": []}
    for record in entry.records:
        points = [
            (x, y)
            for point in loose.history(record)
            if (x := loose.number(point.get("examples"))) is not None
            and (y := loose.number(point.get(name))) is not None
        ]
        if len(points) < 2:
            continue
        for gap in [None] if found["x"] else []:
            for values in found.values():
                values.append(gap)
        for x, y in loose.thinned(points, MOST_POINTS):
            found["x"].append(int(x))
            found["y"].append(float(f"{scale * y:.5g}"))
            found["customdata"].append(record["seed"])
    return found if found["x"] else None
