"""Prepare the tables of a leaderboard for the report: rows with their records, colours and labels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from harness.report.columns import shortest
from harness.report.html import loose
from harness.report.html.loose import field
from harness.report.leaderboard import Column, columns, footnotes, heading, printable, problems, ranked
from harness.results.board import Leaderboard
from harness.results.ranking import Row, Table, reference
from harness.results.record import Record
from harness.task_types.base import TaskType

# Okabe & Ito (2008), for colour-blind readers; without black and yellow, which one theme would hide.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
SAME = 0.005  # a form with a larger share of changed predictions does not count as the same model
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "pentagon", "hexagon")


@dataclass(frozen=True)
class Entry:
    """One configuration: a row with a result, and the records of its seeds."""

    index: int
    row: Row
    records: tuple[Record, ...]
    family: str  # entries of one family share a colour: one student, or if there are many, all with one name
    colour: str
    symbol: str
    alone: str  # what a student without a teacher learns from

    @property
    def model(self) -> str:
        """Return the label of the student, or of the teacher in its own row."""
        return printable(self.row.labels["teacher" if self.row.role == "teacher" else "student"])

    @property
    def label(self) -> str:
        """Return a short text that distinguishes the entry from others."""
        if self.row.role == "teacher":
            return f"{self.model} (teacher)"
        if self.row.role == "baseline":
            extra = self.augmenter if self.augmenter not in ("", "none") else ""
            return " · ".join(filter(None, (self.model, extra, self.alone)))
        return " · ".join(filter(None, (self.model, self.augmenter, self.loss)))

    @property
    def augmenter(self) -> str:
        """Return the label of the augmenter."""
        return printable(self.row.labels["augmenter"])

    @property
    def loss(self) -> str:
        """Return the label of the loss."""
        return printable(self.row.labels["loss"])

    def mean(self, name: str) -> float | None:
        """Return a number's mean over seeds, or None if the row does not have it."""
        return self.row.stats[name].mean if name in self.row.stats else None

    @cached_property
    def latency(self) -> tuple[float, str] | None:
        """Return the shortest median time for one text in milliseconds, and its runtime; None without one.

        Measurements on the CPU come first, because times on a GPU cannot be compared to them. Forms whose
        answers differ too often from those of the scored model, e.g. in int8, are not used.
        """
        found: list[tuple[bool, float, str]] = []
        for name, stat in self.row.stats.items():
            match = re.fullmatch("latency_(.+)_([^_]+)_p50_ms", name)
            if match and self._answers_the_same(match[1]):
                device = "" if match[2] == "cpu" else f" on {match[2]}"
                found.append((bool(device), stat.mean, printable(match[1] + device)))
        if not found:
            return None
        _, time, runtime = min(found)
        return time, runtime

    def _answers_the_same(self, form: str) -> bool:
        for record in self.records:
            forms = field(record, "export").get("forms")
            found = forms.get(form) if isinstance(forms, Mapping) else None
            if isinstance(found, Mapping):
                changed, texts, outputs = (
                    loose.number(found.get(key)) or 0 for key in ("changed", "texts", "outputs")
                )
                if changed > SAME * (outputs or texts):
                    return False
        return True

    @property
    def places(self) -> str:
        """Return the ranks that tests allow, in words; empty for a single rank or without tests."""
        first, last = self.row.places or (0, 0)
        return f"rank between {first} and {last}" if first != last else ""

    @property
    def learned_from(self) -> float | None:
        """Return the number of texts in its transfer set; for a baseline, in the training split."""
        known = []
        for record in self.records:
            alone = record["task"].get("train") if self.row.role == "baseline" else None
            if (size := loose.number(field(record, "transfer").get("rows")) or alone) and size > 0:
                known.append(size)
        return sum(known) / len(known) if known else None


