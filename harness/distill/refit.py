"""Train the model that ``harness distill`` chose once more, on all labelled rows, before it is shipped.

Its scores, and the thresholds at which it abstains, stay those of the model that was chosen: no row is left
on which the new model could be measured.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from harness.distill import stages
from harness.wording import duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.api import Task
    from harness.catalog import Catalog
    from harness.distill.candidates import Table
    from harness.distill.choose import Shipped
    from harness.distill.runs import Runs
    from harness.distill.stages import Taught
    from harness.plan.planner import Cell, Plan
    from harness.results.recommend import Limits
    from harness.results.record import Record

_SURE = 1.25  # an estimate may be too short by this factor
ALL = {"train_on": "all"}  # of tasks that can train on all rows


@dataclass(frozen=True)
class Refitted:
    """The outcome of the second training."""

    record: Record | None  # None: the chosen model stays the shipped one
    told: str = ""  # a sentence for the user


def refit(runs: Runs, plan: Plan, shipped: Shipped, limits: Limits, left: float) -> Refitted:
    """Train the model of the shipped record on all labelled rows, if `left` seconds suffice for it.

    `plan` is the one that the record belongs to.
    """
    from harness.plan.select import only_cells

    chosen = shipped.record
    cell = next((one for one in plan.cells if chosen is not None and one.key == chosen["cell"]), None)
    if chosen is None or cell is None or not can(cell.task):
        return Refitted(None)
    whole, again = _plan(runs, plan, cell)
    rows = f"trained on {chosen['task'].get('train') or 0:,} rows"
    needed = runs.expected_of(only_cells(whole, [again]))
    if _SURE * needed > left:
        more = f"to train on all of them, run the same command again ({duration(needed)})"
        return Refitted(None, f"{rows}; {more}")
    record = runs.model(whole, again)
    if record is None:
        return Refitted(None, f"{rows}; training on all of them failed, see the messages above")
    if why := _worse(record, shipped, limits):
        return Refitted(None, f"{rows}; the model trained on all of them is not shipped, because {why}")
    count = record["task"].get("train") or 0
    return Refitted(
        record, f"trained again on {count:,} rows, {_with(cell.task)}; the scores are from before that"
    )


def expected(runs: Runs, catalog: Catalog, taught: Taught | None, student: Table, baseline: str) -> float:
    """Return the expected seconds to train a student on all labelled rows; 0 if its task has only some."""
    task = dict(runs.data.task)
    if not can(catalog.build("task", task)):
        return 0.0
    size = replace(runs.data.size, train=runs.data.size.train + runs.data.size.held_out)
    name, students = runs.wishes.name, [student]
    if taught is None:
        suite = stages.final(name, task | ALL, None, students, [], [], 1, size.train, baseline)
    else:
        suite = stages.of_students(name, task | ALL, taught, students, size.train, baseline)
    return runs.expected(suite, size=size)


def _with(task: Task) -> str:
    """Return which rows are new in the second training."""
    return "the validation rows too" if getattr(task, "test", None) else "validation and test rows too"


def can(task: object) -> bool:
    """Return whether a task can train on all rows."""
    return ALL.keys() <= getattr(type(task), "__dataclass_fields__", {}).keys()


def _plan(runs: Runs, plan: Plan, cell: Cell) -> tuple[Plan, Cell]:
    """Return a plan with all rows of a cell's task, and the cell with the same model in it."""
    task: Any = cell.task
    suite = replace(
        plan.suite,
        name=f"{plan.suite.name}-all",
        tasks=(replace(task, **ALL),),
        teachers=_given(cell.teacher),
        students=_given(cell.student),
        augmenters=_given(cell.augmenter),
        losses=_given(cell.loss),
        seeds=(cell.seed,),
        excludes=(),
    )
    made = runs.plan(suite)
    return made, next(one for one in made.cells if one.role == cell.role)


def _given(component: Any) -> tuple[Any, ...]:
    return () if component is None else (component,)


def _worse(record: Record, shipped: Shipped, limits: Limits) -> str:
    """Return why the second model cannot replace the first one; "" if it can."""
    assert shipped.candidate is not None and shipped.record is not None
    form, table = shipped.candidate.form.backend, shipped.advice.table
    found: Mapping[str, Any] = record
    size = ((found.get("export") or {}).get("forms", {}).get(form) or {}).get("size_bytes")
    if size is None:
        return f"it has no form {form}"
    if limits.size_bytes is not None and size > limits.size_bytes:
        return "it is larger than allowed"
    first, second = (_validated(one, table.headline) for one in (shipped.record, record))
    # It has seen these rows: if it is not better on them, its training went wrong.
    sign = -1 if table.lower_is_better() else 1
    if first is not None and second is not None and sign * (second - first) < 0:
        return "it is worse, even on rows that it has seen"
    return ""


def _validated(record: Record, metric: str) -> float | None:
    found: Mapping[str, Any] = record.get("validation") or {}
    return found.get(metric)
