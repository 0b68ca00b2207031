"""Select the part of a plan that ``--only`` and ``--seeds`` name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from harness.api import KINDS, HarnessError, parameters_of
from harness.naming import labeller, pairs
from harness.parameters import as_typed
from harness.plan.planner import Cell, Plan, Step
from harness.wording import nearest

ROLES = ("teacher", "baseline", "distilled")
_KINDS = (*KINDS, "role")


def select(plan: Plan, only: tuple[str, ...], seeds: str | None) -> Plan:
    """Return the plan of the cells that match, with the rows that they are compared to.

    A cell matches if it has one of the given values for each given kind. The rows for comparison are the
    teachers' and, unless a role is given, the baselines of the same students. `only` contains selectors (see
    :mod:`harness.naming`); `seeds` is a text such as "0,1". Raise HarnessError for anything that the suite
    does not have.
    """
    if not only and seeds is None:
        return plan
    names = _Names(plan)
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    for expression in only:
        for what, name in pairs(expression, _KINDS, f"--only {expression!r}"):
            known = {known for cell in plan.cells for known in names(cell, what)}
            if name not in known:
                listed = ", ".join(sorted(known)) or "none"
                raise HarnessError(
                    f"--only {expression!r}: the suite has no {what} {name!r}; it has: {listed}"
                    + nearest(name, known)
                )
            wanted[what].add(name)
    numbers = _seeds(plan, seeds)
    cells = [
        cell
        for cell in plan.cells
        if all(names(cell, what) & allowed for what, allowed in wanted.items()) and cell.seed in numbers
    ]
    if "role" not in wanted:
        # If a student borrows from its teacher, e.g. layers, its baseline has that teacher too.
        taught = {
            (cell.task, cell.student, cell.seed, teacher)
            for cell in cells
            if cell.role == "distilled"
            for teacher in (cell.teacher, None)
        }
        cells += [
            cell
            for cell in plan.cells
            if cell.role == "baseline"
            and cell.augmenter is None
            and (cell.task, cell.student, cell.seed, cell.teacher) in taught
        ]
    asked = {cell.key for cell in cells}
    teaching = {cell.steps.get("teacher") for cell in cells} - {None}
    kept = tuple(
        cell
        for cell in plan.cells
        if cell.key in asked or (cell.role == "teacher" and cell.steps.get("teacher") in teaching)
    )
    if not kept:
        asked_for = [*only, *([f"seeds {seeds}"] if seeds is not None else [])]
        raise HarnessError(
            f"no cell of suite '{plan.suite.name}' matches all of: {', '.join(asked_for)}; "
            "remove one of them, or list the cells with harness plan"
        )
    return only_cells(plan, kept)


def only_cells(plan: Plan, cells: Sequence[Cell]) -> Plan:
    """Return the plan of some of its cells, with the steps that they need."""
    kept = tuple(cells)
    return replace(plan, cells=kept, steps=_reachable(plan, kept))


def _reachable(plan: Plan, cells: tuple[Cell, ...]) -> dict[str, Step]:
    """Return the steps that some cells need, in the plan's order."""
    keys = {key for cell in cells for key in cell.steps.values()}
    waiting = list(keys)
    while waiting:
        for needed in plan.steps[waiting.pop()].needs.values():
            if needed not in keys:
                keys.add(needed)
                waiting.append(needed)
    return {key: step for key, step in plan.steps.items() if key in keys}


class _Names:
    """The names by which one can select a cell's components and parameters."""

    def __init__(self, plan: Plan) -> None:
        described: dict[int, tuple[str, dict[str, Any]]] = {}
        for kind in KINDS:
            parts = {id(part): part for cell in plan.cells if (part := getattr(cell, kind)) is not None}
            for key, part in parts.items():
                described[key] = kind, {"name": part.name, "params": parameters_of(part)}
        label = labeller([dict([part]) for part in described.values()])
        self._params = {key: part["params"] for key, (_, part) in described.items()}
        self._names = {key: {part["name"], label(kind, part)} for key, (kind, part) in described.items()}

    def __call__(self, cell: Cell, what: str) -> set[str]:
        """Return the names of a cell for "student" (name and label), or for "student.width" (the value)."""
        kind, _, parameter = what.partition(".")
        if kind == "role":
            return {cell.role}
        if (component := getattr(cell, kind)) is None:
            return set()
        if not parameter:
            return self._names[id(component)]
        params = self._params[id(component)]
        return {as_typed(params[parameter])} if parameter in params else set()


def _seeds(plan: Plan, seeds: str | None) -> set[int]:
    if seeds is None:
        return set(plan.suite.seeds)
    try:
        numbers = {int(seed) for seed in seeds.split(",")}
    except ValueError:
        raise HarnessError(
            f"--seeds must be numbers separated by commas, such as 0,1, got {seeds!r}"
        ) from None
    if unknown := numbers - set(plan.suite.seeds):
        listed = ", ".join(map(str, plan.suite.seeds))
        raise HarnessError(f"--seeds: the suite has no seed {min(unknown)}; it has: {listed}")
    return numbers
