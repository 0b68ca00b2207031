"""Serve a driver in a job, by messages in folders of the store, which both see."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.devices import Slot
from harness.run.relay import Relay, Surroundings, Traits
from harness.storage import files

TICK_S = 0.1
SILENCE_S = 180.0  # after which a job that hears nothing from its driver ends


class Mailbox:
    """A folder of messages that one process writes, and another one reads in order."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._next = 0
        self._sending = threading.Lock()

    def send(self, message: Any) -> None:
        """Write a message; any thread may do so."""
        with self._sending:
            files.publish(self._folder / f"{self._next:08}", pickle.dumps(message))
            self._next += 1

    def receive(self) -> Iterator[Any]:
        """Yield the messages that have arrived since the last call, and remove them."""
        while (path := self._folder / f"{self._next:08}").exists():
            message = pickle.loads(path.read_bytes())
            path.unlink()
            self._next += 1
            yield message


def serve(folder: Path, store: Path, slots: Sequence[Slot], surroundings: Surroundings, sign: Path) -> None:
    """Run the steps that the driver sends to the slots of this job, until it says "close" or is silent.

    The first message back has the traits of this machine; the others are events.
    """
    surroundings.enter()
    inbox, outbox = Mailbox(folder / "in"), Mailbox(folder / "out")
    relays = [Relay(store, slot, surroundings) for slot in slots]
    outbox.send(Traits.here(sign))

    def run(relay: Relay, parts: Any) -> None:
        for event in relay.run(*parts):
            outbox.send(event)

    heard = time.monotonic()
    try:
        while time.monotonic() - heard < SILENCE_S and folder.exists():
            for what, *arguments in inbox.receive():
                heard = time.monotonic()
                if what == "close":
                    return
                if what == "run":
                    index, parts = arguments
                    threading.Thread(target=run, args=(relays[index], parts), daemon=True).start()
                elif what in ("lend", "stop"):
                    index, *rest = arguments
                    getattr(relays[index], what)(*rest)
            time.sleep(TICK_S)
    finally:
        for relay in relays:
            relay.close()
