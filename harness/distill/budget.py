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
from typing import TYPE_CHECKING, Any

from harness.run.estimates import Size

if TYPE_CHECKING:
    from harness.catalog import Catalog
    from harness.task_types.base import TaskType


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


def levels(size: Size, task_type: TaskType, catalog: Catalog, seeds: int | None = None) -> list[Level]:
    """Return the levels for data of this size and type, from the most thorough to the least.

    `seeds` replaces the number of seeds of every level.
    """
    full = {
        name: min(rule["most"], max(rule["least"], math.ceil(rule["examples"] / max(1, size.train))))
        for name, rule in plans()["full"].items()
    }
    found = [
        Level(
            seeds or each["seeds"],
            max(1, round(each["epochs"] * full["epochs"])),
            round(each["copies"] * full["copies"]),
            _suited("student", each["students"], task_type, catalog),
            _suited("loss", each["losses"], task_type, catalog),
        )
        for each in plans()["level"]
    ]
    return list(dict.fromkeys(found))


def _suited(kind: str, names: Sequence[str], task_type: TaskType, catalog: Catalog) -> tuple[str, ...]:
    """Return a level's components that are for a type of task, or those that are preferred for the type.

    A type with components that prefer it gets these, but one fewer than the level has for classification.
    """
    preferred = preferred_for(task_type, kind, catalog)
    if preferred:
        found = [name for name in names if name in preferred]
        return tuple(found or preferred[: max(1, len(names) - 1)])
    return tuple(name for name in names if task_type.accepts(catalog.build(kind, {"use": name})))


def preferred_for(task_type: TaskType, kind: str, catalog: Catalog) -> list[str]:
    """Return the names of the installed components of a kind that are preferred for a type of task."""
    return [
        name
        for (of, name), entry in catalog.entries.items()
        if of == kind and task_type.name in getattr(entry.component, "preferred_for", ())
    ]


def bag_of_words(task_type: TaskType, catalog: Catalog) -> str | None:
    """Return the student without word order that ``harness diagnose`` fits; None if there is none."""
    names: list[str] = plans()["bag_of_words"]
    return next((n for n in names if task_type.accepts(catalog.build("student", {"use": n}))), None)


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
