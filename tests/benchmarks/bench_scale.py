"""What it costs to run steps on a Ray cluster, and to choose among many steps.

    python tests/benchmarks/bench_scale.py [--steps 200] [--rounds 3] [--cells 1000 10000]
        [--without-ray] [--record]

- ``trivial``: milliseconds of a step that does nothing, on one slot, by executor. The first quarter of the
  steps, during which workers start and import modules, is left out.
- ``nodes``: seconds of a step that waits for a second and takes no CPU, on clusters of one node and of two,
  which have one CPU each and are processes of this machine. The first four steps, during which workers
  start, are left out.
- ``schedule``: milliseconds of a step in the runner, for suites of some numbers of cells, with an executor
  whose steps end at once.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from bench_overhead import PLUGIN
from report import machine, record, say

SUITE = """
[suite]
name = "scale"
seeds = {seeds}
latency = false

[[task]]
use = "trivial"

[[student]]
use = "{student}"
number = {{ sweep = {numbers} }}
"""
# A student whose fit takes a second, and whose model is that of the trivial one.
SLOW = '''

@dataclass(frozen=True)
class SlowStudent(TrivialStudent):
    """Waits for a second."""

    name = "slow"

    def fit(self, transfer, validation, loss, context):
        import time

        time.sleep(1.0)
        return Constant()


@harness.hookimpl(specname="register_students")
def register_slow(register):
    register(SlowStudent)
'''


def main() -> None:
    """Measure and print; append to results/ only with --record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=200, help="number of trivial students of a run")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each kind, in turn; the median counts")
    parser.add_argument("--cells", type=int, nargs="*", default=[1_000, 10_000], help="cells to schedule")
    parser.add_argument("--without-ray", action="store_true", help="measure the schedule alone")
    parser.add_argument("--record", action="store_true", help="append to tests/benchmarks/results/")
    options = parser.parse_args()
    # Steps of this project share a process; those of other packages have one each.
    from harness.plan.identity import Identities

    Identities.foreign = lambda self, component: False  # type: ignore[method-assign,assignment]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        site = installed(folder)
        found: dict[str, Any] = {"load": [round(load, 1) for load in os.getloadavg()]}
        found |= {f"schedule_{cells}": schedule(folder, cells) for cells in options.cells}
        if not options.without_ray:
            found |= on_ray(folder, site, options.steps, options.rounds)
    if options.record:
        record("scale", {**machine(), **found})


def on_ray(folder: Path, site: Path, steps: int, rounds: int) -> dict[str, Any]:
    """Measure trivial steps by Ray and by the local executor, and steps of a second on one and two nodes."""
    with cluster(site, 1) as one:
        found: dict[str, Any] = {"trivial": trivial(folder, one, steps, rounds)}
        on_one = nodes(folder, one, rounds)
    with cluster(site, 2) as two:
        on_two = nodes(folder, two, rounds)
    times = on_one / on_two
    say(f"a step of a second: {on_one:.3f} s on one node, {on_two:.3f} s on two: {times:.2f} x (goal 1.9)")
    return {
        **found,
        "nodes": {"one_s": round(on_one, 3), "two_s": round(on_two, 3), "times": round(times, 3)},
    }


def installed(folder: Path) -> Path:
    """Install the trivial components for this process and its children."""
    site = folder / "site"
    info = site / "trivial_components-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: trivial-components\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[harness]\ntrivial = trivial_components\n")
    (site / "trivial_components.py").write_text(PLUGIN + SLOW)
    sys.path.insert(0, str(site))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    return site


