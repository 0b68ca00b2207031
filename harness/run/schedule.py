"""Choose the step that runs next: in the order of a plan's graph, longest path first."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import count
from operator import attrgetter
from time import monotonic
from typing import Literal

from harness.api import Unavailable
from harness.plan.planner import Plan, Step
from harness.run.estimates import Estimates
from harness.run.projection import Projection, shares, speed_up

State = Literal["waiting", "ready", "running", "done", "failed", "unavailable"]
_OPEN = ("waiting", "ready", "running")
_BY_MODEL = ("teacher", "targets", "student", "evaluation")  # kinds of steps that take a model's time
_OFTEN = 2  # how often a damaged artefact is made again, or read again by one step; and a lost step run again


@dataclass(frozen=True)
class Outcome:
    """The outcome of a step: done, or the reason why not."""

    state: State
    reason: str = ""


def offers(slots: Sequence[bool], free: Iterable[int]) -> list[tuple[int, bool]]:
    """Return free slots, each with whether it looks for a GPU step; a GPU's idle worker can use its core."""
    own = [(index, slots[index]) for index in free]
    return own + [(index, False) for index, gpu in own if gpu]


def _likes(step: Step) -> tuple[str, ...]:
    """Return the names of a step's groups of similar steps, the most similar first.

    One is that of its model: if a model is trained slower than expected, it labels slower too.
    """
    model = step.components.get("student") or step.components.get("teacher")
    if model is None or step.kind not in _BY_MODEL:
        return step.likes
    *nearer, kind = step.likes
    return (*nearer, f"model {model.name}", kind)


