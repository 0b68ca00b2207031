"""A model that answers with the nearest centroid, and every way in which its training can go wrong."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import harness
from toykit.counting import counted
from toykit.journal import note, wait_for_gate
from toykit.recipes import Labels

Trouble = Literal[
    "",
    "raise",
    "raise-nothing",
    "refuse",
    "print",
    "leave",
    "exit",
    "kill",
    "odd-signal",
    "memory",
    "balloon",
    "full-disk",
    "unavailable",
    "cores",
    "hang",
    "gate",
    "slow",
    "warn",
    "numpy",
    "disorder",
    "spoil",
    "daemon",
    "unplain",
    "nan",
    "shape",
]


class Centroids(harness.Model):
    """One point a class."""

    def __init__(self, points: NDArray[np.float64], trouble: str = "") -> None:
        self.points = points  # (C, 26)
        self.trouble = trouble

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Logits (N, C): the closer, the larger."""
        distances = ((counted(texts)[:, None, :] - self.points[None]) ** 2).sum(axis=2)  # (N, C)
        logits = (-40 * distances).astype(np.float32)
        if self.trouble == "nan":
            logits[0, 0] = np.nan
        return logits[:, :-1] if self.trouble == "shape" else logits

    def save(self, folder: Path) -> None:
        """The points, as JSON keeps them: to the bit."""
        text = json.dumps({"points": self.points.tolist(), "trouble": self.trouble})
        (folder / "points.json").write_text(text)

    @classmethod
    def read(cls, folder: Path) -> Centroids:
        """What `save` wrote."""
        kept = json.loads((folder / "points.json").read_text())
        return cls(np.array(kept["points"]), kept["trouble"])

    def parameters(self) -> harness.Parameters:
        """Numbers as numpy counts them, or what is no number at all."""
        if self.trouble == "unplain":
            return harness.Parameters(threading.Lock(), 0, 0)  # type: ignore[arg-type]
        total: Any = np.prod(self.points.shape) if self.trouble == "numpy" else self.points.size
        return harness.Parameters(total, total, 0)


def fitted(
    examples: harness.Examples, targets: NDArray[np.float64], context: harness.Context, trouble: str
) -> Centroids:
    """The mean text of each class, moved a little by the seed."""
    stumble(trouble, context)
    points = targets.T @ counted(examples.texts) / np.maximum(targets.sum(axis=0), 1e-9)[:, None]
    points += np.random.default_rng(context.seed).normal(scale=0.01, size=points.shape)
    loss: Any = np.float32(0.5) if trouble == "numpy" else 0.5
    context.progress(len(examples), len(examples), loss=loss)
    return Centroids(points, trouble)


def _available() -> int:
    """Bytes of memory that this machine has left."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))


def stumble(trouble: str, context: harness.Context) -> None:
    """Go wrong, in the way asked for."""
    match trouble:
        case "raise":
            raise ValueError("the toy broke\nand more of this")
        case "raise-nothing":
            raise ValueError
        case "refuse":
            raise harness.HarnessError("the toy is only for tests")
        case "print":
            print("the last words")  # noqa: T201
            os.write(2, b"of a toy\n")
            raise ValueError("the toy broke")
        case "leave":
            sys.exit(5)
        case "exit":
            os.write(2, b"gone without a word\n")
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "odd-signal":
            os.kill(os.getpid(), signal.SIGRTMIN + 6)
        case "memory":
            np.ones(10**15)
        case "balloon":
            kept = []
            while _available() > 1 << 30:  # never all of it
                kept.append(np.ones(8 << 20))  # 64 MB
            raise ValueError(f"nobody ended a step with {len(kept)} times 64 MB")
        case "full-disk":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(context.scratch / "rows"))
        case "unavailable":
            raise harness.Unavailable("the toy is out of stock")
        case "hang":
            while True:
                time.sleep(1)
        case "slow":
            for done in range(12):
                context.progress(done, 12)
                time.sleep(0.21)  # so that each report is sent
        case "gate":
            wait_for_gate()
        case "disorder":
            np.seterr(all="raise")
            os.environ["OMP_NUM_THREADS"] = "9"
            os.chdir("/")
        case "spoil":  # as if a CUDA graph could not be captured
            context.spoil()  # type: ignore[attr-defined]
        case "daemon":
            subprocess.Popen(["sleep", "600"], env={"TOY_DAEMON": "1"}, start_new_session=True)
        case "cores":
            context.warn(f"{context.cores} cores")
            wait_for_gate()
            context.warn(f"{context.cores} cores")
        case "warn":
            context.warn("this toy is [red]hot[/red]")


@dataclass(frozen=True)
class ToyTeacher(harness.Teacher):
    """Learns the gold labels."""

    name = "toy-teacher"
    size: int = 1
    trouble: Trouble = ""
    weights: Literal["", "missing", "broken"] = ""

    def base(self) -> str:
        """Nothing, unless something is to be missing."""
        if self.weights == "missing":
            raise harness.Unavailable("the weights of the toy are not here")
        if self.weights == "broken":
            raise OSError("no box")
        return ""

    def fit(
        self, train: harness.Examples, validation: harness.Examples, context: harness.Context
    ) -> Centroids:
        note(f"fit {self!r} {context.seed}")
        return fitted(train, Labels().targets(train), context, self.trouble)

    def load(self, folder: Path, context: harness.Context) -> Centroids:
        return Centroids.read(folder)


@dataclass(frozen=True)
class Toy(harness.Student):
    """Learns what its loss says."""

    name = "toy"
    size: int = 1
    trouble: Trouble = ""

    def fit(
        self,
        transfer: harness.Examples,
        validation: harness.Examples,
        loss: harness.Loss,
        context: harness.Context,
    ) -> Centroids:
        note(f"fit {self!r} {loss!r} {context.seed} on {len(transfer)}")
        return fitted(transfer, loss.targets(transfer), context, self.trouble)  # type: ignore[attr-defined]

    def load(self, folder: Path, context: harness.Context) -> Centroids:
        return Centroids.read(folder)


@dataclass(frozen=True)
class Strict(Toy):
    """Learns gold labels and nothing else."""

    name = "toy-strict"
    learns_from = frozenset({"labels"})
