"""How much to do in the time given: seeds, epochs, copies and students of ``harness distill``.

The rule: levels are tried from the most thorough to the least (``recipes/distill-plans.toml``), and the first
whose expected time is within the budget is taken. A level is laid out as the very plan that would run. What
the store holds of it costs nothing; what the store has timed before is expected to take as long again; all
else goes by rates, texts a second of one core, that were measured once. Steps go side by side on the slots
of the machine, but whatever learns from the teacher waits for it, and clocks are read alone.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from statistics import median
from typing import TYPE_CHECKING, Any

from harness.schedule import Estimates

if TYPE_CHECKING:
    from harness.plan import Step

_HEAVY = 1_000  # texts a second: what trains more slowly is a transformer


@dataclass(frozen=True)
class Size:
    """What there is to learn from."""

    train: int  # texts
    held_out: int  # of validation and test
    words: float  # of a text, on average
    pool: int = 0  # unlabelled texts


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
    """What distill chooses from, and the rates that it expects."""
    return tomllib.loads(
        resources.files("harness.guiding").joinpath("recipes", "distill-plans.toml").read_text("utf-8")
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


class Rates(Estimates):
    """Expected seconds of a plan's steps: what the very work took before, else by the rates."""

    def __init__(
        self, timings: Mapping[str, list[float]], steps: Mapping[str, Step], size: Size, gpu: bool = False
    ) -> None:
        super().__init__(timings)
        self._known = timings
        self._steps = steps
        self._size = size
        self._gpu = gpu

    def seconds(self, step: Step) -> float:
        """Of one step, on the slot that it would take."""
        if step.work in self._known:
            return median(self._known[step.work])
        faster = float(plans()["rates"]["gpu"]) if self._gpu and step.gpu else 1.0
        return seconds(step, self._steps, self._size) / faster

    def total(self, steps: Iterable[Step], slots: int) -> float:
        """See :func:`expected`."""
        return expected(steps, self, slots)


def expected(todo: Iterable[Step], rates: Estimates, slots: int) -> float:
    """Seconds of wall time for steps on so many slots: teachers first, clocks alone, the rest in parallel."""
    first, shared, longest, alone = 0.0, 0.0, 0.0, 0.0
    for step in todo:
        took = rates.seconds(step)
        if step.exclusive:
            alone += took
        elif step.kind == "teacher":
            first += took
        else:
            shared += took
            longest = max(longest, took)
    return first + max(shared / slots, longest) + alone


def seconds(step: Step, steps: Mapping[str, Step], size: Size) -> float:
    """Seconds that a step should take on one core, by the rates that were measured."""
    rates = plans()["rates"]
    parts = step.components
    learner = parts.get("student") or parts.get("teacher")
    start = float(rates["start"][step.kind])
    if step.kind in ("data", "transfer") or learner is None:
        return start + (size.train + size.pool) / 50_000
    learner = getattr(learner, "student", learner)  # of a student that is a teacher
    train, label = (
        float(rates[what].get(learner.name, rates["other"][learner.kind][what]))
        for what in ("train", "label")
    )
    heavy = train < _HEAVY
    words = min(size.words, float(rates["longest"])) if heavy else size.words
    longer = max(0.2, words / float(rates["words"]))
    if step.kind == "evaluation":
        return start + size.held_out / label * longer
    if step.kind in ("export", "latency"):
        return float(rates["heavy"][step.kind]) if heavy else start
    rows = size.train
    if "transfer" in step.needs:
        rows += _new(steps[step.needs["transfer"]], size)
    if step.kind == "targets":
        if "transfer" not in step.needs:  # parts are joined
            return start
        return start + rows / int(step.settings.get("parts", 1)) / label * longer
    seen = max(int(getattr(learner, "epochs", 1)) * rows, int(getattr(learner, "min_examples", 0)))
    return start + seen / train * longer


def _new(transfer: Step, size: Size) -> int:
    """How many new texts a transfer set has."""
    augmenter = transfer.components.get("augmenter")  # none of what a prior is made of
    if drawn := getattr(augmenter, "size", None):
        return min(int(drawn), size.pool) if size.pool else int(drawn)
    return int(getattr(augmenter, "copies", 0)) * size.train


def looks_english(texts: Iterable[str]) -> bool:
    """Whether enough of the words are those that English is full of."""
    rule = plans()["teachers"]
    known, found, total = frozenset(rule["english_words"]), 0, 0
    for text in texts:
        words = text.casefold().split()
        total += len(words)
        found += sum(word.strip(".,;:!?\"'()") in known for word in words)
    return total > 0 and found / total >= float(rule["share"])
