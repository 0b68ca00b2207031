"""Timing a model after MLPerf's scenarios (Reddi et al., 2020): single stream, and offline.

The queries are texts of the test split in a random order, so their lengths are those of real texts, and none
is asked more often than another, but for the last pass that a budget may cut short. What is timed is all
from a string to its label.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

WARM_UP = 16  # calls before the clock runs; of a slow model as many as its budget has room for
P90_FLOOR, P99_FLOOR = 64, 662  # the fewest queries that give a percentile a meaning (MLPerf Inference rules)


def nothing() -> None:
    """What there is to wait for on a CPU."""


def single_stream(
    ask: Callable[[str], Any],
    queries: Sequence[str],
    budget_s: float,
    finish: Callable[[], None] = nothing,
    fewest: int = P90_FLOOR,
) -> dict[str, Any]:
    """One text after the other, in whole passes until a p99 has a meaning.

    A slow model gets no more than `budget_s` seconds, but never fewer than the `fewest` queries.
    """
    clock = time.perf_counter_ns
    deadline = time.perf_counter() + budget_s
    for text in queries[:WARM_UP]:
        ask(text)
        finish()
        if time.perf_counter() > deadline:
            break
    took: list[int] = []
    deadline = time.perf_counter() + budget_s
    for text in list(queries) * -(-P99_FLOOR // len(queries)):
        start = clock()
        ask(text)
        finish()
        took.append(clock() - start)
        if len(took) >= fewest and time.perf_counter() > deadline:
            break
    return {"scenario": "single-stream", "batch": 1, **percentiles(np.array(took) / 1e6)}


def percentiles(milliseconds: Any) -> dict[str, Any]:
    """Mean, p50, p90 and p99; None for those that so few queries say too little of."""
    p50, p90, p99 = (float(value) for value in np.percentile(milliseconds, [50, 90, 99]))
    count = len(milliseconds)
    return {
        "n": count,
        "mean_ms": float(milliseconds.mean()),
        "p50_ms": p50,
        "p90_ms": p90 if count >= P90_FLOOR else None,
        "p99_ms": p99 if count >= P99_FLOOR else None,
    }


def offline(
    answer: Callable[[Sequence[str]], Any],
    queries: Sequence[str],
    budget_s: float,
    each_s: float,
    finish: Callable[[], None] = nothing,
) -> dict[str, Any] | None:
    """All texts at once, which the model batches by length as it likes; None where there is one only.

    A slow model, of `each_s` seconds for a single text, gets as many as the budget has room for, at least 32.
    """
    texts = list(queries[: max(32, int(budget_s / max(each_s, 1e-9)))])
    if len(texts) < 2:
        return None
    answer(texts[:WARM_UP])
    finish()
    passes = 0
    start = time.perf_counter()
    while True:
        answer(texts)
        finish()
        passes += 1
        seconds = time.perf_counter() - start
        if seconds * (passes + 1) / passes > budget_s:  # no room for one more
            break
    asked = passes * len(texts)
    speed = asked / max(seconds, 1e-9)
    return {"scenario": "offline", "batch": len(texts), "n": asked, "samples_per_s": speed}
