from __future__ import annotations

import json
from itertools import count
from typing import Any

from harness.results.merge import merge

CELLS = count()


def moods(source: str, score: float, student: str = "mlp", seed: int = 0, **fields: Any) -> dict[str, Any]:
    task = {"name": "moods", "params": {}, "source": source, "fingerprint": "1", "cells": 9}
    params = {"width": (8,), "of": [{"use": "mask", "share": 0.1}]}
    return {
        "cell": str(next(CELLS)),
        "status": "ok",
        "role": "baseline",
        "task": task | fields,
        "student": {"name": student, "params": params, "version": 1},
        "seed": seed,
        "metrics": {"accuracy": score},
    }


def read_again(value: Any) -> Any:
    return json.loads(json.dumps(value))


def planned(*found: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a suite that has these records' cells, with seeds 0 and 1."""
    return [read_again(record) | {"seeds": [0, 1]} for record in found]


def test_merge_keeps_what_other_sources_gave() -> None:
    real, old, new = moods("local", 0.9), moods("sample", 0.5), moods("sample", 0.6)
    assert merge([real, old], [new]) == ([new, real], 0, 1)


def test_merge_keeps_the_suites_rows_that_a_run_has_nothing_of() -> None:
    new = moods("local", 0.6)
    other = read_again([moods("local", 0.7, "cnn"), moods("local", 0.8, "cnn", seed=1)])
    gone = moods("local", 0.9, "lstm")  # no longer in the suite
    elsewhere = moods("local", 0.9, "cnn", fingerprint="2")  # of other data
    unknown = moods("local", 0.9, "cnn", seed=7)  # a seed that the suite does not have
    failed = moods("local", 0.9, "cnn", seed=1) | {"status": "failed"}
    # Another seed of a row that was measured anew would be of other code than the first.
    mixed = moods("local", 0.1, seed=1)
    before = [*other, gone, elsewhere, unknown, failed, mixed]
    assert merge(before, [new], planned(new, other[0])) == ([new, *other], 2, 3)


def test_what_cannot_run_here_leaves_what_was_measured_elsewhere() -> None:
    row, other = moods("local", 0.7, "cnn"), moods("local", 0.6)
    again, third = moods("local", 0.7, "cnn", seed=1), moods("local", 0.7, "cnn", seed=2)
    lacking = [read_again(one) | {"status": "unavailable", "cell": "x"} for one in (row, again, third)]
    lacking[0]["cell"] = row["cell"]
    plan = [planned(row)[0] | {"seeds": [0, 1, 2]}, *planned(other)]
    before = read_again([row, again])
    assert merge(before, [*lacking, other], plan) == ([lacking[2], other, *before], 2, 0)
    assert merge([], [*lacking, other], plan) == ([*lacking, other], 0, 0)
    failed = read_again(row) | {"status": "failed"}
    assert merge(before, [failed, other], plan) == ([failed, other], 0, 0)


def test_merge_fills_in_parameters_that_came_later() -> None:
    new, old, now = moods("local", 0.6), moods("local", 0.7, "cnn"), moods("local", 0.7, "cnn", cells=12)
    now["student"]["params"] = {
        "width": [8],
        "dropout": 0.0,
        "of": [{"use": "mask", "share": 0.1, "force": 1}],
    }
    (_, found), stayed, _ = merge([read_again(old)], [new], planned(new, now))
    assert stayed == 1
    assert found["student"]["params"] == now["student"]["params"] and found["task"]["cells"] == 12
    assert found["metrics"] == old["metrics"]

    again = moods("local", 0.8, "cnn") | {"student": now["student"]}  # the same row, measured meanwhile
    assert merge([read_again(old)], [new, again], planned(new, now)) == ([new, again], 0, 0)

    swept = [now, read_again(now)]  # two rows that it could have been
    swept[1]["student"]["params"]["dropout"] = 0.5
    assert merge([read_again(old)], [new], planned(new, *swept)) == ([new], 0, 1)

    raised = read_again(now)
    raised["student"]["version"] = 2  # whose results are others
    assert merge([read_again(old)], [new], planned(new, raised)) == ([new], 0, 1)
