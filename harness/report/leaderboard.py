"""Write the leaderboard as Markdown, CSV and JSON, and show it on a terminal.

:func:`build` (see :mod:`harness.results.board`) computes the leaderboard, and the ``to_…`` functions only
format it: the same records give the same bytes. Names come from suites, plugins and data, so each format
escapes them.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.naming import PARTS
from harness.report.columns import (
    DISTURBED,
    Column,
    columns,
    fitting,
    footnotes,
    heading,
    problems,
    ranked,
    seeds_of,
    shortest,
)
from harness.report.grid import Grid
from harness.results.board import Leaderboard, build
from harness.results.predictions import write as write_predictions
from harness.results.ranking import Row, Table
from harness.results.record import Record
from harness.results.record import write as write_records
from harness.storage.files import dumps, publish
from harness.wording import duration, printable

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Group

    from harness.task_types.base import Prediction

__all__ = [
    "Column",
    "Leaderboard",
    "Row",
    "Table",
    "build",
    "columns",
    "footnotes",
    "heading",
    "markdown",
    "printable",
    "problems",
    "ranked",
    "to_csv",
    "to_frame",
    "to_json",
    "to_markdown",
    "to_rich",
    "write",
]

NOTHING = "—"
ADDED = ("gain", "interval", "places", "gain_interval", "gain_p")  # in addition to the statistics over seeds
PROBLEM_TITLES = ("without a result", "model", "teacher", "augmenter", "loss", "seeds", "why")


def write(
    records: Iterable[Record],
    folder: Path,
    predictions: Mapping[str, Prediction] | None = None,
    written: bool = False,
    validation: Mapping[str, Prediction] | None = None,
) -> Leaderboard:
    """Write ``records.jsonl``, ``leaderboard.md`` and ``leaderboard.csv``, and return the leaderboard.

    With `predictions`, ``predictions.parquet`` is written too, unless it has been `written` with the same
    content; `validation` are those on that split. Each file is replaced atomically.
    """
    records = list(records)
    board = build(records, predictions)
    write_records(records, folder / "records.jsonl")  # first: all else can be computed again
    if predictions is not None and not written:
        write_predictions(folder, predictions, {record["cell"] for record in records}, validation)
    publish(folder / "leaderboard.md", to_markdown(board))
    publish(folder / "leaderboard.csv", to_csv(board))
    return board


# -- for programs -------------------------------------------------------------------------------------------


def to_csv(board: Leaderboard) -> str:
    """Return one line for each configuration, with raw numbers: shares from 0 to 1, bytes, ms, seconds."""
    rows = _flat(board)
    names = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(_inert, names))
    writer.writerows([_inert(row.get(name)) for name in names] for row in rows)
    return out.getvalue()


def to_frame(board: Leaderboard) -> pd.DataFrame:
    """Return the contents of the CSV as a data frame."""
    import pandas as pd

    return pd.DataFrame(_flat(board))


def to_json(board: Leaderboard) -> str:
    """Return everything in the tables as JSON, with each number over seeds as {mean, std, n}."""
    value = {
        "schema": 1,
        **{name: getattr(board, name) for name in ("suites", "versions", "machines", "commits", "records")},
        "tables": [
            {
                **{name: getattr(table, name) for name in ("task", "label", "headline", "seeds", "note")},
                "rows": [_json_row(row) for row in table.rows],
            }
            for table in board.tables
        ],
    }
    return dumps(value, indent=1) + "\n"


def _json_row(row: Row) -> dict[str, Any]:
    failures = [
        {"status": status, "reason": reason, "when": day, "seeds": seeds}
        for status, reason, day, seeds in row.failures
    ]
    return {
        **{name: getattr(row, name) for name in ("rank", "role", "status")},
        **row.parts,
        "labels": row.labels,
        **{name: getattr(row, name) for name in ("seeds", "cells", *ADDED)},
        **({"disturbed": sorted(row.disturbed)} if row.disturbed else {}),
        "stats": {name: vars(row.stats[name]) for name in _in_order(row.stats)},
        "problems": [
            {"status": status, "reason": reason, "seeds": seeds} for status, reason, seeds in row.problems
        ],
        **({"failures": failures} if failures else {}),
    }


def _flat(board: Leaderboard) -> list[dict[str, Any]]:
    """Return a flat row for each configuration, all with the same columns."""
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
    for name, pair in (
        ("place", row.places),
        ("interval", row.interval),
        ("gain_interval", row.gain_interval),
    ):
        ends = ("best", "worst") if name == "place" else ("low", "high")
        flat |= {f"{name}_{end}": pair and pair[i] for i, end in enumerate(ends)}
    flat["gain_p"] = row.gain_p
    for name in names:
        stat = row.stats.get(name)
        if name.startswith(("parameters_", "size_")):  # the same for all seeds
            flat[name] = stat and stat.mean
        else:
            flat |= {f"{name}_mean": stat and stat.mean, f"{name}_std": stat and stat.std}
    told = [f"{seeds_of(s)} {status}: {why}" for status, why, s in row.problems]
    told += [f"{seeds_of(s)} {status} on {day}: {why}" for status, why, day, s in row.failures]
    flat["problems"] = "; ".join(told)
    return flat


def _in_order(names: Iterable[str]) -> list[str]:
    """Return the names with metrics first, then sizes and costs, each group in alphabetical order."""
    groups = ("validation_", "parameters_", "size_", "latency_", "cost_")
    return sorted(names, key=lambda n: (next((i for i, g in enumerate(groups) if n.startswith(g)), -1), n))


def _inert(value: Any) -> Any:
    """Return a value that a spreadsheet does not run as a formula, such as "=cmd"."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) else text


