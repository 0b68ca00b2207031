"""The leaderboard as people and programs read it: Markdown, terminal, CSV, JSON.

:func:`build` (of :mod:`harness.ranking`) computes, the ``to_…`` functions only format; the same records
give the same bytes. Names come from suites, plugins and data, so each form escapes them in its own way.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.api import SPLITS
from harness.metrics import LOWER_IS_BETTER
from harness.ranking import PARTS, Leaderboard, Row, Table, build
from harness.record import Record, dumps, publish
from harness.record import write as write_records

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Group

__all__ = [
    "Leaderboard",
    "Row",
    "Table",
    "build",
    "to_csv",
    "to_frame",
    "to_json",
    "to_markdown",
    "to_rich",
    "write",
]

NOTHING = "—"
PROBLEM_TITLES = ("without a result", "model", "teacher", "augmenter", "loss", "seeds", "why")


def write(records: Iterable[Record], folder: Path) -> None:
    """Write ``records.jsonl``, ``leaderboard.md`` and ``leaderboard.csv``, each all or nothing."""
    records = list(records)
    board = build(records)
    write_records(records, folder / "records.jsonl")
    publish(folder / "leaderboard.md", to_markdown(board))
    publish(folder / "leaderboard.csv", to_csv(board))


# -- for programs -------------------------------------------------------------------------------------------


def to_csv(board: Leaderboard) -> str:
    """One line a configuration, raw numbers: shares from 0 to 1, bytes, milliseconds, seconds."""
    rows = _flat(board)
    names = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(_inert, names))
    writer.writerows([_inert(row.get(name)) for name in names] for row in rows)
    return out.getvalue()


def to_frame(board: Leaderboard) -> pd.DataFrame:
    """The same as a data frame, for those who go on computing."""
    import pandas as pd

    return pd.DataFrame(_flat(board))


def to_json(board: Leaderboard) -> str:
    """Everything that the tables know, with every number over seeds as {mean, std, n}."""
    value = {
        "schema": 1,
        **{name: getattr(board, name) for name in ("suites", "versions", "machines", "records")},
        "tables": [
            {
                **{name: getattr(table, name) for name in ("task", "label", "headline", "seeds")},
                "rows": [_json_row(row) for row in table.rows],
            }
            for table in board.tables
        ],
    }
    return dumps(value, indent=1) + "\n"


def _json_row(row: Row) -> dict[str, Any]:
    return {
        **{name: getattr(row, name) for name in ("rank", "role", "status")},
        **row.parts,
        "labels": row.labels,
        **{name: getattr(row, name) for name in ("seeds", "gain")},
        "stats": {name: vars(row.stats[name]) for name in _in_order(row.stats)},
        "problems": [
            {"status": status, "reason": reason, "seeds": seeds} for status, reason, seeds in row.problems
        ],
    }


def _flat(board: Leaderboard) -> list[dict[str, Any]]:
    """One flat row a configuration, all rows with the same columns."""
    names = _in_order({name for table in board.tables for row in table.rows for name in row.stats})
    return [_flat_row(table, row, names) for table in board.tables for row in table.rows]


def _flat_row(table: Table, row: Row, names: Iterable[str]) -> dict[str, Any]:
    flat: dict[str, Any] = {
        "task": table.task["name"],
        "task_params": dumps(table.task["params"]),
        **{name: table.task.get(name) for name in ("source", "origin", "fingerprint")},
        "headline": table.headline,
        **{name: getattr(row, name) for name in ("rank", "role", "status")},
    }
    for part in PARTS:
        component = row.parts[part]
        flat[part] = component and component["name"]
        flat[f"{part}_params"] = component and dumps(component["params"])
    flat |= {"n": len(row.seeds), "seeds": " ".join(map(str, row.seeds)), "gain": row.gain}
    for name in names:
        stat = row.stats.get(name)
        if name.startswith(("parameters_", "size_")):  # of the model's shape, not of a seed
            flat[name] = stat and stat.mean
        else:
            flat |= {f"{name}_mean": stat and stat.mean, f"{name}_std": stat and stat.std}
    flat["problems"] = "; ".join(f"{_seeds(s)} {status}: {why}" for status, why, s in row.problems)
    return flat


def _in_order(names: Iterable[str]) -> list[str]:
    """Metrics before what the model weighs and costs, and alphabetical among themselves."""
    groups = ("validation_", "parameters_", "size_", "latency_", "cost_")
    return sorted(names, key=lambda n: (next((i for i, g in enumerate(groups) if n.startswith(g)), -1), n))


def _inert(value: Any) -> Any:
    """Text that a spreadsheet takes for text: "=cmd" would be run where the file is opened."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) else text


# -- for people ---------------------------------------------------------------------------------------------


