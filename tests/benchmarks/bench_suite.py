"""A whole suite from an empty store: its wall time, and how busy it kept the cores.

    python tests/benchmarks/bench_suite.py [SUITE] [--source sample] [--record]

SUITE is the name or the file of a suite, by default emotion; its data are those of HARNESS_DATA, or the
sample corpus with ``--source sample``. The wall time is that of the command, from start to tables. The
CPU time contains that of all workers: its share of the wall time of all cores is how busy these were. The
expected time is what the command says once it has read the data; before that, it guesses their size.
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
from collections import Counter
from pathlib import Path
from typing import Any

from report import machine, record, say

from harness.devices import cpu_count


def main() -> None:
    """Run the suite, print, and append to results/ only with --record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("suite", nargs="?", default="emotion")
    parser.add_argument("--source", default="auto", choices=("auto", "local", "sample"))
    parser.add_argument("--record", action="store_true", help="append to tests/benchmarks/results/")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(options.suite, options.source, Path(folder))
    say(
        f"{found['cells']} cells and {found['steps']} steps of {options.suite} in {found['wall_s']:.0f} s "
        f"(expected once the data were read: {found['expected_s']:.0f} s); the cores were busy for "
        f"{100 * found['busy']:.0f} % of the time; precision {found['precision']}"
    )
    for kind, seconds in found["seconds"].items():
        say(f"  {kind:12} {seconds:8.1f} s of steps")
    if options.record:
        record("suite", {**machine(), "suite": options.suite, "source": options.source, **found})


def run(suite: str, source: str, folder: Path) -> dict[str, Any]:
    """Return what the command took and told."""
    command = [sys.executable, "-m", "harness", "bench", suite, "--source", source, "--json"]
    places = ["--store", str(folder / "store"), "--results", str(folder / "results")]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    events: list[tuple[float, dict[str, Any]]] = []  # with the seconds since the start
    clock, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            [*command, *places], stdout=subprocess.PIPE, stderr=errors, env=environment
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            events.append((time.perf_counter() - clock, json.loads(line)))
        if status := process.wait():
            errors.seek(0)
            sys.exit(f"harness bench ended with status {status}:\n{errors.read()[-4000:]}")
    wall, after = time.perf_counter() - clock, resource.getrusage(resource.RUSAGE_CHILDREN)
    (started,) = (event for _, event in events if event["event"] == "run")
    seconds: Counter[str] = Counter()
    for _, event in events:
        if event["event"] == "done":
            seconds[event["kind"]] += event["seconds"]
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    (table,) = (folder / "results").glob("*/records.jsonl")
    records = [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines()]
    scores = {role: [r["metrics"]["accuracy"] for r in records if r["role"] == role] for role in ROLES}
    return {
        "cells": started["cells"],
        "steps": started["steps"],
        "wall_s": round(wall, 1),
        "expected_s": round(expected_s(events), 1),
        "cpu_s": round(cpu, 1),
        "busy": round(cpu / wall / cpu_count(), 3),
        "precision": ", ".join(sorted({r["cost"]["precision"] for r in records})),
        "seconds": {kind: round(value, 1) for kind, value in seconds.items()},
        "accuracy": {role: round(sum(values) / len(values), 4) for role, values in scores.items() if values},
    }


def expected_s(events: list[tuple[float, dict[str, Any]]]) -> float:
    """Return the seconds of the whole run that the command expected as soon as it had read all data."""
    when, event = next(one for one in events if one[1]["event"] == "run")
    if not event["guessed"]:
        return when + float(event["expected_s"])
    read = [one for one in events if one[1]["event"] == "done" and one[1]["kind"] == "data"]
    when, event = read[-1]
    return when + float(event["left_s"])


ROLES = ("teacher", "baseline", "distilled")

if __name__ == "__main__":
    main()