# -- for people ---------------------------------------------------------------------------------------------


def to_markdown(board: Leaderboard) -> str:
    """Return the tables as Markdown, as GitHub shows it."""
    blocks = [markdown(provenance(board))]
    for table in map(shortest, board.tables):
        title, details = map(markdown, heading(table))
        blocks += [f"## {title}", details]
        shown = columns(table)
        rows = [[column.cell(row) for column in shown] for row in ranked(table)]
        blocks.append(_grid([column.title for column in shown], rows, [column.numeric for column in shown]))
        blocks += map(markdown, footnotes(table))
        blocks.append(_grid(PROBLEM_TITLES, problems(table), [False] * len(PROBLEM_TITLES)))
    blocks.append(markdown(legend(board)) if board.tables else "No results yet.")
    return "\n\n".join(block for block in blocks if block) + "\n"


def _grid(titles: Iterable[str], rows: list[list[str]], numeric: Iterable[bool]) -> str:
    from tabulate import tabulate

    if not rows:
        return ""
    return tabulate(
        [[markdown(cell or NOTHING) for cell in row] for row in rows],
        headers=[markdown(title) for title in titles],
        tablefmt="pipe",
        colalign=["right" if number else "left" for number in numeric],
        disable_numparse=True,
    )


def markdown(text: str) -> str:
    """Return a text on one line, escaped so that Markdown shows it unchanged."""
    text = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # An underscore inside a word is not markup.
    return re.sub(r"([\\`*|\[\]~$])|(?<![^\W_])(_)|(_)(?![^\W_])", r"\\\1\2\3", text)


