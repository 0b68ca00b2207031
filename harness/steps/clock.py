"""Measure latency and throughput as in MLPerf's single-stream and offline scenarios.

The method follows Reddi et al. (2020). The queries are texts of the test split in random order, so their
lengths are realistic. Each is used equally often, except that a time budget may cut the last pass short. The
timed work is all from a string to its answer.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

WARM_UP = 16  # calls before the measurement; fewer if a slow model's budget runs out
P90_FLOOR, P99_FLOOR = 64, 662  # fewest queries for a meaningful percentile (MLPerf Inference rules)

# Other programs on the same CPUs can only slow a measurement down. It is repeated if they visibly did:
WAITED = 0.2  # if a thread had to wait for a CPU for a larger share of the time
DISAGREE = 2.0  # or if the medians of its blocks differ by a larger factor; random texts differ by less
BLOCK, BLOCKS = 32, 4  # fewest queries in a block, and the number of blocks
TRIES, PATIENCE_S = 3, 15.0  # most measurements, and the seconds after which there is no other
_TASKS = Path("/proc/self/task")  # of this process's threads; only Linux tells how long they waited


def nothing() -> None:
    """Do nothing: a CPU has no queue of work to wait for."""


def single_stream(
    ask: Callable[[str], Any],
    queries: Sequence[str],
    budget_s: float,
    finish: Callable[[], None] = nothing,
    fewest: int = P90_FLOOR,
    warm_up: int = WARM_UP,
) -> dict[str, Any]:
    """Measure one text at a time, in whole passes until there are enough queries for a p99.

    A slow model gets at most `budget_s` seconds, but at least the `fewest` queries. Return the percentiles of
    :func:`percentiles`, in milliseconds.
    """
    clock = time.perf_counter_ns
    deadline = time.perf_counter() + budget_s
    for text in queries[:warm_up]:
        ask(text)
        finish()
        if time.perf_counter() > deadline:
            break
    took: list[int] = []
    waits = Waits()
    deadline = time.perf_counter() + budget_s
    for text in list(queries) * -(-P99_FLOOR // len(queries)):
        start = clock()
        ask(text)
        finish()
        took.append(clock() - start)
        if len(took) >= fewest and time.perf_counter() > deadline:
            break
    milliseconds = np.array(took) / 1e6
    slowed = disturbed(waits.share(), milliseconds)
    return {"scenario": "single-stream", "batch": 1, **percentiles(milliseconds), **slowed}


def calm(measure: Callable[[int], dict[str, Any] | None]) -> dict[str, Any] | None:
    """Return a measurement, repeated if other programs disturbed it; the fastest one if they always did.

    Such a one has the field `disturbed`, see :func:`disturbed`. The argument of `measure` is the number of
    calls to warm up with; a repetition needs none.
    """

    def seconds(found: dict[str, Any]) -> float:
        return found["p50_ms"] if "p50_ms" in found else 1 / found["samples_per_s"]  # type: ignore[no-any-return]

    best: dict[str, Any] | None = None
    start = time.perf_counter()
    for number in range(TRIES):
        found = measure(0 if number else WARM_UP)
        if found is None or "disturbed" not in found:
            return found
        best = found if best is None else min(best, found, key=seconds)
        if time.perf_counter() - start > PATIENCE_S:
            break
    return best


def disturbed(waited: float, took: Any) -> dict[str, float]:
    """Return `disturbed`, the factor by which other programs seem to have slowed a measurement, if they did.

    `waited` is the longest share of the time that a thread waited for a CPU; `took` (N,) has the times of
    the queries, in order.
    """
    factors = [1 / max(1 - waited, 0.01)] if waited > WAITED else []
    blocks = min(BLOCKS, len(took) // BLOCK)
    if blocks > 1:
        medians = [float(np.median(block)) for block in np.array_split(took, blocks)]
        if max(medians) > DISAGREE * min(medians):
            factors.append(max(medians) / max(min(medians), 1e-9))
    return {"disturbed": round(max(factors), 2)} if factors else {}


class Waits:
    """How long the threads of this process wait for a CPU, from now on."""

    def __init__(self) -> None:
        self._before = _waited_ns()
        self._start = time.perf_counter_ns()

    def share(self) -> float:
        """Return the share of the time that the thread waited that waited longest; 0 if unknown."""
        passed = time.perf_counter_ns() - self._start
        waited = (now - self._before.get(name, 0) for name, now in _waited_ns().items())
        return min(1.0, max(waited, default=0) / max(passed, 1))


def _waited_ns() -> dict[str, int]:
    """Return for each thread the nanoseconds that it was ready to run, but had no CPU."""
    found = {}
    with contextlib.suppress(OSError):
        for task in _TASKS.iterdir():
            with contextlib.suppress(OSError, ValueError, IndexError):  # it may end meanwhile
                found[task.name] = int((task / "schedstat").read_bytes().split()[1])
    return found


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
    warm_up: int = WARM_UP,
) -> dict[str, Any] | None:
    """Measure all texts at once, which the model may batch by length; return None for fewer than two texts.

    A slow model, which takes `each_s` seconds for one text, gets only as many texts as fit into `budget_s`
    seconds, but at least 32.
    """
    texts = list(queries[: max(32, int(budget_s / max(each_s, 1e-9)))])
    if len(texts) < 2:
        return None
    if warm_up:
        answer(texts[:warm_up])
        finish()
    passes = 0
    waits = Waits()
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
    slowed = disturbed(waits.share(), ())
    return {"scenario": "offline", "batch": len(texts), "n": asked, "samples_per_s": speed, **slowed}
