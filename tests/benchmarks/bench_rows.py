"""Measure what many rows and many cells cost: memory and speed of each step, and reading and showing results.

    python tests/benchmarks/bench_rows.py rows [--rows 100000 1000000] [--record]
    python tests/benchmarks/bench_rows.py logits [--record]
    python tests/benchmarks/bench_rows.py cells [--cells 1000 10000] [--record]

``rows`` performs the steps of a suite, each in a process of its own with one thread, for each number of rows:
made-up texts of eight words are drawn from a file, de-duplicated, labelled by an `mlp` that learned from
labels and turned into ids, and another `mlp` learns from them for one epoch. Memory is that which the store
keeps of each step. The libraries alone take some 100 MB, so the last two sizes also give the bytes that each
further row costs, and from these the memory for 10⁷ rows, which is computed and not measured. Speed is that
of the CPU time, because other programs hardly change it.

``logits`` trains students on logits that are stored in fewer bytes, on made-up texts of 150 classes.

``cells`` writes records and predictions of as many cells, with the functions that write and read those of a
run, and makes tables and the page from them. With playwright and a Chromium, the page is opened too.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from report import machine, record, say

STEPS = ("transfer", "targets", "tokens", "student")
TARGET = 10_000_000  # rows for which memory is computed
CLASSES = 4
SUITE = """
[suite]
name = "rows"
latency = false

[[task]]
use = "file"
train = "train.csv"

[[teacher]]
use = "student"
student = { use = "mlp", epochs = 20, min_examples = 0 }

[[student]]
use = "mlp"
epochs = 1
min_examples = 0

[[augmenter]]
use = "unlabelled"
file = "pool.txt"

[[loss]]
use = "kl"
"""


def write_texts(folder: Path, rows: int) -> None:
    """Write 2,000 labelled texts, and others without labels in a file with a text on each line."""
    generator = random.Random(0)
    words = [f"w{number}" for number in range(5_000)]
    with (folder / "train.csv").open("w", encoding="utf-8") as stream:
        stream.write("text,label\n")
        for _ in range(2_000):
            label = generator.randrange(CLASSES)
            told = [
                f"class{label}" if generator.random() < 0.3 else generator.choice(words) for _ in range(8)
            ]
            stream.write(f"{' '.join(told)},label {label}\n")
    with (folder / "pool.txt").open("w", encoding="utf-8") as stream:
        for _ in range(rows):
            told = generator.choices(words, k=7)
            stream.write(f"{' '.join(told)} class{generator.randrange(CLASSES)}\n")


def run(rows: int) -> dict[str, Any]:
    """Run each step of the suite in a process of its own; return peaks, seconds and bytes on disk by kind."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_texts(folder, rows)
        (folder / "rows.toml").write_text(SUITE, encoding="utf-8")
        place = {**os.environ, "OMP_NUM_THREADS": "1"}
        found: dict[str, Any] = {"rows": rows}
        while True:
            command = [sys.executable, str(Path(__file__).resolve()), "step"]
            told = subprocess.run(command, cwd=folder, env=place, check=True, stdout=subprocess.PIPE).stdout
            if not told:
                return found
            kind, told = json.loads(told)
            if kind in STEPS and told["disk"] > found.get(kind, {}).get("disk", 0):
                found[kind] = told  # of several steps of a kind, the one on the transfer set


def step() -> None:
    """Perform the first step of the suite in this folder that is not in its store, and print what it took."""
    from harness import catalog
    from harness.devices import Slot
    from harness.plan.planner import build
    from harness.run.job import perform
    from harness.storage.store import Store
    from harness.suite.reader import load

    packages = catalog.load()
    store = Store(Path("store"))
    for each in build(load(Path("rows.toml"), packages), packages).steps.values():
        if each.kind != "evaluation" and store.look(each.kind, each.key) is None:
            started = time.process_time()
            made = perform(each, store, Slot("cpu"), lambda name, event: None)
            took = {"s": made.made["seconds"], "cpu_s": round(time.process_time() - started, 2)}
            peaks = {name: made.made[f"peak_{name}_bytes"] for name in ("anonymous", "rss")}
            say(json.dumps([each.kind, {**took, **peaks, "disk": made.size_bytes}]))
            return