def to_rich(board: Leaderboard, width: int | None = None) -> Group:
    """Return the tables for a terminal; with a small `width`, the least important columns are dropped."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Grid | Text] = []
    for table in map(shortest, board.tables):
        title, details = map(printable, heading(table))
        parts += [Text()] if parts else []
        parts += [Text(title, style="bold"), Text(details, style="dim")]
        shown, dropped = fitting(table, width)
        titles = [printable(column.title).replace(", ", "\n") for column in shown]
        grid = Grid(titles, [column.numeric for column in shown])
        for row in ranked(table):
            cells = [printable(column.cell(row) or NOTHING) for column in shown]
            grid.add(cells, STYLES.get(row.role, ""))
        if len(grid):
            parts.append(grid)
        parts += [Text(printable(note), style="yellow") for note in footnotes(table)]
        if dropped:
            parts.append(
                Text(f"not shown, because the terminal is too narrow: {'; '.join(dropped)}", style="dim")
            )
        for role, model, *recipe, seeds, why in problems(table):
            names = ", ".join(filter(None, recipe))
            line = f"{role} {model}{f' ({names})' if names else ''}, {seeds}: {why}"
            parts.append(Text(printable(line), style="yellow"))
    return Group(*(parts or [Text("no results yet")]))


STYLES = {"teacher": "cyan", "baseline": "dim", "distilled": "green"}
LEGEND = (
    (
        "#",
        "the rank, or the ranks that a row may have: if ranks overlap, the order may be chance (each pair is "
        "compared on the same texts and over seeds; p < 0.05, Holm's correction for all pairs of the table)",
    ),
    (
        "role",
        "a teacher, a baseline (a student trained without a teacher), or a distilled student (trained with "
        "one)",
    ),
    ("±", "the sample standard deviation over n seeds"),
    (
        "95 % interval",
        "where the score would be with other test texts and seeds; with one seed, with other test texts. "
        "Rows with two seeds share one estimate of how much seeds differ",
    ),
    (
        "gain",
        "over the same student trained without a teacher, in points; * if it is hardly chance (p < 0.05, "
        "corrected for all gains of the table)",
    ),
    ("kept", "the share of the teacher's score"),
    ("agreement", "texts on which model and teacher give the same answer"),
    (
        "p50",
        "the median time for one text, tokenisation included, on the CPU unless another device is named",
    ),
    ("train", "the time to train this one model"),
)

DISTURBED_LEGEND = (
    DISTURBED,
    "other programs used the CPUs during each measurement, so that the true time is shorter; measure it "
    "again on a quiet machine",
)


def explained(board: Leaderboard) -> list[tuple[str, str]]:
    """Return each term that the columns of these tables use, with its meaning.

    The term is empty for a text of a task type about its own metrics.
    """
    more = dict.fromkeys(table.task_type.legend for table in board.tables if table.task_type.legend)
    slowed = any(row.disturbed for table in board.tables for row in table.rows)
    return [*LEGEND, *([DISTURBED_LEGEND] if slowed else []), *(("", text) for text in more)]


def legend(board: Leaderboard) -> str:
    """Return how to read the columns of these tables, as sentences."""
    return " ".join(f"{term}: {text}." if term else text for term, text in explained(board))


def provenance(board: Leaderboard) -> str:
    """Return a sentence with the versions, records, data and machines behind the tables."""
    sources = sorted({str(table.task.get("source") or "no") for table in board.tables})
    suites = f" of {', '.join(board.suites)}" if board.suites else ""
    # A suffix after the commit marks edited code, which may differ between runs.
    short = [commit[:9] + commit[40:] if commit else "an installed copy" for commit in board.commits]
    machines = "; ".join(board.machines) or "an unknown machine"
    mixed = len(short) > 1 or any(commit.endswith("-dirty") for commit in board.commits)
    code = f", by the code of {' and '.join(short)}" if mixed else ""
    made = board.spent
    shares = (
        (made.teachers_s, "train teachers"),
        (made.labels_s, "label texts by them"),
        (made.students_s, "train students"),
    )
    listed = ", ".join(f"{duration(seconds)} to {what}" for seconds, what in shares if seconds)
    cost = f" The models took {duration(made.whole_s)} of computing: {listed}." if listed else ""
    return (
        f"Made by harness {' and '.join(board.versions) or 'of unknown version'} "
        f"from {board.records:,} record{'' if board.records == 1 else 's'}{suites} "
        f"({' and '.join(sources) or 'no'} data) on {machines}{code}.{cost}"
    )
