"""Show the parts of language models' losses in training, and the nearest words of their vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.report.html import loose
from harness.report.html.figures import Json, axis, layout
from harness.report.html.look import Look, pair
from harness.report.html.sections import Entry, Section
from harness.report.leaderboard import printable
from harness.results.record import Record
from harness.task_types.neighbours import KINDS

MOST_POINTS = 60
_NO_NAME = "\u00a0"  # not empty, because plotly.js drops texts next to empty ones
_PART = "loss_"  # the prefix of parts in a record's history
_TITLES = {"embeddings": "By input embeddings", "hidden": "By last hidden states"}


def loss_parts(section: Section) -> Look:
    """Return the figure of the parts of a row's loss during training, each unweighted and with its name."""
    style = {
        "type": "scatter",
        "mode": "lines+markers+text",
        "marker": {"size": 4},
        "textposition": "top left",
        "cliponaxis": False,
        "hovertemplate": "<b>%{customdata[0]}</b>: %{y:.4g} at %{x:,.0f} "
        "(seed %{customdata[1]})<extra></extra>",
    }
    what = "texts seen" if all(map(_has_texts, section.entries)) else "steps"
    return Look(
        id=f"{section.slug}-parts",
        title="Training: parts of the loss",
        note="One line for each part and seed, before its weight.",
        styles=pair(style),
        fixed=[],
        layout=layout(
            axis(what, exponentformat="SI", rangemode="tozero"),
            axis("part of the loss", type="log", exponentformat="none", dtick=1),
        ),
        head=(what, "part", "value", "seed"),
        keys=("x", "customdata.0", "y", "customdata.1"),
        series=[_series(entry, "examples" if what == "texts seen" else "done") for entry in section.entries],
    )


def _has_texts(entry: Entry) -> bool:
    """Return whether all points of an entry's parts have the number of texts seen so far."""
    return all("examples" in point for record in entry.records for point, _ in _points(record))


def _points(record: Record) -> Iterator[tuple[Mapping[str, Any], list[str]]]:
    """Yield the points of a record's history that have parts of the loss, with the names of these."""
    for point in loose.history(record):
        parts = [name for name in point if name.startswith(_PART)]
        if parts:
            yield point, parts


def _series(entry: Entry, x_name: str) -> Json | None:
    """Return the curves of all parts and seeds as one trace with gaps, with each part's name at its end."""
    found: Json = {"x": [], "y": [], "customdata": [], "text": []}
    named: set[str] = set()
    for record in entry.records:
        points = list(_points(record))
        for part in dict.fromkeys(name for _, names in points for name in names):
            curve = [
                (x, y)
                for point, _ in points
                if (x := loose.number(point.get(x_name))) is not None
                and (y := loose.number(point.get(part))) is not None
                and y > 0  # the axis is logarithmic
            ]
            if len(curve) < 2:
                continue
            name = printable(part.removeprefix(_PART))
            if found["x"]:
                _add(found, None, None, None, _NO_NAME)
            for x, y in loose.thinned(curve, MOST_POINTS):
                _add(found, x, float(f"{y:.5g}"), [name, record["seed"]], _NO_NAME)
            if name not in named:
                named.add(name)
                found["text"][-1] = name
    return found if found["x"] else None


def _add(found: Json, x: float | None, y: float | None, said: list[Any] | None, text: str) -> None:
    for key, value in zip(("x", "y", "customdata", "text"), (x, y, said, text), strict=True):
        found[key].append(value)


# -- words ---------------------------------------------------------------------------------------------------


def nearest_words(section: Section) -> list[dict[str, Any]]:
    """Return a table for each kind of vector: words with their neighbours in the best student and teacher.

    A cell is a list of pairs: a word, and whether the teacher has it too.
    """
    student = next((e for role in ("distilled", "baseline") if (e := section.first(role))), None)
    teacher = section.teacher_of(student) if student else section.first("teacher")
    held = _tables(teacher)
    columns = [
        (student.label if student else "", _tables(student), ""),
        (teacher.label if teacher else "", held, ""),
        ("the teacher before it was fitted", held, "_before"),
    ]
    found = []
    for kind in KINDS:
        known = [
            (title, tables[kind + suffix]) for title, tables, suffix in columns if tables.get(kind + suffix)
        ]
        if not known:
            continue
        due = held.get(kind, {})
        rows = [
            (
                word,
                [[(near, near in due.get(word, ())) for near in table.get(word, ())] for _, table in known],
            )
            for word in known[0][1]
        ]
        found.append({"title": _TITLES[kind], "head": [title for title, _ in known], "rows": rows})
    return found


def _tables(entry: Entry | None) -> dict[str, dict[str, list[str]]]:
    """Return an entry's neighbours by kind and word, from its first seed that has any."""
    for record in entry.records if entry else ():
        if found := {
            kind: words
            for kind, table in loose.field(record, "neighbours").items()
            if (words := _words(table))
        }:
            return found
    return {}


def _words(table: Any) -> dict[str, list[str]]:
    if not isinstance(table, Mapping):
        return {}
    return {
        printable(str(word)): [printable(str(one)) for one in near]
        for word, near in table.items()
        if isinstance(near, Sequence) and not isinstance(near, str)
    }
