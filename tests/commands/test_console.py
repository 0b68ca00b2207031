"""Helpers of all that writes to the terminal."""

from __future__ import annotations

import pytest

from harness.wording import duration


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "0 s"), (98.9, "99 s"), (99, "2 min"), (5930, "99 min"), (5940, "1.6 h"), (36000, "10.0 h")],
)
def test_lengths_of_time(seconds: float, said: str) -> None:
    assert duration(seconds) == said
