"""Run a plan's steps on the workers of an executor into the store."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

from harness.api import HarnessError
from harness.executors.base import SIGNS, Event, Workers
from harness.plan.planner import Plan, Step
from harness.run.estimates import Estimates, expected
from harness.run.limits import Patience, TimeLimit, Watch
from harness.run.projection import shares
from harness.run.schedule import Schedule, offers
from harness.storage.leases import Leases, NoLeases
from harness.storage.store import Damaged, Store
from harness.storage.timings import Timings

Observe = Callable[[dict[str, Any]], None]  # takes one JSON-able event; its "event" names the type

_TICK_S = 0.5
_TOLD_S = 0.2
_LOOK_S = 2.0
_DOWNLOAD_S = 360.0  # allowed for a data set of the hub, whose size is not known


def run(
    plan: Plan,
    store: Store,
    workers: Workers,
    observe: Observe,
    time_limit: TimeLimit = "auto",
    known: Container[str] = frozenset(),
    patience: Patience | None = None,
) -> Schedule:
    """Run every missing step; return the schedule, which contains the outcome of each.

    A step that exceeds the limit fails; `patience` is for the limit "auto" (see :mod:`harness.run.limits`).
    If a step fails, only the cells that need it are lost. An interrupt stops the workers; finished steps stay
    in the store. `known` are steps whose results earlier records have. Raise HarnessError, before anything is
    run, if the store cannot be written.
    """
    store.sweep()
    slots, nodes = [slot.is_gpu for slot in workers.slots], [slot.node for slot in workers.slots]
    schedule = prepare(plan, store, observe, expected(plan, store, any(slots)), known)
    if schedule.unfinished:
        store.check_writable()
    observe(
        {
            "event": "run",
            "cells": len(plan.cells),
            "steps": len(plan.steps),
            "todo": schedule.unfinished,
            "expected_s": round(schedule.expected_s(slots, nodes), 1),
            "guessed": schedule.estimates.guessed,  # until the data are read
        }
    )
    kinds = _by_kind(plan)
    store.deliver(kinds)
    if not schedule.unfinished:
        return schedule
    watch = Watch(time_limit, lambda key: _usual(schedule, key), patience)
    left = _Left(schedule, len(slots), len(set(nodes)))
    complained: set[str] = set()

    def tell(message: str) -> None:
        observe({"event": "message", "message": message})

    with store.leases(tell) as leases, _closing(workers, store):
        elsewhere = _Elsewhere(schedule, tell)
        while schedule.unfinished:
            _fill(schedule, workers, watch, observe, leases)
            elsewhere.look()
            _lend(schedule, workers)
            for event in workers.wait(_TICK_S):
                watch.heard(event)
                _note(event, schedule, store, observe, left)
                if event.type not in SIGNS:
                    leases.release(event.key)
            for reason in sorted({*workers.gone.values()} - complained):
                complained.add(reason)
                tell(reason)
            for late in watch.overdue(list(schedule.running)):
                if late.ended:
                    _note(workers.stop(late.key, late.message), schedule, store, observe, left)
                    leases.release(late.key)
                else:
                    step = plan.steps[late.key]
                    observe({"event": "message", "key": step.key, "message": f"{step.label} {late.message}"})
    try:
        store.expect(kinds)
        store.deliver(kinds)  # what could not be sent at the time
    except HarnessError as error:
        tell(f"{error}; results that are missing there are kept in {str(store.root)!r}: run it again later")
    return schedule


def _by_kind(plan: Plan) -> dict[str, set[str]]:
    """Return the keys of all steps of a plan by kind."""
    kinds: defaultdict[str, set[str]] = defaultdict(set)
    for step in plan.steps.values():
        kinds[step.kind].add(step.key)
    return kinds


class _Elsewhere:
    """Steps that other runs do: they are looked at again every two seconds."""

    def __init__(self, schedule: Schedule, tell: Callable[[str], None]) -> None:
        self._schedule, self._tell = schedule, tell
        self._looked = monotonic()
        self._told = False

    def look(self) -> None:
        """Make the steps ready again if it is time to; say once if there is nothing else to do."""
        schedule = self._schedule
        idle = bool(schedule.elsewhere) and not schedule.running
        if idle and not self._told:
            self._tell(f"waiting for other runs, which do {len(schedule.elsewhere):,} of the steps")
        self._told = idle or (self._told and bool(schedule.elsewhere))
        if schedule.elsewhere and monotonic() - self._looked >= _LOOK_S:
            schedule.resume()
            self._looked = monotonic()


def prepare(
    plan: Plan,
    store: Store,
    observe: Observe = lambda event: None,
    estimates: Estimates | None = None,
    known: Container[str] = frozenset(),
) -> Schedule:
    """Return the schedule of the steps that are missing in the store; damaged artefacts count as missing.

    Without `estimates`, the schedule knows what is to do, but not how long it takes.
    """
    store.expect(_by_kind(plan))
    listed: dict[str, set[str]] | None = {}  # asking the disk for each of many missing steps takes long

    def stored(step: Step) -> bool:
        if listed is not None:
            if step.kind not in listed:
                listed[step.kind] = store.keys(step.kind)
            if step.key not in listed[step.kind]:
                return False
        try:
            return store.find(step.kind, step.key) is not None
        except Damaged as damage:
            observe({"event": "message", "message": str(damage)})
            return False

    schedule = Schedule(plan, stored, estimates or Estimates(Timings({}, {}), plan.steps), known)
    listed = None  # from now on, other processes may add artefacts, and steps of this run find damaged ones
    return schedule


def _usual(schedule: Schedule, key: str) -> float:
    """Return the seconds that a step should take, at the pace of this run so far."""
    step = schedule.plan.steps[key]
    download = step.kind == "data" and step.settings.get("source") == "hub"
    return max(schedule.paced_s(step), _DOWNLOAD_S if download else 0.0)


def _fill(
    schedule: Schedule, workers: Workers, watch: Watch, observe: Observe, leases: Leases | NoLeases
) -> None:
    """Give each free slot a step, if there is one for it; fail the steps for which no slot is left."""
    slots = [slot.is_gpu for slot in workers.slots]
    gpus, free = any(slots), workers.free()
    for index, gpu in offers(slots, free):
        node = workers.slots[index].node
        if index not in workers.free():
            continue
        while (step := schedule.next(gpu, gpus, node)) is not None and not leases.take(step.key):
            schedule.postpone(step.key)
        if step is None:
            continue
        schedule.started(step.key, node)
        watch.started(step.key)
        workers.submit(index, step._replace(rated=schedule.estimates.rated(step)))
        told = {"event": "started", "key": step.key, "kind": step.kind, "step": step.label, "slot": index}
        observe({**told, "node": node} if node else told)
    if not schedule.running and workers.gone and len(free) + len(workers.gone) == len(slots):
        reasons = "; ".join(dict.fromkeys(workers.gone.values()))
        schedule.stuck(f"no worker is left that could run it: {reasons}")


def _lend(schedule: Schedule, workers: Workers) -> None:
    """Lend the cores of free slots to the running steps of the same node that can use them."""
    idle = Counter(workers.slots[slot].node for slot in workers.free() if not workers.slots[slot].is_gpu)
    wide: defaultdict[str, list[str]] = defaultdict(list)
    for key, node in sorted(schedule.running.items()):
        if schedule.plan.steps[key].wide:
            wide[node].append(key)
    for node, keys in wide.items():
        for key, cores in zip(keys, shares(idle[node], len(keys)), strict=True):
            workers.lend(key, cores)
            schedule.lent(key, cores)


class _Left:
    """The expected seconds to the end of a run, computed five times a second: it is slow for large suites."""

    def __init__(self, schedule: Schedule, slots: int, nodes: int) -> None:
        self._schedule = schedule
        self._slots, self._nodes = slots, nodes
        self._told = -1.0
        self._when = 0.0

    def seconds(self) -> float:
        """Return the seconds, rounded to tenths."""
        now = monotonic()
        if self._told < 0 or now - self._when >= _TOLD_S or not self._schedule.unfinished:
            self._told, self._when = round(self._schedule.left_s(self._slots, self._nodes), 1), now
        return self._told


def _note(event: Event, schedule: Schedule, store: Store, observe: Observe, left: _Left) -> None:
    """Record an event of the workers in the schedule and pass it on."""
    step = schedule.plan.steps[event.key]
    told = {"event": event.type, "key": step.key, "kind": step.kind, "step": step.label, **event.details}
    if event.type == "progress":
        if schedule.progressed(event.key, event.details["done"], event.details["total"]):
            told["left_s"] = left.seconds()
    elif event.type == "done":
        schedule.done(event.key, event.details["seconds"])
        told["left"] = schedule.unfinished
        told["left_s"] = left.seconds()
    elif event.type in ("failed", "unavailable"):
        schedule.failed(event.key, event.details["reason"], event.type)
    elif event.type == "lost" and not schedule.again(event.key):
        told |= {"event": "failed", "reason": f"{event.details['reason']}, as before", "log": ""}
        schedule.failed(event.key, told["reason"])
    elif event.type == "damaged":
        store.forget(event.details["damaged"])
        schedule.lost(event.details["damaged"], event.key)
    observe(told)


@contextmanager
def _closing(workers: Workers, store: Store) -> Iterator[None]:
    try:
        yield
    finally:
        workers.close()
        store.sweep()
