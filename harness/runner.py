"""The main path: a plan's steps through an executor into the store, and then one record a cell."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.executors import Event, Executor
from harness.plan import Plan, Step
from harness.schedule import Estimates, Schedule
from harness.store import Damaged, Store

Observe = Callable[[dict[str, Any]], None]  # one JSON-able event; "event" says which

_TICK_S = 0.5


def run(
    plan: Plan,
    store: Store,
    executor: Executor,
    observe: Observe,
    time_limit: float | None = None,
    estimates: Estimates | None = None,
) -> Schedule:
    """Do every step that is missing; what became of each is in the schedule that comes back.

    A step that fails costs the cells that need it and nothing else. An interrupt ends the workers;
    finished work stays in the store.
    """
    store.sweep()
    schedule = prepare(plan, store, observe, estimates)
    started: dict[str, float] = {}
    observe(
        {
            "event": "run",
            "cells": len(plan.cells),
            "steps": len(plan.steps),
            "todo": schedule.unfinished,
            "expected_s": round(schedule.estimates.total(schedule.todo(), len(executor.slots)), 1),
        }
    )
    if not schedule.unfinished:
        return schedule
    with _closing(executor, store):
        while schedule.unfinished:
            _fill(schedule, executor, started, observe)
            for event in executor.wait(_TICK_S):
                _note(event, schedule, store, observe)
            for key in _overdue(schedule, started, time_limit):
                limit = f"it ran past its limit of {time_limit:g} s"
                _note(executor.stop(key, limit), schedule, store, observe)
    return schedule


def prepare(
    plan: Plan,
    store: Store,
    observe: Observe = lambda event: None,
    estimates: Estimates | None = None,
) -> Schedule:
    """The schedule of what is missing in the store; damaged artefacts count as missing.

    Steps are expected to take what like steps took in this store, where no `estimates` are given.
    """

    def stored(step: Step) -> bool:
        try:
            return store.find(step.kind, step.key) is not None
        except Damaged as damage:
            observe({"event": "message", "message": str(damage)})
            return False

    return Schedule(plan, stored, estimates or Estimates(store.timings()))


def _fill(schedule: Schedule, executor: Executor, started: dict[str, float], observe: Observe) -> None:
    """Give every free slot a step, as long as there is one for it; a GPU's idle worker has a core too."""
    gpus = any(slot.is_gpu for slot in executor.slots)
    free = [(index, executor.slots[index].is_gpu) for index in executor.free()]
    for index, gpu in free + [(index, False) for index, gpu in free if gpu]:
        if index not in executor.free() or (step := schedule.next(gpu, gpus)) is None:
            continue
        schedule.started(step.key)
        started[step.key] = time.monotonic()
        executor.submit(index, step)
        observe({"event": "started", "key": step.key, "kind": step.kind, "step": step.label, "slot": index})


def _note(event: Event, schedule: Schedule, store: Store, observe: Observe) -> None:
    """Enter an event of the executor in the schedule and pass it on."""
    step = schedule.plan.steps[event.key]
    told = {"event": event.type, "key": step.key, "kind": step.kind, "step": step.label, **event.details}
    if event.type == "done":
        schedule.done(event.key, event.details["seconds"])
        told["left"] = schedule.unfinished
        told["left_s"] = round(schedule.remaining_s, 1)
    elif event.type in ("failed", "unavailable"):
        schedule.failed(event.key, event.details["reason"], event.type)
    elif event.type == "damaged":
        store.forget(event.details["damaged"])
        schedule.lost(event.details["damaged"], event.key)
    observe(told)


def _overdue(schedule: Schedule, started: dict[str, float], limit: float | None) -> list[str]:
    if limit is None:
        return []
    now = time.monotonic()
    return [key for key in schedule.running if now - started[key] > limit]


@contextmanager
def _closing(executor: Executor, store: Store) -> Iterator[None]:
    try:
        yield
    finally:
        executor.close()
        store.sweep()