def planned(cells: int, student: str = "trivial", seeds: int = 10) -> Any:
    """The plan of a suite with a number of cells."""
    from harness import catalog
    from harness.plan.planner import build
    from harness.suite import reader

    seeds = min(seeds, cells)
    text = SUITE.format(seeds=list(range(seeds)), student=student, numbers=list(range(cells // seeds)))
    found = catalog.load()
    return build(reader.parse(text, found, limit=None), found)


def schedule(folder: Path, cells: int) -> dict[str, float]:
    """Milliseconds a step that the runner takes, if steps end at once, after the schedule is made."""
    from harness.run.runner import run
    from harness.storage.store import Store

    plan = planned(cells)
    before = time.perf_counter()
    began: list[float] = []
    store = Store(folder / f"schedule-{cells}")
    made = run(plan, store, AtOnce(4), lambda event: began.append(time.perf_counter()) if not began else None)
    ended = time.perf_counter()
    assert not made.unfinished
    steps = len(plan.steps)
    each, start = 1000 * (ended - began[0]) / steps, 1000 * (began[0] - before) / steps
    say(f"{cells:,} cells, {steps:,} steps: {each:.3f} ms a step (goal 5), and {start:.3f} ms at the start")
    return {"steps": steps, "ms": round(each, 4), "start_ms": round(start, 4)}


class AtOnce:
    """An executor whose steps end at once."""

    def __init__(self, count: int) -> None:
        from harness.devices import Slot

        self.slots = tuple(Slot("cpu") for _ in range(count))
        self.gone: dict[int, str] = {}
        self._busy: dict[int, Any] = {}

    def free(self) -> list[int]:
        """The slots without a step."""
        return [index for index in range(len(self.slots)) if index not in self._busy]

    def submit(self, slot: int, step: Any) -> None:
        """Take a step."""
        self._busy[slot] = step

    def lend(self, key: str, cores: int) -> None:
        """Do nothing."""

    def wait(self, timeout: float) -> list[Any]:
        """The ends of all steps."""
        from harness.executors.base import Event

        events = [Event("done", step.key, {"seconds": 0.001}) for step in self._busy.values()]
        self._busy.clear()
        return events

    def close(self) -> None:
        """Do nothing."""


@contextmanager
def cluster(site: Path, count: int) -> Iterator[str]:
    """A cluster of some nodes with one CPU each, beside a head without; yields its address."""
    from ray.cluster_utils import Cluster

    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": "120"}
    folder = tempfile.mkdtemp(prefix="ray")  # the path of a socket must be short
    head = {"num_cpus": 0, "include_dashboard": False, "temp_dir": folder, "object_store_memory": 80 << 20}
    made = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(count):
            made.add_node(num_cpus=1, object_store_memory=80 << 20)
        yield str(made.address)
    finally:
        made.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def trivial(folder: Path, address: str, steps: int, rounds: int) -> dict[str, float]:
    """Milliseconds of a step that does nothing, here and on a cluster, in turn."""
    from harness.run.local import Local
    from harness_ray.executor import Ray

    plan = planned(steps)
    took: dict[str, list[float]] = {"local": [], "ray": []}
    for number in range(rounds):
        for executor in (Local(), Ray(address=address)):
            place = folder / f"trivial-{executor.name}-{number}"
            ends = ran(plan, executor, "cpu:1", place)
            warm = len(ends) // 4
            took[executor.name].append(1000 * (ends[-1] - ends[warm]) / (len(ends) - 1 - warm))
    local, ray = median(took["local"]), median(took["ray"])
    say(f"a trivial step: local {local:.2f} ms, ray {ray:.2f} ms: {ray - local:.2f} ms beyond (goal 15)")
    rounded = {f"{name}_rounds_ms": [round(one, 3) for one in each] for name, each in took.items()}
    return {
        "local_ms": round(local, 3),
        "ray_ms": round(ray, 3),
        "beyond_ms": round(ray - local, 3),
        **rounded,
    }


def nodes(folder: Path, address: str, rounds: int) -> float:
    """Seconds of wall time for each of 24 steps that take a second, without the first four."""
    from harness_ray.executor import Ray

    plan = planned(24, "slow", 1)
    took = []
    for number in range(rounds):
        place = folder / f"nodes-{address.replace(':', '-')}-{number}"
        ends = ran(plan, Ray(address=address), "cpu", place, "student")
        took.append((ends[-1] - ends[3]) / (len(ends) - 4))
    return median(took)


def ran(plan: Any, executor: Any, devices: str, place: Path, kind: str = "") -> list[float]:
    """Run a plan; return when its steps ended, or those of a kind."""
    from harness.run.runner import run
    from harness.storage.store import Store

    ends = []

    def observe(event: dict[str, Any]) -> None:
        if event["event"] == "done" and kind in ("", event["kind"]):
            ends.append(time.perf_counter())
        elif event["event"] in ("failed", "unavailable", "lost"):
            sys.exit(f"a step {event['event']}: {event['reason']}")

    store = Store(place)
    places = executor.slots(devices, place, say)
    made = run(plan, store, executor.start(place, places), observe)
    assert not made.unfinished
    return ends


if __name__ == "__main__":
    main()
