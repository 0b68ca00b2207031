"""Show recommendations as a table with sentences, or as JSON."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from harness.report.comparison import signed
from harness.results.cascade import told as cascade_told
from harness.results.intervals import SIGNIFICANT
from harness.results.recommend import Advice, Candidate, forms_of
from harness.storage.files import dumps
from harness.wording import amount, printable, significant, size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Group

    from harness.results.ranking import Row


def to_json(advice: Sequence[Advice]) -> str:
    """Return recommendations as JSON, with everything that the table and sentences show."""
    return dumps({"schema": 1, "tasks": [_json(each) for each in advice]}, indent=1) + "\n"


def _json(advice: Advice) -> dict[str, Any]:
    table = advice.table
    return {
        "task": {name: table.task.get(name) for name in ("name", "params", "source", "fingerprint")},
        "headline": table.headline,
        "split": advice.split,
        "candidates": advice.candidates,
        "equal": advice.equal,
        "ship": advice.chosen and _json_candidate(advice.chosen),
        "runner_up": advice.runner_up and _json_candidate(advice.runner_up),
        "difference": advice.difference and advice.difference._asdict(),
        "real": advice.difference is not None and advice.difference.p < SIGNIFICANT,
        **({"cascade": advice.cascade._asdict()} if advice.cascade else {}),
        "ruled_out": dict(advice.misses),
        "notes": list(advice.notes),
    }


def _json_candidate(candidate: Candidate) -> dict[str, Any]:
    row = candidate.row
    return {
        "role": row.role,
        **row.parts,
        "seeds": row.seeds,
        "cells": row.cells,
        "form": candidate.form._asdict(),
        "stats": {name: vars(stat) for name, stat in row.stats.items()},
        "interval": row.interval,
    }


def to_rich(advice: Sequence[Advice]) -> Group:
    """Return a table for each task, with the row to ship, its alternatives, and the reasons in sentences."""
    from rich import box
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

    parts: list[Any] = []
    for each in advice:
        parts += [Text()] if parts else []
        parts.append(
            Text(printable(f"{each.table.label}, {each.table.task.get('source')} data"), style="bold")
        )
        if each.chosen:
            grid = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
            titles, *lines = _lines(each)
            for title in titles:
                grid.add_column(title, justify="right" if title else "left", overflow="fold")
            for line in lines:
                if any(line[1:]):
                    grid.add_row(*(Text(printable(cell)) for cell in line))
            parts.append(grid)
        parts += [Text(printable(sentence)) for sentence in sentences(each)]
    return Group(*parts)


def _lines(advice: Advice) -> list[list[str]]:
    """Return the lines of a table, each with its title and a cell for each row of the leaderboard."""
    assert advice.chosen
    named = [("ship", advice.chosen.row, advice.chosen.form)]
    if advice.runner_up:
        named.append(("next best", advice.runner_up.row, advice.runner_up.form))
    if advice.teacher and all(row is not advice.teacher for _, row, _ in named):
        forms = forms_of(advice.teacher, advice.backend, advice.device)
        forms = forms or forms_of(advice.teacher, device=advice.device)
        named.append(("teacher", advice.teacher, min(forms, key=lambda form: form.p50_ms or math.inf)))
    metrics = list(dict.fromkeys([advice.table.headline, "f1_macro", "masked_accuracy"]))

    def each(show: Callable[[Row], str]) -> list[str]:
        return [show(row) for _, row, _ in named]

    def mean(name: str, show: Callable[[float], str]) -> list[str]:
        return each(lambda row: show(row.stats[name].mean) if name in row.stats else "")

    def interval(row: Row) -> str:
        return "–".join(_score(advice, end) for end in row.interval) if row.interval else ""

    lines = [["", *(name for name, _, _ in named)], ["role", *each(lambda row: row.role)]]
    for part in ("student", "teacher", "augmenter", "loss"):
        lines.append([part, *each(lambda row, part=part: row.labels[part])])  # type: ignore[misc]
    for metric in metrics:
        for split, prefix in (("validation", "validation_"), ("test", "")):
            unit = "" if advice.table.lower_is_better(metric) else ", %"
            show = significant if advice.table.lower_is_better(metric) else _percent
            lines.append([f"{split} {advice.table.title(metric)}{unit}", *mean(prefix + metric, show)])
        if metric == advice.table.headline:
            lines.append(["  95 % interval", *each(interval)])
    return [
        *lines,
        ["parameters", *mean("parameters_total", amount)],
        ["shipped as", *(form.backend for _, _, form in named)],
        ["p50, ms", *("" if form.p50_ms is None else significant(form.p50_ms) for _, _, form in named)],
        ["size", *("" if form.size_bytes is None else size(form.size_bytes) for _, _, form in named)],
        ["train, s", *mean("cost_train_s", significant)],
    ]


def _score(advice: Advice, value: float) -> str:
    return _percent(value) if advice.table.is_share(advice.table.headline) else significant(value)


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def sentences(advice: Advice) -> list[str]:
    """Return the reasons for the chosen row, as sentences."""
    rows = sum(1 for row in advice.table.rows if advice.table.headline in row.stats)
    ruled = ", ".join(f"{count} by {limit}" for limit, count in advice.misses)
    out = f" (outside: {ruled})" if ruled else ""
    if advice.chosen is None:
        return [f"none of {rows} rows is within the limits{out}", *advice.notes]
    of = f"{advice.candidates} of {rows} rows within the limits{out}"
    told = [f"chosen by the score on the {advice.split} split, among {of}"]
    if advice.equal > 1:
        best = "is best" if advice.table.lower_is_better() else "scores highest"
        told.append(
            f"{advice.equal} rows count as equally good: they are close to the best, and tests do not tell "
            f"them apart; of the fastest among them, this one {best}"
        )
    if gap := advice.difference:
        percent = not advice.table.lower_is_better() and abs(gap.value) <= 1
        unit = " points" if percent else ""
        value, low, high = (signed(each, percent) for each in (gap.value, gap.low, gap.high))
        real = "this is hardly chance" if gap.p < SIGNIFICANT else "this may be chance"
        told.append(
            f"next best minus chosen, {advice.table.title(advice.table.headline)} on the test split: "
            f"{value}{unit} (95 % interval {low} to {high}); {real} (p = {gap.p:.2g})"
        )
    if advice.cascade is not None:
        told.append(f"with its teacher, on test: {cascade_told(advice.cascade)}")
    return [*told, *advice.notes]