@dataclass(frozen=True)
class Section:
    """One table of the leaderboard, prepared for the page."""

    slug: str  # of [a-z0-9-], unique on the page
    table: Table
    entries: tuple[Entry, ...]  # best first
    columns: tuple[Column, ...]
    problems: tuple[tuple[str, ...], ...]
    footnotes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Return the task and its source."""
        return printable(heading(self.table)[0])

    @property
    def details(self) -> str:
        """Return the origin of the data, their sizes, and other details."""
        return printable(heading(self.table)[1])

    @property
    def sample(self) -> bool:
        """Return whether its data are a generated sample corpus."""
        return self.table.task.get("source") == "sample"

    @property
    def metric(self) -> str:
        """Return the name of the headline metric for people."""
        return printable(self.table.title(self.table.headline))

    @cached_property
    def percent(self) -> bool:
        """Return whether the headline is a share, which is shown as a percentage."""
        return self.table.is_share(self.table.headline, [entry.row for entry in self.entries])

    @property
    def alone(self) -> str:
        """Return what baselines learned from, in words."""
        return alone_of(self.table.task_type)

    @property
    def lower(self) -> bool:
        """Return whether a lower headline is better."""
        return self.table.lower_is_better()

    def score(self, entry: Entry) -> float | None:
        """Return the mean of the headline, in percent if it is a share."""
        mean = entry.mean(self.table.headline)
        return None if mean is None else mean * (100 if self.percent else 1)

    def shown(self, entry: Entry, stat: str) -> str:
        """Return a number as the table shows it, or an empty string if it does not."""
        return next((column.cell(entry.row) for column in self.columns if column.stat == stat), "")

    def first(self, role: str) -> Entry | None:
        """Return the best entry of a role with a score."""
        return next((e for e in self.entries if e.row.role == role and self.score(e) is not None), None)

    def teacher_of(self, entry: Entry) -> Entry | None:
        """Return the teacher to compare an entry to: its own, or otherwise the best one."""
        own = entry.row.labels["teacher"]
        found = [e for e in self.entries if e.row.role == "teacher" and self.score(e) is not None]
        return next((e for e in found if own and e.row.labels["teacher"] == own), found[0] if found else None)

    def baseline_of(self, entry: Entry) -> Entry | None:
        """Return the best baseline of the same student, with the same teacher if it takes parts of one."""
        alone = [
            other
            for other in self.entries
            if other.row.role == "baseline"
            and reference(other.row, "student") == reference(entry.row, "student")
        ]
        own = [other for other in alone if reference(other.row, "teacher") == reference(entry.row, "teacher")]
        return next(iter(own or alone), None)  # own: with parts of the same teacher

    def share(self, entry: Entry) -> float | None:
        """Return its headline in percent of its teacher's; above 100 is always better than the teacher."""
        teacher = self.teacher_of(entry)
        score, best = self.score(entry), self.score(teacher) if teacher else None
        if score is None or best is None or score <= 0 or best <= 0:
            return None
        return 100 * (best / score if self.lower else score / best)


def alone_of(task_type: TaskType) -> str:
    """Return what a student without a teacher learns from, in words."""
    return f"{task_type.learns_from} alone"


def sections(board: Leaderboard, records: Sequence[Record]) -> list[Section]:
    """Return the tables of a leaderboard with their records; sample corpora come last.

    Long tables are cut, so that charts show the best rows.
    """
    board = replace(board, tables=tuple(map(shortest, board.tables)))
    by_cell = {record["cell"]: record for record in records}
    families = _families(board)
    looks = {
        family: (COLOURS[i % len(COLOURS)], SYMBOLS[i // len(COLOURS) % len(SYMBOLS)])
        for i, family in enumerate(sorted(set(families.values())))
    }
    taken: set[str] = set()
    found = []
    for table in sorted(board.tables, key=lambda table: table.task.get("source") == "sample"):
        entries = []
        for i, row in enumerate(ranked(table)):
            family = families.get(row.labels["student"], row.labels["teacher"])
            look = looks.get(family, ("@ink", "star")) if row.labels["student"] else ("@ink", "star")
            made = tuple(by_cell[cell] for cell in row.cells)
            entries.append(Entry(i, row, made, printable(family), *look, alone_of(table.task_type)))
        one_teacher = len({row.labels["teacher"] for row in table.rows} - {""}) == 1
        shown = tuple(c for c in columns(table) if not (one_teacher and c.title == "teacher"))
        lost = tuple(tuple(cells) for cells in problems(table))
        found.append(
            Section(_slug(table, taken), table, tuple(entries), shown, lost, tuple(footnotes(table)))
        )
    return found


def _families(board: Leaderboard) -> dict[str, str]:
    """Return each student's family by its label: the label, or its name if there are more than colours."""
    rows = [row for table in board.tables for row in table.rows if row.parts["student"]]
    names = {row.labels["student"]: str((row.parts["student"] or {}).get("name")) for row in rows}
    return names if len(names) > len(COLOURS) else {label: label for label in names}


def _slug(table: Table, taken: set[str]) -> str:
    text = f"{table.label} {table.task.get('source') or ''}".lower()
    base = re.sub("[^a-z0-9]+", "-", text).strip("-")[:60].strip("-") or "table"
    slug, n = base, 2
    while slug in taken:
        slug, n = f"{base}-{n}", n + 1
    taken.add(slug)
    return slug
