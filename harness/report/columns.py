"""Define the columns and headings of leaderboards, with numbers formatted for people."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from harness.api import SPLITS
from harness.results.intervals import SIGNIFICANT
from harness.results.ranking import Row, Table, mixed_scales
from harness.wording import amount, significant, size

SHOWN = 200  # rows of a table that people see, with a result or without; files for programs have all
MARK = "†"  # of rows with a footnote
_NAMES = ("model", "teacher", "augmenter", "loss")
DISTURBED = "‡"  # the mark of a latency that other programs disturbed


@dataclass(frozen=True)
class Column:
    """A column of a table for people."""

    title: str
    cell: Callable[[Row], str]
    numeric: bool = True
    spare: int = 0  # in narrow tables, columns with the highest value are dropped first; 0: never
    stat: str = ""  # the name of the number in a row's stats


def columns(table: Table, merged: bool = False) -> list[Column]:
    """Return the columns of the ranked rows, without empty ones; with `merged`, they need less width."""
    names = [table.headline, *(name for name in table.task_type.beside if name != table.headline)]
    scaled = table.task_type.scale_column if mixed_scales(table.task_type, table.rows) else None
    recipe = [Column(part, partial(_label, part), numeric=False) for part in ("teacher", "augmenter", "loss")]
    found = [
        Column("#", _place),
        Column("role", lambda row: row.role, numeric=False),
        Column("model", _model, numeric=False),
        *([Column("recipe", _recipe, numeric=False)] if merged else recipe),
        _score(table, names[0], spare=0),
        _interval(table, "95 % interval", lambda row: row.interval, "", spare=3),
        *(_score(table, name, spare=7) for name in names[1:]),
        _gain(table),
        _interval(table, "gain's 95 % interval", lambda row: row.gain_interval, "+", spare=9),
        _plain("kept, %", "teacher_share", lambda value: f"{100 * value:.1f}", spare=4),
        _plain("agreement, %", "agreement", lambda value: f"{100 * value:.1f}", spare=8),
        *([_plain(*scaled, amount, spare=5)] if scaled else []),
        _plain("parameters", "parameters_total", amount, spare=1),
        _plain("size", "size_model_bytes", size, spare=6),
        *(_plain(title, name, significant, spare=3) for title, name in latencies(table)),
        _plain("train, s", "cost_train_s", significant, spare=7),
        Column("n", lambda row: f"{len(row.seeds)}{f' of {_asked(row)}' if row.problems else ''}", spare=2),
    ]
    return [column for column in found if any(column.cell(row) for row in ranked(table))]


def fitting(table: Table, width: int | None) -> tuple[list[Column], list[str]]:
    """Return the columns that fit into a width in characters, and the titles of those that do not."""

    def need(column: Column) -> int:  # titles are broken at commas
        texts = [*column.title.split(", "), *map(column.cell, ranked(table))]
        return 3 + max(map(len, texts))

    shown, dropped = columns(table), []
    if width and sum(map(need, shown)) > width:
        shown = columns(table, merged=True)
        room = width - sum(map(need, shown))
        while room < 0 and (least := max(reversed(shown), key=lambda column: column.spare)).spare:
            room += need(least)
            shown.remove(least)
            dropped.append(least.title)
    return shown, dropped


def shortest(table: Table) -> Table:
    """Return the table with at most SHOWN rows with a result, the best ones, and as many without one.

    Teachers remain, up to SHOWN.
    """
    if len(table.rows) <= SHOWN:
        return table
    kept: list[Row] = []
    counts: Counter[str] = Counter()
    for row in table.rows:
        kind = row.role if row.role == "teacher" else "with" if row.seeds else "without"
        counts[kind] += 1
        if counts[kind] <= SHOWN:
            kept.append(row)
    cells = sum(map(_asked, table.rows)) - sum(map(_asked, kept))
    return replace(table, rows=tuple(kept), left=len(table.rows) - len(kept), left_cells=cells)


def ranked(table: Table) -> list[Row]:
    """Return the rows with a result."""
    return [row for row in table.rows if row.seeds]


def problems(table: Table) -> list[list[str]]:
    """Return a line under PROBLEM_TITLES for each row that lacks results for some or all seeds."""
    return [
        [row.role, *(_label(name, row) for name in _NAMES), seeds_of(seeds), f"{status}: {reason}"]
        for row in table.rows
        for status, reason, seeds in row.problems
    ]


def footnotes(table: Table) -> list[str]:
    """Return a sentence for each row whose result is of an earlier run, because a later run failed.

    Before them is a sentence for each component with a note about what it starts from.
    """
    noted = {
        f"{row.labels[kind]}: {part['note']}": None
        for row in table.rows
        for kind, part in row.parts.items()
        if part and part.get("note")
    }
    return [
        *noted,
        *(
            f"{MARK} {', '.join(filter(None, (row.role, *(_label(name, row) for name in _NAMES))))}, "
            f"{seeds_of(seeds)}: the result is of an earlier run; on {day} the cell was {status}: {reason}"
            for row in ranked(table)
            for status, reason, day, seeds in row.failures
        ),
    ]


def heading(table: Table, fingerprint: bool = True) -> tuple[str, str]:
    """Return a title, with the task and source, and a line below it, with the details of the data.

    The line has the data's `fingerprint` if asked for.
    """
    task = table.task
    counts = ", ".join(f"{task[split]:,} {split}" for split in SPLITS if task.get(split) is not None)
    measured, cells = sum(map(_asked, table.rows)) + table.left_cells, task.get("cells", 0)
    details = [
        f"from {task['origin']}" if task.get("origin") else "",
        f"fingerprint {task['fingerprint'][:12]}" if fingerprint and task.get("fingerprint") else "",
        counts,
        seeds_of(table.seeds),
        f"{measured} of the suite's {cells} cells" if measured < cells else "",
        table.note,
        f"the best rows are shown, {len(table.rows):,} of {len(table.rows) + table.left:,}; "
        "leaderboard.csv has all of them"
        if table.left
        else "",
    ]
    return f"{table.label}, {task.get('source') or 'no'} data", "; ".join(filter(None, details))


def seeds_of(seeds: Sequence[int]) -> str:
    """Return seeds as a text: "seed 0" or "seeds 0, 1"."""
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def _label(name: str, row: Row) -> str:
    """Return a component's label; a teacher is the "model" of its own row, and the "teacher" in others."""
    if name == "model":
        return row.labels["teacher" if row.role == "teacher" else "student"]
    return "" if name == row.role == "teacher" else row.labels[name]


