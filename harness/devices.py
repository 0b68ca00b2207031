"""Find the CPUs and GPUs of this machine, without importing torch."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from harness.api import HarnessError

_WORKERS_OF_A_CARD = 4  # more workers gain little, because they take turns on the GPU
_MEMORY_OF_A_WORKER_GIB = 16  # enough to fine-tune a transformer of 300 million parameters


@dataclass(frozen=True)
class Slot:
    """A place that can run one step at a time."""

    device: str  # "cpu" or "cuda:<index>"
    threads: int = 1
    node: str = ""  # the machine, if the executor has several

    @property
    def is_gpu(self) -> bool:
        """Return whether the slot is a GPU."""
        return self.device != "cpu"


@cache
def cpu_count() -> int:
    """Return the number of cores that this process may use; the machine may have more."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def cpu_info() -> tuple[str, frozenset[str]]:
    """Return the CPU's model name and its feature flags."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return platform.processor() or platform.machine(), frozenset()
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = fields.get("flags", fields.get("Features", ""))
    return fields.get("model name", platform.machine()), frozenset(flags.split())


@dataclass(frozen=True)
class _Card:
    """A GPU as nvidia-smi describes it."""

    uuid: str
    memory_mib: int
    capability: float  # 8.0 or more: it computes in bf16
    name: str


@cache
def _cards() -> tuple[_Card, ...]:
    """Return the NVIDIA GPUs that torch could use here, in torch's order."""
    if not shutil.which("nvidia-smi") or metadata.version("torch").endswith("+cpu"):
        return ()
    query = ["nvidia-smi", "--query-gpu=uuid,memory.total,compute_cap,name", "--format=csv,noheader,nounits"]
    try:
        found = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    cards = []
    for line in found.splitlines():
        if len(parts := [part.strip() for part in line.split(",", 3)]) == 4:  # other lines are messages
            uuid, memory, capability, name = parts  # some say "[N/A]"
            known = re.fullmatch(r"\d+\.\d+", capability)
            cards.append(
                _Card(uuid, int(memory) if memory.isdigit() else 0, float(capability) if known else 8.0, name)
            )
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return tuple(cards)
    seen = []
    for one in map(str.strip, visible.split(",")):  # an index or the start of an identifier
        meant = [card for i, card in enumerate(cards) if one and (one == str(i) or card.uuid.startswith(one))]
        if not meant:
            break  # like CUDA, ignore everything after the first unknown GPU
        seen.append(meant[0])
    return tuple(seen)


def gpus() -> tuple[str, ...]:
    """Return the names of the NVIDIA GPUs that torch could use here."""
    return tuple(card.name for card in _cards())


def gpus_have_bf16() -> bool:
    """Return whether all GPUs compute in bf16, which those of before 2020 do not."""
    return all(card.capability >= 8.0 for card in _cards())


def _at_once(card: int) -> int:
    """Return how many steps a GPU runs at once by default, given its memory and the machine's cores."""
    cards = _cards()
    room = cards[card].memory_mib // (_MEMORY_OF_A_WORKER_GIB * 1024)
    return max(1, min(_WORKERS_OF_A_CARD, room, (cpu_count() - 1) // len(cards)))


def slots(devices: str = "auto") -> tuple[Slot, ...]:
    """Return the slots for ``--devices``.

    Its values are "auto", "cpu", "cpu:4" (four workers), "cuda", and "cuda:0,cuda:1*6" (six workers on the
    second GPU). Small models leave most of a large GPU idle, so a GPU runs several steps at once, each in its
    own process. Each remaining core runs one single-threaded step.
    """
    if re.fullmatch(r"cpu(:0*[1-9]\d{0,3})?", devices, re.ASCII):
        return (Slot("cpu"),) * int(devices.partition(":")[2] or cpu_count())
    here = [f"cuda:{card}" for card in range(len(gpus()))]
    if devices == "auto" and not here:
        return (Slot("cpu"),) * cpu_count()
    workers: list[str] = []
    for part in ("cuda" if devices == "auto" else devices).split(","):
        given = re.fullmatch(r"\s*(cuda(?::\w+)?)\s*(?:\*\s*([1-9]\d?))?\s*", part, re.ASCII)
        if given is None:
            raise HarnessError(
                f"--devices must be auto, cpu, cpu:<workers>, cuda or cuda:<index>,…, got {devices!r}; "
                "add *<workers> to a GPU to set how many steps it runs at once"
            )
        name, count = given.groups()
        for card in (here or ["cuda:0"]) if name == "cuda" else [name]:
            if card not in here:
                raise HarnessError(
                    f"--devices names {card!r}, but this machine has {len(here)} usable GPUs; "
                    f"allowed: {', '.join(['auto', 'cpu', *here])}"
                )
            if card not in workers:  # a GPU that is named twice counts once
                workers += [card] * int(count or _at_once(int(card.partition(":")[2])))
    rest = max(1, cpu_count() - len(workers)) if devices == "auto" else 1
    return tuple(map(Slot, workers)) + (Slot("cpu"),) * rest


@cache
def machine() -> str:
    """Return the name of the hardware on which latencies are measured."""
    return "; ".join([cpu_info()[0], f"{cpu_count()} cores", *gpus()])


def energy_uj(root: Path = Path("/sys/class/powercap")) -> dict[str, tuple[int, int]]:
    """Return the energy that each CPU package has used, by RAPL.

    The values are microjoules, and the limit at which the counter starts again. The result is empty if the
    system does not report energy, as in most containers.
    """
    found = {}
    for zone in sorted(root.glob("*-rapl:[0-9]*")):
        if zone.name.count(":") > 1:  # a part of a package
            continue
        try:
            used, limit = ((zone / name).read_text("ascii") for name in ("energy_uj", "max_energy_range_uj"))
            found[zone.name] = int(used), int(limit)
        except (OSError, ValueError):
            continue
    return found


def energy_j(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> float | None:
    """Return the joules used between two results of :func:`energy_uj`, or None if these are empty.

    The energy of other processes is included. A counter that started again once is corrected.
    """
    if not before or before.keys() != after.keys():
        return None
    used = [(after[zone][0] - start) % (limit + 1) for zone, (start, limit) in before.items()]
    return sum(used) / 1e6
