"""List what ``harness distill`` tries on a user's file: simple models, teachers, new texts and students."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from harness.api import HarnessError, Student, Teacher, parameters_of
from harness.wording import nearest

if TYPE_CHECKING:
    from harness.api import TaskType
    from harness.catalog import Catalog

Table = dict[str, Any]  # a component, as in a suite


@cache
def recipe() -> Mapping[str, Any]:
    """Return the contents of ``recipes/distill.toml``."""
    return tomllib.loads(
        resources.files("harness.distill").joinpath("recipes", "distill.toml").read_text("utf-8")
    )


@dataclass(frozen=True)
class Offered:
    """Teachers that can be used here, and why."""

    tables: tuple[Table, ...]
    why: str


@dataclass(frozen=True)
class Candidates:
    """The components to try for a type of task, among the installed ones."""

    task_type: TaskType
    catalog: Catalog

    def simple(self, classes: int) -> list[Table]:
        """Return the models that need no teacher, the first choice first."""
        found = self._suited("student", recipe()["simple"]["models"])
        return found[:1] if classes > recipe()["simple"]["classes"] else found

    def bags(self) -> list[Table]:
        """Return the students without word order, the first choice first."""
        return self._suited("student", [*recipe()["simple"]["models"], *recipe()["simple"]["bags"]])

    def students(self, teacher: Table | None) -> list[Table]:
        """Return students of a teacher, small ones first; None: those that need no teacher.

        A type with components that prefer it gets these.
        """
        if preferred := self.preferred("student"):
            return [{"use": name} for name in preferred]
        built = self.catalog.build("teacher", teacher) if teacher else None
        assert built is None or isinstance(built, Teacher)

        def possible(table: Table) -> bool:
            student = self._student(table)
            return not student.borrows or (built is not None and not student.refuses(built))

        own = [
            table if possible(table) else {name: value for name, value in table.items() if name != "initial"}
            for table in self._suited("student", recipe()["student"])
        ]
        return [table for table in own if possible(table)]

    def augmenters(self, embeddings: Table | None, english: bool = True) -> list[Table]:
        """Return the members of the chain that makes new texts.

        `embeddings` is a teacher with pretrained weights, from which new words come; None: there is none. If
        the texts are not English, that is a multilingual model, whose words must be of the texts' language.
        """
        rule = recipe()["transfer"]
        if embeddings is None:
            return self._suited("augmenter", rule["plain"])
        found = []
        for table in self._suited("augmenter", rule["pretrained"]):
            known = self.parameters("augmenter", table)
            given = {"embeddings": embeddings} if "embeddings" in known else {}
            if "language" in known and not english:
                given |= self._language({**table, **given}, rule["language"])
            found.append({**table, **given})
        return found

    def _language(self, table: Table, language: str) -> Table:
        """Return the language as a parameter of an augmenter, or nothing if its list of words is missing."""
        try:
            self.catalog.build("augmenter", {**table, "language": language}).base()
        except HarnessError:
            return {}
        return {"language": language}

    def loss(self, classes: int) -> Table:
        """Return the loss by which students learn from the teacher, which has this number of classes."""
        if preferred := self.preferred("loss"):
            return {"use": preferred[0]}
        rule = recipe()["transfer"]
        return dict(rule["loss"] if classes < rule["many"]["classes"] else rule["many"]["loss"])

    def teachers(self, english: bool, name: str | None) -> Offered:
        """Return the teachers to compare, or the one that the user named; raise HarnessError without any."""
        if name is not None:
            return self._named(name)
        look = f"the texts {'look' if english else 'do not look'} English"
        reasons: list[str] = []
        tables = self._available(recipe()["teachers"]["english" if english else "other"], reasons)
        if tables:
            return Offered(tuple(tables), look)
        rest = [{"use": name} for name in self.preferred("teacher")] or recipe()["teachers"]["offline"]
        if tables := self._available(rest, reasons)[:1]:
            return Offered(tuple(tables), f"{look}, and no pretrained model for them is available")
        raise HarnessError(
            f"cannot choose a teacher: {look}, and no teacher for them is available ({'; '.join(reasons)}); "
            "name one with --teacher, or give --teacher none"
        )

    def parameters(self, kind: str, table: Table) -> frozenset[str]:
        """Return the names of a component's parameters."""
        component = self.catalog.get(kind, table["use"]).component
        return frozenset(getattr(component, "__dataclass_fields__", ()))

    def apart(self, kind: str, table: Table, others: Iterable[Table]) -> Table:
        """Return a component with each parameter that another table of its name has.

        An exclude names components by some of their parameters, and would mean the others too.
        """
        built = parameters_of(self.catalog.build(kind, table))
        named = {name for other in others if other["use"] == table["use"] for name in other}
        return {name: built[name] for name in sorted(named & built.keys())} | table

    def trained(self, teacher: Table) -> frozenset[str]:
        """Return the parameters of a teacher's training that can be set."""
        return self.parameters("teacher", teacher) if teacher["use"] != "student" else frozenset()

    def within(self, most: float | None, classes: int, tables: Sequence[Table]) -> list[Table]:
        """Return the students that can have at most `most` parameters, and what makes them so; None: all."""
        if most is None:
            return [dict(table) for table in tables]
        found = []
        for table in tables:
            usual = self._student(table)
            small = usual.within(int(most), classes)
            if small is not None:
                before = parameters_of(usual)
                changed = {name: to for name, to in parameters_of(small).items() if to != before[name]}
                found.append({**table, **changed})
        return found

    def preferred(self, kind: str) -> list[str]:
        """Return the names of the installed components of a kind that are preferred for the type of task."""
        return [
            name
            for (of, name), entry in self.catalog.entries.items()
            if of == kind and self.task_type.name in getattr(entry.component, "preferred_for", ())
        ]

    def _named(self, name: str) -> Offered:
        """Return the teacher of a name, the student of that name as a teacher, or the model to fine-tune."""
        reasons: list[str] = []
        teachers = self.catalog.names("teacher")
        if name in teachers:
            table: Table = {"use": name}
        elif name in self.catalog.names("student"):
            table = {"use": "student", "student": {"use": name}}
        else:
            table = {**recipe()["teachers"]["model"], "model": name}
        if not self._available([table], reasons):
            unknown = f"unknown teacher '{name}'{nearest(name, teachers)}; " if "model" in table else ""
            raise HarnessError(f"{unknown}{reasons[0]}; name another with --teacher")
        return Offered((table,), "as asked for")

    def _available(self, tables: Iterable[Table], reasons: list[str]) -> list[Table]:
        """Return the teachers that can be used here, and add the others' reasons."""
        found = []
        for table in tables:
            try:
                built = self.catalog.build("teacher", table)
                assert isinstance(built, Teacher)
                if not self.task_type.accepts(built):
                    what = "student" if table["use"] == "student" else "teacher"
                    name = table["student"]["use"] if what == "student" else table["use"]
                    raise HarnessError(f"{what} '{name}' cannot learn {self.task_type.name}")
                built.base()
            except HarnessError as error:
                reasons.append(str(error))
            else:
                found.append(dict(table))
        return found

    def _suited(self, kind: str, tables: Iterable[Table]) -> list[Table]:
        """Return the components that are installed and for the type of task."""
        names = self.catalog.names(kind)
        return [
            dict(table)
            for table in tables
            if table["use"] in names and self.task_type.accepts(self.catalog.build(kind, table))
        ]

    def _student(self, table: Table) -> Student:
        built = self.catalog.build("student", table)
        assert isinstance(built, Student)
        return built


def full(rule: Mapping[str, int], train: int) -> int:
    """Return a number of epochs or copies by a rule of the recipe, for some training texts."""
    return min(rule["most"], max(rule["least"], math.ceil(rule["examples"] / max(1, train))))


def looks_english(texts: Iterable[str]) -> bool:
    """Return whether enough of the words are among the most frequent English words."""
    rule = recipe()["teachers"]
    known, found, total = frozenset(rule["english_words"]), 0, 0
    for text in texts:
        words = text.casefold().split()
        total += len(words)
        found += sum(word.strip(".,;:!?\"'()") in known for word in words)
    return total > 0 and found / total >= float(rule["share"])


def named(tables: Sequence[Table]) -> str:
    """Return the names of components in words."""
    return ", ".join(map(_name, tables))


def _name(table: Table) -> str:
    if table["use"] == "student":
        return str(table["student"]["use"])
    lent = " over the teacher's embeddings" if table.get("embeddings") == "teacher" else ""
    return f"{table['use']}{lent}"