class Schedule:
    """The states of the steps that a run must do, without those that are stored or not needed.

    A cell needs the steps whose results its record contains. Those in `known` are needed only if a missing
    step uses them: an earlier record has their results.
    """

    def __init__(
        self,
        plan: Plan,
        stored: Callable[[Step], bool],
        estimates: Estimates,
        known: Container[str] = frozenset(),
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.plan = plan
        self.estimates = estimates
        self.states: dict[str, State] = {}
        self.reasons: dict[str, str] = {}
        self.running: dict[str, str] = {}  # running steps, each with the node that it runs on
        self._stored = stored
        self._clock = clock
        self._projections: dict[str, Projection] = {}  # of running steps
        self._passed: dict[str, str] = {}
        self._losses: Counter[tuple[str, str]] = Counter()
        self._again: Counter[str] = Counter()  # how often a step lost its machine or worker
        self.elsewhere: list[str] = []  # steps that other runs do now
        self._waits: dict[str, int] = {}  # how many unfinished steps a step waits for
        self._feeds: defaultdict[str, list[str]] = defaultdict(list)  # the steps that wait for a step
        self._open = 0
        # Expected seconds of unfinished steps, by their likes and whether they run alone; and the actual and
        # expected seconds of finished steps, by each name in their likes.
        self._left_s: defaultdict[tuple[tuple[str, ...], bool], float] = defaultdict(float)
        self._took: defaultdict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
        self._ranks: dict[str, float] = {}
        # Heaps of (-rank, key) by (gpu, exclusive); entries that are no longer ready are skipped.
        self._ready: defaultdict[tuple[bool, bool], list[tuple[float, str]]] = defaultdict(list)
        wanted: set[str] = set()
        for cell in plan.cells:
            wanted.update(cell.goals)
            wanted.update([key for key in plan.results(cell).values() if key not in known])
        self._demand(wanted)

    # -- the state ------------------------------------------------------------------------------------

    def next(self, gpu: bool, gpus: bool, node: str = "") -> Step | None:
        """Return the step that a free slot of a node should take.

        `gpus` is whether the executor has any GPU slots: a GPU takes the steps that it speeds up. An
        exclusive step waits until nothing else runs on the node, and no other step could run.
        """
        beside = [self.plan.steps[key] for key, other in self.running.items() if other == node]
        if any(step.exclusive for step in beside):
            return None
        kinds = (gpu,) if gpus else (True, False)
        if step := self._first([(kind, False) for kind in kinds]):
            return step
        if beside or self._first([(True, False), (False, False)]):
            return None
        return self._first([(kind, True) for kind in kinds])

    @property
    def unfinished(self) -> int:
        """Return the number of steps that wait, could run, or run."""
        return self._open

    def expected_s(self, slots: Sequence[bool], nodes: Sequence[str] = ()) -> float:
        """Return the expected wall seconds of all unfinished steps, by simulating the run on these slots.

        Each slot is given by whether it is a GPU, and by the node that it is on; by default all are on one.
        """
        nodes = nodes or [""] * len(slots)
        # Steps are numbered in the order in which slots take them, which is that of `next`.
        steps = sorted(self.todo(), key=attrgetter("key"))
        steps.sort(key=lambda step: self._ranks.get(step.key, 0.0), reverse=True)
        numbers = {step.key: number for number, step in enumerate(steps)}
        waits = [0] * len(steps)
        for step in steps:
            for key in self._feeds.get(step.key, ()):
                if key in numbers:
                    waits[numbers[key]] += 1
        gpus, now = any(slots), 0.0
        alone: set[str] = set()  # nodes on which an exclusive step runs
        busy: Counter[str] = Counter()  # the numbers of steps on the nodes
        # The heap on which a step is when it is ready, by whether it is for a GPU, and whether it runs alone.
        heaps: dict[tuple[bool, bool], list[int]] = {(g, x): [] for g in (True, False) for x in (True, False)}
        for number, (step, waiting) in enumerate(zip(steps, waits, strict=True)):
            if not waiting:
                heaps[step.gpu and gpus, step.exclusive].append(number)

        def take(gpu: bool, node: str) -> int | None:
            if node not in alone and heaps[gpu, False]:
                return heappop(heaps[gpu, False])
            idle = not (busy[node] or heaps[True, False] or heaps[False, False])
            return heappop(heaps[gpu, True]) if idle and heaps[gpu, True] else None

        free = list(range(len(slots)))
        ends: list[tuple[float, int, int, int]] = []
        order = count()
        while True:
            for slot, gpu in offers(slots, free):
                if slot in free and (taken := take(gpu, nodes[slot])) is not None:
                    busy[nodes[slot]] += 1
                    if steps[taken].exclusive:
                        alone.add(nodes[slot])
                    free.remove(slot)
                    ended = now + self.estimates.seconds(steps[taken])
                    heappush(ends, (ended, next(order), slot, taken))
            if not ends:  # all are done, or these slots do not run the steps that are left
                return now
            gains = dict[tuple[float, int, int, int], float]()
            for node, idle in Counter(nodes[slot] for slot in free if not slots[slot]).items():
                # Wide steps get the cores of the idle slots of their node until the next step ends.
                wide = [end for end in ends if steps[end[3]].wide and nodes[end[2]] == node]
                wide.sort(key=lambda end: steps[end[3]].key)
                cores = zip(wide, shares(idle, len(wide)), strict=True)
                gains |= {end: speed_up(number, steps[end[3]].kind) for end, number in cores}
            if gains:
                passed = min((end[0] - now) / gains.get(end, 1.0) for end in ends)
                ends = [(end[0] - passed * (gains.get(end, 1.0) - 1), *end[1:]) for end in ends]
                heapify(ends)
            now, _, slot, done = heappop(ends)
            busy[nodes[slot]] -= 1
            alone.discard(nodes[slot])
            free.append(slot)
            for key in self._feeds.get(steps[done].key, ()):
                if (number := numbers.get(key, -1)) >= 0:
                    waits[number] -= 1
                    if not waits[number]:
                        heappush(heaps[steps[number].gpu and gpus, steps[number].exclusive], number)

    def left_s(self, slots: int, nodes: int = 1) -> float:
        """Return a quick estimate of the wall seconds to the end, on slots of a number of nodes.

        It uses the progress of running steps, and how long similar steps took so far, or will take by theirs.
        """
        now, timed = self._clock(), self._projected()
        paced: dict[bool, float] = {True: 0.0, False: 0.0}
        plain = 0.0
        for (likes, exclusive), seconds in self._left_s.items():
            paced[exclusive] += max(0.0, seconds * self._pace(likes, timed))
            plain += max(0.0, seconds)
        slower = sum(paced.values()) / plain if plain > 0 else 1.0
        paths = [-head[0] * slower for heap in self._ready.values() if (head := self._head(heap))]
        for key in self.running:
            step, projection = self.plan.steps[key], self._projections[key]
            seconds = self.estimates.seconds(step)
            whole = seconds * self._pace(_likes(step), timed)
            left = projection.left_s(now)
            if left is None:
                done = projection.work_s(now - projection.began)
                left = max(0.0, whole - done) / projection.work_s(1.0)
            paced[step.exclusive] += projection.work_s(left) - whole
            paths.append(left + (self._ranks.get(key, seconds) - seconds) * slower)
        left_s = max(0.0, paced[False]) / slots + max(0.0, paced[True]) / nodes
        return max(left_s, *paths, 0.0) if self._open else 0.0

    def paced_s(self, step: Step) -> float:
        """Return the expected seconds for a step if similar ones were slower than expected in this run."""
        return self.estimates.seconds(step) * max(1.0, self._pace(_likes(step), {}))

    def todo(self) -> list[Step]:
        """Return the steps that wait, could run, or run."""
        return [self.plan.steps[key] for key, state in self.states.items() if state in _OPEN]

    def outcome(self, key: str) -> Outcome:
        """Return the outcome of a step; a stored step is done."""
        return Outcome(self.states.get(key, "done"), self.reasons.get(key, ""))

    # -- changes of the state -------------------------------------------------------------------------

    def started(self, key: str, node: str = "") -> None:
        """Record that a slot of a node took the step."""
        self._set(key, "running")
        self.running[key] = node
        self._projections[key] = Projection(self._clock())

    def lent(self, key: str, cores: int) -> None:
        """Record that a running step may use that number of cores from now on."""
        self._projections[key].lend(speed_up(cores, self.plan.steps[key].kind))

    def progressed(self, key: str, done: int, total: int) -> bool:
        """Record the progress of a running step; return whether it is known how long the step takes."""
        now, projection = self._clock(), self._projections.get(key)
        if projection is None:  # the report of a step that has just been ended
            return False
        projection.report(done, total, now)
        return projection.left_s(now) is not None

    def done(self, key: str, seconds: float | None = None) -> None:
        """Record that the step's artefact exists, and the seconds it took; steps that waited may be ready."""
        if seconds is not None and key in self._projections:
            seconds = self._projections[key].work_s(seconds)
        self._set(key, "done")
        if seconds is not None:
            step = self.plan.steps[key]
            for name in _likes(step):
                took, expected = self._took[name]
                self._took[name] = took + seconds, expected + self.estimates.seconds(step)
            if step.kind in ("data", "transfer"):
                self._learn()
        for other in self._feeds.pop(key, ()):
            self._waits[other] -= 1
            if self.states[other] == "waiting" and not self._waits[other]:
                self._set(other, "ready")

    def failed(self, key: str, reason: str, state: State = "failed") -> None:
        """Record that this run cannot do the step, nor the steps that need it."""
        self._fail(key, reason, f"step '{self.plan.steps[key].label}': {reason}", state)

    def postpone(self, key: str) -> None:
        """Leave a step that could run until :meth:`resume` is called, because another run does it now."""
        self._set(key, "waiting")
        self.elsewhere.append(key)

    def resume(self) -> None:
        """Make the steps ready that were postponed."""
        postponed, self.elsewhere = self.elsewhere, []
        for key in postponed:
            if self.states[key] == "waiting" and not self._waits[key]:
                self._set(key, "ready")

    def again(self, key: str) -> bool:
        """Make a step ready that lost its machine or worker; return False if that was too often."""
        self._again[key] += 1
        if self._again[key] > _OFTEN:
            return False
        self._set(key, "ready")
        return True

    def stuck(self, reason: str) -> None:
        """Record that no slot is left for the steps that could run, so that these fail."""
        for step in self.todo():
            if self.states[step.key] == "ready":
                self.failed(step.key, reason)

    def lost(self, key: str, consumer: str) -> None:
        """Record that `consumer` found an artefact damaged: the artefact is made again, and `consumer` waits.

        Several steps may report the same artefact: later ones wait with the first, or fail with it.
        """
        step, state = self.plan.steps[key], self.states.get(key)
        if state in ("failed", "unavailable"):
            self._fail(consumer, self._passed[key], self._passed[key], state)
            return
        if state not in _OPEN:
            there = self._stored(step)  # it may have been made again already
            losses = (key, consumer if there else "")
            self._losses[losses] += 1
            if self._losses[losses] > _OFTEN:
                what = f"stored {step.kind} {key[:12]}"
                self.failed(consumer, f"{what} was damaged several times; check the disk of the store")
                return
            if there:
                self._set(consumer, "ready")
                return
            self.states.pop(key, None)
        self._set(consumer, "waiting")
        self._waits[consumer] += 1
        self._feeds[key].append(consumer)
        if state not in _OPEN:
            self._demand({key})

    # -- helpers --------------------------------------------------------------------------------------

    def _fail(self, key: str, reason: str, passed: str, state: State) -> None:
        """Record a step that cannot be done; `passed` is the reason for the steps that need it."""
        self._set(key, state)
        self.reasons[key], self._passed[key] = reason, passed
        for other in self._feeds.get(key, ()):
            if self.states[other] in ("waiting", "ready"):
                self._fail(other, passed, passed, state)

    def _demand(self, wanted: set[str]) -> None:
        """Add the wanted steps that are not stored, and the steps that they need; `wanted` grows by these.

        A plan may have 400,000 steps: this takes some microseconds for each.
        """
        states, missing = self.states, []
        for step in reversed(list(self.plan.steps.values())):  # each step comes after those that it needs
            if step.key in wanted and step.key not in states and not self._stored(step):
                missing.append(step)
                wanted.update(step.needs.values())
        for step in reversed(missing):
            key = step.key
            if (error := self.estimates.unreadable(step)) is not None:
                self.failed(key, str(error), "unavailable" if isinstance(error, Unavailable) else "failed")
                continue
            waits = {needed for needed in step.needs.values() if states.get(needed, "done") != "done"}
            broken = [needed for needed in waits if states[needed] not in _OPEN] if self.reasons else ()
            if broken:
                self._fail(key, self._passed[broken[0]], self._passed[broken[0]], states[broken[0]])
                continue
            states[key] = "waiting" if waits else "ready"  # `_rank` puts those that are ready on their heaps
            self._open += 1
            self._left_s[_likes(step), step.exclusive] += self.estimates.seconds(step)
            self._waits[key] = len(waits)
            for needed in waits:
                self._feeds[needed].append(key)
        self._rank()

    def _set(self, key: str, state: State) -> None:
        step = self.plan.steps[key]
        was_open = self.states.get(key) in _OPEN
        self.states[key] = state
        if (state in _OPEN) != was_open:
            sign = 1 if state in _OPEN else -1
            self._open += sign
            self._left_s[_likes(step), step.exclusive] += sign * self.estimates.seconds(step)
        if state != "running":
            self.running.pop(key, None)
            self._projections.pop(key, None)
        if state == "ready":
            heappush(self._ready[step.gpu, step.exclusive], (-self._ranks.get(key, 0.0), key))

    def _learn(self) -> None:
        """Update the estimates, now that more is known about the amount of data."""
        self.estimates.learn()
        self._left_s.clear()
        for step in self.todo():
            self._left_s[_likes(step), step.exclusive] += self.estimates.seconds(step)
        self._rank()

    def _projected(self) -> dict[str, tuple[float, float]]:
        """Return the actual and expected seconds of finished and running steps, for names of the latter."""
        now, found = self._clock(), dict[str, tuple[float, float]]()
        for key, projection in self._projections.items():
            if (whole := projection.whole_s(now)) is not None:
                step = self.plan.steps[key]
                for name in _likes(step):
                    took, expected = found.get(name) or self._took[name]
                    found[name] = took + whole, expected + self.estimates.seconds(step)
        return found

    def _pace(self, likes: Iterable[str], timed: Mapping[str, tuple[float, float]]) -> float:
        """Return how much longer than expected the most similar steps take in this run, as a factor.

        `timed` has the seconds of some names, in place of those of finished steps.
        """
        for name in likes:
            took, expected = timed.get(name) or self._took[name]
            if expected > 0:
                return took / expected
        return 1.0

    def _first(self, heaps: Iterable[tuple[bool, bool]]) -> Step | None:
        """Return the ready step with the highest rank on some heaps; it stays there until it starts."""
        best: tuple[float, str] | None = None
        for name in heaps:
            head = self._head(self._ready[name])
            if head and (best is None or head < best):
                best = head
        return self.plan.steps[best[1]] if best else None

    def _head(self, heap: list[tuple[float, str]]) -> tuple[float, str] | None:
        """Return the first entry of a heap, without those that are no longer ready."""
        while heap and self.states.get(heap[0][1]) != "ready":
            heappop(heap)
        return heap[0] if heap else None

    def _rank(self) -> None:
        """Compute upward ranks (Topcuoglu et al., 2002): seconds of the longest path from each step."""
        states, ranks, feeds = self.states, self._ranks, self._feeds
        for step in reversed(list(self.plan.steps.values())):
            if states.get(step.key) in _OPEN:
                after = 0.0
                for other in feeds.get(step.key, ()):
                    after = max(after, ranks.get(other, 0.0))
                ranks[step.key] = self.estimates.seconds(step) + after
        self._ready.clear()
        for key, state in self.states.items():
            if state == "ready":
                self._set(key, "ready")
