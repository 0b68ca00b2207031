"""Checks that every component should pass, ours and yours: ``check_component(MyStudent(width=8))``.

A check raises AssertionError with one sentence that names the rule broken. It needs no test framework,
fits nothing larger than some dozens of texts, and lets Unavailable through, so that a test may skip.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from harness.api import (
    RECORDED,
    SPLITS,
    Augmenter,
    Component,
    Examples,
    Loss,
    Model,
    Source,
    Speed,
    Student,
    Task,
    Teacher,
    parameters_of,
)
from harness.testing.models import Fit, check_fits, fit_one
from harness.testing.rules import (
    NEEDS,
    Rules,
    check_labels,
    check_tags,
    check_texts,
    check_values,
    known,
    listed,
    widths_of,
)
from harness.testing.tiny import (
    CheckContext,
    FromLabels,
    FromLogits,
    FromStates,
    prior_of,
    tiny_examples,
)
from harness.tracking import Tracker

if TYPE_CHECKING:
    from harness.catalog import Catalog


# -- the checks ---------------------------------------------------------------------------------------


def check_component(
    component: Component,
    catalog: Catalog | None = None,
    teacher: Teacher | None = None,
    device: str = "cpu",
) -> None:
    """All that is asked of a component of its kind; with a catalog, also that suites can build it.

    The teacher is for students, which may borrow from it or read its tokens. Teachers and students are
    fitted on the device, "cpu" or "cuda:0".
    """
    if catalog is not None:
        check_basics(component, catalog)
    match component:
        case Task():
            check_task(component)
        case Teacher():
            check_teacher(component, device)
        case Student():
            check_student(component, teacher, device)
        case Augmenter():
            check_augmenter(component)
        case Loss():
            check_loss(component)
        case Tracker():
            pass  # what else it does is known to those whom it tells
        case _:
            raise AssertionError(f"{component!r} is of no kind of component")


def check_basics(component: Component, catalog: Catalog | None = None) -> None:
    """What all kinds share: a named, documented, frozen dataclass that is its fields and no more."""
    from harness.catalog import vet

    must, cls = Rules(component), type(component)
    try:
        vet(component.kind, cls)
    except TypeError as error:
        raise AssertionError(f"{must.who}: {error}") from None
    storing = cls.__dataclass_params__.init and not hasattr(cls, "__post_init__")  # type: ignore[attr-defined]
    must("__init__ must only store: let the dataclass make it, without __post_init__", storing)
    stored = {each.name: getattr(component, each.name) for each in fields(component)}
    with must.manage("all of its values must be hashable"):
        hash(component)
    fresh = cls(**stored)
    must("__init__ must store its parameters, and no more", vars(fresh) == stored)
    must("repr must follow from its parameters alone", repr(fresh) == repr(component))
    for shown in (f"{name}={value!r}" for name, value in stored.items()):
        must(f"repr must show all parameters, and lacks {shown}", shown in repr(component))
    with must.manage("it must be picklable"):
        copy = pickle.loads(pickle.dumps(component))
    same = copy == component and hash(copy) == hash(component) and repr(copy) == repr(component)
    must("it must be the same when pickled and read back", same)
    with must.manage("check must accept it"):
        component.check()
    if catalog is not None:
        plain = json.loads(json.dumps(parameters_of(component), default=str))
        table = {key: value for key, value in plain.items() if value is not None}  # TOML has no null
        with must.manage("a suite must be able to give all of its parameters"):
            catalog.entry_of(component)
            built = catalog.build(component.kind, {"use": component.name, **table})
        must(f"built from its parameters it must be the same, got {built}", built == component)


def check_imports(*components: Component) -> None:
    """That importing the components' modules loads no torch: plans and ``harness plugins`` need none."""
    modules = ", ".join(sorted({type(component).__module__ for component in components}))
    code = f"import sys, {modules}; sys.exit('torch was imported' if 'torch' in sys.modules else 0)"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        why = done.stderr.strip().splitlines()[-1]
        raise AssertionError(f"importing {modules} must work without loading torch, but: {why}")


def check_task(task: Task, source: str = "auto") -> None:
    """Resolves and reads its splits, twice the same, with labels, or types of entities, that training has."""
    check_basics(task)
    must = Rules(task)
    found = task.resolve(source)
    must(f"resolve must give a Source, got {found!r}", isinstance(found, Source))
    must("resolve must give the same Source every time", task.resolve(source) == found)
    tables = task.read(found)
    for split in SPLITS:
        must(f"read must give a table '{split}', got {', '.join(tables)}", split in tables)
    if task.task_type == "tagging":
        check_tags(must, tables)
    elif task.task_type in ("classification", "regression"):
        check_labels(must, tables, task.task_type == "regression")
    elif task.task_type == "language-modelling":
        check_texts(must, tables)
    again = task.read(found)
    same = again.keys() == tables.keys() and all(again[name].equals(tables[name]) for name in tables)
    must("read must give the same tables every time", same)


def _check_speed(must: Rules, learner: Teacher | Student) -> None:
    speed = learner.speed
    must(
        f"speed must be a Speed of two numbers above 0, got {speed!r}",
        isinstance(speed, Speed) and min(speed) > 0,
    )


