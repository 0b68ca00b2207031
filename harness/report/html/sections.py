"""What a report shows of each table: its rows with their records, colours and numbers in plain view."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from harness.report.html import loose
from harness.report.html.loose import field
from harness.report.leaderboard import Column, columns, heading, printable, problems, ranked
from harness.results.board import Leaderboard
from harness.results.ranking import Row, Table, reference
from harness.results.record import Record
from harness.task_types.base import TaskType

# Okabe & Ito (2008), told apart by the colour-blind too; black and yellow would be lost on one theme.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
SAME = 0.005  # share of predictions in which a form of a model may differ and still count as that model
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "pentagon", "hexagon")


@dataclass(frozen=True)
class Entry:
    """One configuration: a row that has a result, and the records of its seeds."""

    index: int
    row: Row
    records: tuple[Record, ...]
    family: str  # what shares a colour: one student, or of many all of one name
    colour: str
    symbol: str
    alone: str  # what a student without a teacher learns from

    @property
    def model(self) -> str:
        """The teacher's name in its own row, else the student's."""
        return printable(self.row.labels["teacher" if self.row.role == "teacher" else "student"])

    @property
    def label(self) -> str:
        """What tells it from the other rows, in a few words."""
        if self.row.role == "teacher":
            return f"{self.model} (teacher)"
        if self.row.role == "baseline":
            extra = self.augmenter if self.augmenter not in ("", "none") else ""
            return " · ".join(filter(None, (self.model, extra, self.alone)))
        return " · ".join(filter(None, (self.model, self.augmenter, self.loss)))

    @property
    def augmenter(self) -> str:
        """The augmenter's name, with the parameters that matter."""
        return printable(self.row.labels["augmenter"])

    @property
    def loss(self) -> str:
        """The loss's name, with the parameters that matter."""
        return printable(self.row.labels["loss"])

    def mean(self, name: str) -> float | None:
        """A number's mean over seeds."""
        return self.row.stats[name].mean if name in self.row.stats else None

    @cached_property
    def latency(self) -> tuple[float, str] | None:
        """The shortest median time for one text in milliseconds, and the runtime that takes it.

        On the CPU where it was timed there: an answer from a GPU is no match for one from a CPU. A form that
        answers otherwise than the model whose score is shown, as one in int8 may, does not count.
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
        """The places that tests leave it, in words; "" where they leave one or there are none."""
        first, last = self.row.places or (0, 0)
        return f"places {first} to {last} by test" if first != last else ""

    @property
    def learned_from(self) -> float | None:
        """Texts in its transfer set; for a baseline those of the training split."""
        known = []
        for record in self.records:
            alone = record["task"].get("train") if self.row.role == "baseline" else None
            if (size := loose.number(field(record, "transfer").get("rows")) or alone) and size > 0:
                known.append(size)
        return sum(known) / len(known) if known else None


@dataclass(frozen=True)
class Section:
    """One table of the leaderboard, ready to be shown."""

    slug: str  # of [a-z0-9-], and no other section's
    table: Table
    entries: tuple[Entry, ...]  # best first
    columns: tuple[Column, ...]
    problems: tuple[tuple[str, ...], ...]

    @property
    def title(self) -> str:
        """The task and its source."""
        return printable(heading(self.table)[0])

    @property
    def details(self) -> str:
        """Where the data came from and how much there is."""
        return printable(heading(self.table)[1])

    @property
    def sample(self) -> bool:
        """Whether its data are the project's own sample corpus."""
        return self.table.task.get("source") == "sample"

    @property
    def metric(self) -> str:
        """The headline metric, as people write it."""
        return printable({"f1": "F1"}.get(self.table.headline, self.table.headline.replace("_", " ")))

    @cached_property
    def percent(self) -> bool:
        """Whether the headline is a share, shown as a percentage."""
        return is_share(self.table, self.table.headline, (entry.row for entry in self.entries))

    @property
    def alone(self) -> str:
        """What its baselines learned from."""
        return alone_of(self.table.task_type)

    @property
    def lower(self) -> bool:
        """Whether less is better."""
        return self.table.lower_is_better()

    def score(self, entry: Entry) -> float | None:
        """The headline's mean, in per cent where it is a share."""
        mean = entry.mean(self.table.headline)
        return None if mean is None else mean * (100 if self.percent else 1)

    def shown(self, entry: Entry, stat: str) -> str:
        """A number as the table shows it; "" where there is none."""
        return next((column.cell(entry.row) for column in self.columns if column.stat == stat), "")

    def first(self, role: str) -> Entry | None:
        """The best entry of a role that has a score."""
        return next((e for e in self.entries if e.row.role == role and self.score(e) is not None), None)

    def teacher_of(self, entry: Entry) -> Entry | None:
        """The teacher to hold it against: its own, else the best."""
        own = entry.row.labels["teacher"]
        found = [e for e in self.entries if e.row.role == "teacher" and self.score(e) is not None]
        return next((e for e in found if own and e.row.labels["teacher"] == own), found[0] if found else None)

    def baseline_of(self, entry: Entry) -> Entry | None:
        """The same student on the gold labels alone, best first."""
        alone = [
            other
            for other in self.entries
            if other.row.role == "baseline"
            and reference(other.row, "student") == reference(entry.row, "student")
        ]
        own = [other for other in alone if reference(other.row, "teacher") == reference(entry.row, "teacher")]
        return next(iter(own or alone), None)  # own: of one that borrows, with parts of that teacher

    def share(self, entry: Entry) -> float | None:
        """Its headline in per cent of its teacher's; above 100 is better, whichever way the metric runs."""
        teacher = self.teacher_of(entry)
        score, best = self.score(entry), self.score(teacher) if teacher else None
        if score is None or best is None or score <= 0 or best <= 0:
            return None
        return 100 * (best / score if self.lower else score / best)


def alone_of(task_type: TaskType) -> str:
    """Return what a student without a teacher learns from."""
    return f"{task_type.learns_from} alone"


def is_share(table: Table, name: str, rows: Iterable[Row]) -> bool:
    """Whether a metric runs from 0 to 1, more being better."""
    means = [abs(row.stats[name].mean) for row in rows if name in row.stats]
    return not table.lower_is_better(name) and max(means, default=0) <= 1


def sections(board: Leaderboard, records: Sequence[Record]) -> list[Section]:
    """The tables of a leaderboard with the records that made them; real data before sample corpora."""
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
        found.append(Section(_slug(table, taken), table, tuple(entries), shown, lost))
    return found


def _families(board: Leaderboard) -> dict[str, str]:
    """Each student's family, by its label: itself, or where they are more than colours, its name."""
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
