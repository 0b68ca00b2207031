"""Connect to a Ray cluster, and find the nodes on which a step computes what it computes on this machine."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from harness.api import HarnessError
from harness.devices import Slot
from harness.run.relay import Surroundings, Traits, store_here
from harness.storage import files
from harness.storage.shared import url_of
from harness.storage.store import Store

_ANSWERS_WITHIN_S = 120.0  # a node that starts its first worker process reads a gigabyte of libraries
_CONNECTS_WITHIN_S = 10.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Node(NamedTuple):
    """A living node of the cluster."""

    name: str  # unique: its host, and the start of its identifier
    identifier: str
    cpus: int
    gpus: int


def connect(address: str = "", **resources: Any) -> None:
    """Join the cluster at an address, or start one on this machine; do nothing if that was done before.

    Ray changes how this process handles signals; that is undone. Raise HarnessError if there is no cluster.
    """
    import ray

    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")  # on a busy machine it takes long
    # By default, Ray gives workers the lowest priorities, and latencies would be those of such a process.
    os.environ.setdefault("RAY_worker_niceness", "0")
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    own = {} if address else {"include_dashboard": False, **resources}
    host, _, port = address.rpartition(":")
    try:
        if port.isdigit():  # Ray itself would try for minutes
            socket.create_connection((host, int(port)), _CONNECTS_WITHIN_S).close()
        ray.init(address or "local", log_to_driver=False, logging_level=logging.ERROR, **own)
    except Exception as error:  # Ray raises plain ones too, e.g. on a machine that is too busy
        told = str(error).strip().partition("\n")[0]
        where = f"cannot join the Ray cluster at {address!r}" if address else "cannot start Ray"
        raise HarnessError(f"{where}: {type(error).__name__}: {told}") from None
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


def alive() -> dict[str, Node]:
    """Return the living nodes with CPUs or GPUs, by name."""
    import ray

    found = {}
    for one in ray.nodes():
        has = one["Resources"]
        name = f"{one['NodeManagerHostname']}-{one['NodeID'][:8]}"
        node = Node(name, one["NodeID"], int(has.get("CPU", 0)), int(has.get("GPU", 0)))
        if one["Alive"] and (node.cpus or node.gpus):
            found[name] = node
    return dict(sorted(found.items()))


def on(node: Node) -> Any:
    """Return the strategy that starts a task or actor on this node, and nowhere else."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node.identifier, soft=False)


def hello(surroundings: Surroundings, sign: Path, url: str) -> Traits:
    """Return the traits of a node. Raise HarnessError if it cannot read the store at a URL."""
    surroundings.enter()
    store_here(sign.parent, url)
    return Traits.here(None if url else sign)


def usable(store: Path, notice: Callable[[str], None]) -> list[Node]:
    """Return the nodes that are like this machine and see the store; send a notice for each other one.

    If the store is at a URL, each node has a folder of its own in front of it.
    """
    import ray
    from ray.exceptions import GetTimeoutError, RayError

    url = url_of(store)
    sign = Store(store.absolute()).root / "tmp" / files.owned(f"hello.{uuid.uuid4().hex[:8]}")
    sign.touch()
    found = []
    try:
        here, own = Surroundings.here(), Traits.here()
        asked = {
            node: ray.remote(hello)
            .options(num_cpus=0, max_retries=0, scheduling_strategy=on(node))
            .remote(here, sign, url)
            for node in alive().values()
        }
        for node, answer in asked.items():
            try:
                other = own.difference(ray.get(answer, timeout=_ANSWERS_WITHIN_S))
            except GetTimeoutError:
                other = f"it did not answer within {_ANSWERS_WITHIN_S:g} s"
            except RayError as error:
                other = f"it cannot run this package: {cause(error)}"
            if other:
                notice(f"node {node.name} is not used: {other}")
            else:
                found.append(node)
    finally:
        sign.unlink(missing_ok=True)
    return found


def cause(error: Exception) -> str:
    """Return the last line of an error of Ray that is not indented, which names the cause."""
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith((" ", "\t"))]
    return lines[-1].strip() if lines else type(error).__name__


def slots_of(node: Node, devices: str, steps_per_gpu: int) -> list[Slot]:
    """Return the slots of a node for ``--devices``; each takes one of its CPUs.

    Raise HarnessError for devices that have no meaning on a cluster.
    """
    given = re.fullmatch(r"auto|cuda|cpu(?::([1-9]\d{0,3}))?", devices, re.ASCII)
    if given is None:
        raise HarnessError(
            "--devices must be auto, cpu, cpu:<workers of a node> or cuda with the executor 'ray', "
            f"got {devices!r}"
        )
    on_gpus = [] if given[0].startswith("cpu") else [f"cuda:{n}" for n in range(node.gpus)] * steps_per_gpu
    count = int(given[1] or node.cpus) if given[0] != "cuda" else 0
    on_gpus = sorted(on_gpus)[: node.cpus]
    return [
        Slot(device, 1, node.name) for device in (*on_gpus, *["cpu"] * min(count, node.cpus - len(on_gpus)))
    ]
