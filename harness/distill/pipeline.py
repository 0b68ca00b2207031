"""Distil a file of labelled texts or tagged words into a small model in a folder: ``harness distill``.

There are three stages, each a suite: teachers and simple models; one seed of each student; and the final
suite of what may be shipped. What a stage chooses depends on the validation scores of the one before,
and on the time that is left.
"""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import HarnessError
from harness.distill import inspect as labelled
from harness.distill import stages
from harness.distill.budget import Level, Time, levels, shares
from harness.distill.candidates import Candidates, Table, named, recipe
from harness.distill.inspect import Data
from harness.distill.runs import Interrupted, Runs, Shown
from harness.distill.scores import Scored
from harness.distill.stages import Taught
from harness.distill.wishes import MODEL, NONE, Wishes
from harness.wording import duration

if TYPE_CHECKING:
    from harness.bench import Ran
    from harness.catalog import Catalog
    from harness.devices import Slot
    from harness.distill.choose import Shipped
    from harness.report.verdict import Verdict
    from harness.results.recommend import Limits
    from harness.suite.reader import Suite

SUITE = "suite.toml"
_SUBWORDS, _LONGEST = 1.4, 512  # subwords for a word; the most that models read of a text
_ALIKE = 0.002  # a cheaper teacher this close to the best one is as good


@dataclass(frozen=True)
class Distilled:
    """The result of a distillation."""

    ran: Ran
    shipped: Shipped | None  # None if the run was interrupted
    verdict: Verdict | None  # likewise
    stood: bool  # whether the suite existed before, and was run unchanged


class DryRun(Exception):
    """The end of a dry run."""


def distill(
    wishes: Wishes,
    limits: Limits,
    store: Path,
    places: tuple[Slot, ...],
    catalog: Catalog,
    shown: Shown,
    changed: Sequence[str] = (),
) -> Distilled:
    """Choose a suite for a file, run it, and write the recommended model to ``<out>/model``.

    `changed` are the options that only a new suite uses. Raise HarnessError if no model can be made.
    """
    from harness.bundle import check_place
    from harness.distill.choose import ship, verdict
    from harness.distill.choose import write as write_model
    from harness.distill.refit import refit
    from harness.report.html.write import renew
    from harness.report.verdict import write

    check_place(wishes.out / MODEL)
    data = labelled.look(wishes, catalog)
    shown.say(*data.told)
    run = _Run(wishes, limits, data, catalog, Runs(wishes, data, store, places, catalog, shown))
    path = wishes.out / SUITE
    stood = path.exists()
    try:
        if stood:
            suite = run.runs.kept(path)
            idle = f"; {', '.join(changed)} had no effect" if changed else ""
            shown.say(f"running the existing {path}; delete it to choose again{idle}")
        else:
            suite = run.chosen()
        plan, ran = run.runs.bench(suite, wishes.out)
    except Interrupted as stopped:
        return Distilled(stopped.ran, None, None, stood)
    fingerprint = next((cell.source.fingerprint for cell in plan.cells if cell.source is not None), "")
    shipped = ship(ran.folder, fingerprint, limits, store, wishes.out / MODEL)
    rows = ""
    if shipped.record is not None:
        try:
            again = refit(run.runs, plan, shipped, limits, run.time.spare)
        except Interrupted as stopped:
            return Distilled(stopped.ran, None, None, stood)
        rows = again.told
        if again.record is not None:
            write_model(shipped, store, wishes.out / MODEL, again.record)
    use = f"harness predict {shlex.quote(str(wishes.out / MODEL))} < texts.txt"
    where = f"--results {shlex.quote(str(wishes.out))} --store {shlex.quote(str(store))}"

    def export(cell: str) -> str:
        return f"harness export {cell[:12]} {shlex.quote(str(wishes.out / 'other'))} {where}"

    found = verdict(shipped, wishes.file.name, use, export, rows)
    write(found, ran.folder)
    renew(ran.folder)  # the report of the run has no verdict yet
    return Distilled(ran, shipped, found, stood)


