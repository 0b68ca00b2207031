"""What the harness itself costs: the start of a command, the plan of a large suite, a cell of trivial work.

    python tests/benchmarks/bench_overhead.py [--plans 1011 10101] [--benchopt PYTHON] [--record]

Everything is measured as a user meets it: the command ``harness`` in a process of its own, to its end. Wall
times depend on what else the machine does; the CPU seconds beside them (of all processes together) hardly do.
The peak memory is that of the largest process.

The trivial cells come from a plugin that is installed as any other: a task of four rows and a student that
learns nothing. So each cell still has a fit, an evaluation, two published artefacts and a record. "stored" is
the same command again, which runs no step. "own" steps share a process, as those of this project do; steps of
other packages have a process each. With ``--benchopt``, the Python of an environment in which benchopt is
installed, benchopt runs as many trivial cells: the same rows, parameters and seeds, also twice.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

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

# 1 + (1 + 100) × widths × seeds cells
PLANNED = """
[suite]
name = "planned"
seeds = {seeds}

[[task]]
use = "emotion"

[[teacher]]
use = "minilm"

[[student]]
use = "mlp"
width = {{ sweep = {widths} }}

[[augmenter]]
use = "mask"
copies = {{ sweep = {ten} }}

[[loss]]
use = "kl"
temperature = {{ sweep = {ten} }}
"""
PLANS = {1_011: (10, 1), 10_101: (10, 10), 101_001: (100, 10)}  # cells → widths and seeds
GOALS = {10_101: "1 s and 150 MB", 101_001: "10 s and 500 MB"}

# The command, with the plugin's steps treated as this project's own, which share a process.
OWN = """
from harness import cli
from harness.plan.identity import Identities
Identities.foreign = lambda self, component: False
cli.main()
"""

BENCHOPT = {
    "objective.py": """
from benchopt import BaseObjective

class Objective(BaseObjective):
    name = "trivial"
    min_benchopt_version = "1.5"
    sampling_strategy = "run_once"

    def set_data(self, texts, labels):
        self.texts, self.labels = texts, labels

    def evaluate_result(self, answers):
        right = sum(answer == label for answer, label in zip(answers, self.labels))
        return {"value": right / len(self.labels)}

    def get_one_result(self):
        return {"answers": self.labels}

    def get_objective(self):
        return {"texts": self.texts}
""",
    "datasets/trivial.py": """
from benchopt import BaseDataset

class Dataset(BaseDataset):
    name = "trivial"

    def get_data(self):
        return {"texts": ["good", "bad"] * 2, "labels": [1, 0] * 2}
""",
    "solvers/trivial.py": """
from benchopt import BaseSolver

class Solver(BaseSolver):
    name = "trivial"
    sampling_strategy = "run_once"
    parameters = {{"number": {numbers}, "seed": {seeds}}}

    def set_objective(self, texts):
        self.texts = texts

    def run(self, _):
        self.answers = [1] * len(self.texts)

    def get_result(self):
        return {{"answers": self.answers}}
""",
}


def main() -> None:
    """Measure and print; append to results/ only with --record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cells", type=int, default=1000, help="number of trivial cells")
    parser.add_argument("--seeds", type=int, default=10, help="how many of them differ only in the seed")
    parser.add_argument(
        "--plans",
        type=int,
        nargs="*",
        choices=PLANS,
        default=list(PLANS),
        help="numbers of cells of the suites to plan; the largest takes some minutes on a busy machine",
    )
    parser.add_argument("--benchopt", type=Path, help="Python of an environment with benchopt")
    parser.add_argument("--record", action="store_true", help="append to tests/benchmarks/results/")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = {**start(), **plans(folder, options.plans), **cells(folder, options.cells, options.seeds)}
        if options.benchopt:
            found |= benchopt(options.benchopt, folder / "benchopt", options.cells, options.seeds)
    if options.record:
        record("overhead", {**machine(), **found})


def start() -> dict[str, Any]:
    """Seconds that ``harness --help`` takes."""
    took = min(timed([command(), "--help"]) for _ in range(5))
    say(f"harness --help: {took} (goal below 0.2 s); the least of 5")
    return {"help_s": round(took.wall, 3), "help_cpu_s": round(took.cpu, 3)}


def plans(folder: Path, counts: Sequence[int]) -> dict[str, Any]:
    """Seconds and memory that ``harness plan`` takes for suites of some sizes, with an empty store."""
    found = {}
    for count in counts:
        widths, seeds = PLANS[count]
        suite = folder / f"planned-{count}.toml"
        numbers = {
            "widths": list(range(1, widths + 1)),
            "seeds": list(range(seeds)),
            "ten": list(range(1, 11)),
        }
        suite.write_text(PLANNED.format(**numbers))
        places = ["--store", str(folder / "planned"), "--source", "sample", "--limit", "200000"]
        took = min(timed([command(), "plan", str(suite), *places]) for _ in range(1 if count > 20_000 else 3))
        goal = f" (goal {GOALS[count]})" if count in GOALS else ""
        say(f"harness plan of {count:,} cells: {took}, {took.peak_mb:.0f} MB{goal}")
        found[f"plan_{count}"] = {
            "s": round(took.wall, 2),
            "cpu_s": round(took.cpu, 2),
            "peak_mb": round(took.peak_mb),
        }
    return found


