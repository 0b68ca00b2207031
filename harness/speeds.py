"""Measure how fast this machine computes transformers in each precision, once, and remember it.

A process of its own measures, because this one may not have imported torch.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from harness.devices import Slot, cpu_count, cpu_info, gpus_have_bf16
from harness.storage.files import publish
from harness.values import Precision, digest

if TYPE_CHECKING:
    from harness.suite.reader import Suite

_BF16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})  # flags of CPUs that compute in bf16
_WORTH = 1.1  # bf16 is less exact, so it must be faster by this factor
_BATCH = 32, 24  # short texts, and tokens of each
_WIDTH, _HEADS = 384, 12  # of MiniLM
_TRIES = 5
_PATIENCE_S = 120.0


@dataclass(frozen=True)
class Speeds:
    """Floating-point operations per second of one core, by precision, in a layer of a transformer."""

    train: dict[str, float]  # forward and backward pass
    label: dict[str, float]  # forward pass

    def gain(self) -> float:
        """Return how many times as fast as in fp32 a model is trained in bf16; 0 if the CPU has no bf16."""
        return self.train.get("bf16", 0.0) / self.train["fp32"]


@dataclass(frozen=True)
class Choice:
    """A precision, and the reason for it."""

    precision: Precision
    reason: str

    def __str__(self) -> str:
        return f"{self.precision}, {self.reason}"


def choose(suite: Suite, places: Sequence[Slot]) -> Choice:
    """Return the precision for a suite's components that can compute in bf16; "auto" means the faster one."""
    if suite.precision != "auto":
        return Choice(suite.precision, "as the suite sets it")
    if not uses_bf16(suite):
        return Choice("fp32", "as no component computes in bf16")
    if any(slot.is_gpu for slot in places):
        return Choice("bf16", "as GPUs do") if gpus_have_bf16() else Choice("fp32", "as a GPU has no bf16")
    if not cpu_info()[1] & _BF16:
        return Choice("fp32", "as the CPU has no bf16")
    found = here()
    if found is None:
        return Choice("fp32", "as the speed of bf16 could not be measured")
    told = f"as bf16 trains {found.gain():.1f} times as fast as fp32 on this CPU"
    return Choice("bf16" if found.gain() >= _WORTH else "fp32", told)


def uses_bf16(suite: Suite) -> bool:
    """Return whether a suite has components that can compute in bf16."""
    return any(component.mixed_precision for component in (*suite.teachers, *suite.students))


FP32 = Choice("fp32", "the default")


@cache
def here() -> Speeds | None:
    """Return the speeds of this machine: measured the first time, then from the user's cache.

    Return None if they cannot be measured.
    """
    path = (
        Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "distil-harness" / "speeds.json"
    )
    name, flags = cpu_info()
    machine = digest(name, *sorted(flags), str(cpu_count()), metadata.version("torch"))
    known: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        known = json.loads(path.read_text(encoding="utf-8"))
    with suppress(KeyError, TypeError, ValueError):
        return _of(known[machine])
    try:
        with TemporaryDirectory() as folder:
            answer = Path(folder) / "speeds.json"
            environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
            command = [sys.executable, "-m", "harness.speeds", str(answer)]
            subprocess.run(command, env=environment, capture_output=True, timeout=_PATIENCE_S, check=True)
            found = json.loads(answer.read_text(encoding="utf-8"))
        speeds = _of(found)
    except (OSError, subprocess.SubprocessError, KeyError, TypeError, ValueError):
        return None
    with suppress(OSError):  # without a cache, each run measures
        path.parent.mkdir(parents=True, exist_ok=True)
        publish(path, json.dumps({**known, machine: found}))
    return speeds


def _of(found: Any) -> Speeds:
    speeds = Speeds(found["train"], found["label"])
    if not all(rate > 0 for rates in (speeds.train, speeds.label) for rate in rates.values()):
        raise ValueError("a speed must be positive")
    speeds.gain()
    return speeds


def measure() -> Speeds:
    """Return the speeds of one core, measured now; it takes about 0.5 s and the import of torch."""
    import torch

    torch.set_num_threads(1)
    layer = torch.nn.TransformerEncoderLayer(_WIDTH, _HEADS, 4 * _WIDTH, activation="gelu", batch_first=True)
    optimizer = torch.optim.AdamW(layer.parameters(), fused=True)
    states = torch.randn(*_BATCH, _WIDTH, requires_grad=True)
    operations = 2 * 12 * _WIDTH**2 * math.prod(_BATCH)  # forward; backward takes twice as many
    train: dict[str, float] = {}
    label: dict[str, float] = {}
    for precision in ("fp32", "bf16") if cpu_info()[1] & _BF16 else ("fp32",):
        lower = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")

        def learn(lower: AbstractContextManager[None] = lower) -> None:
            with lower:
                loss = layer(states).float().square().mean()
            loss.backward()
            optimizer.step()

        def answer(lower: AbstractContextManager[None] = lower) -> None:
            with torch.inference_mode(), lower:
                layer(states)

        train[precision] = 3 * operations / _fastest(learn)
        layer.eval()
        label[precision] = operations / _fastest(answer)
        layer.train()
    return Speeds(train, label)


def _fastest(work: Callable[[], None]) -> float:
    """Return the seconds of the fastest of some tries, because other programs can only slow one down.

    They are seconds of this process, of one thread: it may have to wait for a core while it is measured.
    """
    took = []
    for _ in range(_TRIES):
        clock = time.process_time()
        work()
        took.append(time.process_time() - clock)
    return min(took)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(asdict(measure())), encoding="utf-8")