def _model(row: Row) -> str:
    return f"{_label('model', row)}{f' {MARK}' if row.failures else ''}"


def _recipe(row: Row) -> str:
    return " · ".join(filter(None, (_label(name, row) for name in ("teacher", "augmenter", "loss"))))


def _asked(row: Row) -> int:
    return len(row.seeds) + sum(len(seeds) for _, _, seeds in row.problems)


def _place(row: Row) -> str:
    """Return the range of ranks that tests allow, or without tests the rank by the mean."""
    first, last = row.places or (row.rank, row.rank)
    return f"{first or ''}" if first == last else f"{first}–{last}"


def _score(table: Table, name: str, spare: int) -> Column:
    scale, digits = (100, 1) if table.is_share(name) else (1, 2)

    def cell(row: Row) -> str:
        stat = row.stats.get(name)
        if stat is None:
            return ""
        spread = "" if stat.std is None else f" ± {scale * stat.std:.{digits}f}"
        return f"{scale * stat.mean:.{digits}f}{spread}"

    title = table.title(name)
    return Column(f"{title}, %" if scale == 100 else title, cell, spare=spare, stat=name)


def _gain(table: Table) -> Column:
    scale, digits = (100, 1) if table.is_share(table.headline) else (1, 2)

    def cell(row: Row) -> str:
        if row.gain is None:
            return ""
        # Round first, because "-0.0" would look like a loss.
        told = f"{round(scale * row.gain, digits) or 0.0:+.{digits}f}"
        return f"{told} *" if row.gain_p is not None and row.gain_p < SIGNIFICANT else told

    return Column("gain, points" if scale == 100 else "gain", cell)


def _interval(
    table: Table, title: str, of: Callable[[Row], tuple[float, float] | None], sign: str, spare: int
) -> Column:
    scale, digits = (100, 1) if table.is_share(table.headline) else (1, 2)

    def cell(row: Row) -> str:
        found = of(row)
        if found is None:
            return ""
        low, high = (f"{round(scale * end, digits) or 0.0:{sign}.{digits}f}" for end in found)
        return f"{low} to {high}" if sign or low.startswith("-") else f"{low}–{high}"

    return Column(title, cell, spare=spare)


def _plain(title: str, name: str, show: Callable[[float], str], spare: int = 0) -> Column:
    def cell(row: Row) -> str:
        told = show(row.stats[name].mean) if name in row.stats else ""
        return f"{told} {DISTURBED}" if name in row.disturbed else told

    return Column(title, cell, spare=spare, stat=name)


def latencies(table: Table) -> list[tuple[str, str]]:
    """Return titles and names of the median latencies, with those of the CPU first."""
    names = {name for row in table.rows for name in row.stats if re.fullmatch("latency_.+_p50_ms", name)}
    known = ("torch", "onnx", "native")

    def order(name: str) -> tuple[bool, int, str]:
        backend = name.split("_")[1]
        return "_cpu_" not in name, known.index(backend) if backend in known else len(known), name

    def title(name: str) -> str:
        backend, _, device = name.removeprefix("latency_").removesuffix("_p50_ms").rpartition("_")
        return f"{backend} {'' if device == 'cpu' else device + ' '}p50, ms"

    return [(title(name), name) for name in sorted(names, key=order)]
