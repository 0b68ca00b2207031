"""What the harness itself costs: a cell of trivial work, the command's start, planning 10,000 cells.

    python tests/benchmarks/bench_overhead.py [--cells 1000] [--record]

The cells run through the real command, ``harness bench``, with a plugin that is installed as any other:
a task of twelve rows and a student that learns nothing. So each cell still has a fit, an evaluation, two
published artefacts and a record. "stored" is the same command again, which runs no step. Wall times
depend on what else the machine does; the CPU seconds beside them (of all processes together) hardly do.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from report import machine, record, say

PLUGIN = '''
"""A task and a student that cost next to nothing."""

from dataclasses import dataclass

import numpy as np

import harness


@dataclass(frozen=True)
class TrivialTask(harness.Task):
    """Twelve rows in two classes."""

    name = "trivial"

    def resolve(self, source):
        return harness.Source("sample", "trivial-1", "the benchmark's own")

    def read(self, source):
        import pyarrow as pa

        rows = pa.table({"text": ["good", "bad"] * 2, "label": ["yes", "no"] * 2})
        return {"train": rows, "validation": rows, "test": rows}


class Constant(harness.Model):
    """One logit a class, whatever the text."""

    def predict(self, texts):
        return np.tile(np.float32([0.0, 1.0]), (len(texts), 1))

    def save(self, folder):
        (folder / "model.json").write_text("[0, 1]")

    def parameters(self):
        return harness.Parameters(total=2, trainable=2, embedding=0)


@dataclass(frozen=True)
class TrivialStudent(harness.Student):
    """Learns nothing, at once."""

    name = "trivial"
    number: int = 0

    def fit(self, transfer, validation, loss, context):
        return Constant()

    def load(self, folder, context):
        return Constant()


@harness.hookimpl
def register_tasks(register):
    register(TrivialTask)


@harness.hookimpl
def register_students(register):
    register(TrivialStudent)
'''

SUITE = """
[suite]
name = "overhead"
seeds = {seeds}
latency = false

[[task]]
use = "trivial"

[[student]]
use = "trivial"
number = {{ sweep = {numbers} }}
"""

PLANNED = """
[suite]
name = "planned"
seeds = {sweep}

[[task]]
use = "emotion"

[[teacher]]
use = "minilm"

[[student]]
use = "mlp"
width = {{ sweep = {sweep} }}

[[augmenter]]
use = "mask"
copies = {{ sweep = {sweep} }}

[[loss]]
use = "kl"
temperature = {{ sweep = {sweep} }}
"""

PLANNING = """
import sys, time
from pathlib import Path
from harness import catalog
from harness.plan import planner as plan
from harness.suite import reader as suite
loaded = catalog.load()
clock, cpu = time.perf_counter(), time.process_time()
built = plan.build(suite.load(Path(sys.argv[1]), loaded), loaded, source="sample")
print(len(built.cells), time.perf_counter() - clock, time.process_time() - cpu, "torch" in sys.modules)
"""


# The command, with the plugin's steps treated as this project's own, which share a process.
OWN = """
from harness import cli
from harness.plan.identity import Identities
Identities.foreign = lambda self, component: False
cli.main()
"""


def main() -> None:
    """Measure and print; append to results/ only with --record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument(
        "--seeds", type=int, default=10, help="how many of the cells differ in nothing but the seed"
    )
    parser.add_argument("--record", action="store_true", help="append to tests/benchmarks/results/")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = {**start(), **planning(Path(folder)), **cells(Path(folder), options.cells, options.seeds)}
    if options.record:
        record("overhead", {**machine(), **found})


def start() -> dict[str, Any]:
    """Seconds that ``harness --help`` takes."""
    took = [timed([command(), "--help"]) for _ in range(9)]
    wall, cpu = (round(statistics.median(values), 3) for values in zip(*took, strict=True))
    say(f"harness --help: {wall:.3f} s (goal below 0.2), CPU {cpu:.3f} s; the median of {len(took)}")
    return {"help_s": wall, "help_cpu_s": cpu}


def planning(folder: Path) -> dict[str, Any]:
    """Seconds from a suite's text to the plan of 10,000 distilled cells."""
    path = folder / "planned.toml"
    path.write_text(PLANNED.format(sweep=list(range(1, 11))))
    python = [sys.executable, "-c", PLANNING, str(path)]
    runs = [subprocess.run(python, check=True, capture_output=True, text=True).stdout.split() for _ in "123"]
    count, wall, cpu, torch = min(runs, key=lambda run: float(run[1]))
    found = {"planned_cells": int(count), "plan_s": round(float(wall), 3), "plan_cpu_s": round(float(cpu), 3)}
    say(
        f"planning {int(count):,} cells: {found['plan_s']:.3f} s (goal below 1), "
        f"CPU {found['plan_cpu_s']:.3f} s; torch was {'' if torch == 'True' else 'not '}imported"
    )
    return found


def cells(folder: Path, count: int, seeds: int) -> dict[str, Any]:
    """Milliseconds a cell, cold and stored, of a suite's whole run."""
    site = folder / "site"
    info = site / "trivial_components-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: trivial-components\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[harness]\ntrivial = trivial_components\n")
    (site / "trivial_components.py").write_text(PLUGIN)
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}

    def bench(start: list[str], name: str, numbers: int, seeds: int) -> tuple[float, float]:
        suite = folder / f"{name}.toml"
        suite.write_text(SUITE.format(seeds=list(range(seeds)), numbers=list(range(numbers))))
        places = ["--store", str(folder / name / "store"), "--results", str(folder / name / "results")]
        return timed([*start, "bench", str(suite), *places], environment)

    found: dict[str, Any] = {"cells": count}
    for state, start, goal in (
        ("cold", [sys.executable, "-c", OWN], 5),
        ("stored", [sys.executable, "-c", OWN], 1),
        ("foreign", [command()], 50),  # a process for each step of a plugin from elsewhere
    ):
        place = "foreign" if state == "foreign" else "own"
        alone, _ = bench(start, f"{place}-one", 1, 1)
        wall, cpu = bench(start, f"{place}-many", count // seeds, seeds)
        found[f"{state}_ms"], found[f"{state}_cpu_ms"] = (
            round(1000 * wall / count, 3),
            round(1000 * cpu / count, 3),
        )
        found[f"{state}_beyond_start_ms"] = round(1000 * (wall - alone) / (count - 1), 3)
        say(
            f"{count:,} cells {state}: {found[f'{state}_ms']:.2f} ms a cell (goal at most {goal}), "
            f"CPU {found[f'{state}_cpu_ms']:.2f} ms, start-up included; "
            f"{found[f'{state}_beyond_start_ms']:.2f} ms beyond the {alone:.2f} s that one cell takes"
        )
    return found


def command() -> str:
    """The command of the environment that runs this script."""
    return str(Path(sys.executable).parent / "harness")


def timed(arguments: list[str], environment: dict[str, str] | None = None) -> tuple[float, float]:
    """Wall seconds and CPU seconds of a command, its worker processes included."""
    before, clock = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True)
    seconds, after = time.perf_counter() - clock, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        told = f"{done.stdout}{done.stderr}"
        sys.exit(f"{' '.join(arguments[:3])} ended with status {done.returncode}:\n{told}")
    return seconds, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


if __name__ == "__main__":
    main()
