"""Match the rows of two sets of results by their configurations, not by cell keys."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.api import HarnessError
from harness.naming import PARTS, contains
from harness.results.ranking import Row, Table


def matched(a: Sequence[Table], b: Sequence[Table]) -> Iterator[tuple[Table, Row | None, Row | None]]:
    """Yield every configuration of two sets, as (its table, its row in A, its row in B).

    New versions of a component may have more parameters. A row without an equal in the other set therefore
    matches the only row there that lacks some of its parameters, or has additional ones. Raise HarnessError
    if the data of a task differ.
    """
    for table, old, new in _tables(a, b):
        # If rows differ only in version or plugin, take the best one.
        rows_a, rows_b = ({configuration(row): row for row in reversed(rows)} for rows in (old, new))
        rows_a = {_grown(key, row, rows_a, rows_b): row for key, row in rows_a.items()}
        for key in dict.fromkeys([*reversed(rows_b), *reversed(rows_a)]):
            yield table, rows_a.get(key), rows_b.get(key)


def configuration(row: Row) -> str:
    """Return, as one string, what distinguishes a row, apart from versions and plugins."""
    parts = [(part["name"], part["params"]) if part else None for part in map(row.parts.get, PARTS)]
    return json.dumps([row.role, parts], sort_keys=True, default=str)


def _tables(a: Sequence[Table], b: Sequence[Table]) -> Iterator[tuple[Table, Sequence[Row], Sequence[Row]]]:
    """Yield tables with the same data, as (one of them, the rows in A, the rows in B)."""

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
                f"cannot compare task '{table.label}' ({table.task.get('source')} data): its data have "
                f"fingerprint {str(data(same[0]))[:19]} in A, but {str(data(table))[:19]} in B; "
                "run both suites on the same data"
            )
        yield table, equal[0].rows if equal else (), table.rows
    for table in a:
        if not any(is_same(other, table) for other in b):
            yield table, table.rows, ()


def _grown(key: str, row: Row, own: Mapping[str, Row], others: Mapping[str, Row]) -> str:
    """Return the key of the row's match in the other set, or its own key if it has none."""

    def akin(row: Row, rows: Mapping[str, Row], than: Mapping[str, Row]) -> list[str]:
        return [other for other, each in rows.items() if other not in than and _is_akin(each, row)]

    if key in others or len(found := akin(row, others, own)) != 1:
        return key
    return found[0] if akin(others[found[0]], own, others) == [key] else key


def _is_akin(one: Row, other: Row) -> bool:
    """Return whether two rows are equal, apart from parameters that only one of them has."""

    def told(row: Row, what: str) -> list[Any]:
        return [(row.parts.get(part) or {}).get(what) for part in PARTS]

    same = one.role == other.role and told(one, "name") == told(other, "name")
    return same and _alike(told(one, "params"), told(other, "params"))


def _alike(one: Any, other: Any) -> bool:
    """Return whether parameters are equal, apart from some that only one side has."""
    return contains(one, other) or contains(other, one)
