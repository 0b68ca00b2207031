"""Read a suite from TOML and check it. All mistakes are reported at once."""

from __future__ import annotations

import re
import stat
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from annotated_types import Gt, Interval, MinLen

from harness.api import KINDS, Augmenter, Component, HarnessError, Loss, Student, Task, Teacher
from harness.parameters import ParameterErrors, Where, brief, read, spell, types_of
from harness.suite.bundled import find, suggested
from harness.suite.excludes import Exclude, ExcludeReader
from harness.suite.lines import line_of, locate
from harness.suite.size import LARGEST, LIMIT, measure
from harness.suite.sweeps import variants, written
from harness.task_types.base import TaskType
from harness.tracking import Tracker
from harness.wording import printable

if TYPE_CHECKING:
    from harness.catalog import Catalog

_C = TypeVar("_C", bound=Component)
TimeLimit = Annotated[float, Gt(0)] | Literal["auto", "none"]
_MOST = 100  # mistakes that are reported at once


@dataclass(frozen=True)
class Problem:
    """One mistake in a suite."""

    file: str
    line: int | None
    where: str  # the path in the table: "student[1].width"
    message: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return ": ".join(map(printable, filter(None, (place, self.where, self.message))))


class SuiteError(HarnessError):
    """All mistakes in a suite, each on its own line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


@dataclass(frozen=True)
class Suite:
    """What to compare, with every sweep expanded."""

    name: str
    path: Path | None
    seeds: tuple[int, ...]
    teacher_seeds: Literal["first", "each"]
    baselines: Mapping[str, Loss]  # by type of task: the loss for training on gold labels alone
    tasks: tuple[Task, ...]
    teachers: tuple[Teacher, ...]
    students: tuple[Student, ...]
    augmenters: tuple[Augmenter, ...]
    losses: tuple[Loss, ...]
    excludes: tuple[Exclude, ...]
    precision: Literal["auto", "fp32", "bf16"]
    latency: bool
    time_limit: TimeLimit
    logits: Literal["fp32", "fp16"] = "fp32"
    top_logits: int | None = None
    label_parts: int | Literal["auto"] = "auto"
    trackers: tuple[Tracker, ...] = ()  # they follow runs of the suite, and are not part of any key


@dataclass(frozen=True)
class _Settings:
    """The keys of [suite]."""

    name: str | None = None  # default: the name of the file
    seeds: Annotated[tuple[Annotated[int, Interval(ge=0, le=2**32 - 1)], ...], MinLen(1)] = (0,)
    # "first": teachers are fitted and transfer sets drawn once, with the first seed; "each": for every seed
    teacher_seeds: Literal["first", "each"] = "first"
    # For training on gold labels alone, in tasks that the loss supports; each type of task has a default
    baseline: Loss | None = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    latency: bool = True
    # Seconds that a step may take; "auto": it may not be silent for much longer than usual; "none": no limit
    time_limit: TimeLimit = "auto"
    logits: Literal["fp32", "fp16"] = "fp32"  # how those of teachers are stored for a transfer set
    # Most logits stored for a row, the largest ones, if there are more than twice as many classes; none: all
    top_logits: Annotated[int, Gt(0)] | None = None
    # Steps that label one transfer set; "auto": 4 for slow teachers, more for augmenters of a large `size`
    label_parts: Annotated[int, Interval(ge=1, le=1000)] | Literal["auto"] = "auto"


def load(path: Path, catalog: Catalog, limit: int | None = LIMIT) -> Suite:
    """Read a suite, given its path or name (see :mod:`harness.suite.bundled`).

    Raise SuiteError with all its mistakes, or if it has more than `limit` cells.
    """
    path = find(path)
    try:
        # A pipe may wait for ever, and a device such as /dev/zero has no end.
        if path.exists() and not path.is_dir() and not stat.S_ISREG(path.stat().st_mode):
            message = "cannot read the suite: it is a pipe, a socket or a device; write the suite to a file"
            raise SuiteError([Problem(str(path), None, "", message)])
        with path.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        raise SuiteError([Problem(str(path), None, "", _unreadable(path, error))]) from None
    if len(data) > LARGEST:
        message = f"cannot read the suite: the file has more than {LARGEST:,} bytes; is it a suite?"
        raise SuiteError([Problem(str(path), None, "", message)])
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
        message = f"the file is not UTF-8 ({error.reason}); save it as UTF-8{', not UTF-16' if utf16 else ''}"
        raise SuiteError([Problem(str(path), data.count(b"\n", 0, error.start) + 1, "", message)]) from None
    return parse(text, catalog, path, limit)


def parse(text: str, catalog: Catalog, path: Path | None = None, limit: int | None = LIMIT) -> Suite:
    """Read a suite's text. Raise SuiteError with all its mistakes, or if it has more than `limit` cells.

    With None as the limit, a suite may have any number of cells, for a caller that does not make them.
    """
    try:
        return _Reader(catalog, path, text.removeprefix("\ufeff"), limit).suite()
    except RecursionError:
        raise SuiteError([Problem(_file(path), None, "", "tables or arrays are nested too deeply")]) from None


def _file(path: Path | None) -> str:
    return str(path) if path else "<suite>"


def _unreadable(path: Path, error: OSError | ValueError) -> str:
    if not isinstance(error, FileNotFoundError):
        return f"cannot read the suite: {(getattr(error, 'strerror', None) or str(error)).lower()}"
    if near := " or ".join(suggested(path)):
        return f"cannot read the suite: no such file; did you mean {near}?"
    by_name = "; to list known suites, run: harness suites" if len(path.parts) == 1 else ""
    return f"cannot read the suite: no such file{by_name}"


class _Reader:
    def __init__(self, catalog: Catalog, path: Path | None, text: str, limit: int | None) -> None:
        self.catalog = catalog
        self.path = path
        self.text = text
        self.limit = limit
        self.file = _file(path)
        self.problems: dict[tuple[Where, str], Problem] = {}  # a dict, because sweeps repeat mistakes
        self.unsound: set[str] = set()  # the kinds of which some components could not be built
        self.document = self._toml(text)

    @cached_property
    def lines(self) -> Mapping[Where, int]:
        """Return the lines of the suite's tables and keys; finding them takes longer than reading a suite."""
        return locate(self.text)

    def suite(self) -> Suite:
        for where in _large(self.document):
            self._problem(where, "expected an integer that fits into 64 bits")
        self._sound()
        tables = self._tables()
        settings, name = self._settings(self.document.get("suite", {}))
        self._sized(tables, settings)
        found = {kind: self._components(kind, tables.get(kind, [])) for kind in (*KINDS, "tracker")}
        if "augmenter" not in self.document.keys() | self.unsound:
            found["augmenter"] = self._plain()
        given = self.document.keys() | self.unsound
        if "task" not in given:
            allowed = ", ".join(self.catalog.names("task")) or "none"
            self._problem((), f"a suite needs a [[task]] (allowed: {allowed})")
        if not {"student", "teacher"} & given:
            self._problem((), "a suite needs a [[student]] or a [[teacher]]")
        tasks, students = _only(Task, found["task"]), _only(Student, found["student"])
        types = self._types(tasks)
        baselines = self._baselines(settings.baseline, types) if students else {}
        excludable = found | {"loss": [*found["loss"], *baselines.values()]}
        reader = ExcludeReader(self.catalog, excludable, settings.seeds, self.unsound, self._problem)
        excludes = [
            reader.read(("exclude", index), table) for index, table in enumerate(tables.get("exclude", []))
        ]
        self._sound()
        return Suite(
            name=name,
            path=self.path,
            seeds=settings.seeds,
            teacher_seeds=settings.teacher_seeds,
            baselines=baselines,
            tasks=tasks,
            teachers=_only(Teacher, found["teacher"]),
            students=students,
            augmenters=_only(Augmenter, found["augmenter"]),
            losses=_only(Loss, found["loss"]),
            excludes=tuple(excludes),
            precision=settings.precision,
            latency=settings.latency,
            time_limit=settings.time_limit,
            logits=settings.logits,
            top_logits=settings.top_logits,
            label_parts=settings.label_parts,
            trackers=_only(Tracker, found["tracker"]),
        )

    def _problem(self, where: Where, message: str) -> None:
        line = line_of(self.lines, where) if where else None
        self.problems.setdefault((where, message), Problem(self.file, line, spell(where), message))
        if len(self.problems) == _MOST:  # the search for similar names would take long
            self.problems[(), ""] = Problem(self.file, None, "", "there may be more mistakes than these")
            self._sound()

    def _sound(self) -> None:
        """Raise SuiteError if the suite has mistakes."""
        if self.problems:
            raise SuiteError(sorted(self.problems.values(), key=lambda problem: problem.line or 0))

    # -- shape ----------------------------------------------------------------------------------------

    def _toml(self, text: str) -> dict[str, Any]:
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            place = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", str(error))
            source = text.splitlines() or [""]
            line: int | None = int(place[1]) if place and place[1] else len(source)
            said = str(error)[: place.start()] if place else str(error)
            near = source[min(line or 1, len(source)) - 1].strip()
            message = f"not valid TOML: {said[:1].lower()}{said[1:]}, near: {near[:60]}"
        except ValueError:  # from int()
            line, message = None, "not valid TOML: an integer has thousands of digits"
        raise SuiteError([Problem(self.file, line, "", message)])

    def _tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return the arrays of tables; report everything that has another shape."""
        arrays = (*KINDS, "exclude", "tracker")
        sound: dict[str, list[dict[str, Any]]] = {}
        for name, value in self.document.items():
            if name == "suite":
                if not isinstance(value, dict):
                    got = "[[suite]]" if isinstance(value, list) else brief(value)
                    self._problem((name,), f"expected one table [suite], got {got}")
            elif name in arrays:
                if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
                    sound[name] = value
                    continue
                self.unsound.add(name)
                hint = "" if name == "exclude" else ' with `use = "..."`'
                got = f"[{name}]" if isinstance(value, dict) else brief(value)
                self._problem((name,), f"expected a table [[{name}]] for each {name}{hint}, got {got}")
            elif name in types_of(_Settings):
                self._problem((name,), f"the key '{name}' belongs in the table [suite]")
            else:
                headers = {"suite": "[suite]", **{array: f"[[{array}]]" for array in arrays}}
                near = get_close_matches(name.lower(), headers, n=1)
                self.unsound.update(near)
                hint = f"; did you mean {headers[near[0]]}?" if near else ""
                allowed = ", ".join(headers.values())
                self._problem((name,), f"unknown table '{name}'{hint} (allowed: {allowed})")
        return sound

    # -- [suite] --------------------------------------------------------------------------------------

    def _settings(self, table: Any) -> tuple[_Settings, str]:
        """Return the keys of [suite], and the suite's name."""
        table = table if isinstance(table, dict) else {}
        wrong = set()
        try:
            settings = self._read(table)
        except ParameterErrors as errors:
            wrong = {where[0] for where, _ in errors.problems}
            for where, message in errors.problems:
                self._problem(("suite", *where), message)
            settings = self._read({key: value for key, value in table.items() if key not in wrong})
        if "seeds" in wrong:
            self.unsound.add("seed")
        if twice := [seed for seed, count in Counter(settings.seeds).items() if count > 1]:
            self._problem(("suite", "seeds"), f"`seeds` contains {twice[0]} more than once")
        name = settings.name if settings.name is not None else self.path.stem if self.path else ""
        if "name" not in wrong and not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,99}", name):
            allowed = "a-z, 0-9, '.', '_' and '-', with a letter or digit first"
            message = f"a suite's name must consist of {allowed}, got {name!r}"
            self._problem(("suite", "name"), message)
        baseline = settings.baseline
        if baseline is not None and (needs := baseline.needs - {"labels"}):
            message = (
                f"a baseline learns from labels alone, but loss '{baseline.name}' needs {', '.join(needs)}; "
                "choose a loss that needs labels only"
            )
            self._problem(("suite", "baseline"), message)
        if "baseline" in wrong:
            self.unsound.add("baseline")
        return settings, name

    def _sized(self, tables: Mapping[str, list[dict[str, Any]]], settings: _Settings) -> None:
        """Refuse a suite that is too large, before anything in it is expanded."""
        students = {
            name: self.catalog.get("student", name).component for name in self.catalog.names("student")
        }
        seeds = len(settings.seeds)
        taught = seeds if settings.teacher_seeds == "each" else 1
        if refusal := measure(tables, students, seeds, taught).refusal(self.limit):
            self._problem((), refusal)
            self._sound()

    def _types(self, tasks: Iterable[Task]) -> dict[str, TaskType]:
        """Return the types of tasks by name; report a problem for each type that is not installed."""
        found: dict[str, TaskType] = {}
        for task in tasks:
            try:
                found[task.task_type] = self.catalog.task_type_of(task)
            except HarnessError as error:
                self._problem(("task",), f"cannot use task '{task.name}': {error}")
        return found

    def _baselines(self, given: Loss | None, types: Mapping[str, TaskType]) -> dict[str, Loss]:
        """Return the baseline loss of each type of task: `given` if it supports the type, or the default."""
        chosen: dict[str, Loss] = {}
        for name, task_type in types.items():
            if given is not None and task_type.accepts(given):
                chosen[name] = given
            elif "baseline" not in self.unsound and (default := self._baseline(task_type)) is not None:
                chosen[name] = default
        return chosen

    def _baseline(self, task_type: TaskType) -> Loss | None:
        """Return the default baseline loss for a type of task."""
        kind, names = task_type.name, self.catalog.baselines(task_type)
        if len(names) == 1:
            found = self._default("loss", names[0], f"a `baseline` for {kind}")
            return next(iter(_only(Loss, found)), None)
        why = f"has several defaults: {', '.join(sorted(names))}" if names else "has no default"
        self._problem((), f'the `baseline` for {kind} {why}; set `baseline = {{ use = "..." }}` in [suite]')
        return None

    def _read(self, table: Mapping[str, Any]) -> _Settings:
        return _Settings(**read(_Settings, table, self.catalog.build, owner="[suite]", noun="key"))

    # -- components -----------------------------------------------------------------------------------

    def _components(self, kind: str, tables: list[dict[str, Any]]) -> list[Component]:
        """Return all components of a kind, with sweeps expanded."""
        found: dict[Component, Where] = {}
        for index, table in enumerate(tables):
            here: Where = (kind, index)
            swept, mistakes = variants(table)
            for where, message in mistakes:
                self._problem((*here, *where), message)
            for values, moves in swept:
                try:
                    component = self.catalog.build(kind, values)
                except ParameterErrors as errors:
                    self.unsound.add(kind)
                    for place, message in errors.problems:
                        where = written(place, moves)
                        if not any(_within(where, mistaken) for mistaken, _ in mistakes):
                            self._problem((*here, *where), message)
                    continue
                if mistakes:
                    continue
                if component in found:
                    line = line_of(self.lines, found[component])
                    first = "the sweep" if found[component] == here else f"line {line}"
                    message = f"{first} already gives {kind} '{component.name}' with the same parameters"
                    self._problem(here, message)
                found.setdefault(component, here)
            if mistakes:
                self.unsound.add(kind)
        return list(found)

    def _plain(self) -> list[Component]:
        """Return the augmenter of a suite that names none: one that adds no texts."""
        if (name := self.catalog.plain_augmenter()) is not None:
            return self._default("augmenter", name, "an [[augmenter]]")
        allowed = ", ".join(self.catalog.names("augmenter")) or "none"
        self._problem(
            (), f"a suite needs an [[augmenter]], as no installed one adds no texts (allowed: {allowed})"
        )
        return []

    def _default(self, kind: str, name: str, missing: str) -> list[Component]:
        try:
            return [self.catalog.build(kind, {"use": name})]
        except ParameterErrors as errors:
            self._problem((), f"without {missing} a suite uses {kind} '{name}': {errors}")
            return []


def _large(value: Any, where: Where = ()) -> Iterator[Where]:
    """Yield the paths of integers that do not fit into 64 bits, as TOML requires."""
    items: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        yield where
    for key, item in items:
        yield from _large(item, (*where, key))


def _within(where: Where, other: Where) -> bool:
    """Return whether two paths are the same, or one of them leads to the other."""
    shorter = min(len(where), len(other))
    return where[:shorter] == other[:shorter]


def _only(cls: type[_C], components: Iterable[Component]) -> tuple[_C, ...]:
    return tuple(component for component in components if isinstance(component, cls))
