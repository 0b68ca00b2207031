"""Select rows of results by the names of their components (see :mod:`harness.naming`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from harness.api import KINDS, HarnessError
from harness.naming import PARTS, pairs
from harness.parameters import as_typed
from harness.results.ranking import Row, Table
from harness.wording import choices

SELECTED = (*KINDS, "role", "source")


def wanted_by(expression: str, tables: Iterable[Table]) -> dict[str, set[str]]:
    """Return the names in a selector, by kind. Raise HarnessError if no row of the tables has one."""
    found: dict[str, set[str]] = {}
    every = [(table, row) for table in tables for row in table.rows]
    for kind, name in pairs(expression, SELECTED, f"'{expression}'"):
        known = {name for table, row in every for name in _names(table, row, kind)}
        if name not in known:
            raise HarnessError(f"there is no {kind} '{name}' in these results{choices(name, known)}")
        found.setdefault(kind, set()).add(name)
    return found


def _names(table: Table, row: Row, kind: str) -> set[str]:
    """Return the names by which one can select a row's component: its name and its label."""
    if kind == "role":
        return {row.role}
    if kind == "source":
        return {str(table.task.get("source"))}
    kind, _, parameter = kind.partition(".")
    part = table.task if kind == "task" else row.parts.get(kind)
    if part is None:
        return set()
    if parameter:
        return {as_typed(part["params"][parameter])} if parameter in part["params"] else set()
    return {part["name"], table.label if kind == "task" else row.labels[kind]}


def found_in(table: Table, wanted: Mapping[str, set[str]]) -> list[Row]:
    """Return the rows of a table that have a result, and one of the names for each kind."""
    return [
        row
        for row in table.rows
        if row.seeds and all(_names(table, row, kind) & names for kind, names in wanted.items())
    ]


def telling(rows: Sequence[Row]) -> str:
    """Return the kinds in which rows differ, with their names, as a text."""
    told = []
    for kind in ("role", *PARTS):
        names = {row.role if kind == "role" else row.labels[kind] for row in rows}
        if len(names) > 1:
            told += [f"{kind}={name}" for name in sorted(names - {""})]
    return ", ".join(told) or "nothing: they differ in their plugins only"
