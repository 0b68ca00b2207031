"""An outside plugin: a student that is slow, and a witness that tells in which state it finds its process."""

from __future__ import annotations

import builtins
import decimal
import gc
import io
import locale
import logging
import os
import resource
import signal
import sys
import time
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from toykit.models import Centroids, Toy
from toykit.recipes import Labels

import harness

if TYPE_CHECKING:
    from harness.hookspecs import Register


@dataclass(frozen=True)
class Slow(Toy):
    """A toy that takes its time, as a real training does."""

    name = "slow"
    seconds: float = 0.3

    def fit(
        self,
        transfer: harness.Examples,
        validation: harness.Examples,
        loss: harness.Loss,
        context: harness.Context,
    ) -> Centroids:
        for part in range(1, 11):
            time.sleep(self.seconds / 10)
            context.progress(part, 10, loss=1 / part)
        return super().fit(transfer, validation, loss, context)


def state() -> dict[str, float]:
    """The global state of this process in numbers, without what depends on the machine or on imports."""

    def digest(value: object) -> float:
        return float(zlib.crc32(repr(value).encode()))

    torch = sys.modules.get("torch")
    umask = os.umask(0o022)
    os.umask(umask)
    names = ("OMP_NUM_THREADS", "LANG", "LC_ALL", "HOME", "PATH", "TZ")
    signals = (signal.SIGALRM, signal.SIGUSR1, signal.SIGPIPE, signal.SIGCHLD, signal.SIGTERM)
    found = {
        "folder": Path("toys.csv").exists(),
        "umask": umask,
        "recursion": sys.getrecursionlimit(),
        "switch": sys.getswitchinterval(),
        "numpy": digest(np.geterr()),
        "printing": digest(np.get_printoptions()["precision"]),
        "locale": digest(locale.setlocale(locale.LC_ALL)),
        "zone": digest(time.tzname),
        "variables": digest([os.environ.get(name) for name in names]),
        "decimal": decimal.getcontext().prec,
        "collector": gc.isenabled(),
        "logging": logging.root.level + logging.root.manager.disable,
        "warnings": any(each[0] == "error" and each[2] is Warning for each in warnings.filters),
        "signals": digest([signal.getsignal(each) in (signal.SIG_DFL, signal.SIG_IGN) for each in signals]),
        "files": digest(resource.getrlimit(resource.RLIMIT_NOFILE)),
        "stack": digest(resource.getrlimit(resource.RLIMIT_STACK)),
        "memory": digest(resource.getrlimit(resource.RLIMIT_AS)),
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "paths": len(sys.path),
        "finders": len(sys.meta_path),
        "open": builtins.open is io.open,
        "clock": time.time() > 1e9,
        "hook": sys.excepthook is sys.__excepthook__,
        "trace": sys.gettrace() is None,
        "output": not sys.stdout.closed and not sys.stderr.closed,
        "sum": float(np.sum(np.ones(3))),
    }
    # As torch starts, if nothing has imported it here.
    found |= {
        "type": digest(str(torch.get_default_dtype()) if torch else "torch.float32"),
        "device": digest(str(torch.get_default_device()) if torch else "cpu"),
        "gradients": torch.is_grad_enabled() if torch else True,
    }
    return {name: float(value) for name, value in found.items()}


@dataclass(frozen=True)
class Witness(Toy):
    """A toy whose history has the state of its process, so that a record differs if another step moved it."""

    name = "witness"

    def fit(
        self,
        transfer: harness.Examples,
        validation: harness.Examples,
        loss: harness.Loss,
        context: harness.Context,
    ) -> Centroids:
        context.progress(1, 1, **state())
        points = Labels().targets(transfer).T @ np.array([[float(len(text))] * 26 for text in transfer.texts])
        return Centroids(points, "")


@harness.hookimpl
def register_students(register: Register) -> None:
    register(Slow)
    register(Witness)
