"""Draw the chart across tasks: the share of a student's errors that distillation avoids."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from harness.report.html.charts import sentence
from harness.report.html.figures import HOVER, Chart, Json, axis, layout
from harness.report.html.sections import Entry, Section


def error_reduction(found: Sequence[Section]) -> Chart | None:
    """Return the chart of the change in each student's errors by task; None with fewer than two tasks.

    It also shows the change from the best baseline to the teacher. Only tasks whose headline is accuracy or
    F1 are included, and sample corpora only if there are no others.
    """
    apt = [
        s
        for s in found
        if s.percent and s.table.headline.startswith(("accuracy", "f1")) and s.first("distilled")
    ]
    real = [s for s in apt if not s.sample]
    apt = sorted(real or apt, key=lambda s: s.title)
    if len(apt) < 2:
        return None
    names = _distinct_names(apt)
    students: dict[str, list[tuple[str, Entry, float, str]]] = defaultdict(list)
    teachers: list[tuple[str, float, str]] = []
    rows = []
    for section, name in zip(apt, names, strict=True):
        for student, best, base in _recipes(section):
            errors = 100 - (section.score(base) or 0)
            saved = _saved(section.score(best), errors)
            students[student].append((name, best, saved, sentence(section, best)))
            rows.append((name, best.label, _bare(section, base), _bare(section, best), f"{-saved:+.1f}"))
        reference, teacher = section.first("baseline"), section.first("teacher")
        if reference and teacher:
            saved = _saved(section.score(teacher), 100 - (section.score(reference) or 0))
            teachers.append((name, saved, sentence(section, teacher)))
            rows.append(
                (name, teacher.label, _bare(section, reference), _bare(section, teacher), f"{-saved:+.1f}")
            )
    if not students:
        return None
    data: list[Json] = [
        {
            "type": "bar",
            "name": student,
            "x": [name for name, *_ in bars],
            "y": [-saved for _, _, saved, _ in bars],
            "marker": {"color": bars[0][1].colour},
            "customdata": [[e.label, says, f"errors {-saved:+.0f} %", e.index] for _, e, saved, says in bars],
            "hovertemplate": HOVER,
        }
        for student, bars in sorted(students.items())
    ]
    data.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "teacher, over the best student alone",
            "x": [name for name, *_ in teachers],
            "y": [-saved for _, saved, _ in teachers],
            "marker": {"symbol": "star", "size": 12, "color": "@ink"},
            "customdata": [["teacher", says, f"errors {-saved:+.0f} %"] for _, saved, says in teachers],
            "hovertemplate": HOVER,
        }
    )
    return Chart(
        id="error-reduction",
        title="Errors avoided by distillation, by task",
        note="Change in errors of each student's best recipe over the same student on the labels alone. "
        "The recipe is chosen on the validation split if it has scores there, and scored on the test split.",
        data=data,
        layout=layout(
            axis(type="category", categoryarray=names, categoryorder="array"),
            axis("change in errors, %", zeroline=True, zerolinecolor="@muted"),
            barmode="group",
        ),
        head=("task", "row", "before, %", "after, %", "change in errors, %"),
        rows=rows,
    )


def _saved(score: float | None, errors: float) -> float:
    return 100 * (errors - (100 - (score or 0))) / errors if errors else 0.0


def _bare(section: Section, entry: Entry) -> str:
    return f"{section.score(entry):.1f}"


def _recipes(section: Section) -> list[tuple[str, Entry, Entry]]:
    """Return each student with its best distilled row, chosen on the validation split, and its baseline."""
    best: dict[str, Entry] = {}
    for entry in section.entries:
        if entry.row.role == "distilled" and section.score(entry) is not None:
            other = best.get(entry.model)
            if other is None or _judged(section, entry) > _judged(section, other):
                best[entry.model] = entry
    pairs = ((name, entry, section.baseline_of(entry)) for name, entry in best.items())
    return [(name, entry, base) for name, entry, base in pairs if base and section.score(base) is not None]


def _judged(section: Section, entry: Entry) -> float:
    validation = entry.mean(f"validation_{section.table.headline}")
    return -math.inf if validation is None else validation


def _distinct_names(apt: Sequence[Section]) -> list[str]:
    """Return the tasks' names, with the source if two names are the same."""
    labels = [section.table.label for section in apt]
    return [
        label if labels.count(label) == 1 else section.title
        for label, section in zip(labels, apt, strict=True)
    ]
