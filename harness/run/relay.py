"""Run the steps of one slot for a driver in another process, perhaps on another machine.

A relay has the worker processes that one slot of this machine has. A step computes the same in them, and one
that breaks its process costs nothing else. The relay itself imports no plugin.
"""

from __future__ import annotations

import os
import pickle
import platform
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from harness.devices import Slot, cpu_info
from harness.executors.base import SIGNS, Event, Work
from harness.hookspecs import DISTRIBUTION
from harness.plan.fingerprint import installed_code
from harness.run.local import LocalWorkers
from harness.storage.shared import Shared, folder_of

_TICK_S = 0.2
# Variables that describe one machine or one process on it: a relay keeps its own.
_OWN = frozenset(
    ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "OLDPWD", "SHLVL", "TMPDIR", "HOSTNAME", "_")
)
_CACHE = "HARNESS_CACHE"  # a machine's own counts, if it has one
_OWN_PREFIXES = ("RAY_", "SLURM_", "CUDA_", "NVIDIA_", "LD_", "XDG_", "SSH_", "SUBMITIT_")


class Surroundings(NamedTuple):
    """The state of the driver's process that steps need in a relay too."""

    environment: dict[str, str]
    folder: str
    paths: list[str]  # where Python looks for modules

    @classmethod
    def here(cls) -> Surroundings:
        """Return those of this process."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in _OWN and not name.startswith(_OWN_PREFIXES)
        }
        return cls(kept, str(Path.cwd()), [str(Path(path).absolute()) for path in sys.path])

    def enter(self) -> None:
        """Make them those of this process."""
        cache = os.environ.get(_CACHE)
        os.environ.update(self.environment | ({_CACHE: cache} if cache else {}))
        with suppress(OSError):  # a folder that this machine lacks; absolute paths still work
            os.chdir(self.folder)
        sys.path[:] = [*self.paths, *(path for path in sys.path if path not in self.paths)]


def store_here(store: Path, url: str) -> Path:
    """Return the folder of the driver's store on this machine.

    A store elsewhere, at a URL, has a folder on each machine. Raise HarnessError if it cannot be read.
    """
    if not url:
        return store
    folder = folder_of(url).absolute()
    Shared(folder, url).reach()
    return folder


class Traits(NamedTuple):
    """The properties that all machines of a run must share, since results may depend on them."""

    python: str
    packages: dict[str, str]  # versions of the packages that this one can use and that are installed
    code: str  # digest of the code of this package and of all plugins
    cpu: str
    features: frozenset[str]  # of the CPU: libraries choose their arithmetic by them
    sees: bool = True  # whether it has a file that the driver has written to the store

    @classmethod
    def here(cls, sign: Path | None = None) -> Traits:
        """Return those of this machine; `sign` is a file of the driver."""
        packages = {}
        for line in metadata.requires(DISTRIBUTION) or ():
            name = re.split(r"[^\w.-]", line, maxsplit=1)[0]
            with suppress(metadata.PackageNotFoundError):
                packages[name] = metadata.version(name)
        sees = sign is None or sign.is_file()
        return cls(platform.python_version(), packages, installed_code(), *cpu_info(), sees)

    def difference(self, other: Traits) -> str:
        """Return the first difference of another machine from this one; empty if there is none."""
        if self.python != other.python:
            return f"it has Python {other.python}, this machine {self.python}"
        for name in sorted(self.packages.keys() & other.packages.keys()):
            if self.packages[name] != other.packages[name]:
                return f"it has {name} {other.packages[name]}, this machine {self.packages[name]}"
        if self.code != other.code:
            return "its code of this package or of a plugin is not that of this machine"
        if self.features != other.features:
            odd = sorted(self.features ^ other.features)
            return f"its CPU differs from that of this machine in {', '.join(odd[:4])}"
        if self.cpu != other.cpu:
            return f"its CPU is {other.cpu}, that of this machine {self.cpu}"
        if not other.sees:
            return "it does not see the store; put that on a file system that all machines share"
        return ""


class Sealed:
    """A step that is still pickled; only the worker that gets it opens it."""

    gpus = 1  # a relay has one slot, and sees no more

    def __init__(self, key: str, foreign: tuple[str, ...], pickled: bytes) -> None:
        self.key, self.foreign = key, foreign
        self._pickled = pickled

    @classmethod
    def of(cls, step: Work) -> Sealed:
        """Return a step, sealed. An error of pickle is raised, e.g. for a class that its module lacks."""
        return cls(step.key, step.foreign, pickle.dumps(step))

    @property
    def parts(self) -> tuple[str, tuple[str, ...], bytes]:
        """Return plain values from which it can be made again."""
        return self.key, self.foreign, self._pickled

    def __reduce__(self) -> tuple[Any, ...]:
        return pickle.loads, (self._pickled,)


class Relay:
    """The workers of one slot. `run` is called in one thread, the other methods in any."""

    def __init__(self, store: Path, slot: Slot, surroundings: Surroundings, url: str = "") -> None:
        """`store` is the driver's folder; `url` is that of a store elsewhere, which has a folder here too."""
        surroundings.enter()
        self._workers = LocalWorkers(store_here(store, url), [slot])
        self._used = threading.Lock()  # held while a step runs
        self._stopped: dict[str, str] = {}  # reasons to stop a step, by its key; "" for every step

    def run(self, key: str, foreign: tuple[str, ...], pickled: bytes) -> Iterator[Event]:
        """Run a step, given by its sealed parts; yield its events, of which the last one reports its end."""
        with self._used:
            self._stopped.pop(key, None)  # of an earlier try
            self._workers.submit(0, Sealed(key, foreign, pickled))
            while True:
                for event in self._workers.wait(_TICK_S):
                    yield event
                    if event.type not in SIGNS:
                        return
                if reason := self._stopped.get(key) or self._stopped.get(""):
                    yield self._workers.stop(key, reason)
                    return

    def lend(self, key: str, cores: int) -> None:
        """Let a running step use `cores` cores from now on."""
        self._workers.lend(key, cores)

    def stop(self, key: str, reason: str) -> None:
        """Let a running step be stopped; its last event has the reason."""
        self._stopped[key] = reason

    def close(self) -> None:
        """Stop the running step and the workers."""
        self._stopped[""] = "its executor was closed"
        with self._used:
            self._workers.close()
