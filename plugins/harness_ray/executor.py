"""Run steps on a Ray cluster: an actor for each slot, which keeps its worker process for later steps."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from harness import Ge
from harness.api import HarnessError, Unavailable
from harness.devices import Slot, slots
from harness.executors.base import SIGNS, Event, Executor, Work, unsent
from harness.run.relay import Relay, Sealed, Surroundings
from harness.run.worker import LOG_TAIL
from harness.storage.shared import url_of
from harness_ray.nodes import Node, alive, cause, connect, on, slots_of, usable

_TRIES = 3  # to start the worker of a slot
_STOPS_WITHIN_S = 10.0
_CLOSES_WITHIN_S = 2.0
_MEMORY = (
    100 << 20
)  # bytes of the object store of a cluster that is started here: only events pass through it


@dataclass(frozen=True)
class Ray(Executor):
    """Workers on the nodes of a Ray cluster, or of one that is started on this machine."""

    name = "ray"

    address: str = ""  # address of a running cluster, e.g. 10.0.0.1:6379; by default RAY_ADDRESS
    steps_per_gpu: Annotated[int, Ge(1)] = 1  # steps that share a GPU of a running cluster

    def slots(self, devices: str, store: Path, notice: Callable[[str], None]) -> tuple[Slot, ...]:
        """See :class:`harness.executors.base.Executor`.

        Without an address, the slots are those of this machine.
        """
        try:
            import ray  # noqa: F401
        except ImportError as error:
            message = "the executor 'ray' needs the extra 'ray': pip install 'distil-harness[ray]'"
            raise Unavailable(f"{message} ({error})") from None
        address = self.address or os.environ.get("RAY_ADDRESS", "")
        if address in ("", "local"):
            return slots(devices)
        if address.startswith("ray://"):
            raise HarnessError(
                f"cannot use {address!r}: run the command on a node, with the cluster's own address"
            )
        connect(address)
        nodes = usable(store, notice)
        found = [slot for node in nodes for slot in slots_of(node, devices, self.steps_per_gpu)]
        if not found:
            raise HarnessError(
                f"the Ray cluster at {address!r} has no node that can be used for --devices {devices}"
            )
        return tuple(found)

    def start(self, store: Path, slots: Sequence[Slot]) -> RayWorkers:
        """See :class:`harness.executors.base.Executor`."""
        return RayWorkers(store, slots)


class Actor(Relay):
    """The workers of one slot, in a process that Ray has started."""

    def __init__(self, store: Path, slot: Slot, surroundings: Surroundings, url: str) -> None:
        # Processes that are spawned import the main module, which is a file of Ray here.
        vars(sys.modules["__main__"]).pop("__file__", None)
        super().__init__(store, slot, surroundings, url)

    def ready(self) -> bool:
        """Answer."""
        return True


class RayWorkers:
    """The actors of some slots. They, and a cluster on this machine, are started on first use."""

    def __init__(self, store: Path, slots: Sequence[Slot]) -> None:
        self.slots = tuple(slots)
        self.gone: dict[int, str] = {}
        self._store = store.absolute()
        self._nodes: dict[str, Node] = {}
        self._actors: dict[int, Any] = {}
        self._starting: dict[Any, int] = {}  # slots by the reference that an actor fulfils when it is ready
        self._tries: Counter[int] = Counter()
        self._steps: dict[int, str] = {}  # keys of running steps by slot
        self._streams: dict[Any, int] = {}  # slots by the stream of events of their step
        self._lent: dict[str, int] = {}
        self._events: list[Event] = []  # to be returned by `wait`

    def free(self) -> list[int]:
        """See :class:`harness.executors.base.Workers`."""
        if not self._nodes:
            self._begin()
        busy = {*self._steps, *self._starting.values(), *self.gone}
        return [index for index in range(len(self.slots)) if index not in busy]

    def submit(self, slot: int, step: Work) -> None:
        """See :class:`harness.executors.base.Workers`."""
        try:
            sealed = Sealed.of(step)
        except Exception as error:  # from pickle
            self._events.append(unsent(step, error))
            return
        stream = self._actors[slot].run.options(num_returns="streaming").remote(*sealed.parts)
        self._steps[slot], self._streams[stream] = step.key, slot

    def lend(self, key: str, cores: int) -> None:
        """See :class:`harness.executors.base.Workers`."""
        for slot, running in self._steps.items():
            if running == key and self._lent.get(key, 1) != cores:
                self._lent[key] = cores
                self._actors[slot].lend.remote(key, cores)

    def wait(self, timeout: float) -> list[Event]:
        """See :class:`harness.executors.base.Workers`."""
        import ray

        events, self._events = self._events, []
        if not (awaited := [*self._starting, *self._streams]):
            time.sleep(0 if events else timeout)
            return events
        ready, _ = ray.wait(awaited, num_returns=1, timeout=0 if events else timeout)
        if ready:  # and which others?
            ready, _ = ray.wait(awaited, num_returns=len(awaited), timeout=0)
        for one in ready:
            if one in self._starting:
                self._started(one)
            else:
                events.append(self._next(one))
        return events

    def stop(self, key: str, reason: str) -> Event:
        """See :class:`harness.executors.base.Workers`."""
        for slot in (slot for slot, running in self._steps.items() if running == key):
            self._actors[slot].stop.remote(key, reason)
        ends, others = time.monotonic() + _STOPS_WITHIN_S, list[Event]()
        mine: list[Event] = []
        while not mine and (left := ends - time.monotonic()) > 0:
            events = self.wait(left)
            mine = [event for event in events if event.key == key and event.type not in SIGNS]
            others += [event for event in events if event not in mine]
        self._events = [*others, *self._events]
        if mine:
            return mine[0]
        stream, slot = next(item for item in self._streams.items() if self._steps[item[1]] == key)
        self._forget(stream)
        self._replace(slot)
        return Event("failed", key, {"reason": reason, "log": ""})

    def close(self) -> None:
        """See :class:`harness.executors.base.Workers`."""
        import ray

        if not ray.is_initialized():
            return
        ready = self._actors.keys() - self._starting.values()
        closed = [self._actors[slot].close.remote() for slot in ready]
        if closed:
            ray.wait(closed, num_returns=len(closed), timeout=_CLOSES_WITHIN_S)
        for actor in self._actors.values():
            ray.kill(actor, no_restart=True)
        ray.shutdown()

    def _begin(self) -> None:
        """Start all actors, and first a cluster on this machine if none was joined."""
        places = Counter(slot.device for slot in self.slots if slot.is_gpu)
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        if places:  # Ray counts from 0 the GPUs that it sees
            chosen = [int(place.partition(":")[2]) for place in places]
            listed = visible.split(",") if visible else [str(index) for index in range(max(chosen) + 1)]
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(listed[index] for index in chosen)
        try:
            connect(num_cpus=len(self.slots), num_gpus=len(places), object_store_memory=_MEMORY)
        finally:
            if places:
                os.environ.pop("CUDA_VISIBLE_DEVICES")
                os.environ.update({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible})
        self._nodes = alive()
        if not any(slot.node for slot in self.slots):  # the cluster was started for these slots
            self._nodes[""] = next(iter(self._nodes.values()))
        self._surroundings, self._url = Surroundings.here(), url_of(self._store)
        for index in range(len(self.slots)):
            self._start(index)

    def _start(self, index: int) -> None:
        """Start the actor of a slot; the slot is free when the actor answers."""
        import ray

        slot = self.slots[index]
        node = self._nodes.get(slot.node)
        if node is None:
            self.gone[index] = f"node {slot.node} is lost"
            return
        sharing = sum((other.node, other.device) == (slot.node, slot.device) for other in self.slots)
        actor = (
            ray.remote(Actor)
            .options(
                num_cpus=1,
                num_gpus=1 / sharing if slot.is_gpu else 0,
                max_restarts=0,
                max_task_retries=0,
                max_concurrency=4,  # it runs a step, and can be told to lend, stop or close meanwhile
                scheduling_strategy=on(node),
            )
            .remote(
                self._store,
                replace(slot, device="cuda:0") if slot.is_gpu else slot,
                self._surroundings,
                self._url,
            )
        )
        self._actors[index] = actor
        self._starting[actor.ready.remote()] = index

    def _started(self, answer: Any) -> None:
        """Note that the actor of a slot is ready, or could not be started."""
        import ray

        slot = self._starting.pop(answer)
        try:
            ray.get(answer)
            self._tries[slot] = 0
        except ray.exceptions.RayError as error:
            self._tries[slot] += 1
            name = self.slots[slot].node or "this machine"
            self._actors.pop(slot)
            if self.slots[slot].node and self.slots[slot].node not in alive():
                self.gone[slot] = f"node {name} is lost"
            elif self._tries[slot] >= _TRIES:
                self.gone[slot] = f"cannot start a worker on {name}: {cause(error)}"
            else:
                self._start(slot)

    def _next(self, stream: Any) -> Event:
        """Return the next event of a running step, which is ready."""
        import ray

        slot = self._streams[stream]
        key = self._steps[slot]
        try:
            event: Event = ray.get(next(stream))
        except ray.exceptions.OutOfMemoryError as error:
            where = self.slots[slot].node or "this machine"
            reason = f"out of memory: Ray ended its worker, because {where} had too little memory left"
            event = Event("failed", key, {"reason": reason, "log": str(error)[-LOG_TAIL:]})
            self._replace(slot)
        except ray.exceptions.RayTaskError as error:  # e.g. it could not write to the store
            event = Event("failed", key, {"reason": cause(error), "log": str(error)[-LOG_TAIL:]})
        except (StopIteration, ray.exceptions.RayError):
            where = self.slots[slot].node or "this machine"
            lost = bool(self.slots[slot].node) and self.slots[slot].node not in alive()
            event = Event(
                "lost", key, {"reason": f"node {where} is lost" if lost else f"its worker on {where} ended"}
            )
            self._replace(slot)
        if event.type not in SIGNS:
            self._forget(stream)
        return event

    def _forget(self, stream: Any) -> None:
        """Forget a step that has ended."""
        self._lent.pop(self._steps.pop(self._streams.pop(stream)), None)

    def _replace(self, slot: int) -> None:
        """Start another actor for a slot whose actor has ended, or does not answer."""
        import ray

        ray.kill(self._actors.pop(slot), no_restart=True)
        self._start(slot)
