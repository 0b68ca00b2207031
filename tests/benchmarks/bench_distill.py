"""Whole runs of `harness distill` on labelled files, beside bags of words that anybody would try first.

    python tests/benchmarks/bench_distill.py FOLDER [SET ...] [--budget 10min] [--runs 1] [--record]

FOLDER has a folder for each set, with train, test and perhaps validation files (JSON lines with text and
label). The bars read the same training file: TF-IDF of words and bigrams (sublinear) with LinearSVC and with
logistic regression (C = 10), and fastText (25 epochs, bigrams) if ``--fasttext`` names an interpreter that
has it. The shipped model answers all test texts; its size is that of all files in the shipped folder. A run
repeats the whole command in an empty store.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, median
from typing import Any

from report import machine, record, say

from harness.wording import quantity


def main() -> None:
    """Run the bars and the command on each set, print, and append to results/ only with --record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("sets", nargs="*", help="names of folders; all by default")
    parser.add_argument("--budget", default="10min")
    parser.add_argument("--runs", type=int, default=1, help="repetitions of the whole command")
    parser.add_argument("--fasttext", help="interpreter of an environment that has fastText")
    parser.add_argument("--keep", type=Path, help="folder in which what the command wrote is kept")
    parser.add_argument("--record", action="store_true", help="append to tests/benchmarks/results/")
    options = parser.parse_args()
    names = options.sets or sorted(path.name for path in options.folder.iterdir() if path.is_dir())
    every = []
    for name in names:
        files = splits(options.folder / name)
        found: dict[str, Any] = {"bars": bars(files, options.fasttext)}
        kept = options.keep and options.keep / name
        found["runs"] = [distilled(files, options.budget, kept) for _ in range(options.runs)]
        best = max(found["bars"].values())
        shipped = mean(run["accuracy"] for run in found["runs"])
        teacher = mean(run["teacher"] or float("nan") for run in found["runs"])
        one = found["runs"][0]
        say(
            f"{name:20} shipped {shipped:.2f}  best bar {best:.2f} ({shipped - best:+.2f})  "
            f"teacher {teacher:.2f} ({100 * shipped / teacher:.1f} %)  {one['bytes'] / 1e6:.2f} MB  "
            f"p50 {one['p50_ms']:.3f} ms  {one['wall_s']:.0f} s, said {one['said_s']:.0f} s  {one['model']}"
        )
        every.append((shipped - best, shipped / teacher))
        if options.record:
            record("distill", {**machine(), "set": name, "budget": options.budget, **found})
    gains, shares = zip(*every, strict=True)
    say(
        f"on average {mean(gains):+.2f} points over the best bar, at least {min(gains):+.2f}; "
        f"{100 * mean(shares):.1f} % of the teacher"
    )


def splits(folder: Path) -> dict[str, Path]:
    """Return the files of a set, by split."""
    return {path.name.partition(".")[0]: path for path in sorted(folder.glob("*.jsonl*"))}


def rows(path: Path) -> tuple[list[str], list[str]]:
    """Return the texts and labels of a file."""
    data = path.read_bytes()
    lines = (gzip.decompress(data) if path.suffix == ".gz" else data).split(b"\n")
    read = [json.loads(line) for line in lines if line]
    return [row["text"] for row in read], [row["label"] for row in read]


def bars(files: dict[str, Path], fasttext: str | None) -> dict[str, float]:
    """Return the accuracy in per cent of each bag of words."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    (texts, labels), (asked, gold) = rows(files["train"]), rows(files["test"])
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    weights, tested = vectorizer.fit_transform(texts), vectorizer.transform(asked)
    found = {}
    for name, model in (("svm", LinearSVC()), ("logreg", LogisticRegression(C=10, max_iter=1000))):
        answers = model.fit(weights, labels).predict(tested)
        found[name] = 100 * mean(one == other for one, other in zip(answers, gold, strict=True))
    if fasttext:
        with tempfile.TemporaryDirectory() as folder:
            train, test = Path(folder) / "train.txt", Path(folder) / "test.txt"
            numbers = {label: number for number, label in enumerate(sorted(set(labels)))}
            for path, some, of in ((train, texts, labels), (test, asked, gold)):
                lines = [
                    f"__label__{numbers[label]} {plain(text)}\n" for text, label in zip(some, of, strict=True)
                ]
                path.write_text("".join(lines), encoding="utf-8")
            script = (
                "import fasttext, sys\n"
                "m = fasttext.train_supervised(sys.argv[1], epoch=25, wordNgrams=2, thread=1, verbose=0)\n"
                "print(m.test(sys.argv[2])[1])"
            )
            command = [fasttext, "-c", script, str(train), str(test)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found["fasttext"] = 100 * float(done.stdout)
    return found


def plain(text: str) -> str:
    """Return the lower-cased words and marks of a text, as fastText's own recipes prepare it."""
    return " ".join(re.findall(r"\w+|[^\w\s]", text.lower()))


def distilled(files: dict[str, Path], budget: str, kept: Path | None) -> dict[str, Any]:
    """Run the command in an empty store; return what it shipped, and copy what it wrote to a kept folder."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        command = [sys.executable, "-m", "harness", "distill", str(files["train"]), "--out", str(out)]
        command += ["--store", str(Path(folder) / "store"), "--budget", budget]
        for split in ("validation", "test"):
            command += [f"--{split}", str(files[split])] if split in files else []
        clock = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True)
        wall = time.perf_counter() - clock
        if kept:
            shutil.copytree(out, kept, dirs_exist_ok=True)
            (kept / "output.txt").write_text(done.stdout + done.stderr, encoding="utf-8")
        if done.returncode:
            sys.exit(f"{' '.join(command)} ended with status {done.returncode}:\n{done.stderr[-4000:]}")
        told = next(out.glob("*/verdict.json")).read_text(encoding="utf-8")
        said = re.search(r"expected time: (.+?) of ", done.stdout)
        return {
            **shipped(out / "model", files["test"]),
            "wall_s": round(wall, 1),
            "said_s": round(quantity(said[1].replace(" ", ""), "time"), 1) if said else None,
            "verdict": json.loads(told.replace(f"{folder}/", ""))["sections"],
        }


def shipped(folder: Path, test: Path) -> dict[str, Any]:
    """Return the accuracy, size and latency of a shipped model, and its teacher's accuracy."""
    from harness.runtime.forms import load

    model = load(folder)
    texts, gold = rows(test)
    answers = [model.classes[int(number)] for number in model.decided(texts)]
    took = []
    for text in texts[:1000]:
        clock = time.perf_counter()
        model.answer(text)
        took.append(1e3 * (time.perf_counter() - clock))
    kept = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    lines = next(folder.parent.glob("*/records.jsonl")).read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    teachers = [
        one["metrics"]["accuracy"] for one in records if one["role"] == "teacher" and one.get("metrics")
    ]
    return {
        "accuracy": 100 * mean(one == other for one, other in zip(answers, gold, strict=True)),
        "teacher": 100 * max(teachers) if teachers else None,
        "bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        "p50_ms": median(took),
        "form": model.form,
        "model": f"{kept['role']} {(kept['student'] or {}).get('name')}",
        "parameters": kept["parameters"]["total"],
    }


if __name__ == "__main__":
    main()
