"""Which rows of two sets of results go together: by what they are of, not by cell keys."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.api import HarnessError
from harness.naming import PARTS, contains
from harness.results.ranking import Row, Table


def matched(a: Sequence[Table], b: Sequence[Table]) -> Iterator[tuple[Table, Row | None, Row | None]]:
    """Every configuration of two sets, as (a table of it, its row in A, its row in B).

    A row whose parameters the other set does not have goes with the only one that lacks but some of them, or
    has some more: a component gains parameters from version to version. HarnessError where data differ.
    """
    for table, old, new in _tables(a, b):
        # Of two rows that differ only in version or plugin, the better one.
        rows_a, rows_b = ({configuration(row): row for row in reversed(rows)} for rows in (old, new))
        rows_a = {_grown(key, row, rows_a, rows_b): row for key, row in rows_a.items()}
        for key in dict.fromkeys([*reversed(rows_b), *reversed(rows_a)]):
            yield table, rows_a.get(key), rows_b.get(key)


def configuration(row: Row) -> str:
    """What a row is of, but for versions and plugins."""
    parts = [(part["name"], part["params"]) if part else None for part in map(row.parts.get, PARTS)]
    return json.dumps([row.role, parts], sort_keys=True, default=str)


def _tables(a: Sequence[Table], b: Sequence[Table]) -> Iterator[tuple[Table, Sequence[Row], Sequence[Row]]]:
    """Tables of the same data, as (either table, the rows in A, the rows in B)."""

    def named(table: Table) -> tuple[str, str | None]:
        return table.task["name"], table.task.get("source")

    def is_same(one: Table, other: Table) -> bool:
        return named(one) == named(other) and _alike(one.task["params"], other.task["params"])

    def data(table: Table) -> str | None:
        return table.task.get("fingerprint")

    for table in b:
        same = [other for other in a if is_same(other, table)]
        equal = [other for other in same if data(other) == data(table)]
        if same and not equal:
            raise HarnessError(
                f"task '{table.label}' ({table.task.get('source')} data) has other data in A (fingerprint "
                f"{str(data(same[0]))[:19]}) than in B ({str(data(table))[:19]}): scores cannot be compared"
            )
        yield table, equal[0].rows if equal else (), table.rows
    for table in a:
        if not any(is_same(other, table) for other in b):
            yield table, table.rows, ()


def _grown(key: str, row: Row, own: Mapping[str, Row], others: Mapping[str, Row]) -> str:
    """The key by which the other set has a row: its own, or that of the one that it is but for growth."""

    def akin(row: Row, rows: Mapping[str, Row], than: Mapping[str, Row]) -> list[str]:
        return [other for other, each in rows.items() if other not in than and _is_akin(each, row)]

    if key in others or len(found := akin(row, others, own)) != 1:
        return key
    return found[0] if akin(others[found[0]], own, others) == [key] else key


def _is_akin(one: Row, other: Row) -> bool:
    """Whether two rows are the same but for parameters that only one of them has."""

    def told(row: Row, what: str) -> list[Any]:
        return [(row.parts.get(part) or {}).get(what) for part in PARTS]

    same = one.role == other.role and told(one, "name") == told(other, "name")
    return same and _alike(told(one, "params"), told(other, "params"))


def _alike(one: Any, other: Any) -> bool:
    """Whether parameters are the same, but for some that only one of the two has."""
    return contains(one, other) or contains(other, one)
