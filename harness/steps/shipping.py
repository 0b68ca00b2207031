"""Time the forms of an export in turn, and rank those that may answer unless a user names one.

A form is worth its other answers, or its larger dependencies, only if it is faster than plainer ones on the
machine that made it. So each form is timed beside the others, on one text and on many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.runtime.exported import Exported
from harness.runtime.forms import TABLES
from harness.steps import clock
from harness.wording import significant

if TYPE_CHECKING:
    from harness.api import Model

TURNS = 3  # measurements of each form, in turn with the others
SINGLE_S, TOGETHER_S = 0.04, 0.05  # seconds of each measurement, for single texts and for all at once
MARGIN = 1.1  # times as fast as a plainer form, so that noise does not decide
CHANGED = 0.01  # largest share of the predictions that a form may change
LOST = 0.005  # largest loss of the score
RISEN = 0.025  # largest rise of the mean negative log-likelihood of hidden tokens, in nats
_PLAIN = (*TABLES, "onnx")  # from the plainest on; their answers are the model's own


class Ranking(NamedTuple):
    """The forms that may answer, the best first, and why the first one is best."""

    order: list[str]
    why: str


def timed(forms: Mapping[str, Model], queries: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return for each form `p50_ms`, for one text, and `samples_per_s`, for many: medians over the turns."""
    runs: dict[str, list[tuple[float, float]]] = {form: [] for form in forms}
    for turn in range(TURNS):
        for form, model in forms.items():
            warm_up = 0 if turn else 4
            ask, answer = _asked(model)
            single = clock.single_stream(ask, queries, SINGLE_S, fewest=8, warm_up=warm_up)
            each_s = single["mean_ms"] / 1e3
            together = clock.offline(answer, queries, TOGETHER_S, each_s, warm_up=0)
            speed = 1 / each_s if together is None else together["samples_per_s"]
            runs[form].append((single["p50_ms"], speed))
    return {
        form: {
            "p50_ms": round(median(single for single, _ in found), 5),
            "samples_per_s": round(median(speed for _, speed in found), 1),
        }
        for form, found in runs.items()
    }


def _asked(model: Model) -> tuple[Any, Any]:
    if isinstance(model, Exported):
        return model.short, model.decided
    return (lambda text: model.predict([text])), model.predict


def ranked(reports: Mapping[str, Mapping[str, Any]]) -> Ranking:
    """Rank forms by their reports: those of a task type's parity, with the times of :func:`timed`.

    The plainest form is first, unless another one is faster and has nearly the same answers. The speed of a
    form is the geometric mean of its speeds on one text and on many.
    """
    able = [form for form, report in reports.items() if "p50_ms" in report]
    able.sort(key=lambda form: _PLAIN.index(form) if form in _PLAIN else len(_PLAIN))
    if not able:
        return Ranking([], "")
    held_back = {form: why for form in able if form not in _PLAIN and (why := differs(reports[form]))}
    order: list[str] = []
    for form in able:
        if form not in held_back:
            place = len(order)
            while place and _speed(reports[form]) >= MARGIN * _speed(reports[order[place - 1]]):
                place -= 1
            order.insert(place, form)
    first = order[0]
    told = [
        f"'{form}' {held_back[form]}"
        if form in held_back
        else f"'{form}' is {significant(_speed(reports[form]) / _speed(reports[first]))} times as fast"
        for form in able
        if form != first
    ]
    own = reports[first]
    why = (
        f"'{first}' answers by default: {significant(own['p50_ms'])} ms for one text, "
        f"{own['samples_per_s']:,.0f} texts/s in batches"
    )
    return Ranking(order, "; ".join([why, *told]))


def _speed(report: Mapping[str, Any]) -> float:
    return float((report["samples_per_s"] / max(report["p50_ms"], 1e-9)) ** 0.5)


def differs(report: Mapping[str, Any]) -> str:
    """Return why a form may not answer by default; "" if it may."""
    changed = report["changed"] / max(1, report.get("outputs", report["texts"]))
    if changed > CHANGED:
        return f"changes {100 * changed:.1f} % of the answers (more than {100 * CHANGED:.0f} %)"
    if report.get("lost", 0) > LOST:
        return f"loses {100 * report['lost']:.1f} points (more than {100 * LOST:.1f})"
    if report.get("risen", 0) > RISEN:
        return f"raises the negative log-likelihood by {report['risen']:.3f} nats (more than {RISEN})"
    return ""
