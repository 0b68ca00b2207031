"""Students and losses that `harness distill` could use, each alone, over the transfer set of a run of it.

    python tests/benchmarks/bench_recipe.py OUT STORE --set mr [--seeds 2] [--record]

OUT and STORE are the folders ``--out`` and ``--store`` of a run of `harness distill` on a set. Its teacher,
new texts and targets are used again, so that only students are trained. Only artefacts in STORE are kept, so
that a repetition takes seconds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from statistics import mean
from typing import Any

import tomli_w
from report import machine, record, say

OWN = {"use": "cnn"}
WIDE = {"use": "cnn", "initial": "teacher", "width": 48, "filters": 96, "batch_size": 256}
LENT = {
    "embeddings": "teacher",
    "components": 96,
    "projection": 32,
    "batch_size": 256,
    "epochs": 4,
}
CNN = {"use": "cnn", **LENT, "filters": 64}
GRU = {"use": "bigru", **LENT, "hidden": 48, "min_examples": 200_000}
KL = {"use": "kl", "temperature": 2.0}

# A name, a student, and the loss by which it learns.
VARIANTS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("cnn", OWN, KL),
    ("cnn, first vectors from the teacher", {**OWN, "initial": "teacher"}, KL),
    ("cnn, 64 filters, 48 wide", {**OWN, "filters": 64, "width": 48}, KL),
    ("cnn, 96 filters, 48 wide, first vectors", WIDE, KL),
    ("the same, telling words", {**WIDE, "words": "telling"}, KL),
    ("the same, dropout 0.2", {**WIDE, "dropout": 0.2}, KL),
    ("the same, 3 epochs", {**WIDE, "epochs": 3}, KL),
    ("the same, temperature 1", WIDE, {**KL, "temperature": 1.0}),
    ("the same, temperature 4", WIDE, {**KL, "temperature": 4.0}),
    ("the same, mse", WIDE, {"use": "mse"}),
    ("cnn over the teacher's embeddings", CNN, KL),
    ("the same, 8 epochs", {**CNN, "epochs": 8}, KL),
    ("the same, 128 filters", {**CNN, "filters": 128}, KL),
    ("the same, 48 wide", {**CNN, "projection": 48}, KL),
    ("bigru over the teacher's embeddings", GRU, KL),
    ("the same, 6 epochs", {**GRU, "epochs": 6}, KL),
    ("the same, 80 hidden", {**GRU, "hidden": 80}, KL),
    ("the same, temperature 1", GRU, {**KL, "temperature": 1.0}),
    ("the same, temperature 4", GRU, {**KL, "temperature": 4.0}),
    ("the same, mse", GRU, {"use": "mse"}),
]


def main() -> None:
    """Run the variants, print the best first, and append to results/ only with --record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("--set", required=True, help="name of the set in the records")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="variants whose name or family starts with one of these")
    parser.add_argument("--record", action="store_true", help="append to tests/benchmarks/results/")
    options = parser.parse_args()
    base = tomllib.loads((options.out / "trials" / "students.toml").read_text(encoding="utf-8"))
    found = []
    family = ""
    for name, student, loss in VARIANTS:
        family = name if not name.startswith("the same") else family
        full = name if name == family else f"{family.partition(',')[0]}: {name}"
        if options.only and not any(full.startswith(each) for each in options.only):
            continue
        rows = run(base, student, loss, options)
        teacher = next(row for row in rows if row["role"] == "teacher")
        rows = [row for row in rows if row["role"] == "distilled"]
        one = {
            "variant": full,
            "validation": [round(100 * row["validation"]["accuracy"], 2) for row in rows],
            "test": [round(100 * row["metrics"]["accuracy"], 2) for row in rows],
            "teacher": round(100 * teacher["metrics"]["accuracy"], 2),
            "parameters": rows[0]["parameters"]["total"],
            "train_s": round(mean(row["cost"]["train_s"] for row in rows), 1),
        }
        found.append(one)
        if options.record:
            record("recipe", {**machine(), "set": options.set, **one})
    for one in sorted(found, key=lambda one: -mean(one["validation"])):
        say(
            f"{one['variant']:55} validation {mean(one['validation']):.2f}  test {mean(one['test']):.2f}  "
            f"{one['parameters']:,} parameters  {one['train_s']:.0f} s"
        )


def run(
    base: dict[str, Any], student: dict[str, Any], loss: dict[str, Any], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Return the records of a student over the transfer set of a distillation."""
    suite = {
        **base,
        "suite": {"name": "recipe", "seeds": [*range(options.seeds)], "latency": False},
        "student": [student],
        "loss": [loss],
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.toml"
        path.write_text(tomli_w.dumps(suite), encoding="utf-8")
        command = [sys.executable, "-m", "harness", "bench", str(path), "--results", folder]
        done = subprocess.run([*command, "--store", str(options.store)], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(command)} ended with status {done.returncode}:\n{done.stderr[-4000:]}")
        lines = (Path(folder) / "recipe" / "records.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


if __name__ == "__main__":
    main()