def cells(folder: Path, count: int, seeds: int) -> dict[str, Any]:
    """Milliseconds a cell, cold and stored, of a suite's whole run; and the start of a run of one cell."""
    site = folder / "site"
    info = site / "trivial_components-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: trivial-components\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[harness]\ntrivial = trivial_components\n")
    (site / "trivial_components.py").write_text(PLUGIN)
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}

    def arguments(start: list[str], name: str, numbers: int, seeds: int) -> list[str]:
        suite = folder / f"{name}.toml"
        suite.write_text(SUITE.format(seeds=list(range(seeds)), numbers=list(range(numbers))))
        places = ["--store", str(folder / name / "store"), "--results", str(folder / name / "results")]
        return [*start, "bench", str(suite), *places]

    own, foreign = [sys.executable, "-c", OWN], [command()]
    first = first_step([*arguments(own, "first", 1, 1), "--json"], environment)
    say(f"harness bench of one cell: its first step starts after {first:.2f} s (goal at most 1)")
    found: dict[str, Any] = {"cells": count, "first_step_s": round(first, 3)}
    for state, start, goal in (
        ("cold", own, "2 ms"),
        ("stored", own, "0.3 ms"),
        ("foreign", foreign, "50 ms"),
        ("foreign_stored", foreign, "0.3 ms"),
    ):
        place = "own" if start is own else "foreign"
        alone = timed(arguments(start, f"{place}-one", 1, 1), environment)
        whole = timed(arguments(start, f"{place}-many", count // seeds, seeds), environment)
        beyond = [1000 * (all_ - one) / (count - 1) for all_, one in zip(whole[:2], alone[:2], strict=True)]
        say(
            f"{count:,} cells {state.replace('_', ' ')}: {whole}, {whole.peak_mb:.0f} MB; one cell {alone}; "
            f"each further one {beyond[0]:.2f} ms (goal {goal}), CPU {beyond[1]:.2f} ms"
        )
        found |= {
            f"{state}_ms": round(1000 * whole.wall / count, 3),
            f"{state}_beyond_start_ms": round(beyond[0], 3),
            f"{state}_beyond_start_cpu_ms": round(beyond[1], 3),
            f"{state}_start_s": round(alone.wall, 3),
            f"{state}_start_cpu_s": round(alone.cpu, 3),
            f"{state}_peak_mb": round(whole.peak_mb),
        }
    return found


def first_step(arguments: list[str], environment: dict[str, str]) -> float:
    """Seconds from the start of a run to the start of its first step."""
    clock = time.perf_counter()
    with subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        took = next(
            time.perf_counter() - clock for line in process.stdout if json.loads(line)["event"] == "started"
        )
        process.stdout.read()
    return took


def benchopt(python: Path, folder: Path, count: int, seeds: int) -> dict[str, Any]:
    """What benchopt takes for as many trivial cells."""
    for name, text in BENCHOPT.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        numbers = {"numbers": list(range(count // seeds)), "seeds": list(range(seeds))}
        path.write_text(text.format(**numbers) if name.startswith("solvers") else text)
    arguments = [str(python.parent / "benchopt"), "run", str(folder), "-n", "1", "-r", "1", "--no-plot"]
    found: dict[str, Any] = {}
    for state in ("cold", "stored"):
        took = timed(arguments, {**os.environ, "BENCHOPT_DEBUG": "0"})
        say(
            f"benchopt, {count:,} cells {state}: {took}, {took.peak_mb:.0f} MB; "
            f"in all {1000 * took.wall / count:.2f} ms a cell"
        )
        found[f"benchopt_{state}"] = {
            "s": round(took.wall, 2),
            "cpu_s": round(took.cpu, 2),
            "peak_mb": round(took.peak_mb),
        }
    return found


def command() -> str:
    """The command of the environment that runs this script."""
    return str(Path(sys.executable).parent / "harness")


class Took(NamedTuple):
    """What a command took, its worker processes included."""

    wall: float  # seconds
    cpu: float  # seconds
    peak_mb: float  # of its largest process

    def __str__(self) -> str:
        return f"{self.wall:.2f} s, CPU {self.cpu:.2f} s"


def timed(arguments: list[str], environment: dict[str, str] | None = None) -> Took:
    """Run a command to its end."""
    with tempfile.TemporaryFile() as output:
        clock = time.perf_counter()
        process = subprocess.Popen(arguments, env=environment, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - clock
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            told = output.read().decode(errors="replace")
            sys.exit(f"{' '.join(arguments[:3])} ended with status {process.returncode}:\n{told}")
    return Took(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


if __name__ == "__main__":
    main()