@dataclass
class _Run:
    """A distillation while it runs."""

    wishes: Wishes
    limits: Limits
    data: Data
    catalog: Catalog
    runs: Runs
    time: Time = field(init=False)
    candidates: Candidates = field(init=False)

    def __post_init__(self) -> None:
        self.time = Time(self.wishes.seconds, time.monotonic)
        self.candidates = Candidates(self.data.task_type, self.catalog)

    # -- the stages ----------------------------------------------------------------------------------------

    def chosen(self) -> Suite:
        """Run the trials, and return the final suite, which is written to ``<out>/suite.toml``."""
        from harness.bench import check_writable

        simple = self._small(self.candidates.simple(self.data.outputs))
        teachers, why = self._teachers()
        students = self._students(teachers[0] if teachers else None)
        if not students and not simple:
            raise HarnessError(
                f"cannot make a model with at most {self.limits.parameters:,.0f} parameters; raise "
                "--max-parameters"
            )
        offered = len(teachers)
        teachers, level = self._timed(teachers, simple, students)
        if offered and not teachers:
            students = self._students(None)
            why = f"{duration(self.wishes.seconds)} is too short for one; give more with --budget"
        part = next((table["most_texts"] for table in teachers if "most_texts" in table), None)
        why += f"; learns from {part:,} of the {self.data.size.train:,} texts" if part else ""
        self.runs.shown.say(f"teachers: {named(teachers)}: {why}" if teachers else f"no teacher: {why}")
        self.runs.shown.say(
            f"expected time: {duration(self.time.said)} of {duration(self.wishes.seconds)}, on "
            f"{len(self.runs.places)} otherwise idle core{'s' * (len(self.runs.places) > 1)}"
            f"{', with a last training on all rows' if self.time.last else ''}",
        )
        if self.wishes.dry:
            raise DryRun
        check_writable(self.wishes.out)
        taught = None
        if teachers:
            teacher = teachers[0]
            if len(teachers) > 1 or simple:
                found = self.runs.stage("teachers", lambda: self._teachers_suite(teachers, simple))
                teacher = self._best_teacher(teachers, found)
            level = self._again(teacher, simple, students, level)
            taught = self._taught(teacher, level)
            students = self._students(teacher)
            if len(students) > 1:
                tried = self._tried(students, level)
                found = self.runs.stage("students", lambda: self._students_suite(taught, tried))
                students = self._by_score(students, tried, found, level)
                level = self._finalists(taught, students, simple, level)
                students = students[: level.finalists]
        parts = [
            f"{level.seeds} seed{'s' * (level.seeds > 1)}",
            f"teacher {named([taught.teacher])}" if taught else "no teacher",
            f"{level.copies} new texts per text" if taught and level.copies else "no new texts",
            *([f"{self._pool(level):,} unlabelled texts"] if taught and self.data.size.pool else []),
            f"students {named(students)}",
            *([f"simple models {named(simple)}"] if simple else []),
        ]
        self.runs.shown.say(f"chosen: {'; '.join(parts)}")
        return self.runs.written(
            self.wishes.out / SUITE,
            self._final(taught, students, simple, level),
            "; ".join(parts),
        )

    def _teachers(self) -> tuple[list[Table], str]:
        if self.wishes.teacher == NONE:
            return [], "as asked for"
        offered = self.candidates.teachers(self.data.english, self.wishes.teacher)
        return [self._weighted("teacher", table) for table in offered.tables], offered.why

    def _long(self, kind: str, table: Table) -> Table:
        """Return a component that reads whole texts, if they are longer than what it reads by default."""
        built: Any = self.catalog.build(kind, table)
        encoder = getattr(built, "encoder", None)  # a frozen one reads the texts for its teacher
        usual = getattr(built if encoder is None else encoder, "longest", None)
        wanted = self.data.longest if kind == "student" else round(_SUBWORDS * self.data.longest)
        if not isinstance(usual, int) or wanted <= usual:
            return table
        longest = max(usual, min(_LONGEST, 32 * math.ceil(wanted / 32)))
        if encoder is None:
            return {**table, "longest": longest}
        own: Mapping[str, Any] = table.get("encoder") or {"use": encoder.name}
        return {**table, "encoder": {**own, "longest": longest}}

    def _teachers_suite(self, teachers: Sequence[Table], simple: Sequence[Table]) -> stages.Suite:
        return stages.of_teachers(f"{self.wishes.name}-teachers", self.task, teachers, simple)

    def _tried(self, students: Sequence[Table], level: Level) -> list[Table]:
        """Return the students as they are compared: as they are, or trained for a short time."""
        return [table if level.full else stages.shortened(table, self.candidates) for table in students]

    def _students_suite(self, taught: Taught, tried: Sequence[Table]) -> stages.Suite:
        name = f"{self.wishes.name}-students"
        return stages.of_students(name, self.task, taught, tried, self.data.size.train, self._baseline)

    def _final(
        self, taught: Taught | None, students: Sequence[Table], simple: Sequence[Table], level: Level
    ) -> stages.Suite:
        train, name = self.data.size.train, self.wishes.name
        alone = [
            self.candidates.apart("student", table, students)
            for table in self._students(None)[:1]
            if taught and table not in students
        ]
        return stages.final(
            name, self.task, taught, students, simple, alone, level.seeds, train, self._baseline
        )

    @property
    def _baseline(self) -> str:
        """Return the name of the loss on labels alone."""
        return self.catalog.baselines(self.data.task_type)[0]

    def _best_teacher(self, teachers: Sequence[Table], found: Sequence[Scored]) -> Table:
        """Return the teacher with the best validation score, or a cheaper one that is as good; say so."""
        scored = [
            (one, table)
            for one in found
            for table in teachers
            if one.role == "teacher" and one.is_for(self.catalog.build("teacher", table))
        ]
        if not scored:
            raise HarnessError(
                "cannot choose a teacher: none has a result; see the messages above, or name another with "
                "--teacher"
            )
        best = max(one.value for one, _ in scored)
        chosen = next(table for one, table in scored if one.value >= best - _ALIKE * abs(best))
        told = [one.said for one, _ in scored]
        told += [one.said for one in found if one.role == "baseline"]
        self.runs.shown.say(f"on the validation split: {', '.join(told)}; teacher: {named([chosen])}")
        return chosen

    def _by_score(
        self, students: Sequence[Table], tried: Sequence[Table], found: Sequence[Scored], level: Level
    ) -> list[Table]:
        """Return the students that may be small enough, the best on the validation split first; say so."""
        scored = [
            (one.value, table)
            for one in found
            for table, asked in zip(students, tried, strict=True)
            if one.is_for(self.catalog.build("student", asked)) and self._may_fit(one)
        ]
        if not scored:
            return list(students)
        scored.sort(key=lambda each: -each[0])
        told = ", ".join(one.said for one in sorted(found, key=lambda one: -one.value))
        after = "" if level.full else " after a short training"
        self.runs.shown.say(f"on the validation split{after}: {told}")
        return [table for _, table in scored]

    def _finalists(
        self, taught: Taught, students: Sequence[Table], simple: Sequence[Table], level: Level
    ) -> Level:
        """Return the level with as many finalists, and then seeds, as fit the time that is left."""
        seeds = self.wishes.seeds or max(each["seeds"] for each in recipe()["level"])
        offered = [replace(level, finalists=count, seeds=seeds) for count in range(len(students), 0, -1)]
        if self.wishes.seeds is None:
            offered += [replace(level, finalists=1, seeds=fewer) for fewer in range(seeds - 1, 0, -1)]
        for one in offered:
            suite = self._final(taught, students[: one.finalists], simple, one)
            if self.runs.expected(suite) <= self.time.left:
                return one
        return offered[-1]

    def _may_fit(self, one: Scored) -> bool:
        """Return whether a student may be within the limits, at a byte for each parameter."""
        sizes = [self.limits.parameters, self.limits.size_bytes]
        return all(most is None or one.parameters <= most for most in sizes)

    # -- the time ------------------------------------------------------------------------------------------

    def _timed(
        self, teachers: Sequence[Table], simple: Sequence[Table], students: Sequence[Table]
    ) -> tuple[list[Table], Level]:
        """Return the teachers and the most thorough level for which the time suffices.

        Raise HarnessError if it does not suffice for the least thorough one.
        """
        offered = levels(self.data.size.train, self.wishes.seeds)
        choices = [*self._shares(teachers), *([teachers[:1]] if len(teachers) > 1 else [])]
        if not choices or self.wishes.teacher is None:
            choices.append([])  # a file may be too large for any teacher
        untaught = self._students(None)
        least = float("inf")
        for number, some in enumerate(choices):
            first = self.runs.expected(self._teachers_suite(some, simple)) if some else 0.0
            # Teachers get at most half of the time, if less of them is possible.
            if first > self.wishes.seconds / 2 and any(choices[number + 1 :]):
                continue
            for level in offered:
                pupils = students if some else untaught
                rest = self._rest(some[-1] if some else None, simple, pupils, level)
                least = min(least, first + rest)
                if first + rest <= self.wishes.seconds:
                    last = self._last(some[-1] if some else None, pupils, level)
                    if first + rest + last <= self.wishes.seconds:
                        self.time.last = last
                    self.time.said = first + rest + self.time.last
                    return list(some), level
        raise HarnessError(
            f"cannot distil within {duration(self.wishes.seconds)}: the shortest plan takes about "
            f"{duration(least)}; give --budget {max(1, round(least / 60 + 0.5))}min, or a faster --teacher"
        )

    def _shares(self, teachers: Sequence[Table]) -> list[list[Table]]:
        """Return the teachers with less and less work.

        They get fewer epochs, then read only the start of long texts, and then fewer texts of a large file.
        """
        found = []
        every = shares(self.data.size.train)
        long = [self._long("teacher", table) for table in teachers]
        whole = [(long, one) for one in every if "most_texts" not in one]
        for tables, training in [*whole, *((teachers, one) for one in every)]:
            some = []
            for table in tables:
                known = self.candidates.trained(table)
                if "most_texts" in training and "most_texts" not in known:
                    continue  # it would read the whole file
                some.append(table | {name: value for name, value in training.items() if name in known})
            if some and some not in found:
                found.append(some)
        return found

    def _again(
        self, teacher: Table, simple: Sequence[Table], students: Sequence[Table], level: Level
    ) -> Level:
        """Return the level for the time that is left, and say so if it is less than was planned."""
        offered = levels(self.data.size.train, self.wishes.seeds)
        left = self.time.left
        for one in offered:
            if self._rest(teacher, simple, students, one) <= left or one == offered[-1]:
                if offered.index(one) > offered.index(level):
                    what = f"{one.copies} new texts per text in place of {level.copies}"
                    if one.copies == level.copies:
                        what = "fewer seeds, or a shorter comparison of students"
                    self.runs.shown.say(f"this takes longer than expected: {what}")
                return one
        raise AssertionError("the last level was returned")

    def _rest(
        self, teacher: Table | None, simple: Sequence[Table], students: Sequence[Table], level: Level
    ) -> float:
        """Return the expected seconds of the stages after that of teachers."""
        large = list(students[-level.finalists :])  # the last ones are the largest
        fitted = frozenset({"data", "teacher"})
        if teacher is None:
            suite = self._final(None, large, simple, level)
            return self.runs.expected(suite, fitted)
        taught = self._taught(teacher, level)
        if len(students) == 1:
            return self.runs.expected(self._final(taught, large, simple, level), fitted)
        trial = self.runs.expected(self._students_suite(taught, self._tried(students, level)), fitted)
        if level.full:  # the trial has one of the seeds
            level = replace(level, seeds=max(1, level.seeds - 1))
        suite = self._final(taught, large, simple, level)
        return trial + self.runs.expected(suite, fitted | {"transfer", "targets"})

    def _last(self, teacher: Table | None, students: Sequence[Table], level: Level) -> float:
        """Return the expected seconds of a last training of the largest student."""
        from harness.distill.refit import expected

        taught = None if teacher is None else self._taught(teacher, level)
        return expected(self.runs, self.catalog, taught, students[-1], self._baseline) if students else 0.0

    # -- parts of suites -----------------------------------------------------------------------------------

    @property
    def task(self) -> Table:
        """Return the task of the user's data."""
        return dict(self.data.task)

    def _taught(self, teacher: Table, level: Level) -> Taught:
        pool = self._pool(level)
        unlabelled = None
        if pool:
            column = str(self.data.task.get("text", "text"))
            unlabelled = {
                "use": "unlabelled",
                "file": str(self.wishes.unlabelled),
                "column": column,
                "size": pool,
            }
        augmenters = self.candidates.augmenters(self._embeddings(teacher), self.data.english)
        return Taught(teacher, level.copies, augmenters, self.candidates.loss(self.data.outputs), unlabelled)

    def _pool(self, level: Level) -> int:
        """Return the number of unlabelled texts to use."""
        return min(self.data.size.pool, max(1, level.copies) * self.data.size.train)

    def _embeddings(self, teacher: Table) -> Table | None:
        """Return the pretrained model that new words come from; None if the teacher has none."""
        built: Any = self.catalog.build("teacher", teacher)
        if callable(getattr(built, "folder", None)):
            training = ("epochs", "most_texts", "class_weights")
            return {name: value for name, value in teacher.items() if name not in training}
        if (encoder := getattr(built, "encoder", None)) is not None:
            return dict(teacher.get("encoder") or {"use": encoder.name})
        return None

    def _students(self, teacher: Table | None) -> list[Table]:
        """Return the students of a teacher, or those that need none."""
        return self._small(self.candidates.students(teacher))

    def _small(self, tables: Sequence[Table]) -> list[Table]:
        """Return students with at most the number of parameters that is allowed, and the class weights."""
        found = self.candidates.within(self.limits.parameters, self.data.outputs, tables)
        return [self._long("student", self._weighted("student", table)) for table in found]

    def _weighted(self, kind: str, table: Table) -> Table:
        """Return a component with the class weights that the user asked for, if it has such a parameter."""
        known = self.candidates.parameters(kind, table)
        if self.wishes.class_weights is None or "class_weights" not in known:
            return dict(table)
        return {**table, "class_weights": self.wishes.class_weights}
