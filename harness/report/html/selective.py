"""Draw the error among the texts that a row's model answers, by how many of them it answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.report.html.figures import Json, axis, layout
from harness.report.html.look import Look, pair
from harness.report.html.sections import Entry, Section
from harness.runtime.calibration import RISKS, abstains
from harness.runtime.risk import curve, observed, thresholds, within

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.task_types.base import Prediction

    Judged = tuple[NDArray[np.float64], NDArray[np.bool_]]  # confidences, and which answers are wrong


def selective(
    section: Section, predictions: Mapping[str, Prediction], validation: Mapping[str, Prediction]
) -> Look:
    """Return the look at the risk and coverage of rows of classifiers, on the test split.

    The points of RISKS have thresholds that were chosen on the validation split, for each seed; they are left
    out if a seed cannot keep the risk.
    """
    style = {
        "type": "scatter",
        "mode": "lines+markers+text",
        "textposition": "top left",
        "cliponaxis": False,
        "hovertemplate": "%{x:.1f} % of texts answered, %{y:.2f} % of answers wrong"
        "%{customdata}<extra></extra>",
    }
    return Look(
        id=f"{section.slug}-selective",
        title="Error among sure answers",
        note="The surest texts are answered first. Points are what --abstain answers if an error of "
        f"{', '.join(f'{100 * risk:g}' for risk in RISKS)} % is allowed; the validation split gave the "
        "thresholds.",
        styles=pair(style),
        fixed=[],
        layout=layout(
            axis("texts answered, %", range=[0, 101]), axis("wrong among answers, %", rangemode="tozero")
        ),
        head=("texts answered, %", "wrong among answers, %", "about"),
        keys=("x", "y", "customdata"),
        series=[_series(entry, predictions, validation) for entry in section.entries],
    )


def _series(
    entry: Entry, predictions: Mapping[str, Prediction], validation: Mapping[str, Prediction]
) -> Json | None:
    cells = [cell for record in entry.records if (cell := record["cell"]) in predictions]
    if not cells or not abstains(predictions[cells[0]].task_type):
        return None
    tested = [_judged(predictions[cell]) for cell in cells]
    pooled = curve(np.concatenate([one[0] for one in tested]), np.concatenate([one[1] for one in tested]))
    if not pooled:
        return None
    held = [_judged(validation[cell]) for cell in cells if cell in validation]
    shown: list[tuple[Any, ...]] = [(*point, "", "", 0) for point in pooled]
    for risk, coverage, error in _points(held, tested) if len(held) == len(tested) else ():
        allowed = f"{100 * risk:g} %"
        shown.append((None, None, "", "", 0))  # no line to the point
        shown.append((coverage, error, allowed, f", with {allowed} allowed", 11))
    x, y, text, about, sizes = map(list, zip(*shown, strict=True))
    return {
        "x": [None if share is None else round(100 * share, 2) for share in x],
        "y": [None if share is None else round(100 * share, 2) for share in y],
        "text": text,
        "customdata": about,
        "marker": {"size": sizes},
    }


def _points(held: Sequence[Judged], tested: Sequence[Judged]) -> Iterator[tuple[float, float, float]]:
    """Yield each risk that all seeds can keep, with the mean of their coverages and errors on test."""
    known = [thresholds(*one) for one in held]
    for risk in RISKS:
        chosen = [within(points, risk) for points in known]
        found = [
            observed(*one, point.threshold)
            for one, point in zip(tested, chosen, strict=True)
            if point is not None
        ]
        errors = [error for _, error in found if error is not None]
        if found and len(errors) == len(known):
            yield risk, fmean(coverage for coverage, _ in found), fmean(errors)


def _judged(one: Prediction) -> Judged:
    """Return the confidence in each answer to a text with a gold label, and whether the answer is wrong."""
    known = one.gold >= 0
    return one.confidence[known].astype(np.float64), one.predicted[known] != one.gold[known]
