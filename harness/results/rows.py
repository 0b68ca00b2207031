"""Rows of results by the names of their parts: ``student=mlp,loss=kl``, as ``--only`` names cells.

A name is a component's, or its label in the table, such as ``mlp(width=8)``, where swept rows differ;
``student.width=8`` asks for the value of one parameter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from harness.api import KINDS, HarnessError
from harness.parameters import as_typed, choices, nearest
from harness.results.ranking import Row, Table
from harness.results.record import PARTS

SELECTED = (*KINDS, "role", "source")


def wanted_by(expression: str, tables: Iterable[Table]) -> dict[str, set[str]]:
    """By kind, the names that a selector allows; HarnessError where no row of the tables has one."""
    found: dict[str, set[str]] = {}
    kind = ""
    every = [(table, row) for table in tables for row in table.rows]
    for piece in map(str.strip, _pieces(expression)):
        # "mlp(width=8)" has an equals sign too, but no kind before it.
        left, equals, right = piece.partition("=")
        if equals and "(" not in left:
            kind, piece = left.strip(), right.strip()
        if (plain := kind.partition(".")[0]) not in SELECTED:
            raise HarnessError(
                f"'{expression}' must be <kind>=<name> or <kind>.<parameter>=<value>, with commas between; "
                f"a kind is one of: {', '.join(SELECTED)}{nearest(plain, SELECTED)}"
            )
        known = {name for table, row in every for name in _names(table, row, kind)}
        if piece not in known:
            raise HarnessError(f"there is no {kind} '{piece}' in these results{choices(piece, known)}")
        found.setdefault(kind, set()).add(piece)
    return found


def _pieces(expression: str) -> list[str]:
    """Split at commas outside parentheses and brackets."""
    pieces, depth = [""], 0
    for char in expression:
        depth += (char in "([") - (char in ")]")
        if char == "," and depth <= 0:
            pieces.append("")
        else:
            pieces[-1] += char
    return pieces


def _names(table: Table, row: Row, kind: str) -> set[str]:
    """What a row's part may be called: its name, and its label where that says more."""
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
    """The rows of a table that have a result and one of the names of each kind."""
    return [
        row
        for row in table.rows
        if row.seeds and all(_names(table, row, kind) & names for kind, names in wanted.items())
    ]


def telling(rows: Sequence[Row]) -> str:
    """The kinds in which rows differ, with their names."""
    told = []
    for kind in ("role", *PARTS):
        names = {row.role if kind == "role" else row.labels[kind] for row in rows}
        if len(names) > 1:
            told += [f"{kind}={name}" for name in sorted(names - {""})]
    return ", ".join(told) or "nothing: they differ in their plugins only"
