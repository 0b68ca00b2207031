"""Distil a file of labelled texts or tagged words into a small model in a folder: ``harness distill``."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness import HarnessError
from harness.api import Student, Teacher, Unavailable
from harness.distill import budget
from harness.distill import inspect as labelled
from harness.distill import shrink as smaller
from harness.distill.inspect import Data
from harness.wording import printable

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from harness.bench import Display, Ran
    from harness.catalog import Catalog
    from harness.devices import Slot
    from harness.distill.choose import Shipped
    from harness.plan.planner import Plan
    from harness.report.verdict import Verdict
    from harness.results.recommend import Limits
    from harness.suite.reader import Suite

SUITE, MODEL = "suite.toml", "model"


class Shown(Protocol):
    """Functions with which a distillation shows messages and progress."""

    def say(self, *lines: str) -> None:
        """Show lines of text."""

    def watch(self, plan: Plan, slots: int) -> AbstractContextManager[Display]:
        """Return a context that shows the run of a plan."""


@dataclass(frozen=True)
class Distilled:
    """The result of a distillation."""

    ran: Ran
    shipped: Shipped | None  # None if the run was interrupted
    verdict: Verdict | None  # likewise
    stood: bool  # whether the suite existed before, and was run unchanged


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
    from harness.bench import bench
    from harness.bundle import check_place
    from harness.distill.choose import ship, verdict
    from harness.report.html.write import renew
    from harness.report.verdict import write

    out = wishes.out
    check_place(out / MODEL)
    data = look(wishes, catalog)
    shown.say(*data.told)
    path = out / SUITE
    stood = path.exists()
    if stood:
        suite = _kept(path, wishes, data, catalog)
        idle = f"; {', '.join(changed)} had no effect" if changed else ""
        shown.say(f"running the existing {path}; delete it to choose again{idle}")
    else:
        suite, why = _chosen(wishes, data, limits.parameters, catalog, places, store)
        shown.say(*why)
    plan = _plan(suite, catalog, places)
    ran = bench(plan, plan, catalog, places, store, out, watch=shown.watch, trackers=suite.trackers)
    if ran.interrupted:
        return Distilled(ran, None, None, stood)
    fingerprint = next((cell.source.fingerprint for cell in plan.cells if cell.source is not None), "")
    shipped = ship(ran.folder, fingerprint, limits, store, out / MODEL)
    use = f"harness predict {shlex.quote(str(out / MODEL))} < texts.txt"
    found = verdict(shipped, wishes.file.name, use)
    write(found, ran.folder)
    renew(ran.folder)  # the report of the run has no verdict yet
    return Distilled(ran, shipped, found, stood)


@dataclass(frozen=True)
class Wishes:
    """The options of the user."""

    file: Path
    text: str  # column with the text; "": the usual one of the task that reads the file
    label: str  # column with the label, likewise
    teacher: str | None
    seconds: float
    seeds: int | None
    unlabelled: Path | None
    out: Path
    task: str | None = None  # name of the task that reads the file; None: the one that it looks like

    @property
    def name(self) -> str:
        """Return the name of the suite, which is the file's name in characters that a folder can have."""
        stem = re.sub(r"[^a-z0-9]+", "-", self.file.name.partition(".")[0].lower()).strip("-") or "texts"
        return f"{stem}-texts" if stem == MODEL else stem


# -- the file ------------------------------------------------------------------------------------------------


def look(wishes: Wishes, catalog: Catalog) -> Data:
    """Read the file as its task does; raise HarnessError if no model can be trained on it."""
    return labelled.look(wishes.file, wishes.text, wishes.label, wishes.task, wishes.unlabelled, catalog)


# -- the suite -----------------------------------------------------------------------------------------------


