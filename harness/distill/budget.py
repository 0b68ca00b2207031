"""Choose how thorough ``harness distill`` is in the time that is left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from harness.distill.candidates import full, recipe

# Factors by which the whole may take longer than was said at the start, without and with the last training.
_LATER, _LATEST = 1.2, 1.25
_LITTLE = 0.05  # share of the budget that a last step may take in any case


@dataclass(frozen=True)
class Level:
    """A level of thoroughness."""

    copies: int  # new texts for each training text in the transfer set; 0: none
    full: bool  # whether students are compared after their whole training, else after a short one
    finalists: int  # students in the final suite
    seeds: int  # of the final suite


@dataclass
class Time:
    """The time that a distillation may take, which starts when this is made."""

    budget: float  # seconds
    clock: Callable[[], float]
    said: float = 0.0  # the expected seconds for everything, as said at the start
    last: float = 0.0  # those of them for the last training, which can be left out
    start: float = field(init=False)

    def __post_init__(self) -> None:
        self.start = self.clock()

    @property
    def left(self) -> float:
        """Return the seconds that are left for what comes before the last training.

        It may take clearly longer than was said, but not longer than the budget.
        """
        first = self.said - self.last
        return min(self.budget, _LATER * first) - (self.clock() - self.start)

    @property
    def spare(self) -> float:
        """Return the seconds that are left for a last step, which can be left out."""
        most = min(self.budget, _LATEST * self.said) if self.said else self.budget
        return max(most - (self.clock() - self.start), _LITTLE * self.budget)


def levels(train: int, seeds: int | None = None) -> list[Level]:
    """Return the levels for some training texts, from the most thorough to the least.

    `seeds` replaces the number of seeds of every level.
    """
    copies = full(recipe()["transfer"]["copies"], train)
    found = [
        Level(round(each["copies"] * copies), each["full"], each["finalists"], seeds or each["seeds"])
        for each in recipe()["level"]
    ]
    return list(dict.fromkeys(found))


def shares(train: int) -> list[dict[str, int]]:
    """Return how long a teacher is trained on some training texts, from most to least, as its parameters."""
    rule = recipe()["teachers"]
    epochs = full(rule["epochs"], train)
    fewer = dict.fromkeys(max(1, round(share * epochs)) for share in rule["shares"])
    parts = [{"epochs": 1, "most_texts": part} for part in rule["parts"] if part < train]
    return [*({"epochs": one} for one in fewer), *parts]