def cells(count: int) -> dict[str, Any]:
    """Write results of so many cells and read them back; return seconds, bytes and peak memory by part."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_texts(folder, 2_000)
        (folder / "rows.toml").write_text(SUITE, encoding="utf-8")
        bench = [sys.executable, "-m", "harness", "bench", "rows.toml", "--devices", "cpu:1"]
        place = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(bench, cwd=folder, env=place, check=True, capture_output=True)
        command = [sys.executable, str(Path(__file__).resolve()), "tables", str(count)]
        told = subprocess.run(command, cwd=folder, env=place, check=True, stdout=subprocess.PIPE).stdout
        return {"cells": count, **json.loads(told)}


def tables(count: int) -> None:
    """Make the results in this folder those of so many cells, and print how long their use takes."""
    import resource
    from copy import deepcopy

    import numpy as np

    from harness.report import columns, leaderboard
    from harness.report.html.write import write
    from harness.results import predictions, record
    from harness.results.board import build

    results = Path("results/rows")
    given, answers = record.read(results / "records.jsonl"), predictions.read_splits(results).test
    distilled = next(each for each in given if each["role"] == "distilled")
    others = [each for each in given if each["role"] != "distilled"]
    told, generator = answers[distilled["cell"]], np.random.default_rng(0)
    made, found, took = list(others), {each["cell"]: answers[each["cell"]] for each in others}, {}
    for number in range(count - len(others)):
        each = deepcopy(distilled)
        each["cell"] = f"{number:032x}"
        each["seed"] = number % 2
        each["student"]["params"]["width"] = 2 + number // 2
        right = generator.random(len(told.gold)) < 0.5 + 0.4 * generator.random()
        guess = np.where(right, told.gold, (told.gold + 1) % CLASSES).astype(told.predicted.dtype)
        each["metrics"]["accuracy"] = float((guess == told.gold).mean())
        each["parameters"]["total"] = int(1_000 * 10 ** (3 * generator.random()))
        made.append(each)
        found[each["cell"]] = told._replace(predicted=guess)

    def timed(name: str, work: Any) -> Any:
        started = time.perf_counter()
        value = work()
        took[f"{name}_s"] = round(time.perf_counter() - started, 2)
        return value

    timed("write_records", lambda: record.write(made, results / "records.jsonl"))
    timed("write_predictions", lambda: predictions.write(results, found, set(found)))
    made = timed("read_records", lambda: record.read(results / "records.jsonl"))
    found = timed("read_predictions", lambda: predictions.read_splits(results).test)
    board = timed("board", lambda: build(made, found))
    timed("markdown", lambda: (results / "leaderboard.md").write_text(leaderboard.to_markdown(board)))
    timed("csv", lambda: (results / "leaderboard.csv").write_text(leaderboard.to_csv(board)))
    timed("page", lambda: write(board, made, found, results))
    took["browser"] = opened(results / "index.html")
    columns.SHOWN = 10  # a page of hardly any rows, for comparison
    write(board, made, found, Path("short"))
    took["browser_short"] = opened(Path("short/index.html"))
    sizes = {
        f"{path.suffix[1:]}_bytes": path.stat().st_size for path in sorted(results.iterdir()) if path.suffix
    }
    took["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    say(json.dumps({**took, **sizes}))


def opened(page: Path) -> dict[str, float]:
    """Return the seconds until a page's charts are drawn in a Chromium, if there is one: by clock and CPU."""
    from harness.report.html.svg import browser as found

    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return {}
    if (chromium := found()) is None:
        return {}
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        tab = browser.new_context(offline=True).new_page()
        session = tab.context.new_cdp_session(tab)
        session.send("Performance.enable")
        started = time.perf_counter()
        tab.goto(page.resolve().as_uri())
        tab.wait_for_selector("html[data-ready]", timeout=60_000)
        took = time.perf_counter() - started
        told = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
        browser.close()
    return {"s": round(took, 2), "cpu_s": round(told.get("ProcessTime", 0.0), 2)}


