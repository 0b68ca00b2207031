"""Start several runs at once on one store and one folder of results."""

from __future__ import annotations

import random
import subprocess
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from faults.bases import aside, forget
from faults.judge import Case
from faults.world import LIMIT_S, slowness

if TYPE_CHECKING:
    from faults.world import World

# What each of several runs is asked for; they are dealt in turn.
PARTS = {
    "same": [()],
    "seeds": [("--seeds", "0"), ("--seeds", "1")],
    "students": [("--only", "student=toy"), ("--only", "student=slow")],
    "killed": [()],
    "fresh": [(), ("--fresh",)],
}


def cases(whole: bool) -> list[Case]:
    """Return runs of 2 and of 4 at once, of the same cells and of parts, some of them killed."""
    if not whole:
        return [_case("killed", 2, 0, "few")]
    return [_case(kind, runs, seed) for kind in PARTS for runs in (2, 4) for seed in range(2)]


def _case(kind: str, runs: int, seed: int, base: str = "toys") -> Case:
    act = partial(at_once, kind=kind, runs=runs, seed=seed)
    return Case("runs at once", f"{kind}-{runs}-{seed}", act, base)


def at_once(world: World, kind: str, runs: int, seed: int) -> None:
    """Start the runs, each a moment after the last, and wait for all."""
    rng = random.Random(f"crowd {kind} {runs} {seed}")
    reference = aside(world)
    forget(world)
    world.trials = runs
    started = []
    for index in range(runs):
        parts = PARTS[kind]
        started.append(world.start("bench", "suite.toml", "--json", *parts[index % len(parts)]))
        time.sleep(rng.choice((0, rng.uniform(0, 1))))
    killed = None
    if kind == "killed":
        killed = rng.choice(started)
        time.sleep(rng.uniform(0, 4))
        if not killed.kill(rng.choice(("group", "parent"))):
            killed = None
    for running in started:
        with suppress(subprocess.TimeoutExpired):
            running.process.wait(2 * LIMIT_S * slowness())
    for running in started:
        said = world.wait(running)
        if running is not killed:
            world.expect(said, 0)
    steps = len(world.kept().artefacts)
    if kind not in ("killed", "fresh"):
        world.same_as(reference)
        made = len((world.store / "timings.jsonl").read_text().splitlines())
        if made != steps:
            world.fault("wrong", f"{made} steps were performed where {steps} would do")
    world.expect(world.bench(), 0)
    world.same_as(reference)
    world.swept()