def to_markdown(board: Leaderboard) -> str:
    """The tables as a forge shows them."""
    blocks = [_markdown(provenance(board))]
    for table in board.tables:
        title, details = map(_markdown, heading(table))
        blocks += [f"## {title}", details]
        shown = columns(table)
        rows = [[column.cell(row) for column in shown] for row in ranked(table)]
        blocks.append(_grid([column.title for column in shown], rows, [column.numeric for column in shown]))
        blocks.append(_grid(PROBLEM_TITLES, problems(table), [False] * len(PROBLEM_TITLES)))
    blocks.append(_markdown(LEGEND) if board.tables else "No results yet.")
    return "\n\n".join(block for block in blocks if block) + "\n"


def _grid(titles: Iterable[str], rows: list[list[str]], numeric: Iterable[bool]) -> str:
    from tabulate import tabulate

    if not rows:
        return ""
    return tabulate(
        [[_markdown(cell or NOTHING) for cell in row] for row in rows],
        headers=[_markdown(title) for title in titles],
        tablefmt="pipe",
        colalign=["right" if number else "left" for number in numeric],
        disable_numparse=True,
    )


def _markdown(text: str) -> str:
    """Text that Markdown shows as it stands: no markup, link, image or HTML, on one line."""
    text = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # An underscore inside a word is no markup.
    return re.sub(r"([\\`*|\[\]~$])|(?<![^\W_])(_)|(_)(?![^\W_])", r"\\\1\2\3", text)