def check_teacher(teacher: Teacher, device: str = "cpu") -> None:
    """Fits gold labels, or hidden tokens; its model passes all that :func:`check_student` asks of one."""
    check_basics(teacher)
    must = Rules(teacher)
    base = teacher.base()
    must(f"base must give a string, got {base!r}", isinstance(base, str))
    must("base must give the same string every time", teacher.base() == base)
    _check_speed(must, teacher)
    must(f"gives must be some of {listed(NEEDS)}, got {listed(teacher.gives)}", known(teacher.gives))

    @cache
    def prior(scratch: Path) -> Model | None:
        return prior_of(teacher, CheckContext(scratch, device=device))

    def fit(train: Examples, validation: Examples, context: CheckContext) -> Model:
        context = replace(context, prior=prior(context.scratch))
        return teacher.fit(replace(train, logits=None), validation, context)

    check_fits(teacher, fit, device)


def check_student(student: Student, teacher: Teacher | None = None, device: str = "cpu") -> None:
    """Fits what it learns from; its model predicts, is saved and read back, counted and exported.

    A student that borrows needs a teacher to borrow from. With one whose tokens it reads, it also has to
    learn from the inner states of both.
    """
    check_basics(student)
    must, learns = Rules(student), student.learns_from
    _check_speed(must, student)
    must(f"learns_from must be some of {listed(NEEDS)}, got {listed(learns)}", known(learns))
    must("it borrows, so that checking it takes a teacher", teacher is not None or not student.borrows)
    aligned = teacher is not None and student.aligned(teacher)
    in_step = (learns - RECORDED) & teacher.gives if teacher is not None and aligned else frozenset()

    @cache
    def lent(scratch: Path, classes: tuple[str, ...]) -> Model:
        assert teacher is not None
        train, validation = tiny_examples(len(classes))
        return teacher.fit(replace(train, logits=None), validation, CheckContext(scratch, device=device))

    @cache
    def prior(scratch: Path) -> Model | None:
        return prior_of(student, CheckContext(scratch, device=device))

    def by(loss: Loss) -> Fit:
        def fit(transfer: Examples, validation: Examples, context: CheckContext) -> Model:
            if not loss.needs & {"logits"}:  # as for a baseline: there is no teacher
                transfer = replace(transfer, logits=None)
            if "hidden" in loss.needs and transfer.labels is not None:
                shape = len(transfer.labels), 8
                hidden = np.random.default_rng(0).standard_normal(shape).astype(np.float16)
                transfer = replace(transfer, hidden=hidden)
            own = loss if transfer.classes or aligned else FromLabels()  # for tokens of its own
            asked = own.needs - (RECORDED if transfer.classes else {"labels"})
            if student.borrows or asked:
                context = replace(context, teacher=lent(context.scratch, transfer.classes))
            context = replace(context, prior=prior(context.scratch))
            return student.fit(transfer, validation, own, context)

        return fit

    if "logits" in learns:
        check_fits(student, by(FromLogits()), device)
    elif "labels" in learns:
        check_fits(student, by(FromLabels()), device)
    others = [FromLabels()] if {"labels", "logits"} <= learns else []
    states = learns & {"hidden"} | in_step
    with TemporaryDirectory() as folder:
        for loss in (*others, *(FromStates(frozenset({name})) for name in sorted(states))):
            for classes in widths_of(student):
                fit_one(student, by(loss), Path(folder), classes, device)


def check_augmenter(augmenter: Augmenter) -> None:
    """Makes texts from rows that exist, the same ones from the same generator, and of any sequence.

    Drawing them for a transfer set, it may give texts of no row beside.
    """
    check_basics(augmenter)
    must = Rules(augmenter)
    lazy = tiny_examples()[0].texts
    texts = [*lazy, "one", "Two sentences. Both are short.", "naïve café 🙂", "x\ty\nz"]
    given = list(texts)

    def checked(
        new: list[tuple[int, str]], first: int, of: Sequence[str], what: str
    ) -> list[tuple[int, str]]:
        for row, text in new:
            within = isinstance(row, int | np.integer) and first <= row < len(of)
            must(f"rows must be those of {what}, below {len(of)}, got {row!r}", within)
            sound = isinstance(text, str) and bool(text.strip())
            must(f"new texts must be strings that are not empty, got {text!r}", sound)
        return new

    def made(of: Sequence[str], what: str) -> list[tuple[int, str]]:
        with must.manage(f"it must take {what}"):
            new = list(augmenter(of, np.random.default_rng(7)))
        return checked(new, 0, of, what)

    def drawn(train: Examples) -> list[tuple[int, str]]:
        with TemporaryDirectory() as folder, must.manage("it must draw from unlabelled texts beside others"):
            new = list(augmenter.draw(train, ["a new text"], CheckContext(Path(folder))))
        return checked(new, -1, train.texts, "the training texts, or -1")

    first = made(texts, "a list of texts")
    must("it must not change the texts that it is given", texts == given)
    again = made(texts, "a list of texts")
    must("the same texts and generator must give the same new texts", again == first)
    listed = made(list(lazy), "a list of texts")
    must("a lazy sequence must give what a list does", made(lazy, "a lazy sequence") == listed)
    made(texts[:1], "a single text")
    must("no texts must give no texts", not made([], "an empty list"))
    for classes in widths_of(augmenter):
        train = tiny_examples(classes)[0]
        must("the same texts and seed must draw the same new texts", drawn(train) == drawn(train))


def check_loss(loss: Loss) -> None:
    """Is a finite scalar whose gradient reaches the student, whatever the size of logits or batch."""
    check_basics(loss)
    must, needs = Rules(loss), loss.needs
    must(f"needs must be some of {listed(NEEDS)}, got {listed(needs)}", known(needs))
    for classes in widths_of(loss):
        check_values(must, loss, classes)
