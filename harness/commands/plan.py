"""Implement ``harness plan``, which shows a plan without running it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from harness.api import KINDS, parameters_of
from harness.commands.console import as_text, inert, open_console, show
from harness.commands.options import (
    AS_JSON,
    HELP,
    OK,
    SOME_FAILED,
    SUITE,
    installed,
    planned,
    reported,
    which,
)
from harness.wording import duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from harness.plan.planner import Cell, Plan
    from harness.run.estimates import Estimates
    from harness.run.schedule import Schedule


@click.command(context_settings=HELP)
@SUITE
@which
@AS_JSON
@reported
def plan(
    suite: Path,
    only: tuple[str, ...],
    seeds: str | None,
    limit: int,
    source: str,
    store: Path,
    devices: str,
    as_json: bool,
) -> int:
    """Show what bench would run, and the expected time.

    SUITE is a TOML file, or the name of a suite that `harness suites` lists. Show the cells, the steps that
    they share, which steps are stored, and which cells cannot run and why. The exit status is 1 if
    a cell would fail.
    """
    from harness.devices import slots
    from harness.plan.select import select
    from harness.run.estimates import expected
    from harness.run.runner import prepare
    from harness.steps.data import checked
    from harness.storage.store import Store
    from harness.suite.reader import load

    catalog = installed()
    places = slots(devices)
    chosen = select(planned(load(suite, catalog, limit), catalog, places, source), only, seeds)
    gpus, kept = [place.is_gpu for place in places], Store(store)
    schedule = prepare(chosen, kept, estimates=expected(chosen, kept, any(gpus), checked))
    show_plan(chosen, schedule, gpus, as_json)
    return SOME_FAILED if any(_state(cell, schedule)[0] == "failed" for cell in chosen.cells) else OK


def show_plan(plan: Plan, schedule: Schedule, slots: Sequence[bool], as_json: bool) -> None:
    """Print the cells, their steps, what is stored, and the expected time of the rest.

    Each of the slots is given by whether it is a GPU.
    """
    from harness.commands.progress import heading, sources
    from harness.plan.planner import STEP_KINDS

    todo = schedule.todo()
    expected = schedule.expected_s(slots)
    open_keys = {step.key for step in todo}
    if as_json:
        value = {
            "suite": plan.suite.name,
            "sources": sources(plan),
            "expected_s": round(expected, 1),
            "cells": [_cell_json(cell, schedule) for cell in plan.cells],
            "steps": [
                {"key": key, "kind": step.kind, "step": step.label, "stored": key not in schedule.states}
                | {
                    "expected_s": round(schedule.estimates.seconds(step), 3),
                    "needs": list(step.needs.values()),
                }
                for key, step in plan.steps.items()
            ],
        }
        show(json.dumps(value, indent=1) + "\n")
        return
    from rich import box
    from rich.table import Table

    console = open_console()
    for line in heading(plan):
        console.print(inert(line), markup=False)
    cells = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for title in ("role", "task", "teacher", "student", "augmenter", "loss", "seeds", "state"):
        cells.add_column(title, overflow="fold")
    for row in _grouped(plan, schedule):
        cells.add_row(*map(as_text, row))
    console.print(cells)
    steps = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    steps.add_column("step")
    broken = any(key not in open_keys for key in schedule.states)
    columns = (
        *(("total", True), ("stored or not needed", True), ("to do", True)),
        *(("cannot run", broken), ("expected", True)),
    )
    for title in (title for title, shown in columns if shown):
        steps.add_column(title, justify="right")
    for kind in STEP_KINDS:
        of_kind = [step for step in plan.steps.values() if step.kind == kind]
        if of_kind:
            left = [step for step in of_kind if step.key in open_keys]
            seconds = sum(schedule.estimates.seconds(step) for step in left)
            idle = sum(step.key not in schedule.states for step in of_kind)
            numbers = (len(of_kind), idle, len(left), len(of_kind) - idle - len(left))
            values = (*map(str, numbers), duration(seconds) if left else "")
            steps.add_row(kind, *(value for value, (_, shown) in zip(values, columns, strict=True) if shown))
    console.print(steps)
    if todo:
        console.print(f"{len(todo)} steps to do, about {duration(expected)} on {len(slots)} workers")
        for line in _grounds(schedule.estimates):
            console.print(inert(line), markup=False)
    elif broken or any(cell.status == "failed" for cell in plan.cells):
        console.print("bench would run no step: every cell is stored or cannot run")
    else:
        console.print("everything is stored: bench would run no step")


def _grounds(estimates: Estimates) -> Iterator[str]:
    """Yield the reasons why the expected time may be wrong; none if it is based on timings of this store."""
    from harness.run.estimates import UNKNOWN

    if estimates.guessed:
        yield f"this is a guess that assumes {UNKNOWN.train:,} texts, because some data are not fetched yet"
    if not estimates.timed:
        yield "this is based on the usual speed of components, because this store has no timings yet"


def _described(cell: Cell) -> dict[str, Any]:
    parts = {kind: getattr(cell, kind) for kind in KINDS}
    return {kind: {"name": c.name, "params": parameters_of(c)} if c else None for kind, c in parts.items()}


def _cell_json(cell: Cell, schedule: Schedule) -> dict[str, Any]:
    state, reason = _state(cell, schedule)
    return {
        "cell": cell.key,
        "role": cell.role,
        **_described(cell),
        "seed": cell.seed,
        "state": state,
        "reason": reason,
    }


def _state(cell: Cell, schedule: Schedule) -> tuple[str, str]:
    """Return the state of a cell before a run, and the reason if it cannot run."""
    if cell.status != "ok":
        return cell.status, cell.reason
    outcomes = [schedule.outcome(key) for key in cell.goals]
    for outcome in outcomes:
        if outcome.state in ("failed", "unavailable"):
            return outcome.state, outcome.reason
    return ("stored" if all(outcome.state == "done" for outcome in outcomes) else "to do"), ""


def _grouped(plan: Plan, schedule: Schedule) -> Iterator[list[str]]:
    """Yield one row for all cells that differ only in their seed."""
    from harness.naming import labeller

    described = {cell.key: _described(cell) for cell in plan.cells}
    label = labeller(list(described.values()))
    rows: dict[tuple[str, ...], list[Cell]] = {}
    for cell in plan.cells:
        names = tuple(label(kind, part) if part else "" for kind, part in described[cell.key].items())
        state = ": ".join(filter(None, _state(cell, schedule)))
        rows.setdefault((cell.role, *names, state), []).append(cell)
    for (role, task, teacher, student, augmenter, loss, state), cells in rows.items():
        yield [role, task, teacher, student, augmenter, loss, " ".join(str(c.seed) for c in cells), state]
