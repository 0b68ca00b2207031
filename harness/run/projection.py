"""Project how long a running step takes, from the progress that it reports."""

from __future__ import annotations

from collections import deque

_GAIN = 1.7  # how many times faster a step is on two cores than on one, as measured
_PARALLEL = 2 - 2 / _GAIN  # the share of its work that can be divided, by Amdahl's law
_PARTS = 2  # of a batch in training


def speed_up(cores: int, kind: str) -> float:
    """Return how many times faster a step of a kind is on a number of cores than on one, if it can use them.

    Training computes the two parts of a batch at once; labelling and scoring have a batch for each core.
    """
    used = min(cores, _PARTS) if kind in ("teacher", "student") else cores
    return 1 / (1 - _PARALLEL + _PARALLEL / used)


def shares(idle: int, steps: int) -> list[int]:
    """Return the number of cores for each of some steps: its own, and its share of those that are idle."""
    return [1 + idle // steps + (place < idle % steps) for place in range(steps)]


class Projection:
    """The time of one running step. Times are in seconds of any one clock; `began` is when the step started.

    The pace is that of the later half of its reports: a step that is resumed first repeats what it has done
    already, and a step may become slower or faster.
    """

    def __init__(self, began: float) -> None:
        self.began = began
        self._first = began  # the first report of this phase
        self._reports: deque[tuple[float, int]] = deque()  # time and units done, of about the later half
        self._total = 0
        self._gain = 1.0

    def lend(self, gain: float) -> None:
        """Take into account that the step has cores from now on that make it `gain` times faster than one."""
        ratio, self._gain = self._gain / gain, gain
        if ratio != 1.0 and self._reports:  # as if it had had them before
            end = self._reports[-1][0]
            self._first = end - (end - self._first) * ratio
            self._reports = deque((end - (end - now) * ratio, done) for now, done in self._reports)

    def report(self, done: int, total: int, now: float) -> None:
        """Record that the step has done a part of its work."""
        reports = self._reports
        if total != self._total or (reports and done < reports[-1][1]):  # the next phase of its work
            reports.clear()
            self._first, self._total = now, total
        reports.append((now, done))
        while len(reports) > 2 and reports[1][0] <= (self._first + now) / 2:
            reports.popleft()

    def left_s(self, now: float) -> float | None:
        """Return the seconds to the end of the step, or None while its pace is not known."""
        if not self._reports:
            return None
        (start, before), (end, done) = self._reports[0], self._reports[-1]
        if done <= before or end <= start:
            return None
        pace = (end - start) / (done - before)
        return max(0.0, (self._total - done) * pace - (now - end))

    def work_s(self, seconds: float) -> float:
        """Return the seconds that one core needs for what the step does in `seconds` on its cores."""
        return seconds * self._gain

    def whole_s(self, now: float) -> float | None:
        """Return the seconds of the whole step on one core, or None while its pace is not known."""
        left = self.left_s(now)
        return None if left is None else self.work_s(now - self.began + left)
