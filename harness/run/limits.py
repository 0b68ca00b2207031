"""Find steps that hang: those that run, or give no sign of life, for much longer than is usual."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Any, Literal

from harness.executors.base import SIGNS, Event
from harness.wording import duration

TimeLimit = float | Literal["auto", "none"]

_TICK_S = 10.0  # time between two looks that counts; more means that the run itself was stopped or suspended
_HOW = 'if it is only slow, set `time_limit` in [suite] to more seconds, or to "none"'


@dataclass(frozen=True)
class Patience:
    """How long a step may be silent: `times` as long as is usual, and at least `least_s` seconds.

    Usual is the step's expected time or, between two reports of progress, the longest time between any two.
    """

    times: float = 20.0
    least_s: float = 600.0


@dataclass
class _Running:
    """What is known about a running step; all times are by the watch's own clock."""

    began: float
    heard: float  # the last sign of life
    gap: float = 0.0  # the longest time between two signs of life
    reports: bool = False  # whether it is between two reports of progress
    waits: bool = False  # whether it waits for another run
    warned: bool = False


@dataclass(frozen=True)
class Overdue:
    """A step that is ended, or that will be if `ended` is false."""

    key: str
    ended: bool
    message: str


class Watch:
    """The times of all running steps.

    `limit` is a number of seconds that no step may exceed, "none", or "auto": then a step must give a sign of
    life. `usual` returns the seconds that a step should take.
    """

    def __init__(
        self,
        limit: TimeLimit,
        usual: Callable[[str], float],
        patience: Patience | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._limit = limit
        self._usual = usual
        self._patience = patience or Patience()
        self._clock = clock
        self._looked = clock()
        self._now = 0.0
        self._running: dict[str, _Running] = {}

    def started(self, key: str) -> None:
        """Record that a step starts."""
        self._tick()
        self._running[key] = _Running(self._now, self._now)

    def heard(self, event: Event) -> None:
        """Record what a step tells: progress, that it waits for another run, or its end."""
        self._tick()
        if event.type not in SIGNS:
            self._running.pop(event.key, None)
        elif (step := self._running.get(event.key)) is not None:
            if step.waits:  # its time begins when the wait ends
                self._running[event.key] = step = _Running(self._now, self._now)
            else:
                step.gap = max(step.gap, self._now - step.heard)
            step.heard, step.warned = self._now, False
            step.waits = event.type == "waiting" and event.details["waiting"]
            if event.type == "progress":
                step.reports = _number(event.details, "done") < _number(event.details, "total")

    def overdue(self, keys: Iterable[str]) -> list[Overdue]:
        """Return which of the running steps are to be ended now, and which will be soon."""
        self._tick()
        found = []
        for key in keys:
            step = self._running.get(key)
            if step is None or step.waits or self._limit == "none":
                continue
            if self._limit != "auto":
                if self._now - step.began > self._limit:
                    told = f"it exceeded its time limit of {self._limit:g} s"
                    found.append(Overdue(key, True, told))
                continue
            silent, allowed = self._now - step.heard, self._allowed(key, step)
            what = "reported no progress" if step.reports else "gave no sign of life"
            if silent > allowed:
                found.append(Overdue(key, True, f"it {what} for {duration(silent)}, so it was ended; {_HOW}"))
            elif silent > allowed / 2 and not step.warned:
                step.warned = True
                told = f"{what} for {duration(silent)}, and is ended after {duration(allowed)}; {_HOW}"
                found.append(Overdue(key, False, told))
        return found

    def _allowed(self, key: str, step: _Running) -> float:
        """Return the seconds that a step may be silent now."""
        usual = step.gap if step.reports else max(step.gap, self._usual(key))
        return max(self._patience.least_s, self._patience.times * usual)

    def _tick(self) -> None:
        """Move the watch's own clock, which stands still while this process is stopped or suspended."""
        now = self._clock()
        self._now += min(now - self._looked, _TICK_S)
        self._looked = now


def _number(details: dict[str, Any], name: str) -> float:
    """Return a number in an event's details; 0 if there is none."""
    value = details.get(name)
    return value if isinstance(value, int | float) else 0
