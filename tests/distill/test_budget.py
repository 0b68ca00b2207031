"""How thorough a distillation is in its time."""

from __future__ import annotations

from harness.distill.budget import Time, levels, shares


def test_levels_fall() -> None:
    found = levels(800)
    assert found[0].copies == 30 and found[-1].copies == 0
    assert [level.copies for level in found] == sorted((level.copies for level in found), reverse=True)
    assert {level.seeds for level in levels(800, 5)} == {5}
    assert len(set(found)) == len(found)


def test_shares_are_numbers_of_epochs() -> None:
    assert shares(800) == [{"epochs": epochs} for epochs in (10, 7, 3)]
    parts = [{"epochs": 1, "most_texts": most} for most in (16_000, 8_000)]
    assert shares(100_000) == [*({"epochs": epochs} for epochs in (3, 2, 1)), *parts]
    assert shares(10_000)[-1] == parts[-1] and shares(8_000)[-1] == {"epochs": 1}


def test_the_time_that_is_left_is_that_of_the_promise() -> None:
    now = [100.0]
    time = Time(600.0, lambda: now[0])
    time.said = 200.0
    now[0] = 150.0
    assert round(time.left) == 240 - 50  # a little more than was said
    time.said = 600.0
    assert round(time.left) == 600 - 50  # the budget


def test_the_last_training_has_time_of_its_own() -> None:
    now = [0.0]
    time = Time(600.0, lambda: now[0])
    time.said, time.last = 400.0, 200.0
    assert round(time.left) == 240  # what comes before may not use it
    now[0] = 240.0
    assert round(time.spare) == 260
