"""What the toys tell the tests: a line for each piece of work, whichever process does it."""

from __future__ import annotations

import os
import time
from pathlib import Path


def note(line: str) -> None:
    """Append a line to $TOYKIT_JOURNAL; of several processes, each line stays whole."""
    if path := os.environ.get("TOYKIT_JOURNAL"):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{line}\n".encode())
        os.close(descriptor)


def wait_for_gate() -> None:
    """Return once the file $TOYKIT_GATE is there."""
    gate = Path(os.environ["TOYKIT_GATE"])
    while not gate.exists():
        time.sleep(0.01)
