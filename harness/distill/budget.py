"""Choose how thorough ``harness distill`` is in the time available.

Levels of thoroughness are tried from the most to the least (``recipes/distill-plans.toml``). The first whose
expected time is within the budget is chosen. The expected time of a level is that of the plan that it would
run.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from harness.run.estimates import Size


@dataclass(frozen=True)
class Level:
    """A level of thoroughness: how many seeds, epochs, copies, students and losses to use."""

    seeds: int
    epochs: int  # epochs of the teacher's training
    copies: int  # new texts per training text in the transfer set; 0: none
    students: tuple[str, ...]
    losses: tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """The chosen level, with its expected time and that of the next more thorough level."""

    level: Level
    seconds: float  # expected time
    more: float | None  # expected seconds of the next more thorough level; None if there is none
    fits: bool  # whether the expected time is within the budget


@cache
def plans() -> Mapping[str, Any]:
    """Return the levels, teachers and rules that distill chooses from."""
    return tomllib.loads(
        resources.files("harness.distill").joinpath("recipes", "distill-plans.toml").read_text("utf-8")
    )


def levels(size: Size, seeds: int | None = None, tagged: bool = False) -> list[Level]:
    """Return the levels for data of this size, from the most thorough to the least.

    `seeds` replaces the number of seeds of every level. For tagging, the students are taggers, and one fewer
    than the level has for classification, but at least one.
    """
    other = plans()["tagging"]
    full = {
        name: min(rule["most"], max(rule["least"], math.ceil(rule["examples"] / max(1, size.train))))
        for name, rule in plans()["full"].items()
    }
    found = [
        Level(
            seeds or each["seeds"],
            max(1, round(each["epochs"] * full["epochs"])),
            round(each["copies"] * full["copies"]),
            tuple(other["students"][: max(1, len(each["students"]) - 1)] if tagged else each["students"]),
            tuple(other["losses"] if tagged else each["losses"]),
        )
        for each in plans()["level"]
    ]
    return list(dict.fromkeys(found))


def choose(offered: Sequence[Level], expected: Callable[[Level], float], budget: float) -> Choice:
    """Return the first level with an expected time of at most `budget` seconds, or else the last level."""
    more = None
    for level in offered:
        seconds = expected(level)
        if seconds <= budget:
            return Choice(level, seconds, more, True)
        more = seconds
    return Choice(offered[-1], seconds, None, False)


def looks_english(texts: Iterable[str]) -> bool:
    """Return whether enough of the words are among the most frequent English words."""
    rule = plans()["teachers"]
    known, found, total = frozenset(rule["english_words"]), 0, 0
    for text in texts:
        words = text.casefold().split()
        total += len(words)
        found += sum(word.strip(".,;:!?\"'()") in known for word in words)
    return total > 0 and found / total >= float(rule["share"])
