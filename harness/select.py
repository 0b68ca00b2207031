"""The part of a plan that ``--only`` and ``--seeds`` ask for."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from harness.api import KINDS, HarnessError, parameters_of
from harness.parameters import as_typed, nearest
from harness.plan import Cell, Plan, Step

ROLES = ("teacher", "baseline", "distilled")
_KINDS = (*KINDS, "role")


def select(plan: Plan, only: tuple[str, ...], seeds: str | None) -> Plan:
    """Cells that have one of the values given for each kind given, with the rows that they are compared to.

    Those are their teachers' and, unless a role is asked for, their students' own baselines. `only` holds
    "kind=name,name" or, for components with one of some values of a parameter, "kind.parameter=value";
    `seeds` is "0,1". Raises HarnessError for what the suite does not have.
    """
    if not only and seeds is None:
        return plan
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    for expression in only:
        what, equals, names = expression.partition("=")
        kind = what.partition(".")[0]
        if not equals or kind not in _KINDS:
            raise HarnessError(
                f"--only {expression!r} must be <kind>=<name> or <kind>.<parameter>=<value>, "
                f"with a kind of: {', '.join(_KINDS)}" + nearest(kind, _KINDS)
            )
        known = {_value(cell, what) for cell in plan.cells} - {""}
        for name in map(str.strip, names.split(",")):
            if name not in known:
                if "=" in name and name.partition("=")[0].partition(".")[0] in _KINDS:
                    raise HarnessError(f"--only {expression!r}: {name} needs an --only of its own")
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
        if all(_value(cell, what) in names for what, names in wanted.items()) and cell.seed in numbers
    ]
    if "role" not in wanted:
        # Of a student that borrows from its teacher, such as layers, the baseline has that teacher's too.
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
        raise HarnessError(f"no cell of suite '{plan.suite.name}' has all of: {', '.join(asked_for)}")
    return replace(plan, cells=kept, steps=_reachable(plan, kept))


def _reachable(plan: Plan, cells: tuple[Cell, ...]) -> dict[str, Step]:
    """The steps that some cells need, in the plan's order."""
    keys = {key for cell in cells for key in cell.steps.values()}
    waiting = list(keys)
    while waiting:
        for needed in plan.steps[waiting.pop()].needs.values():
            if needed not in keys:
                keys.add(needed)
                waiting.append(needed)
    return {key: step for key, step in plan.steps.items() if key in keys}


def _value(cell: Cell, what: str) -> str:
    """What a cell has for "kind" or "kind.parameter", as one would type it; "" where it has no such thing."""
    kind, _, parameter = what.partition(".")
    if kind == "role":
        return cell.role
    component = getattr(cell, kind)
    if component is None or not parameter:
        return component.name if component is not None else ""
    return as_typed(parameters_of(component).get(parameter, ""))


def _seeds(plan: Plan, seeds: str | None) -> set[int]:
    if seeds is None:
        return set(plan.suite.seeds)
    try:
        numbers = {int(seed) for seed in seeds.split(",")}
    except ValueError:
        raise HarnessError(f"--seeds {seeds!r} must be numbers with commas between, such as 0,1") from None
    if unknown := numbers - set(plan.suite.seeds):
        listed = ", ".join(map(str, plan.suite.seeds))
        raise HarnessError(f"--seeds: the suite has no seed {min(unknown)}; it has: {listed}")
    return numbers