def compared(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how the last two sizes compare, by step: ratios, bytes a row, and memory for many rows."""
    fewer, more = found[-2:]
    told = {}
    for kind in STEPS:
        one, other = fewer[kind], more[kind]
        new = more["rows"] - fewer["rows"]
        slope = (other["anonymous"] - one["anonymous"]) / new
        told[kind] = {
            "anonymous_ratio": round(other["anonymous"] / one["anonymous"], 2),
            "rss_ratio": round(other["rss"] / one["rss"], 2),
            "bytes_a_row": round(slope, 1),
            "disk_bytes_a_row": round((other["disk"] - one["disk"]) / new, 1),
            "computed_mb": round((other["anonymous"] + max(0.0, slope) * (TARGET - more["rows"])) / 1e6),
            "speed_ratio": round(more["rows"] / fewer["rows"] * one["cpu_s"] / other["cpu_s"], 2),
            "rows_a_cpu_s": round(new / max(0.01, other["cpu_s"] - one["cpu_s"])),
        }
    return told


def bits() -> dict[str, Any]:
    """Return test accuracy and bytes a row of logits in different forms, means over three seeds."""
    import numpy as np

    from harness.api import Examples
    from harness.storage.logits import VALUES, Logits, packed
    from harness.task_types.classification import Classification
    from harness.testing.tiny import CheckContext
    from harness_losses.labels import CrossEntropy
    from harness_losses.soft import SoftTargets
    from harness_students.words import Mlp

    classes, rows, seen = 150, 12_000, 9_000
    generator = np.random.default_rng(0)
    gold = generator.integers(classes, size=rows)
    # A text has words of its class, of a neighbour, and of all texts.
    parts = np.stack([gold, (gold + 1) % classes, *generator.integers(classes, 900, (4, rows))], axis=1)
    picked = np.take_along_axis(parts, generator.integers(6, size=(rows, 6)), axis=1)
    texts = [" ".join(f"w{word}" for word in row) for row in picked.tolist()]
    names = tuple(f"class {number:03}" for number in range(classes))
    kind = Classification()
    train, test = (
        Examples(texts[part], names, gold[part], task_type=kind) for part in (slice(seen), slice(seen, None))
    )
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        teacher = Mlp(width=64, epochs=12, min_examples=0).fit(
            train, test, CrossEntropy(), CheckContext(Path(name))
        )
        logits = teacher.predict(train.texts)
        for dtype, most in (
            ("float32", None),
            ("float16", None),
            ("float32", 20),
            ("float16", 20),
            ("float16", 5),
        ):
            arrays = packed(logits, dtype, most)
            stored = Logits(arrays, classes)
            scores = []
            for seed in range(3):
                taught = Examples(train.texts, names, None, stored, task_type=kind)  # type: ignore[arg-type]
                student = Mlp(epochs=8, min_examples=0)
                model = student.fit(taught, test, SoftTargets(), CheckContext(Path(name), seed=seed))
                scores.append(float((model.predict(test.texts).argmax(1) == test.labels).mean()))
            form = f"{dtype}{f' top {most}' if most else ''}"
            size = sum(array.nbytes for array in arrays.values()) / len(arrays[VALUES])
            found[form] = {"accuracy": round(float(np.mean(scores)), 4), "bytes_a_row": size}
            say(f"{form}: {found[form]}")
    return found


def main() -> None:
    """Run what the command line asks for."""
    if sys.argv[1:] == ["step"]:
        step()
        return
    if sys.argv[1:2] == ["tables"]:
        tables(int(sys.argv[2]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["rows", "logits", "cells"])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--cells", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--record", action="store_true")
    asked = parser.parse_args()
    told: dict[str, Any] = {**machine(), "what": asked.what}
    if asked.what == "rows":
        told["sizes"] = []
        for rows in asked.rows:
            told["sizes"].append(run(rows))
            say(json.dumps(told["sizes"][-1]))
        if len(asked.rows) > 1:
            told["compared"] = compared(told["sizes"])
            say(json.dumps(told["compared"], indent=1))
    elif asked.what == "logits":
        told["forms"] = bits()
    else:
        told["sizes"] = []
        for count in asked.cells:
            told["sizes"].append(cells(count))
            say(json.dumps(told["sizes"][-1]))
    if asked.record:
        record("rows", told)


if __name__ == "__main__":
    main()
