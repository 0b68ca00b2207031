"""Measure latency and throughput as in MLPerf's single-stream and offline scenarios.

The method follows Reddi et al. (2020). The queries are texts of the test split in random order, so their
lengths are realistic. Each is used equally often, except that a time budget may cut the last pass short. The
timed work is all from a string to its answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

WARM_UP = 16  # calls before the measurement; fewer if a slow model's budget runs out
P90_FLOOR, P99_FLOOR = 64, 662  # fewest queries for a meaningful percentile (MLPerf Inference rules)


def nothing() -> None:
    """Do nothing: a CPU has no queue of work to wait for."""


def single_stream(
    ask: Callable[[str], Any],
    queries: Sequence[str],
    budget_s: float,
    finish: Callable[[], None] = nothing,
    fewest: int = P90_FLOOR,
) -> dict[str, Any]:
    """Measure one text at a time, in whole passes until there are enough queries for a p99.

    A slow model gets at most `budget_s` seconds, but at least the `fewest` queries. Return the percentiles of
    :func:`percentiles`, in milliseconds.
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
    """Return mean, p50, p90 and p99 in milliseconds; p90 or p99 are None if there are too few queries."""
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
    """Measure all texts at once, which the model may batch by length; return None for fewer than two texts.

    A slow model, which takes `each_s` seconds for one text, gets only as many texts as fit into `budget_s`
    seconds, but at least 32.
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
        if seconds * (passes + 1) / passes > budget_s:  # no time for another pass
            break
    asked = passes * len(texts)
    speed = asked / max(seconds, 1e-9)
    return {"scenario": "offline", "batch": len(texts), "n": asked, "samples_per_s": speed}
