"""Percentiles have enough queries behind them, texts are asked equally often, budgets are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.steps import clock

TEXTS = [f"text {number}" for number in range(100)]


class Watch:
    """A clock that only a model moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def module(self) -> Any:
        return SimpleNamespace(perf_counter=lambda: self.now, perf_counter_ns=lambda: round(self.now * 1e9))


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    made = Watch()
    monkeypatch.setattr(clock, "time", made.module())
    return made


def model(watch: Watch, seconds: float, asked: list[str] | None = None) -> Any:
    def ask(text: str) -> None:
        watch.now += seconds
        if asked is not None:
            asked.append(text)

    return ask


@pytest.mark.parametrize(
    ("texts", "budget", "expected"),
    [
        (100, 9.0, 700),  # whole passes, past what a p99 needs
        (1000, 9.0, 1000),  # one pass
        (100, 0.02, 64),  # a slow model still gets what a p90 needs
        (10, 0.1005, 101),  # the budget ends a pass, after the query that overran it
        (1, 9.0, 662),
    ],
)
def test_how_many_are_asked(texts: int, budget: float, expected: int, watch: Watch) -> None:
    asked: list[str] = []
    names = [f"text {number}" for number in range(texts)]
    found = clock.single_stream(model(watch, 0.001, asked), names, budget)
    assert found["n"] == expected
    counts = Counter(asked[min(clock.WARM_UP, texts) :])
    assert max(counts.values()) - min(counts[name] for name in names) <= 1


def test_a_slow_model_may_be_asked_fewer(watch: Watch) -> None:
    asked: list[str] = []
    found = clock.single_stream(model(watch, 1.0, asked), TEXTS, 2.5, fewest=8)
    assert found["n"] == 8 and found["p90_ms"] is None and found["p50_ms"] == pytest.approx(1000)
    assert len(asked) == 3 + 8  # the warm-up too ends with the budget


def test_percentiles_are_those_of_the_queries(watch: Watch) -> None:
    took = iter([0.0] * clock.WARM_UP + [0.001 * number for number in range(1, 1001)])
    found = clock.single_stream(lambda text: model(watch, next(took))(text), [*TEXTS] * 10, 1e9)
    right = np.percentile(np.arange(1, 1001), [50, 90, 99])
    assert [found["p50_ms"], found["p90_ms"], found["p99_ms"]] == pytest.approx(list(right))
    assert found["mean_ms"] == pytest.approx(500.5)
    assert (found["scenario"], found["batch"]) == ("single-stream", 1)


@pytest.mark.parametrize(
    ("count", "p90", "p99"), [(63, False, False), (64, True, False), (661, True, False), (662, True, True)]
)
def test_too_few_queries_have_no_percentile(count: int, p90: bool, p99: bool) -> None:
    found = clock.percentiles(np.ones(count))
    assert (found["p90_ms"] is not None, found["p99_ms"] is not None) == (p90, p99)
    assert found["p50_ms"] == 1 and found["n"] == count


def test_the_wait_for_a_device_is_timed(watch: Watch) -> None:
    def finish() -> None:
        watch.now += 0.003

    found = clock.single_stream(model(watch, 0.001), TEXTS, 9.0, finish)
    assert found["p50_ms"] == pytest.approx(4)


@pytest.mark.parametrize(
    ("each", "budget", "batch", "passes"),
    [
        (0.001, 1.0, 100, 10),  # whole passes while there is room for one more
        (0.001, 0.05, 50, 1),  # fewer texts than there are
        (1.0, 0.5, 32, 1),  # but enough for a batch
    ],
)
def test_offline(each: float, budget: float, batch: int, passes: int, watch: Watch) -> None:
    def answer(texts: Sequence[str]) -> None:
        watch.now += each * len(texts)

    found = clock.offline(answer, TEXTS, budget, each)
    assert found is not None
    assert (found["batch"], found["n"]) == (batch, batch * passes)
    assert found["samples_per_s"] == pytest.approx(1 / each)
    assert clock.offline(answer, ["alone"], budget, each) is None


def test_what_other_programs_disturb_is_measured_again(watch: Watch) -> None:
    bursts = iter([0.001] * (clock.WARM_UP + 350) + [0.01] * 350 + [0.001] * 10_000)

    def ask(text: str) -> None:
        model(watch, next(bursts))(text)

    found = clock.calm(lambda warm_up: clock.single_stream(ask, TEXTS, 99.0, warm_up=warm_up))
    assert found is not None and "disturbed" not in found
    assert found["p50_ms"] == pytest.approx(1) and found["p99_ms"] == pytest.approx(1)


def test_what_stays_disturbed_says_so(watch: Watch) -> None:
    measured = []

    def measure(warm_up: int) -> dict[str, Any]:
        pace = iter([0.001] * (clock.WARM_UP + 350) + [0.01 - 0.002 * len(measured)] * 350)
        measured.append(clock.single_stream(lambda text: model(watch, next(pace))(text), TEXTS, 99.0))
        return measured[-1]

    found = clock.calm(measure)
    assert len(measured) == clock.TRIES and found in measured
    assert found["disturbed"] == pytest.approx(10 - 2 * measured.index(found))
    assert found["p50_ms"] == min(each["p50_ms"] for each in measured)


def test_a_thread_that_waits_for_a_cpu_is_seen(
    watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second thread waits for half of the time, and the first one for it: all queries take as long."""
    monkeypatch.setattr(clock, "_TASKS", tmp_path)
    for task in ("1", "2"):
        (tmp_path / task).mkdir()
        (tmp_path / task / "schedstat").write_text("5 1000 7")
    (tmp_path / "3").mkdir()  # it has ended

    def answer(texts: Sequence[str]) -> None:
        watch.now += len(texts) * 0.001
        (tmp_path / "2" / "schedstat").write_text(f"5 {1000 + round(watch.now * 0.5e9)} 7")

    found = clock.single_stream(lambda text: answer([text]), TEXTS, 99.0)
    assert found["disturbed"] == pytest.approx(2, abs=0.05)
    offline = clock.offline(answer, TEXTS, 1.0, 0.001)
    assert offline is not None and offline["disturbed"] == pytest.approx(2, abs=0.2)


def test_without_what_linux_tells_nothing_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_TASKS", tmp_path / "nowhere")
    assert clock.Waits().share() == 0


def test_few_queries_are_not_compared() -> None:
    assert clock.disturbed(0.0, np.array([1.0] * 31 + [9.0] * 31)) == {}
    assert clock.disturbed(0.0, np.array([1.0] * 32 + [9.0] * 32)) == {"disturbed": 9.0}
    assert clock.disturbed(0.0, np.array([1.0] * 32 + [1.9] * 32)) == {}
    assert clock.disturbed(0.19, ()) == {} and clock.disturbed(0.5, ()) == {"disturbed": 2.0}


def test_a_slow_measurement_is_not_repeated(watch: Watch) -> None:
    asked: list[float] = []

    def measure(warm_up: int) -> dict[str, Any]:
        watch.now += clock.PATIENCE_S + 1
        asked.append(watch.now)
        return {"p50_ms": 1.0, "disturbed": 3.0}

    assert clock.calm(measure) == {"p50_ms": 1.0, "disturbed": 3.0} and len(asked) == 1
