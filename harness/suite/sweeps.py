"""Expand ``{ sweep = [...] }`` in a table into one table for each combination of values."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, product
from typing import Any

from harness.api import HarnessError
from harness.parameters import Where, brief

# Pairs of paths: of a value in a variant, and in the table as written. Inner sweeps follow outer ones.
Moves = tuple[tuple[Where, Where], ...]
Variants = list[tuple[Any, Moves]]
Mistakes = list[tuple[Where, str]]


def expand(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the tables that a table with sweeps expands into, in the order of writing.

    The last sweep varies fastest. Sweeps may be at any depth, also in arrays, and multiply. A sweep among the
    values of another sweep adds its values to them. The tables share parts without a sweep. Raise
    HarnessError for an invalid sweep.
    """
    found, mistakes = variants(table)
    if mistakes:
        raise HarnessError("; ".join(message for _, message in mistakes))
    return [value for value, _ in found]


def variants(table: Mapping[str, Any]) -> tuple[Variants, Mistakes]:
    """Return the tables as `expand` does, each with the moves for :func:`written`, and all mistakes.

    An invalid sweep becomes None. The caller counts them first (see :mod:`harness.suite.size`).
    """
    mistakes: Mistakes = []
    return _combined(table, (), (), mistakes), mistakes


def written(where: Where, moves: Moves) -> Where:
    """Return the path in the table as written, for a path in one of its variants."""
    for swept, origin in reversed(moves):
        if where[: len(swept)] == swept:
            return (*origin, *where[len(swept) :])
    return where


def _variants(value: Any, at: Where, origin: Where, mistakes: Mistakes) -> Variants:
    if not (isinstance(value, Mapping) and "sweep" in value):
        return _combined(value, at, origin, mistakes)
    values, where = value["sweep"], (*origin, "sweep")
    if others := [key for key in value if key != "sweep"]:
        mistakes.append((where, f"a table with `sweep` allows no other key, got '{others[0]}'"))
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
