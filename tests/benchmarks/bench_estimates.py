"""How well a run foretells its time: before its first batch, and once batches are timed.

    python tests/benchmarks/bench_estimates.py [--cases minilm,student] [--examples 600] [--record]

Each case is a suite on the emotion data, in a store of its own without any timings: one or more transformers
fitted for one epoch on the first texts, or one that teaches another. Printed are the time that was said after
the data were read, divided by what it took; the same for each time left that progress gave, as the median
and the worst; and the CPU seconds of the workers, because other programs make a run slower than it should be.
``--model`` adds a case for a folder or an id in the hub's cache. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from report import machine, record, say

SUITE = """
[suite]
name = "estimates"
seeds = {seeds}
teacher_seeds = "each"
latency = false
precision = "{precision}"

[[task]]
use = "file"
train = "{folder}/train.jsonl"
validation = "{folder}/validation.jsonl"
test = "{folder}/test.jsonl"

[[teacher]]
{teacher}
epochs = 1
"""
STUDENT = """
[[student]]
use = "transformer"
epochs = 1

[[loss]]
use = "kl"
"""
CASES = {"minilm": (1, ""), "three": (3, ""), "student": (1, STUDENT)}  # seeds, and more of the suite


def main() -> None:
    """Run each case, print, and append to results/ only with --record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--examples", type=int, default=600, help="training texts")
    parser.add_argument("--model", help="folder or hub id of a transformer, in place of MiniLM")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--devices", default="cpu", help="such as cpu:1")
    parser.add_argument("--record", action="store_true", help="append to tests/benchmarks/results/")
    options = parser.parse_args()
    found = {}
    for case in options.cases.split(","):
        found[case] = one = measured(case, options)
        say(
            f"{case:8} said {one['said_s']:.0f} s, took {one['took_s']:.0f} s, {one['cpu_s']:.0f} s of CPU; "
            f"said / took {one['said_s'] / one['took_s']:.2f}; of {one['reports']} times by progress the "
            f"median is {one['progress']:.2f}, the worst {one['worst']:.2f}"
        )
    if options.record:
        model = Path(options.model).name if options.model else "minilm"
        shared = {"model": model, "examples": options.examples, "devices": options.devices}
        record("estimates", {**machine(), **shared, **found})


def measured(case: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return what a run of a case said of its time, and what it took, in seconds."""
    seeds, more = CASES[case]
    teacher = f'use = "transformer"\nmodel = "{options.model}"' if options.model else 'use = "minilm"'
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_data(folder, options.examples)
        seeds_listed = json.dumps(list(range(seeds)))
        text = SUITE.format(folder=folder, seeds=seeds_listed, teacher=teacher, precision=options.precision)
        (folder / "suite.toml").write_text(text + more, encoding="utf-8")
        arguments = ["bench", "suite.toml", "--json", "--devices", options.devices, "--store", "store"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run = subprocess.Popen(
            [sys.executable, "-m", "harness", *arguments],
            cwd=folder,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert run.stdout is not None
        events = [(time.monotonic(), json.loads(line)) for line in run.stdout]
        if run.wait() or not events:
            assert run.stderr is not None
            sys.exit(f"{case} ended with status {run.returncode}:\n{run.stderr.read()[-4000:]}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Nothing is said before the data are read, which takes a second.
    started, said = next((when, one["left_s"]) for when, one in events if one["event"] == "done")
    ended = max(when for when, one in events if one["event"] == "done")
    told = [(when, one["left_s"]) for when, one in events if one["event"] == "progress" and "left_s" in one]
    # The last seconds are left out: half a second too much is no matter to anyone.
    ratios = [left / (ended - when) for when, left in told if ended - when > 0.1 * (ended - started)]
    return {
        "said_s": round(said, 1),
        "took_s": round(ended - started, 1),
        "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "progress": round(median(ratios), 3) if ratios else 0.0,
        "worst": round(max(ratios, key=lambda ratio: max(ratio, 1 / max(ratio, 1e-9))), 3) if ratios else 0.0,
        "reports": len(ratios),
    }


def write_data(folder: Path, examples: int) -> None:
    """Write the first texts of the emotion data, a tenth of them for validation and for test."""
    from harness_tasks.emotion import Emotion

    task = Emotion()
    tables = task.read(task.resolve("auto"))
    for split, count in (("train", examples), ("validation", examples // 10), ("test", examples // 10)):
        rows = tables[split].select(["text", "label"]).slice(0, count).to_pylist()
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")


if __name__ == "__main__":
    main()
