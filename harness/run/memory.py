"""Measure how much memory a step needs at its highest.

The kernel keeps a mark for all resident pages of a process, with those of mapped files: a step that reads a
large table through a map seems to need all of it, although the kernel can take these pages back. There is no
mark for anonymous memory, which is what has to fit; a thread looks at it from time to time.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_AMOUNT = re.compile(rb"^(VmHWM|Rss\w+):\s*(\d+) kB", re.MULTILINE)
_FIRST_S, _EVERY_S = 0.2, 0.05  # a shorter step is only looked at when it ends


@dataclass
class Peak:
    """The highest amounts of memory of this process during a step, in bytes; None if the system has none."""

    rss_bytes: int = 0  # all resident pages, by the kernel's mark
    anonymous_bytes: int | None = None  # by samples: a peak of less than 50 ms can be missed
    mapped_bytes: int | None = None  # resident pages of mapped files and of shared memory, by samples

    def look(self, status: dict[str, int]) -> None:
        """Take the present amounts, those of /proc/self/status, into account."""
        if "RssAnon" in status:
            mapped = status.get("RssFile", 0) + status.get("RssShmem", 0)
            self.anonymous_bytes = max(self.anonymous_bytes or 0, status["RssAnon"])
            self.mapped_bytes = max(self.mapped_bytes or 0, mapped)


@contextmanager
def peak_memory(read: Callable[[], dict[str, int]] | None = None) -> Iterator[Peak]:
    """Yield the peak of the memory of this process within the context; it is complete after the context.

    `read` returns the present amounts in bytes, by their names in /proc/self/status. On systems other than
    Linux, only `rss_bytes` is known, and it is that of the process since its start.
    """
    read = read or amounts
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the kernel's mark
    peak, ended = Peak(), threading.Event()

    def watch() -> None:
        wait = _FIRST_S
        while not ended.wait(wait):
            peak.look(read())
            wait = _EVERY_S

    thread = threading.Thread(target=watch, daemon=True, name="peak-memory")
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()
        last = read()
        peak.look(last)
        peak.rss_bytes = last["VmHWM"] if "VmHWM" in last else _since_the_start()


def amounts() -> dict[str, int]:
    """Return the amounts of memory of this process in bytes, by name; nothing on systems without /proc."""
    try:
        with Path("/proc/self/status").open("rb", buffering=0) as stream:
            status = stream.read()
    except OSError:
        return {}
    return {name.decode(): int(value) * 1024 for name, value in _AMOUNT.findall(status)}


def _since_the_start() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
