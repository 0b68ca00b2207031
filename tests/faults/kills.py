"""Kill a run, its parent or a worker at random moments, and run it again to its end."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from faults.bases import aside, forget
from faults.judge import Case
from faults.world import slowness

if TYPE_CHECKING:
    from faults.world import Running, World

VICTIMS = ("group", "parent", "worker")
_PATIENCE_S = 60.0  # in which a moment comes, or the run has ended


def cases(whole: bool) -> list[Case]:
    """Return chains of kills on one store: 216 kills, or 1 in the small form."""
    if not whole:
        return [_chain("few", 0, 1)]
    toys = [_chain("toys", seed, 8) for seed in range(20)]
    return toys + [_chain("real", seed, 6) for seed in range(8)] + [_exports(seed, 8) for seed in range(1)]


def _chain(base: str, seed: int, kills: int) -> Case:
    return Case("kills", f"{base}-{seed}", partial(chain, seed=seed, kills=kills, base=base), base)


def _exports(seed: int, kills: int) -> Case:
    return Case("kills", f"export-{seed}", partial(exports, seed=seed, kills=kills), "real")


def chain(world: World, seed: int, kills: int, base: str) -> None:
    """Kill run after run on the same store, each at another moment, and then let one finish."""
    rng = random.Random(f"kills {base} {seed}")
    reference = aside(world)
    forget(world)
    done, attempts = 0, 0
    while done < kills and attempts < 3 * kills:
        attempts += 1
        before = world.kept()
        fresh = len(before.records) > 0 and rng.random() < 0.5
        running = world.start("bench", "suite.toml", "--json", *(["--fresh"] if fresh else []))
        moment = rng.choice(sorted(MOMENTS))
        if MOMENTS[moment](world, running, rng) and running.kill(rng.choice(VICTIMS), rng.choice):
            done += 1
        world.wait(running)
        world.still(before, artefacts=not fresh)
        world.judge_records()
    world.trials = done
    said = world.bench()
    world.expect(said, 0)
    world.same_as(reference)
    world.swept()


def exports(world: World, seed: int, kills: int) -> None:
    """Kill `harness export` while it writes, and then let it finish."""
    rng = random.Random(f"exports {seed}")
    target = world.folder / "model"
    before = world.kept()
    for _ in range(kills):
        running = world.start("export", "student=mlp,student.epochs=1", target)
        if _after_start(world, running, rng) and running.kill("group"):
            world.trials += 1
        world.wait(running)
        world.still(before)
    said = world.run("export", "student=mlp,student.epochs=1", target)
    world.expect(said, 0)
    missing = [name for name in ("export.json", "labels.json", "record.json") if not (target / name).exists()]
    if missing:
        world.fault("lost", f"the export has no {', '.join(missing)}")
    world.expect(world.run("export", "student=mlp,student.epochs=1", world.folder / "other"), 0)
    for path in sorted((world.folder / "other").iterdir()):
        if path.name != "README.md" and not (target / path.name).exists():
            world.fault("lost", f"the export after kills lacks {path.name}")


# -- moments: each returns whether it came before the run ended -------------------------------------------


def _until(condition: Callable[[], object], running: Running) -> bool:
    deadline = time.monotonic() + _PATIENCE_S * slowness()
    while not running.ended and time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.001)
    return False


def _after_start(world: World, running: Running, rng: random.Random) -> bool:
    time.sleep(rng.uniform(0, 3))
    return not running.ended


def _during(*kinds: str) -> Callable[[World, Running, random.Random], bool]:
    def moment(world: World, running: Running, rng: random.Random) -> bool:
        def started() -> bool:
            events = running.events()
            return any(each["event"] == "started" and each["kind"] in kinds for each in events)

        came = _until(started, running)
        time.sleep(rng.uniform(0, 0.5))
        return came and not running.ended

    return moment


def _after_steps(world: World, running: Running, rng: random.Random) -> bool:
    wanted = rng.randint(1, 12)
    came = _until(lambda: sum(each["event"] == "done" for each in running.events()) >= wanted, running)
    time.sleep(rng.uniform(0, 0.05))
    return came and not running.ended


def _while_there(*patterns: str, wait: float) -> Callable[[World, Running, random.Random], bool]:
    def moment(world: World, running: Running, rng: random.Random) -> bool:
        skip = rng.randint(0, 5)  # not always the first one
        seen: set[object] = set()

        def there() -> bool:
            with suppress(FileNotFoundError):  # a folder may go while it is read
                for pattern in patterns:
                    seen.update(world.folder.glob(pattern))
            return len(seen) > skip

        came = _until(there, running) or bool(seen)
        time.sleep(rng.uniform(0, wait))
        return came and not running.ended

    return moment


def _writing_results(world: World, running: Running, rng: random.Random) -> bool:
    """Find the run between its last step and its end."""

    def written() -> bool:
        return any(world.results.glob(".*"))

    came = _until(written, running)
    time.sleep(rng.choice((0.0, rng.uniform(0, 0.02), rng.uniform(0, 0.3))))
    return came and not running.ended


MOMENTS: dict[str, Callable[[World, Running, random.Random], bool]] = {
    "at any time": _after_start,
    "in training": _during("student", "teacher"),
    "in a measurement": _during("export", "latency", "evaluation"),
    "between steps": _after_steps,
    "in publishing": _while_there("store/tmp/*/*", wait=0.003),
    "in a lock": _while_there("store/locks/*.lock", wait=0.01),
    "in writing results": _writing_results,
}
