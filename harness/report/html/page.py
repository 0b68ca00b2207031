"""Write the HTML report of a suite: one file that opens from disk and cannot use the network.

Texts from data, plugins and file names come into the page through a template that escapes everything, or as
JSON without characters that could end its element. A Content-Security-Policy allows only our scripts, by
their digests.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from harness import __version__
from harness.naming import PARTS
from harness.report.html import charts, language, looks, tasks
from harness.report.html.figures import DATA, THEMES, Chart
from harness.report.html.look import Look
from harness.report.html.sections import Entry, Section, sections
from harness.report.leaderboard import PROBLEM_TITLES, Column, explained, heading, printable
from harness.results.board import Leaderboard
from harness.results.costs import spent
from harness.results.record import Record
from harness.storage.files import dumps
from harness.wording import duration

if TYPE_CHECKING:
    from harness.report import verdict as verdicts
    from harness.report.verdict import Verdict
    from harness.task_types.base import Prediction

_CHANCE = "the order of models this close may be chance"
_FACETS = ("role", "student", "augmenter", "loss", "teacher")


_STALE = (
    "The results have changed since harness distill chose a model, so its choice is not shown. Run the same "
    "command again."
)


def render(
    board: Leaderboard,
    records: Sequence[Record],
    predictions: Mapping[str, Prediction],
    name: str,
    verdict: Verdict | None = None,
    trouble: str = "",
    validation: Mapping[str, Prediction] | None = None,
) -> str:
    """Return the HTML page of a leaderboard, its records and predictions; ``name`` is the suite's.

    The verdict is shown first, unless it is of other records. `trouble` says why it cannot be read.
    ``validation`` are predictions on that split, on which thresholds are chosen.
    """
    found = sections(board, records)
    name = verdict.about if verdict else name
    if verdict and verdict.stale:
        verdict, trouble = None, _STALE
    one = len(found) == 1 and verdict is not None  # the task is what the verdict is about
    across = tasks.error_reduction(found)
    shown, data = [], []
    for section in found:
        fixed = charts.of_section(section)
        closer = looks.of_section(section, predictions, validation)
        words = language.nearest_words(section)
        shown.append(_section(section, one) | {"charts": fixed, "looks": closer, "words": words})
        data.append(_data(section, fixed, closer))
    (plotly, digest), script = packed_plotly(), static("page.js")
    ok = sum(record["status"] == "ok" for record in records)
    of = "" if ok == len(records) else f" of {len(records):,}"
    page: str = template("page.html").render(
        policy=policy(digest, digest_of(script)),
        version=__version__,
        name=printable(name),
        summary=f"{ok:,}{of} {'model' if ok == 1 and not of else 'models'} measured",
        verdict=verdict and [_part(part) for part in verdict.sections],
        trouble=printable(trouble),
        sections=shown,
        across=across,
        facts=facts(records, board.machines),
        legend=explained(board),
        titles=("role", *PROBLEM_TITLES[1:]),  # the heading above says that they have no result
        style=trusted(static("page.css")),
        script=trusted(script),
        plotly=trusted(plotly),
        data=trusted(
            embedded(
                {
                    "themes": THEMES,
                    "plain": sorted(DATA),
                    "across": across and {"id": across.id, "figure": across.figure},
                    "sections": data,
                }
            )
        ),
    )
    return page


def _data(section: Section, fixed: Sequence[Chart], closer: Sequence[Look]) -> dict[str, Any]:
    """Return the data of a section for the script of the page."""
    row, other = beside(section)
    return {
        "slug": section.slug,
        "entries": [{"label": entry.label, "colour": entry.colour} for entry in section.entries],
        "row": row.index if row else 0,
        "other": other.index if other else 0,
        "charts": [{"id": chart.id, "figure": chart.figure} for chart in fixed],
        "looks": [vars(look) for look in closer],
    }


def beside(section: Section) -> tuple[Entry | None, Entry | None]:
    """Return the rows that are compared in detail first: the best student and its teacher."""
    row = section.first("distilled") or section.first("baseline") or section.first("teacher")
    return row, section.teacher_of(row) if row else None


# -- the values in the template -----------------------------------------------------------------------------


def _part(part: verdicts.Section) -> dict[str, Any]:
    lines = list(map(printable, part.lines))
    return {"title": printable(part.title), "lines": lines, "command": printable(part.command)}


def _section(section: Section, one: bool) -> dict[str, Any]:
    """Return the values of a section; if it is `one`, the verdict above has its title and figures."""
    shown = _in_order(section)
    facets = [
        {"name": name, "values": values}
        for name in _FACETS
        if len(values := sorted({_facet(entry, name) for entry in section.entries} - {""})) > 1
    ]
    rows = [
        {
            "index": entry.index,
            "role": entry.row.role,
            "colour": "var(--ink)" if entry.row.role == "teacher" else entry.colour,
            "label": _with_score(section, entry),
            "facets": [(facet["name"], _facet(entry, str(facet["name"]))) for facet in facets],
            "cells": [
                {
                    "text": printable(column.cell(entry.row)),
                    "numeric": column.numeric,
                    "model": column.title == "model",
                    "value": _value(entry, column.title, column.stat, printable(column.cell(entry.row))),
                }
                for column in shown
            ],
        }
        for entry in section.entries
    ]
    return {
        "slug": section.slug,
        "title": "All models" if one else section.title,
        "subtitle": "" if one else "All results",
        "details": printable(heading(section.table, fingerprint=False)[1]),  # it is among the facts
        "sample": section.sample,
        "cards": [] if one else _cards(section),
        "columns": shown,
        "facets": facets,
        "rows": rows,
        "footnotes": list(map(printable, section.footnotes)),
        "problems": [[printable(cell) for cell in cells] for cells in section.problems],
    }


def _in_order(section: Section) -> list[Column]:
    """Return the columns with the model and its score first, as a phone shows only a few."""
    first = ("#", "model")

    def place(column: Column) -> int:
        if column.title in first:
            return first.index(column.title)
        return 2 if column.stat == section.table.headline else 3 if column.title == "95 % interval" else 4

    return sorted(section.columns, key=place)


def _facet(entry: Entry, name: str) -> str:
    return entry.row.role if name == "role" else printable(entry.row.labels[name])


def _with_score(section: Section, entry: Entry) -> str:
    score = section.score(entry)
    return entry.label if score is None else f"{entry.label}: {score:.1f}{' %' if section.percent else ''}"


def _value(entry: Entry, title: str, stat: str, text: str) -> float | int | str:
    """Return the value that a column is sorted by: the number of the cell if it has one, or its text."""
    if stat:
        mean = entry.mean(stat)
        return "" if mean is None else mean
    special = {
        "#": entry.row.rank,
        "n": len(entry.row.seeds),
        "95 % interval": entry.row.interval and entry.row.interval[0],
        "gain's 95 % interval": entry.row.gain_interval and entry.row.gain_interval[0],
        **dict.fromkeys(("gain", "gain, points"), entry.row.gain),
    }
    value = special.get(title, text)
    return "" if value is None else value


def _cards(section: Section) -> list[dict[str, Any]]:
    """Return the cards above a table: teacher and best student, the gain, parameters and latency."""
    teacher, best = section.first("teacher"), section.first("distilled") or section.first("baseline")
    if best and section.table.task_type.scaled:  # scores of other teachers may have other scales
        teacher = section.teacher_of(best)
    unit = "%" if section.percent else ""
    headline = section.table.headline
    cards: list[dict[str, Any]] = []

    def add(title: str, figure: str, unit: str, note: str, strong: bool = False) -> None:
        cards.append({"title": title, "figure": figure, "unit": unit, "note": note, "strong": strong})

    if teacher:
        size = section.shown(teacher, "parameters_total")
        time = f"{_few(teacher.latency[0])} ms a text" if teacher.latency else ""
        note = ", ".join(filter(None, (size and f"{size} parameters", time)))
        add(f"Teacher, {section.metric}", section.shown(teacher, headline), unit, f"{teacher.model}: {note}")
    if not best:
        return cards
    share = section.share(best) if teacher and not section.lower else None
    kept = f", {share:.1f} % of the teacher's" if share else ""
    add(
        f"Best student, {section.metric}",
        section.shown(best, headline),
        unit,
        "; ".join(filter(None, (f"{best.label}{kept}", best.places and f"{best.places}: {_CHANCE}"))),
        True,
    )
    if best.row.gain is not None:
        scale, word = (100, "points") if section.percent else (1, "")
        gains = [e for e in section.entries if e.row.gain is not None]
        top = max(gains, key=lambda e: e.row.gain or 0)
        sure = _gain_interval(best, scale)
        most = (
            "the largest gain"
            if top is best
            else f"largest gain: {(top.row.gain or 0) * scale:+.1f} for {top.label}"
        )
        add(
            f"Gain over {section.alone}",
            f"{best.row.gain * scale:+.1f}",
            word,
            "; ".join(filter(None, (sure, most))),
        )
    if size := section.shown(best, "parameters_total"):
        times = _times(teacher.mean("parameters_total") if teacher else None, best.mean("parameters_total"))
        add("Parameters", size, "", f"{times} fewer than the teacher" if times else best.model)
    if best.latency:
        times = _times(teacher.latency[0] if teacher and teacher.latency else None, best.latency[0])
        where = f"median for one text, {best.latency[1]}"
        add("Latency", _few(best.latency[0]), "ms", f"{where}; {times} faster" if times else where)
    return cards


def _gain_interval(entry: Entry, scale: float) -> str:
    if entry.row.gain_interval is None:
        return ""
    low, high = (scale * end for end in entry.row.gain_interval)
    return f"95 % interval {low:+.1f} to {high:+.1f}"


def _few(value: float) -> str:
    """Return a number with three significant digits and without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _times(large: float | None, small: float | None) -> str:
    """Return how many times smaller the second value is, as a text; empty if it is not smaller."""
    if not large or not small or large <= small:
        return ""
    return f"{large / small:,.0f} ×" if large / small >= 10 else f"{large / small:.1f} ×"


