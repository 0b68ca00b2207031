"""How much to do in the time given: seeds, epochs, copies and students of ``harness distill``.

The rule: levels are tried from the most thorough to the least (``recipes/distill-plans.toml``), and the first
whose expected time is within the budget is taken. A level is laid out as the very plan that would run, and
expected to take what that plan is.
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
    """How much to do."""

    seeds: int
    epochs: int  # of the teacher
    copies: int  # of each training text in the transfer set; 0: none
    students: tuple[str, ...]
    losses: tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """The level that was taken, the seconds that it should take, and those of the next thorough one."""

    level: Level
    seconds: float
    more: float | None  # None where there is no more thorough level
    fits: bool


@cache
def plans() -> Mapping[str, Any]:
    """What distill chooses from."""
    return tomllib.loads(
        resources.files("harness.distill").joinpath("recipes", "distill-plans.toml").read_text("utf-8")
    )


def levels(size: Size, seeds: int | None = None, tagged: bool = False) -> list[Level]:
    """The levels for so many texts, from the most to the least; `seeds` where someone else chose them.

    Where words are tagged, the students are those that do: one where few others would have been tried.
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
    """The first level that is expected to take at most `budget` seconds; else the last."""
    more = None
    for level in offered:
        seconds = expected(level)
        if seconds <= budget:
            return Choice(level, seconds, more, True)
        more = seconds
    return Choice(offered[-1], seconds, None, False)


def looks_english(texts: Iterable[str]) -> bool:
    """Whether enough of the words are those that English is full of."""
    rule = plans()["teachers"]
    known, found, total = frozenset(rule["english_words"]), 0, 0
    for text in texts:
        words = text.casefold().split()
        total += len(words)
        found += sum(word.strip(".,;:!?\"'()") in known for word in words)
    return total > 0 and found / total >= float(rule["share"])