def fill(
    wishes: Wishes,
    data: Data,
    catalog: Catalog,
    level: budget.Level,
    teacher: dict[str, Any],
    *,
    pool: int,
    chosen: str,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """Return the text of a suite for this file; `settings` has parameters of students by name."""
    from importlib import resources

    from jinja2 import Environment, StrictUndefined

    def toml(value: Any) -> str:
        if isinstance(value, bool | int | float):
            return str(value).lower()
        plain = [str(each) for each in value] if isinstance(value, list | tuple) else str(value)
        return json.dumps(plain, ensure_ascii=False).replace("\x7f", "\\u007f")

    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    environment.filters["toml"] = toml
    augmenters = [
        each
        for each in budget.plans()["augmenters"]
        if data.task_type.accepts(catalog.build("augmenter", each))
    ]
    alone = [name for name in level.students if _learns(name, catalog) <= {"labels"}]
    recipe = resources.files("harness.distill").joinpath("recipes", "distill.toml.jinja").read_text("utf-8")
    return environment.from_string(recipe).render(
        again=printable(again(wishes.out)),
        chosen=printable(chosen),
        name=wishes.name,
        seeds=range(level.seeds),
        task=data.task,
        column=data.task.get("text", "text"),
        teacher=teacher["use"],
        pupil=teacher["pupil"],
        epochs=level.epochs if teacher["epochs"] else 0,
        students={name: (settings or {}).get(name, {}) for name in level.students},
        copies=level.copies if augmenters else 0,
        augmenters=augmenters,
        alone=alone,
        unlabelled=wishes.unlabelled if pool else "",
        pool=pool,
        losses=list(level.losses),
    )


def _learns(student: str, catalog: Catalog) -> frozenset[str]:
    """Return what a student can learn from, such as labels and logits."""
    built = catalog.build("student", {"use": student})
    assert isinstance(built, Student)
    return built.learns_from


def again(out: Path) -> str:
    """Return the arguments of ``harness bench`` that run the suite of a distillation again."""
    return f"{shlex.quote(str(out / SUITE))} --results {shlex.quote(str(out))}"


def _kept(path: Path, wishes: Wishes, data: Data, catalog: Catalog) -> Suite:
    """Return the existing suite; raise HarnessError if it is for other data."""
    from harness.suite import reader as suites

    suite = suites.load(path, catalog)
    (task, *others) = suite.tasks
    given = {"name": data.task["use"], **{key: to for key, to in data.task.items() if key != "use"}}
    if others or any(str(getattr(task, name, None)) != str(value) for name, value in given.items()):
        raise HarnessError(
            f"cannot run {path}: it is for other data or columns than those of {wishes.file}; "
            "give another --out"
        )
    return suite


def _chosen(
    wishes: Wishes,
    data: Data,
    parameters: float | None,
    catalog: Catalog,
    places: tuple[Slot, ...],
    store: Path,
) -> tuple[Suite, list[str]]:
    """Write a suite that fits the time available; return it with lines that explain the choice."""
    from harness.bench import check_writable
    from harness.run.estimates import Estimates
    from harness.run.runner import prepare
    from harness.storage.files import publish
    from harness.storage.store import Store
    from harness.suite import reader as suites
    from harness.wording import duration

    teacher, because = teacher_of(wishes, data, catalog)
    levels = budget.levels(data.size, data.task_type, catalog, wishes.seeds)
    most = None if parameters is None else int(parameters)
    offered, settings, told_smaller = smaller.within(most, data.outputs, levels, catalog)
    kept = Store(store)
    timings = kept.timings()
    gpus = [place.is_gpu for place in places]

    def pool(level: budget.Level) -> int:
        return min(data.size.pool, max(1, level.copies) * data.size.train)

    def expected(level: budget.Level) -> float:
        text = fill(wishes, data, catalog, level, teacher, pool=pool(level), chosen="", settings=settings)
        plan = _plan(suites.parse(text, catalog, wishes.out / SUITE), catalog, places)
        estimates = Estimates(timings, plan.steps, lambda step: data.size, gpu=any(gpus))
        return prepare(plan, kept, estimates=estimates).expected_s(gpus)

    choice = budget.choose(offered, expected, wishes.seconds)
    if not choice.fits:
        raise HarnessError(
            f"cannot distil within {duration(wishes.seconds)}: the shortest plan takes about "
            f"{duration(choice.seconds)}; give --budget {max(1, round(choice.seconds / 60 + 0.5))}min, or a "
            "faster --teacher"
        )
    level = choice.level
    told_epochs = f" for {level.epochs} epochs" if teacher["epochs"] else ""
    parts = [
        f"{level.seeds} seed{'s' * (level.seeds > 1)}",
        f"teacher {teacher['use']}{told_epochs}",
        f"{level.copies} new texts per text" if level.copies else "no new texts",
        *([f"{pool(level):,} unlabelled texts"] if data.size.pool else []),
        f"students {', '.join(level.students)}",
        f"losses {', '.join(level.losses)}",
    ]
    chosen = "; ".join(parts)
    told = (
        f"expected time: {duration(choice.seconds)} of {duration(wishes.seconds)}, "
        f"on {len(places)} otherwise idle core{'s' * (len(places) > 1)}"
    )
    more = f"; a larger plan takes about {duration(choice.more)}" if choice.more is not None else ""
    text = fill(wishes, data, catalog, level, teacher, pool=pool(level), chosen=chosen, settings=settings)
    suite = suites.parse(text, catalog, wishes.out / SUITE)
    check_writable(wishes.out)
    publish(wishes.out / SUITE, text)
    lines = (f"teacher: {because}", told_smaller, f"chosen: {chosen}", f"{told}{more}")
    return suite, [line for line in lines if line]


def teacher_of(wishes: Wishes, data: Data, catalog: Catalog) -> tuple[dict[str, Any], str]:
    """Return the teacher's settings and the reason for its choice; raise HarnessError if there is none."""
    if wishes.teacher is not None:
        pupil = wishes.teacher not in catalog.names("teacher") and wishes.teacher in catalog.names("student")
        what = "student" if pupil else "teacher"
        component = catalog.get(what, wishes.teacher).component
        try:
            built: Any = catalog.build(what, {"use": wishes.teacher})
            built.base()
        except Unavailable as error:
            raise HarnessError(f"{error}; name another with --teacher") from None
        if not data.task_type.accepts(built):
            raise HarnessError(
                f"{what} '{wishes.teacher}' cannot learn {data.task_type.name}; name another with --teacher"
            )
        epochs = not pupil and hasattr(component, "epochs")
        return {"use": wishes.teacher, "pupil": pupil, "epochs": epochs}, f"{wishes.teacher}, as asked for"
    kind = "english" if data.english else "other"
    look = f"the texts {'look' if data.english else 'do not look'} English"
    reasons = []
    preferred = budget.preferred_for(data.task_type, "teacher", catalog)
    for name in (*budget.plans()["teachers"][kind], *preferred):
        try:
            component = catalog.get("teacher", name).component
            built = catalog.build("teacher", {"use": name})
            assert isinstance(built, Teacher)
            if not data.task_type.accepts(built):
                raise HarnessError(f"teacher '{name}' cannot learn {data.task_type.name}")
            built.base()
        except HarnessError as error:
            reasons.append(str(error))
        else:
            because = f"{look}, and no other is available" if name in preferred else look
            return {"use": name, "pupil": False, "epochs": hasattr(component, "epochs")}, f"{name}: {because}"
    raise HarnessError(
        f"cannot choose a teacher: {look}, and no teacher for them is available ({'; '.join(reasons)}); "
        "name one with --teacher, or install the one for English: pip install 'distil-harness[embedded]'"
    )


def _plan(suite: Suite, catalog: Catalog, places: tuple[Slot, ...]) -> Plan:
    from harness.plan.planner import build
    from harness.speeds import choose

    return build(suite, catalog, precision=choose(suite, places))
