"""Add confidence intervals, ranges of ranks, and tests of gains to a table, from predictions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.results.ranking import Row, Table, own_baseline, references

if TYPE_CHECKING:
    from harness.results.statistics import Estimates
    from harness.task_types.base import Prediction

SIGNIFICANT = 0.05
COMPARED = 1_000  # rows of a table that are compared, the best ones: a matrix of all pairs has R² numbers
_CLOSE = 1e-4  # relative; predictions whose score differs more from the recorded one are of another run


def attach(table: Table, predictions: Mapping[str, Prediction]) -> Table:
    """Return the table with intervals, ranges of ranks and tests of gains, or with a note why it has none."""
    from harness.results.statistics import holm, holm_pairs

    scored = [row for row in table.rows if row.rank is not None]
    if not scored:
        return table
    every, scored = len(scored), scored[:COMPARED]
    held = [held_by(row, predictions) for row in scored]
    sign = -1 if table.lower_is_better() else 1
    best = references(table.rows, table.headline, sign)
    new: dict[int, Row] = {}
    gains = []
    why = ""
    for scale in dict.fromkeys(map(scale_of, held)):  # most tables have only one
        group = [(row, cells) for row, cells in zip(scored, held, strict=True) if scale_of(cells) == scale]
        found = estimates(table.headline, [row for row, _ in group], [cells for _, cells in group], scored)
        if isinstance(found, str):
            why = why or found
            continue
        which, estimated = found
        at = {
            id(group[index][0]): place for place, index in enumerate(which)
        }  # row → its index in `estimated`
        p = holm_pairs(estimated.p_values(), len(estimated.values) + every - len(scored))
        ahead = sign * (estimated.values[:, None] - estimated.values[None, :]) > 0
        beats = (p < SIGNIFICANT) & ahead  # (R, R)
        for row, _ in group:
            if (place := at.get(id(row))) is None:
                continue
            new[id(row)] = replace(
                row,
                interval=estimated.interval(place),
                places=(1 + int(beats[:, place].sum()), len(scored) - int(beats[place].sum())),
            )
            baseline = own_baseline(row, best) if row.role == "distilled" else None
            if baseline is not None and id(baseline) in at:
                pair = (place, at[id(baseline)])
                gains.append((row, estimated.compare(*(pair if sign > 0 else pair[::-1]))))
    rest = sum(row.role == "distilled" for row in table.rows if row.rank is not None) if gains else 0
    corrected = holm([gain.p for _, gain in gains], rest if every > len(scored) else None)
    for (row, gain), likely in zip(gains, corrected, strict=True):
        new[id(row)] = replace(new[id(row)], gain_interval=(gain.low, gain.high), gain_p=float(likely))
    if not new:
        note = f"no intervals: {why}"
    elif missing := len(scored) - len(new):
        note = f"{missing} of {len(scored)} rows have no interval: their predictions are missing"
    else:
        note = ""
    some = ""
    if every > len(scored):
        some = (
            f"intervals, ranges of ranks and tests are for the best {len(scored):,} of {every:,} rows, "
            "with the correction for all of them"
        )
    notes = dict.fromkeys(filter(None, (table.note, note, some)))
    return replace(table, rows=tuple(new.get(id(row), row) for row in table.rows), note="; ".join(notes))


def scale_of(cells: Sequence[Prediction] | None) -> str:
    """Return the scale of a row's predictions; only rows with the same scale can be compared."""
    return cells[0].scale if cells else ""


def held_by(row: Row, predictions: Mapping[str, Prediction]) -> list[Prediction] | None:
    """Return the predictions of all seeds of a row, or None if one is missing."""
    found = [predictions[cell] for cell in row.cells if cell in predictions]
    return found if found and len(found) == len(row.cells) else None


def estimates(
    metric: str, rows: Sequence[Row], held: Sequence[list[Prediction] | None], among: Iterable[Row] = ()
) -> tuple[list[int], Estimates] | str:
    """Return the indices of the rows with usable predictions, and their estimates; or why there are none.

    `among` are more rows of the same table, which show how much scores vary between seeds.
    Predictions are not used if they are for other texts than the first row's, or if the score that follows
    from them is not the recorded one.
    """
    from harness.results.predictions import FILE, digest
    from harness.results.statistics import Pool, estimate, metrics_of

    shown = {id(row): row.stats[metric] for row in (*among, *rows) if metric in row.stats}
    pool = Pool.of((stat.std, stat.n) for stat in shown.values())
    which: list[int] = []
    examples: str | None = None
    for index, cells in enumerate(held):
        if not cells:
            continue
        if metric not in metrics_of(cells[0]):
            return f"'{metric}' cannot be had from predictions"
        found = {digest(one) for one in cells}
        examples = examples or min(found)
        if found == {examples}:
            which.append(index)
    while which:
        estimated = estimate(metric, [held[index] or [] for index in which], pool=pool)
        fits = [
            abs(value - (mean := rows[index].stats[metric].mean)) <= _CLOSE * max(1, abs(mean))
            for index, value in zip(which, estimated.values, strict=True)
        ]
        if all(fits):
            return which, estimated
        which = [index for index, fit in zip(which, fits, strict=True) if fit]
    return f"they need {FILE}, which bench writes, with the predictions of these rows"
