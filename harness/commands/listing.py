"""What the commands ``plan``, ``plugins`` and ``leaderboard`` show: nothing is run."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.api import KINDS, Component, parameters_of
from harness.commands.console import as_text, duration, inert, open_console
from harness.estimates import UNKNOWN
from harness.plan import STEP_KINDS, Cell, Plan
from harness.results.ranking import labeller
from harness.results.record import Record
from harness.tracking import REGISTERED

if TYPE_CHECKING:
    from harness.catalog import Catalog
    from harness.estimates import Estimates
    from harness.results.predictions import Prediction
    from harness.schedule import Schedule


def sources(plan: Plan) -> dict[str, str]:
    """What each task's data is, by its name and, of several with that name, where they differ."""
    data = [step for step in plan.steps.values() if step.kind == "data"]
    tasks = [cell.task for cell in plan.cells] + [step.components["task"] for step in data]
    described = {id(task): {"name": task.name, "params": parameters_of(task)} for task in tasks}
    label = labeller([{"task": one} for one in described.values()])

    def named(task: Component) -> str:
        return label("task", described[id(task)])

    found = {}
    for cell in plan.cells:
        if cell.source is not None:
            found[named(cell.task)] = f"{cell.source.name} ({cell.source.origin})"
        else:
            found.setdefault(named(cell.task), f"none: {cell.reason}")
    for step in data:
        if (name := named(step.components["task"])) not in found:
            found[name] = f"{step.settings['source']} ({step.notes['origin']}), for models to start from"
    return found


def heading(plan: Plan) -> Iterator[str]:
    """Lines on the data of a plan, and on how much there is to compare."""
    for task, source in sources(plan).items():
        yield f"{plan.suite.name}: task {task} from {source}"
    counts = Counter(cell.role for cell in plan.cells)
    roles = ", ".join(
        f"{counts[role]} {role}" for role in ("teacher", "baseline", "distilled") if counts[role]
    )
    yield f"{len(plan.cells)} cells ({roles}), {len(plan.steps)} steps"


# -- harness plan -----------------------------------------------------------------------------------------


def show_plan(plan: Plan, schedule: Schedule, slots: Sequence[bool], as_json: bool) -> None:
    """The matrix, its steps, what is stored, and what the rest may take on slots, each a GPU or not."""
    todo = schedule.todo()
    expected = schedule.expected_s(slots)
    open_keys = {step.key for step in todo}
    if as_json:
        value = {
            "suite": plan.suite.name,
            "sources": sources(plan),
            "expected_s": round(expected, 1),
            "cells": [_cell_json(cell, open_keys) for cell in plan.cells],
            "steps": [
                {"key": key, "kind": step.kind, "step": step.label, "stored": key not in open_keys}
                | {
                    "expected_s": round(schedule.estimates.seconds(step), 3),
                    "needs": list(step.needs.values()),
                }
                for key, step in plan.steps.items()
            ],
        }
        sys.stdout.write(json.dumps(value, indent=1) + "\n")
        return
    from rich import box
    from rich.table import Table

    console = open_console()
    for line in heading(plan):
        console.print(inert(line), markup=False)
    cells = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for title in ("role", "task", "teacher", "student", "augmenter", "loss", "seeds", "state"):
        cells.add_column(title, overflow="fold")
    for row in _grouped(plan, open_keys):
        cells.add_row(*map(as_text, row))
    console.print(cells)
    steps = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    steps.add_column("step")
    for title in ("total", "stored or not needed", "to do", "expected"):
        steps.add_column(title, justify="right")
    for kind in STEP_KINDS:
        of_kind = [step for step in plan.steps.values() if step.kind == kind]
        if of_kind:
            left = [step for step in of_kind if step.key in open_keys]
            seconds = sum(schedule.estimates.seconds(step) for step in left)
            numbers = (len(of_kind), len(of_kind) - len(left), len(left))
            steps.add_row(kind, *map(str, numbers), duration(seconds) if left else "")
    console.print(steps)
    if todo:
        console.print(f"{len(todo)} steps to do, about {duration(expected)} on {len(slots)} workers")
        for line in _grounds(schedule.estimates):
            console.print(inert(line), markup=False)
    else:
        console.print("everything is stored: bench would run no step")


