"""Students that learn from recorded logits: our training loop against three that one could use instead.

    python tests/benchmarks/bench_students.py [--students mlp,cnn,bigru] [--rounds 3] [--record]

Each contender trains the same module, in the student's default size, on the same ids and the same recorded
logits (of a seeded random teacher), in fp32, with KL at temperature 2, AdamW, the same batch size, number of
examples, warm-up, cosine decay and clipping:

- harness: ``TorchStudent.fit``, as a step runs it: memory-mapped logits and token tables
- textbrewer: ``BasicDistiller`` with ``is_caching_logits``
- dataloader: a plain loop over a torch ``DataLoader``, whose collate function pads a batch
- trainer: Hugging Face ``Trainer`` with the same collate function

Timed is training alone, from token tables on: the CPU time of a process with one thread, after 20 batches of
another module. Left out are, for all, tokenising and looks at a validation set; and TextBrewer's first pass,
which pads the batches and looks the logits up. A round runs each contender once, in a process of its own; the
median of the rounds counts.

The peers are installed in an environment below build/peers, which sees the packages of this one; ``--peers``
names another one that has textbrewer and accelerate.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import rival
from report import machine, record, say

from harness.run.local import MALLOC

ROOT = Path(__file__).parents[2]
PEERS = ("textbrewer==0.2.1.post1", "accelerate", "psutil")  # without what they need, which is here
CONTENDERS = ("harness", "textbrewer", "dataloader", "trainer")
EPOCHS = {"mlp": 10, "cnn": 3, "bigru": 1}  # over 30,000 texts: the faster, the more
SEED, CLASSES, TEMPERATURE, WARM_UP = 0, 6, 2.0, 20


def main() -> None:
    """Run all contenders in rounds, print, and append to results/ only with --record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--students", default=",".join(EPOCHS))
    parser.add_argument("--texts", type=int, default=30_000, help="the data's texts, repeated")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", type=Path, default=ROOT / "build" / "peers", help="environment")
    parser.add_argument("--record", action="store_true", help="append to tests/benchmarks/results/")
    parser.add_argument("--contender", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        name, student = options.contender
        say(json.dumps(measured(name, student, options.texts)))
        return
    students = options.students.split(",")
    python = installed(options.peers)
    rounds = [
        {(student, name): contend(python, name, student) for student in students for name in CONTENDERS}
        for _ in range(options.rounds)
    ]
    found: dict[str, Any] = {}
    for student in students:
        speeds = {n: round(median(one[student, n]["speed"] for one in rounds)) for n in CONTENDERS}
        losses = {n: rounds[0][student, n]["loss"] for n in CONTENDERS}
        found[student] = {"epochs": EPOCHS[student], "examples_per_s": speeds, "loss": losses}
        for name, speed in speeds.items():
            ratio = f"harness / {name} = {speeds['harness'] / speed:.2f}" if name != "harness" else ""
            say(f"{student:6} {name:11} {speed:9,} examples/s, loss {losses[name]:.3f}   {ratio}")
    source = rounds[0][students[0], "harness"]["source"]
    say(f"one thread, {options.texts:,} texts, data: {source}")
    if options.record:
        shared = {"texts": options.texts, "rounds": options.rounds, "source": source}
        record("students", {**machine(), **shared, **found})


def installed(peers: Path) -> Path:
    """Return the interpreter of an environment that has the peers; make it if it is not there."""
    python = peers / "bin" / "python"
    if not python.exists():
        say(f"installing {', '.join(PEERS)} into {peers}")
        venv.create(peers, with_pip=True)
        limits = ["-c", str(ROOT / "constraints.txt")]
        subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", *limits, *PEERS], check=True)
        ours = [path for path in sys.path if path.endswith("site-packages")]
        own = next((peers / "lib").glob("python*/site-packages"))
        lines = [f"import site; site.addsitedir({path!r})" for path in ours]
        (own / "harness.pth").write_text("\n".join(lines), encoding="utf-8")
    return python


def contend(python: Path, name: str, student: str) -> dict[str, Any]:
    """What one contender, in its own process with one thread, says of itself."""
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "CUDA_VISIBLE_DEVICES": ""}
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    environment |= MALLOC if name == "harness" else {}  # as its workers have it
    arguments = [str(python), "-W", "ignore", *sys.argv, "--contender", name, student]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name} ended with status {done.returncode}:\n{done.stderr[-4000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@dataclass
class Case:
    """What a contender trains: a student on texts, their ids and the logits of a teacher, (N, C)."""

    student: Any
    texts: list[str]
    logits: Any
    featuriser: Any
    epochs: int

    def module(self) -> Any:
        """Return the untrained module."""
        import torch

        torch.manual_seed(SEED)
        return self.student.module(self.featuriser.size, CLASSES)

    def few(self) -> Case:
        """Return a case for warming up."""
        count = WARM_UP * self.student.batch_size
        return Case(self.student, self.texts[:count], self.logits[:count], self.featuriser, 1)

    @property
    def steps(self) -> int:
        """Return the number of batches of the training."""
        return self.epochs * -(-len(self.texts) // self.student.batch_size)

    def rows(self) -> list[tuple[Any, Any]]:
        """Return ids and logits of each text, as tensors."""
        import torch

        tokens = self.featuriser.tokens(self.texts)
        ids = torch.from_numpy(tokens.ids.astype("int64")).split(tokens.lengths.tolist())
        return list(zip(ids, torch.from_numpy(self.logits.copy()), strict=True))

    def loader(self, collate: Callable[[Any], Any]) -> Any:
        """Return a DataLoader that shuffles."""
        from torch.utils.data import DataLoader

        return DataLoader(
            self.rows(),  # type: ignore[arg-type]
            self.student.batch_size,
            shuffle=True,
            collate_fn=collate,
        )


def measured(name: str, student: str, count: int) -> dict[str, Any]:
    """Return a contender's examples a second, and its loss on the first texts after training."""
    import numpy as np
    import torch

    from harness_students.convolutional import Cnn
    from harness_students.recurrent import BiGru
    from harness_students.words import Mlp
    from harness_tasks.emotion import Emotion

    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    task = Emotion()
    source = task.resolve("auto")
    texts = list(islice(cycle(task.read(source)["train"]["text"].to_pylist()), count))
    kind: Any = {"mlp": Mlp, "cnn": Cnn, "bigru": BiGru}[student]

    @dataclass(frozen=True, kw_only=True)
    class LastWeights(kind):  # type: ignore[misc]
        """The student without a look at validation, as its peers have none."""

        keep_best: bool = False

    logits = 2 * np.random.default_rng(SEED).standard_normal((count, CLASSES)).astype(np.float32)
    made = LastWeights(epochs=EPOCHS[student], min_examples=0)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "logits.npy"
        np.save(path, logits)
        from harness.api import Examples

        featuriser = made.featuriser(Examples(texts, tuple("abcdef")))
        case = Case(made, texts, np.load(path, mmap_mode="r"), featuriser, EPOCHS[student])
        train = globals()[name]
        train(case.few(), Path(scratch))
        seconds, module = train(case, Path(scratch))
        few = case.few()
        batch, targets = padded(few.rows())
        with torch.inference_mode():
            loss = float(divergence(module.eval()(batch), targets))
    return {"speed": case.epochs * count / seconds, "loss": round(loss, 4), "source": source.name}


def padded(rows: list[tuple[Any, Any]]) -> tuple[Any, Any]:
    """Return the ids of a batch, (B, L), padded with 0, and its logits, (B, C)."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    return pad_sequence([ids for ids, _ in rows], True), torch.stack([row for _, row in rows])


def divergence(logits: Any, targets: Any) -> Any:
    """Return KL(teacher || student) at the temperature, as `kl` defines it."""
    from torch.nn import functional as F

    p, q = F.softmax(targets / TEMPERATURE, -1), F.log_softmax(logits / TEMPERATURE, -1)
    return F.kl_div(q, p, reduction="batchmean") * TEMPERATURE**2


def schedule(case: Case) -> Callable[[int], float]:
    """Return the harness's factor of the learning rate by step."""
    from harness.training.optimiser import rate_factor
    from harness.training.settings import training_of

    return rate_factor(training_of(case.student), case.steps)  # type: ignore[no-any-return]


def harness(case: Case, scratch: Path) -> tuple[float, Any]:
    """Train by the student's own `fit`; return the CPU seconds of its training loop and the module."""
    import harness.training.loop as loop
    from harness.api import Examples
    from harness.testing.tiny import CheckContext
    from harness_losses.soft import SoftTargets

    inner, seconds = loop.train, 0.0

    def timed(*arguments: Any) -> None:
        nonlocal seconds
        clock = time.process_time()
        inner(*arguments)
        seconds = time.process_time() - clock

    classes = tuple("abcdef")
    transfer = Examples(case.texts, classes, logits=case.logits)
    few = Examples(case.texts[:8], classes)
    loop.train = timed
    try:
        model = case.student.fit(transfer, few, SoftTargets(temperature=TEMPERATURE), CheckContext(scratch))
    finally:
        loop.train = inner
    return seconds, model.module


def dataloader(case: Case, scratch: Path) -> tuple[float, Any]:
    """Train by a plain loop; return its CPU seconds and the module."""
    import torch

    module = case.module().train()
    loader = case.loader(padded)
    optimizer = torch.optim.AdamW(module.parameters(), lr=case.student.learning_rate, weight_decay=0.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule(case))
    clock = time.process_time()
    for _ in range(case.epochs):
        for ids, targets in loader:
            optimizer.zero_grad()
            divergence(module(ids), targets).backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
    return time.process_time() - clock, module


def trainer(case: Case, scratch: Path) -> tuple[float, Any]:
    """Train by Hugging Face's Trainer; return its CPU seconds and the module."""
    from torch import nn

    class Distilled(nn.Module):
        """The module, with its loss as the Trainer wants it."""

        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, input_ids: Any, targets: Any) -> dict[str, Any]:
            logits = self.inner(input_ids)
            return {"loss": divergence(logits, targets), "logits": logits}

    def collate(rows: list[Any]) -> dict[str, Any]:
        return dict(zip(("input_ids", "targets"), padded(rows), strict=True))

    module = case.module()
    run = rival.trainer(
        Distilled(module),
        case.rows(),
        collate,
        scratch / "trainer",
        batch_size=case.student.batch_size,
        epochs=case.epochs,
        warmup_steps=round(case.student.warmup * case.steps),
        seed=SEED,
        learning_rate=case.student.learning_rate,
        lr_scheduler_type="cosine",
        weight_decay=0.0,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )
    clock = time.process_time()
    run.train()
    return time.process_time() - clock, module


def textbrewer(case: Case, scratch: Path) -> tuple[float, Any]:
    """Train by TextBrewer with cached logits; return the CPU seconds after caching, and the module."""
    import torch
    from textbrewer import BasicDistiller, DistillationConfig, TrainingConfig

    class Timed(BasicDistiller):  # type: ignore[misc]
        """A distiller with a clock that starts at the first batch to train on."""

        clock = 0.0

        def train_on_batch(self, batch: Any, args: Any) -> Any:
            self.clock = self.clock or time.process_time()
            return super().train_on_batch(batch, args)

    class Recorded(torch.nn.Module):
        """A teacher whose answers come with the batch."""

        def forward(self, ids: Any, targets: Any) -> Any:
            return targets

    class Student(torch.nn.Module):
        """The module, which ignores the answers."""

        def __init__(self, inner: torch.nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, ids: Any, targets: Any) -> Any:
            return self.inner(ids)

    def adapted(batch: Any, logits: Any) -> dict[str, Any]:
        return {"logits": logits}

    module = case.module()
    distiller = Timed(
        TrainingConfig(
            output_dir=str(scratch / "textbrewer"), device="cpu", ckpt_epoch_frequency=case.epochs
        ),
        DistillationConfig(temperature=TEMPERATURE, kd_loss_weight=TEMPERATURE**2, is_caching_logits=True),
        Recorded(),
        Student(module),
        adapted,
        adapted,
    )
    optimizer = torch.optim.AdamW(module.parameters(), lr=case.student.learning_rate, weight_decay=0.0)
    with distiller:
        distiller.train(
            optimizer,
            case.loader(padded),
            num_epochs=case.epochs,
            scheduler_class=torch.optim.lr_scheduler.LambdaLR,
            scheduler_args={"lr_lambda": schedule(case)},
            max_grad_norm=1.0,
        )
    return time.process_time() - distiller.clock, module


if __name__ == "__main__":
    main()
