"""How long a running step takes, by what it reports."""

from __future__ import annotations

import pytest

from harness.run.projection import Projection, shares, speed_up


def projected(*reports: tuple[float, int, int], began: float = 0.0) -> Projection:
    """A projection of (time, done, total)."""
    found = Projection(began)
    for now, done, total in reports:
        found.report(done, total, now)
    return found


def test_the_pace_is_not_known_before_two_reports_of_progress() -> None:
    assert projected().left_s(5.0) is None
    assert projected((5.0, 1, 100)).left_s(5.0) is None
    assert projected((5.0, 1, 100), (9.0, 1, 100)).whole_s(9.0) is None  # a sign of life


def test_what_is_left_takes_as_long_as_what_is_done() -> None:
    batches = projected((10.0, 1, 101), (30.0, 21, 101))  # 10 s to load, then 1 s for each
    assert batches.left_s(30.0) == pytest.approx(80)
    assert batches.left_s(35.0) == pytest.approx(75)
    assert batches.whole_s(35.0) == pytest.approx(110)
    assert batches.left_s(1_000.0) == 0


def test_a_resumed_step_repeats_what_it_has_done_at_once() -> None:
    batches = projected((10.0, 100, 300), (10.01, 200, 300), (30.01, 220, 300))
    assert batches.left_s(30.01) == pytest.approx(80)


def test_a_change_of_pace_is_followed() -> None:
    slower = projected(*[(float(n), n, 1_000) for n in range(101)])
    for n in range(101, 400):
        slower.report(n, 1_000, 100 + (n - 100) * 5.0)
    assert slower.left_s(100 + 299 * 5.0) == pytest.approx(601 * 5.0)


def test_validation_between_epochs_is_part_of_the_pace() -> None:
    found = Projection(0.0)
    now = 0.0
    for epoch in range(4):
        for batch in range(0, 100, 20):
            found.report(epoch * 100 + batch, 1_000, now)
            now += 20.0
        found.report(epoch * 100 + 100, 1_000, now)
        found.report(epoch * 100 + 100, 1_000, now + 10.0)  # a sign of life while it validates
        now += 25.0
    left = found.left_s(now)
    assert left is not None
    assert left / (6 * 125.0) == pytest.approx(1, abs=0.1)


def test_lent_cores_make_a_step_faster_at_once() -> None:
    batches = projected((10.0, 0, 100), (27.0, 10, 100))
    batches.lend(1.7)
    assert batches.left_s(27.0) == pytest.approx(90)  # 1.7 times faster
    assert batches.whole_s(27.0) == pytest.approx(1.7 * 117)
    batches.report(20, 100, 37.0)
    assert batches.left_s(37.0) == pytest.approx(80)
    batches.lend(1.0)
    assert batches.left_s(37.0) == pytest.approx(80 * 1.7)


def test_another_phase_is_timed_anew() -> None:
    phases = projected((10.0, 0, 10), (20.0, 10, 10), (21.0, 0, 10))
    assert phases.left_s(21.0) is None
    phases.report(5, 10, 31.0)
    assert phases.left_s(31.0) == pytest.approx(10)
    assert phases.whole_s(31.0) == pytest.approx(41)
    other_total = projected((10.0, 1, 10), (20.0, 2, 10), (21.0, 2, 500))
    assert other_total.left_s(21.0) is None


@pytest.mark.parametrize("kind", ["teacher", "student", "targets", "evaluation"])
def test_labelling_has_work_for_each_core_and_training_for_two(kind: str) -> None:
    assert speed_up(1, kind) == 1
    assert speed_up(2, kind) == pytest.approx(1.7)  # as measured
    more = [speed_up(cores, kind) for cores in (2, 4, 8)]
    if kind in ("targets", "evaluation"):
        assert 1.7 < more[1] < more[2] < 8
    else:
        assert more == pytest.approx([1.7] * 3)


def test_idle_cores_are_shared_among_steps() -> None:
    assert shares(0, 3) == [1, 1, 1]
    assert shares(1, 3) == [2, 1, 1]
    assert shares(7, 3) == [4, 3, 3]
    assert shares(4, 0) == []
