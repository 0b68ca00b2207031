"""Sweeps → tables: by hand, and against a recursive reading of random ones."""

from __future__ import annotations

import random
from collections.abc import Iterator
from math import prod
from typing import Any

import pytest

import harness
from harness.suite.size import combinations
from harness.suite.sweeps import expand


def test_expand() -> None:
    assert expand({}) == [{}]
    assert expand({"a": 1, "b": [1, {"c": 2}]}) == [{"a": 1, "b": [1, {"c": 2}]}]
    assert expand({"a": {"sweep": [1]}}) == [{"a": 1}]
    assert expand({"a": {"sweep": [1, 2]}, "b": "x", "c": {"sweep": [3, 4]}}) == [
        {"a": 1, "b": "x", "c": 3},
        {"a": 1, "b": "x", "c": 4},
        {"a": 2, "b": "x", "c": 3},
        {"a": 2, "b": "x", "c": 4},
    ]
    assert expand({"a": {"sweep": [[1, 2], [], {"d": 1}, None, "x", True]}}) == [
        {"a": value} for value in ([1, 2], [], {"d": 1}, None, "x", True)
    ]
    assert expand({"a": {"b": {"sweep": [1, 2]}}, "c": [{"sweep": [3, 4]}, 5, [{"d": {"sweep": [6]}}]]}) == [
        {"a": {"b": b}, "c": [c, 5, [{"d": 6}]]} for b in (1, 2) for c in (3, 4)
    ]
    # a sweep among a sweep's values adds its own to them
    assert expand({"a": {"sweep": [1, {"b": {"sweep": [2, 3]}}, {"sweep": [4, 5]}]}}) == [
        {"a": 1},
        {"a": {"b": 2}},
        {"a": {"b": 3}},
        {"a": 4},
        {"a": 5},
    ]
    # at the top `sweep` is a parameter like any other
    assert expand({"sweep": [1, 2]}) == [{"sweep": [1, 2]}]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"sweep": []}, r"a sweep needs at least one value, got \[\]"),
        ({"sweep": 3}, "a sweep needs a list of values, got 3"),
        ({"sweep": {"sweep": [1]}}, "a sweep needs a list of values, got { sweep = "),
        ({"sweep": [1], "use": "x"}, "a table with `sweep` allows no other key, got 'use'"),
        ([{"a": {"sweep": []}}], "a sweep needs at least one value"),
        ({"sweep": [1, {"sweep": []}]}, "a sweep needs at least one value"),
    ],
)
def test_what_is_no_sweep(value: Any, message: str) -> None:
    with pytest.raises(harness.HarnessError, match=message):
        expand({"a": value})


def swept(choose: random.Random, depth: int) -> Any:
    match choose.randrange(6) if depth else 0:
        case 1 | 2:
            return {"sweep": [swept(choose, depth - 1) for _ in range(choose.randrange(1, 4))]}
        case 3:
            return [swept(choose, depth - 1) for _ in range(choose.randrange(3))]
        case 4:
            return {f"k{i}": swept(choose, depth - 1) for i in range(choose.randrange(3))}
        case _:
            return choose.randrange(1000)


def assignments(value: Any) -> Iterator[Any]:
    """An independent, recursive reading of what sweeps mean: the first element varies slowest."""
    if isinstance(value, list) and value:
        for first in assignments(value[0]):
            for rest in assignments(value[1:]):
                yield [first, *rest]
    elif isinstance(value, dict) and "sweep" in value:
        for option in value["sweep"]:
            yield from assignments(option)
    elif isinstance(value, dict):
        for items in assignments(list(value.values())):
            yield dict(zip(value, items, strict=True))
    else:
        yield value


@pytest.mark.parametrize("seed", range(100))
def test_random_sweeps(seed: int) -> None:
    choose = random.Random(seed)
    table = {f"p{i}": swept(choose, 3) for i in range(choose.randrange(4))}
    before = repr(table)
    expected = list(assignments(table))
    assert prod(map(combinations, table.values())) == len(expected)
    if len(expected) <= 10_000:
        assert expand(table) == expected
    assert repr(table) == before
