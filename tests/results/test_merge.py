from __future__ import annotations

import json
from itertools import count
from typing import Any

import pytest

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
    return [read_again(record) | {"seeds": {0: "e0", 1: "e1"}} for record in found]


def test_merge_keeps_what_other_sources_gave() -> None:
    real, old, new = moods("local", 0.9), moods("sample", 0.5), moods("sample", 0.6)
    assert merge([real, old], [new]) == ([new, real], 0, 0, 0, 1)


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
    assert merge(before, [new], planned(new, other[0])) == ([new, *other], 2, 0, 1, 3)


def test_what_cannot_run_here_leaves_what_was_measured_elsewhere() -> None:
    row, other = moods("local", 0.7, "cnn"), moods("local", 0.6)
    again, third = moods("local", 0.7, "cnn", seed=1), moods("local", 0.7, "cnn", seed=2)
    lacking = [
        read_again(one) | {"status": "unavailable", "cell": f"x{one['seed']}"} for one in (row, again, third)
    ]
    lacking[0]["cell"] = row["cell"]
    plan = [planned(row)[0] | {"seeds": {0: "e0", 1: "e1", 2: "e2"}}, *planned(other)]
    before = read_again([row, again])
    assert merge(before, [*lacking, other], plan) == ([lacking[2], other, *before], 2, 0, 0, 0)
    assert merge([], [*lacking, other], plan) == ([*lacking, other], 0, 0, 0, 0)


def test_merge_fills_in_parameters_that_came_later() -> None:
    new, old, now = moods("local", 0.6), moods("local", 0.7, "cnn"), moods("local", 0.7, "cnn", cells=12)
    now["student"]["params"] = {
        "width": [8],
        "dropout": 0.0,
        "of": [{"use": "mask", "share": 0.1, "force": 1}],
    }
    (_, found), stayed, *_ = merge([read_again(old)], [new], planned(new, now))
    assert stayed == 1
    assert found["student"]["params"] == now["student"]["params"] and found["task"]["cells"] == 12
    assert found["metrics"] == old["metrics"]

    again = moods("local", 0.8, "cnn") | {"student": now["student"]}  # the same row, measured meanwhile
    assert merge([read_again(old)], [new, again], planned(new, now)) == ([new, again], 0, 0, 0, 0)

    swept = [now, read_again(now)]  # two rows that it could have been
    swept[1]["student"]["params"]["dropout"] = 0.5
    assert merge([read_again(old)], [new], planned(new, *swept)) == ([new], 0, 0, 0, 1)

    raised = read_again(now)
    raised["student"]["version"] = 2  # whose results are others
    assert merge([read_again(old)], [new], planned(new, raised)) == ([new], 0, 0, 0, 1)


def failing(record: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return read_again(record) | {"status": "failed", "reason": "the disk is full", **fields}


@pytest.mark.parametrize("status", ["failed", "incompatible"])
@pytest.mark.parametrize("key", ["same", "other"])  # the key of a cell may depend on what failed
def test_a_failure_never_replaces_a_result(status: str, key: str) -> None:
    old, other = read_again(moods("local", 0.7)), moods("local", 0.6, "cnn")
    attempt = failing(old, status=status) | ({} if key == "same" else {"cell": "x"})
    (_, found), *counts = merge([old], [attempt, other], planned(old, other))
    assert counts == [0, 1, 0, 0]
    failure = found.pop("last_failure")
    assert found == old
    assert (failure["status"], failure["reason"]) == (status, "the disk is full")
    assert failure["when"].startswith("20")

    kept = {**old, "last_failure": failure}
    (_, again), *_ = merge([kept], [attempt | {"reason": "again"}, other], planned(old, other))
    assert again["last_failure"]["reason"] == "again"
    new = read_again(old)
    assert merge([kept], [new, other], planned(old, other)).records == [new, other]  # it is removed
    unfinished = merge([kept], [other], planned(old, other))
    assert unfinished.records == [other, kept]


def test_a_seed_that_failed_stays_beside_one_that_did_not() -> None:
    old = [moods("local", 0.7), moods("local", 0.8, seed=1)]
    now = [read_again(old[0]) | {"metrics": {"accuracy": 0.75}}, failing(old[1])]
    (first, second), *_ = merge(old, now, planned(old[0]))
    assert first["metrics"] == {"accuracy": 0.75} and "last_failure" not in first
    assert second["metrics"] == {"accuracy": 0.8} and second["last_failure"]


def test_a_failure_replaces_a_failure() -> None:
    old = moods("local", 0.7)
    now = failing(old, reason="now")
    assert merge([failing(old)], [now], planned(old)).records == [now]
    elsewhere = failing(moods("hub", 0.1))
    assert merge([elsewhere], [now], planned(old)).records == [now, elsewhere]


def test_a_seed_of_the_same_code_stays_if_the_run_was_interrupted() -> None:
    new = moods("local", 0.6)
    old = read_again(moods("local", 0.7, seed=1))
    same, other = (old | {"artefacts": {"evaluation": key}} for key in ("e1", "e0"))
    assert merge([same], [new], planned(new)) == ([new, same], 1, 0, 0, 0)
    assert merge([other], [new], planned(new)) == ([new], 0, 0, 1, 0)
