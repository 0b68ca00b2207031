"""``{ sweep = [...] }`` in a table → one table for each combination of values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, product
from math import prod
from typing import Any

from harness.api import HarnessError
from harness.parameters import Where, brief

LIMIT = 10_000  # tables that one may stand for

# Where a value stands once swept, and where in the table as written; an inner sweep after its outer.
Moves = tuple[tuple[Where, Where], ...]
Variants = list[tuple[Any, Moves]]
Mistakes = list[tuple[Where, str]]


def expand(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tables that a table with sweeps stands for, in the order of writing, the last sweep fastest.

    Sweeps may stand at any depth, in arrays too, and multiply; a sweep among another's values adds
    its own to them. Raises HarnessError for a sweep that is none. Unswept parts are shared.
    """
    found, mistakes = variants(table)
    if mistakes:
        raise HarnessError("; ".join(message for _, message in mistakes))
    return [value for value, _ in found]


def variants(table: Mapping[str, Any]) -> tuple[Variants, Mistakes]:
    """As `expand`, with what :func:`written` needs; a mistaken sweep has None in its place."""
    mistakes: Mistakes = []
    if (size := prod(map(_count, table.values()))) > LIMIT:
        return [], [((), f"the sweeps make {size:,} combinations; at most {LIMIT:,} are allowed")]
    return _combined(table, (), (), mistakes), mistakes


def written(where: Where, moves: Moves) -> Where:
    """The path in the table as written of a path in one of its variants."""
    for swept, origin in reversed(moves):
        if where[: len(swept)] == swept:
            return (*origin, *where[len(swept) :])
    return where


def _variants(value: Any, at: Where, origin: Where, mistakes: Mistakes) -> Variants:
    if not (isinstance(value, Mapping) and "sweep" in value):
        return _combined(value, at, origin, mistakes)
    values, where = value["sweep"], (*origin, "sweep")
    if others := [key for key in value if key != "sweep"]:
        mistakes.append((where, f"a sweep allows no other key beside it, got '{others[0]}'"))
    elif not isinstance(values, list):
        mistakes.append((where, f"a sweep needs a list of values, got {brief(values)}"))
    elif not values:
        mistakes.append((where, "a sweep needs at least one value, got []"))
    else:
        return [
            (option, ((at, (*where, index)), *moves))
            for index, entry in enumerate(values)
            for option, moves in _variants(entry, at, (*where, index), mistakes)
        ]
    return [(None, ())]


def _combined(value: Any, at: Where, origin: Where, mistakes: Mistakes) -> Variants:
    if not isinstance(value, Mapping | list):
        return [(value, ())]
    steps: list[Any] = list(value) if isinstance(value, Mapping) else list(range(len(value)))
    options = [_variants(value[step], (*at, step), (*origin, step), mistakes) for step in steps]
    found: Variants = []
    for combination in product(*options):
        items = [item for item, _ in combination]
        moves = tuple(chain.from_iterable(moved for _, moved in combination))
        found.append((dict(zip(steps, items, strict=True)) if isinstance(value, Mapping) else items, moves))
    return found


def _count(value: Any) -> int:
    if isinstance(value, Mapping):
        if isinstance(swept := value.get("sweep"), list):
            return sum(map(_count, swept))
        return prod(map(_count, value.values()))
    return prod(map(_count, value)) if isinstance(value, list) else 1