def to_rich(board: Leaderboard, width: int | None = None) -> Group:
    """The tables for a terminal; where `width` is too small for all columns, the least telling ones go."""
    from rich import box
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

    parts: list[RichTable | Text] = []
    for table in board.tables:
        title, details = map(printable, heading(table))
        parts += [Text()] if parts else []
        parts += [Text(title, style="bold"), Text(details, style="dim")]
        shown, dropped = _fitting(table, width)
        grid = RichTable(header_style="bold", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for column in shown:
            grid.add_column(
                Text(printable(column.title).replace(", ", "\n")),
                justify="right" if column.numeric else "left",
                no_wrap=column.numeric,
                overflow="fold",
            )
        for row in ranked(table):
            cells = (Text(printable(column.cell(row) or NOTHING)) for column in shown)
            grid.add_row(*cells, style=STYLES.get(row.role, ""))
        if grid.rows:
            parts.append(grid)
        if dropped:
            parts.append(Text(f"not shown, for want of width: {'; '.join(dropped)}", style="dim"))
        for role, model, *recipe, seeds, why in problems(table):
            names = ", ".join(filter(None, recipe))
            line = f"{role} {model}{f' ({names})' if names else ''}, {seeds}: {why}"
            parts.append(Text(printable(line), style="yellow"))
    return Group(*(parts or [Text("no results yet")]))


STYLES = {"teacher": "cyan", "baseline": "dim", "distilled": "green"}
LEGEND = (
    "± is the sample standard deviation over n seeds. gain: over the same student trained on the gold labels "
    "alone, in points. kept: the share of the teacher's score. agreement: texts on which model and teacher "
    "give the same answer. p50: the median time for one text, tokenisation included, on the CPU unless "
    "another device is named. train: the time to train this one model."
)


def provenance(board: Leaderboard) -> str:
    """One sentence: what made the tables, from what, on which machine."""
    sources = sorted({str(table.task.get("source") or "no") for table in board.tables})
    suites = f" of {', '.join(board.suites)}" if board.suites else ""
    return (
        f"Made by harness {' and '.join(board.versions) or 'of unknown version'} "
        f"from {board.records:,} record{'' if board.records == 1 else 's'}{suites} "
        f"({' and '.join(sources) or 'no'} data) on {'; '.join(board.machines) or 'an unknown machine'}."
    )


@dataclass(frozen=True)
class Column:
    """A column of a table that people read."""

    title: str
    cell: Callable[[Row], str]
    numeric: bool = True
    spare: int = 0  # where there is no room for all, the highest goes first; 0 stays
    stat: str = ""  # the number that it shows, by its name in a row's stats


def columns(table: Table, merged: bool = False) -> list[Column]:
    """The columns of the ranked rows; one that no row fills is left out. `merged` ones need less width."""
    names = [table.headline, *(name for name in ("f1_macro", "masked_accuracy") if name != table.headline)]
    recipe = [Column(part, partial(_label, part), numeric=False) for part in ("teacher", "augmenter", "loss")]
    found = [
        Column("#", lambda row: str(row.rank or "")),
        Column("role", lambda row: row.role, numeric=False),
        Column("model", partial(_label, "model"), numeric=False),
        *([Column("recipe", _recipe, numeric=False)] if merged else recipe),
        *(_score(table, name, spare=5 * (name != table.headline)) for name in names),
        _gain(table),
        _plain("kept, %", "teacher_share", lambda value: f"{100 * value:.1f}", spare=4),
        _plain("agreement, %", "agreement", lambda value: f"{100 * value:.1f}", spare=8),
        _plain("parameters", "parameters_total", _amount, spare=1),
        _plain("size", "size_model_bytes", _size, spare=6),
        *(_plain(title, name, _significant, spare=3) for title, name in _latencies(table)),
        _plain("train, s", "cost_train_s", _significant, spare=7),
        Column("n", lambda row: f"{len(row.seeds)}{f' of {_asked(row)}' if row.problems else ''}", spare=2),
    ]
    return [column for column in found if any(column.cell(row) for row in ranked(table))]


def _fitting(table: Table, width: int | None) -> tuple[list[Column], list[str]]:
    """The columns that fit, and the titles of those that do not."""

    def need(column: Column) -> int:  # a title breaks at its comma
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


def ranked(table: Table) -> list[Row]:
    """The rows with a result."""
    return [row for row in table.rows if row.seeds]


def problems(table: Table) -> list[list[str]]:
    """What has no result, wholly or for some seeds: the cells under PROBLEM_TITLES."""
    names = ("model", "teacher", "augmenter", "loss")
    return [
        [row.role, *(_label(name, row) for name in names), _seeds(seeds), f"{status}: {reason}"]
        for row in table.rows
        for status, reason, seeds in row.problems
    ]


def heading(table: Table) -> tuple[str, str]:
    """The task and the data, which is all that makes two tables comparable: a title, and a line below it."""
    task = table.task
    counts = ", ".join(f"{task[split]:,} {split}" for split in SPLITS if task.get(split) is not None)
    details = [
        f"from {task['origin']}" if task.get("origin") else "",
        f"fingerprint {task['fingerprint'][:12]}" if task.get("fingerprint") else "",
        counts,
        _seeds(table.seeds),
    ]
    return f"{table.label}, {task.get('source') or 'no'} data", "; ".join(filter(None, details))


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def _label(name: str, row: Row) -> str:
    """A teacher stands under "model" in its own row, and under "teacher" in those of its students."""
    if name == "model":
        return row.labels["teacher" if row.role == "teacher" else "student"]
    return "" if name == row.role == "teacher" else row.labels[name]


def _recipe(row: Row) -> str:
    return " · ".join(filter(None, (_label(name, row) for name in ("teacher", "augmenter", "loss"))))


def _asked(row: Row) -> int:
    return len(row.seeds) + sum(len(seeds) for _, _, seeds in row.problems)


def _percent(table: Table, name: str) -> bool:
    means = [abs(row.stats[name].mean) for row in table.rows if name in row.stats]
    return name not in LOWER_IS_BETTER and max(means, default=0) <= 1


def _score(table: Table, name: str, spare: int) -> Column:
    scale, digits = (100, 1) if _percent(table, name) else (1, 2)

    def cell(row: Row) -> str:
        stat = row.stats.get(name)
        if stat is None:
            return ""
        spread = "" if stat.std is None else f" ± {scale * stat.std:.{digits}f}"
        return f"{scale * stat.mean:.{digits}f}{spread}"

    title = {"f1_macro": "macro F1", "f1": "F1"}.get(name, name.replace("_", " "))
    return Column(f"{title}, %" if scale == 100 else title, cell, spare=spare, stat=name)


def _gain(table: Table) -> Column:
    scale, digits = (100, 1) if _percent(table, table.headline) else (1, 2)

    def cell(row: Row) -> str:
        # Rounded first, since "-0.0" would claim a loss.
        return "" if row.gain is None else f"{round(scale * row.gain, digits) or 0.0:+.{digits}f}"

    return Column("gain, points" if scale == 100 else "gain", cell)


def _plain(title: str, name: str, show: Callable[[float], str], spare: int = 0) -> Column:
    def cell(row: Row) -> str:
        return show(row.stats[name].mean) if name in row.stats else ""

    return Column(title, cell, spare=spare, stat=name)


def _latencies(table: Table) -> list[tuple[str, str]]:
    """Titles and names of the median latencies, the processor's before a GPU's."""
    names = {name for row in table.rows for name in row.stats if re.fullmatch("latency_.+_p50_ms", name)}
    known = ("torch", "onnx", "native")

    def order(name: str) -> tuple[bool, int, str]:
        backend = name.split("_")[1]
        return "_cpu_" not in name, known.index(backend) if backend in known else len(known), name

    def title(name: str) -> str:
        backend, _, device = name.removeprefix("latency_").removesuffix("_p50_ms").rpartition("_")
        return f"{backend} {'' if device == 'cpu' else device + ' '}p50, ms"

    return [(title(name), name) for name in sorted(names, key=order)]


def _significant(value: float) -> str:
    """Three digits that count, and no exponent."""
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    return f"{round(value, digits):,.{max(0, digits)}f}"


def _amount(value: float) -> str:
    if value < 1e6:
        return f"{value:,.0f}"
    return f"{value / 1e9:,.1f} G" if value >= 999.95e6 else f"{value / 1e6:.1f} M"


def _size(value: float) -> str:
    for unit in ("B", "kB", "MB"):
        if value < 999.5:
            return f"{_significant(value)} {unit}"
        value /= 1000
    return f"{_significant(value)} GB"


def printable(text: str) -> str:
    """Names come from anywhere: no line breaks, terminal controls, or marks that turn text around."""
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)
