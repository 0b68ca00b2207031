"""Fine-tuning MiniLM on emotion: our teacher against a plain Hugging Face Trainer script.

    python tests/benchmarks/bench_finetuning.py [--threads 1] [--examples 16000] [--epochs 3] [--record]

Each contender runs in a process of its own, one after the other, with the same texts, batch size, number of
epochs, learning-rate schedule, weight decay, clipping and seed. The Trainer works in fp32 and pads each batch
to its longest text; our teacher batches by length, and uses a second core as a worker does that is lent one.
Timed is training alone: loading and tokenising are left out for both, and neither looks at the validation
split meanwhile.
Accuracy is that of the last weights on the test split. Needs the extra ``bench``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rival
from report import machine, record, say

from harness.run.local import MALLOC

CONTENDERS = ("trainer", "harness")
BATCH_SIZE, SEED = 32, 0


def main() -> None:
    """Run both contenders, print, and append to results/ only with --record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, choices=(1, 2), default=1)
    parser.add_argument("--examples", type=int, default=16_000, help="of the training split; all if fewer")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument(
        "--source", default="auto", help="of the data: auto (HARNESS_DATA, if set), local, hub or sample"
    )
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of our teacher")
    parser.add_argument("--record", action="store_true", help="append to tests/benchmarks/results/")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        say(json.dumps({"trainer": trainer, "harness": ours}[options.contender](options)))
        return
    found = {name: contend(name, options.threads) for name in CONTENDERS}
    for name, one in found.items():
        say(
            f"{name:8} {one['examples_per_s']:7.1f} examples/s, test accuracy {100 * one['accuracy']:.2f} %, "
            f"{one['precision']}, {one['seconds']:.1f} s for {one['examples']:,} examples"
        )
    ratio = found["harness"]["examples_per_s"] / found["trainer"]["examples_per_s"]
    plural = "" if options.threads == 1 else "s"
    say(
        f"ratio {ratio:.2f} with {options.threads} thread{plural}, data: {found['harness']['source']} "
        f"(goal at least {2.6 if options.threads == 1 else 2.4})"
    )
    if options.record:
        shared = {"threads": options.threads, "epochs": options.epochs, "ratio": round(ratio, 3)}
        record("finetuning", {**machine(), **shared, **found})


def contend(name: str, threads: int) -> dict[str, Any]:
    """Run one contender in its own process with `threads` threads; return what it prints."""
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "CUDA_VISIBLE_DEVICES": ""}
    own = name == "harness"
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(1 if own else threads))
    environment |= MALLOC if own else {}
    arguments = [sys.executable, *sys.argv, "--contender", name]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name} ended with status {done.returncode}:\n{done.stderr[-4000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def splits(source: str, examples: int) -> tuple[str, list[str], dict[str, tuple[list[str], list[int]]]]:
    """The source's name, the classes, and texts and labels by split; training texts in a seeded order."""
    import numpy as np

    from harness_tasks.emotion import Emotion

    task = Emotion()
    found = task.resolve(source)
    tables = task.read(found)
    classes = sorted(set(tables["train"]["label"].to_pylist()))
    chosen = {}
    for split in ("train", "test"):
        table = tables[split]
        if split == "train":
            table = table.take(np.random.default_rng(SEED).permutation(len(table))[:examples])
        labels = [classes.index(label) for label in table["label"].to_pylist()]
        chosen[split] = (table["text"].to_pylist(), labels)
    return found.name, classes, chosen


def outcome(
    logits: Any, gold: list[int], seconds: float, seen: int, precision: str, source: str
) -> dict[str, Any]:
    """What a contender prints."""
    accuracy = float((logits.argmax(axis=1) == gold).mean())
    return {
        "examples_per_s": round(seen / seconds, 2),
        "accuracy": round(accuracy, 5),
        "seconds": round(seconds, 2),
        "examples": seen,
        "precision": precision,
        "source": source,
    }


def trainer(options: argparse.Namespace) -> dict[str, Any]:
    """The Trainer as its documentation has it."""
    import torch
    from datasets import Dataset
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        set_seed,
    )

    from harness_transformers.transformer import MiniLM

    torch.set_num_threads(options.threads)
    source, classes, chosen = splits(options.source, options.examples)
    teacher = MiniLM()
    folder = teacher.folder()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    sets = {
        split: Dataset.from_dict({"text": texts, "label": labels}).map(
            lambda rows: tokenizer(rows["text"], truncation=True, max_length=teacher.longest),
            batched=True,
            remove_columns=["text"],
        )
        for split, (texts, labels) in chosen.items()
    }
    set_seed(SEED)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=len(classes))
    steps = options.epochs * -(-len(sets["train"]) // BATCH_SIZE)
    with tempfile.TemporaryDirectory() as scratch:
        run = rival.trainer(
            model,
            sets["train"],
            DataCollatorWithPadding(tokenizer),
            Path(scratch),
            batch_size=BATCH_SIZE,
            epochs=options.epochs,
            warmup_steps=round(teacher.warmup * steps),
            seed=SEED,
            learning_rate=teacher.learning_rate,
            lr_scheduler_type="linear",
            weight_decay=teacher.weight_decay,
        )
        clock = time.perf_counter()
        run.train()
        seconds = time.perf_counter() - clock
        logits = run.predict(sets["test"]).predictions
    seen = options.epochs * len(sets["train"])
    return outcome(logits, chosen["test"][1], seconds, seen, "fp32", source)


def ours(options: argparse.Namespace) -> dict[str, Any]:
    """The teacher ``minilm`` as the harness runs it, but for the validation after each epoch."""
    import numpy as np
    import torch

    import harness_transformers.finetuning as finetuning
    from harness import Examples
    from harness.testing.tiny import CheckContext
    from harness_transformers.transformer import MiniLM

    torch.set_num_threads(1)  # as in a worker, which uses other cores by itself
    torch.set_num_interop_threads(1)
    source, classes, chosen = splits(options.source, options.examples)
    texts, labels = chosen["train"]
    train = Examples(texts, tuple(classes), np.array(labels))
    seconds = 0.0
    fit = finetuning.train

    def timed(*arguments: Any) -> None:
        nonlocal seconds
        clock = time.perf_counter()
        fit(*arguments)
        seconds = time.perf_counter() - clock

    finetuning.train = timed

    @dataclass(frozen=True, kw_only=True)
    class LastWeights(MiniLM):
        """MiniLM without a look at validation: the last weights are taken, as the Trainer takes them."""

        keep_best: bool = False

    with tempfile.TemporaryDirectory() as scratch:
        context = CheckContext(Path(scratch), SEED, cores=options.threads, precision=options.precision)
        teacher = LastWeights(epochs=options.epochs, batch_size=BATCH_SIZE)
        few = Examples(texts[:8], tuple(classes), np.array(labels[:8]))
        model = teacher.fit(train, few, context)
        logits = model.predict(chosen["test"][0])
    seen = options.epochs * len(texts)
    return outcome(logits, chosen["test"][1], seconds, seen, context.precision, source)


if __name__ == "__main__":
    main()