def facts(records: Sequence[Record], machines: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Return the facts about hardware and provenance, each with a title and its distinct values."""
    made: list[Mapping[str, Any]] = [record.get("provenance") or {} for record in records]

    def distinct(values: Iterable[Any]) -> list[str]:
        return sorted({printable(str(value)) for value in values if value})

    versions: dict[str, set[str]] = {}
    for where in made:
        for package, version in (where.get("packages") or {}).items():
            versions.setdefault(printable(str(package)), set()).add(printable(str(version)))
    listed = (f"{name} {' and '.join(sorted(several))}" for name, several in sorted(versions.items()))
    costs: list[Mapping[str, Any]] = [record.get("cost") or {} for record in records]
    needed = (cost.get("peak_anonymous_bytes") or cost.get("peak_rss_bytes") or 0 for cost in costs)
    peak = max(needed, default=0)
    made_in = spent(records)
    work = (
        ("Training of teachers", made_in.teachers_s),
        ("Labels of teachers", made_in.labels_s),
        ("Training of students", made_in.students_s),
    )
    times = sorted(
        str(where[key])[:16].replace("T", " ")
        for where in made
        for key in ("started", "finished")
        if where.get(key)
    )
    parts = ("task", *PARTS)
    components: list[Any] = [dict(record).get(part) or {} for record in records for part in parts]
    systems = (_words(where.get("os"), where.get("python") and f"Python {where['python']}") for where in made)
    data = (
        _words(task["name"], task.get("source"), task.get("fingerprint"))
        for task in (record["task"] for record in records)
    )
    found = [
        ("Machine", distinct(machines)),
        ("System", distinct(systems)),
        ("Device, precision", distinct(_words(cost.get("device"), cost.get("precision")) for cost in costs)),
        ("When", [f"{times[0]} to {times[-1]} UTC"] if times else []),
        *((title, [duration(seconds)] if seconds else []) for title, seconds in work),
        ("Peak memory", [f"{peak / 1e9:.1f} GB"] if peak else []),
        ("Commit", distinct(where.get("git") for where in made)),
        ("Packages", distinct([", ".join(listed)])),
        ("Data", distinct(data)),
        ("Plugins", distinct(component.get("plugin") for component in components)),
        ("Made by", [f"harness {__version__}; charts by plotly.js (MIT licence), which this file contains"]),
    ]
    return [(title, values) for title, values in found if values]


def _words(*parts: Any) -> str:
    return " ".join(str(part) for part in parts if part)


# -- the single file ----------------------------------------------------------------------------------------


def embedded(value: Any) -> str:
    """Return JSON for a script element, without "<", so that no text can end the element."""
    text = dumps(value)
    for char in ("<", ">", "&", "\u2028", "\u2029"):
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def policy(*digests: str, others: str = "") -> str:
    """Return a Content-Security-Policy that allows only the scripts with these digests, and no network.

    `others` are further sources of scripts, such as ``blob:`` for parts of the page itself.
    """
    allowed = " ".join([*(f"'{digest}'" for digest in digests), *others.split()])
    return (
        f"default-src 'none'; script-src {allowed or chr(39) + 'none' + chr(39)}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def digest_of(script: str) -> str:
    """Return the digest of a script, as :func:`policy` takes it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


@cache
def packed_plotly() -> tuple[str, str]:
    """Return plotly.js from the Python package, gzipped as base64 (2 MB instead of 5), and its digest."""
    code = (resources.files("plotly") / "package_data" / "plotly.min.js").read_bytes()
    packed = gzip.compress(code, compresslevel=5, mtime=0)  # 9 takes twice as long for 1 %
    digest = base64.b64encode(hashlib.sha256(code).digest()).decode()
    return base64.b64encode(packed).decode(), f"sha256-{digest}"


def static(name: str) -> str:
    """Return the text of a file in the folder ``static``."""
    return (resources.files("harness.report.html") / "static" / name).read_text(encoding="utf-8")


@cache
def template(name: str) -> Any:
    """Return a template that escapes everything except what is :func:`trusted`."""
    import jinja2

    places = jinja2.FunctionLoader(static)
    return jinja2.Environment(loader=places, autoescape=True, undefined=jinja2.StrictUndefined).get_template(
        name
    )


def trusted(text: str) -> Any:
    """Return a text that is not escaped: only for our scripts, styles, base64, and :func:`embedded` JSON."""
    from markupsafe import Markup

    return Markup(text)