def _grounds(estimates: Estimates) -> Iterator[str]:
    """Why the expected time may be far off; nothing where it rests on what steps took here."""
    if estimates.guessed:
        yield f"a guess, for data that are still to be fetched: as if of {UNKNOWN.train:,} texts"
    if not estimates.timed:
        yield "by the usual speed of components: this store has no timings yet"


def _described(cell: Cell) -> dict[str, Any]:
    parts = {kind: getattr(cell, kind) for kind in KINDS}
    return {kind: {"name": c.name, "params": parameters_of(c)} if c else None for kind, c in parts.items()}


def _cell_json(cell: Cell, open_keys: set[str]) -> dict[str, Any]:
    return {
        "cell": cell.key,
        "role": cell.role,
        **_described(cell),
        "seed": cell.seed,
        "state": _state(cell, open_keys),
        "reason": cell.reason,
    }


def _state(cell: Cell, open_keys: set[str]) -> str:
    if cell.status != "ok":
        return cell.status
    return "to do" if any(key in open_keys for key in cell.goals) else "stored"


def _grouped(plan: Plan, open_keys: set[str]) -> Iterator[list[str]]:
    """A row for cells that differ in nothing but their seed."""
    from harness.results.ranking import labeller

    described = {cell.key: _described(cell) for cell in plan.cells}
    label = labeller(list(described.values()))
    rows: dict[tuple[str, ...], list[Cell]] = {}
    for cell in plan.cells:
        names = tuple(label(kind, part) if part else "" for kind, part in described[cell.key].items())
        state = _state(cell, open_keys) + (f": {cell.reason}" if cell.reason else "")
        rows.setdefault((cell.role, *names, state), []).append(cell)
    for (role, task, teacher, student, augmenter, loss, state), cells in rows.items():
        yield [role, task, teacher, student, augmenter, loss, " ".join(str(c.seed) for c in cells), state]


# -- harness plugins and leaderboard -----------------------------------------------------------------------


def show_plugins(catalog: Catalog, as_json: bool) -> None:
    """Components by kind, and what could not be loaded."""
    kinds = list(REGISTERED)
    entries = sorted(catalog.entries.values(), key=lambda e: (kinds.index(e.kind), e.name))
    if as_json:
        value = {
            "components": [
                {
                    "kind": e.kind,
                    "name": e.name,
                    "version": e.component.version,
                    "package": e.package,
                    "package_version": e.package_version,
                    "plugin": e.plugin,
                    "file": e.file,
                    "line": e.line,
                    "summary": e.summary,
                    "parameters": [vars(parameter) for parameter in e.parameters()],
                }
                for e in entries
            ],
            "failures": [vars(failure) for failure in catalog.failures],
        }
        sys.stdout.write(json.dumps(value, indent=1) + "\n")
        return
    console = open_console()
    for kind in kinds:
        console.print(f"{kind}s" if kind != "loss" else "losses", style="bold")
        for e in entries:
            if e.kind == kind:
                console.print(f"  {e.name}", style="green", end="", markup=False)
                console.print(
                    inert(f"  {e.summary}  [{e.package} {e.package_version}]"), markup=False, soft_wrap=True
                )
                for p in e.parameters():
                    default = f" = {p.default}" if p.default is not None else " (required)"
                    console.print(
                        inert(f"      {p.name}{default}  {p.type}"),
                        style="dim",
                        markup=False,
                        soft_wrap=True,
                    )
    for failure in catalog.failures:
        console.print()
        told = f"plugin '{failure.plugin}' of {failure.package}: {failure.reason}"
        console.print(inert(told), style="red", markup=False)
        for line in failure.traceback.splitlines():
            console.print(inert(line), style="dim", markup=False)


def show_leaderboard(records: list[Record], predictions: Mapping[str, Prediction], form: str) -> None:
    """The table in the form asked for."""
    from harness.results import leaderboard
    from harness.results.ranking import build

    board = build(records, predictions)
    if form == "terminal":
        console = open_console()
        console.print(leaderboard.to_rich(board, console.width))
        return
    render = {"markdown": leaderboard.to_markdown, "csv": leaderboard.to_csv, "json": leaderboard.to_json}[
        form
    ]
    sys.stdout.write(render(board))
