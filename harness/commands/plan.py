"""Implement ``harness plan``, which shows a plan without running it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import click

from harness.api import KINDS, parameters_of
from harness.commands.console import inert, open_console, show
from harness.commands.options import (
    AS_JSON,
    HELP,
    OK,
    SOME_FAILED,
    SUITE,
    executor_named,
    installed,
    planned,
    reported,
    warn,
    which,
)
from harness.wording import duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from harness.devices import Slot
    from harness.plan.planner import Cell, Plan
    from harness.report.grid import Grid
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
    executor: str,
    devices: str,
    as_json: bool,
) -> int:
    """Show what bench would run, and the expected time.

    SUITE is a TOML file, or the name of a suite that `harness suites` lists. Show the cells, the steps that
    they share, which steps are stored, and which cells cannot run and why. The exit status is 1 if
    a cell would fail.
    """
    from harness.plan.select import select
    from harness.run.estimates import expected
    from harness.run.runner import prepare
    from harness.steps.data import checked
    from harness.storage.shared import opened
    from harness.suite.reader import load

    catalog = installed()
    places = executor_named(executor, catalog).slots(devices, store, warn)
    chosen = select(planned(load(suite, catalog, limit), catalog, places, source), only, seeds)
    gpu, kept = any(place.is_gpu for place in places), opened(store)
    schedule = prepare(chosen, kept, estimates=expected(chosen, kept, gpu, checked))
    states = show_plan(chosen, schedule, places, as_json)
    return SOME_FAILED if "failed" in states else OK


def show_plan(plan: Plan, schedule: Schedule, places: Sequence[Slot], as_json: bool) -> set[str]:
    """Print the cells, their steps, what is stored, and the expected time of the rest.

    Return the states of the cells.
    """
    from harness.commands.progress import heading, sources
    from harness.report.grid import Grid

    slots = [place.is_gpu for place in places]
    expected = schedule.expected_s(slots, [place.node for place in places])
    states = [_state(cell, schedule) for cell in plan.cells]
    found = {state for state, _ in states}
    if as_json:
        known: dict[int, dict[str, Any]] = {}
        value = {
            "suite": plan.suite.name,
            "sources": sources(plan),
            "expected_s": round(expected, 1),
            "cells": [
                {"cell": cell.key, "role": cell.role, **_described(cell, known)}
                | {"seed": cell.seed, "state": state, "reason": reason}
                for cell, (state, reason) in zip(plan.cells, states, strict=True)
            ],
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
        return found
    console = open_console()
    for line in heading(plan):
        console.print(inert(line), markup=False)
    titles = ("role", "task", "teacher", "student", "augmenter", "loss", "seeds", "state")
    cells = Grid(titles, [False] * len(titles))
    for row in _grouped(plan, states):
        cells.add(row)
    console.print(cells)
    todo = schedule.todo()
    broken = len(todo) < len(schedule.states)
    console.print(_counted(plan, schedule, broken))
    if todo:
        console.print(f"{len(todo)} steps to do, about {duration(expected)} on {len(slots)} workers")
        for line in _grounds(schedule.estimates):
            console.print(inert(line), markup=False)
    elif broken or any(cell.status == "failed" for cell in plan.cells):
        console.print("bench would run no step: every cell is stored or cannot run")
    else:
        console.print("everything is stored: bench would run no step")
    return found


def _counted(plan: Plan, schedule: Schedule, broken: bool) -> Grid:
    """Return the numbers of steps of each kind; `broken` is whether some cannot run."""
    from harness.plan.planner import STEP_KINDS
    from harness.report.grid import Grid

    every = Counter(step.kind for step in plan.steps.values())
    asked = Counter(plan.steps[key].kind for key in schedule.states)
    left: Counter[str] = Counter()
    seconds: defaultdict[str, float] = defaultdict(float)
    for step in schedule.todo():
        left[step.kind] += 1
        seconds[step.kind] += schedule.estimates.seconds(step)
    columns = (
        *(("step", True), ("total", True), ("stored or not needed", True), ("to do", True)),
        *(("cannot run", broken), ("expected", True)),
    )
    titles = [title for title, shown in columns if shown]
    grid = Grid(titles, [title != "step" for title in titles])
    for kind in STEP_KINDS:
        if every[kind]:
            numbers = every[kind], every[kind] - asked[kind], left[kind], asked[kind] - left[kind]
            values = (kind, *map(str, numbers), duration(seconds[kind]) if left[kind] else "")
            grid.add([value for value, (_, shown) in zip(values, columns, strict=True) if shown])
    return grid


def _grounds(estimates: Estimates) -> Iterator[str]:
    """Yield the reasons why the expected time may be wrong; none if it is based on timings of this store."""
    from harness.run.estimates import UNKNOWN

    if estimates.guessed:
        yield f"this is a guess that assumes {UNKNOWN.train:,} texts, because some data are not fetched yet"
    if not estimates.timed:
        yield "this is based on the usual speed of components, because this store has no timings yet"


def _described(cell: Cell, known: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """Return a cell's components by kind; those that are `known`, by object, are not described again."""
    parts = {kind: getattr(cell, kind) for kind in KINDS}
    for part in parts.values():
        if part is not None and id(part) not in known:
            known[id(part)] = {"name": part.name, "params": parameters_of(part)}
    return {kind: None if part is None else known[id(part)] for kind, part in parts.items()}


def _state(cell: Cell, schedule: Schedule) -> tuple[str, str]:
    """Return the state of a cell before a run, and the reason if it cannot run."""
    if cell.status != "ok":
        return cell.status, cell.reason
    goals = [(schedule.states.get(key, "done"), key) for key in cell.goals]
    for state, key in goals:
        if state in ("failed", "unavailable"):
            return state, schedule.outcome(key).reason
    return ("stored" if all(state == "done" for state, _ in goals) else "to do"), ""


def _grouped(plan: Plan, states: Sequence[tuple[str, str]]) -> Iterator[list[str]]:
    """Yield one row for all cells that differ only in their seed."""
    from harness.naming import component_labeller

    parts = (getattr(cell, kind) for cell in plan.cells for kind in KINDS)
    label = component_labeller(part for part in parts if part is not None)
    rows: dict[tuple[str, ...], list[int]] = {}
    for cell, state in zip(plan.cells, states, strict=True):
        names = [label(part) if (part := getattr(cell, kind)) else "" for kind in KINDS]
        rows.setdefault((cell.role, *names, *state), []).append(cell.seed)
    for (role, *names, status, reason), seeds in rows.items():
        told = f"{status}: {reason}" if reason else status
        yield [role, *map(inert, names), " ".join(map(str, seeds)), inert(told)]
