"""The peak of a step's memory: anonymous memory and mapped pages apart."""

from __future__ import annotations

import mmap
import sys
import threading
import time
from pathlib import Path

import pytest

from harness.run import memory

MB = 1 << 20
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc has these amounts on Linux only")


def test_pages_of_a_mapped_file_are_not_anonymous_memory(tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_bytes(b"1" * 64 * MB)
    before = memory.amounts()
    with path.open("rb") as stream, memory.peak_memory() as peak:
        table = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        assert sum(table[at] for at in range(0, len(table), mmap.PAGESIZE)) > 0
    assert peak.anonymous_bytes is not None and peak.mapped_bytes is not None
    assert peak.mapped_bytes - before["RssFile"] - before["RssShmem"] > 60 * MB
    assert peak.anonymous_bytes - before["RssAnon"] < 8 * MB
    assert peak.rss_bytes > 60 * MB
    table.close()


def test_memory_that_is_free_again_at_the_end_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_FIRST_S", 0.0)
    monkeypatch.setattr(memory, "_EVERY_S", 0.0)
    looks: list[int] = []
    now = {"RssAnon": 1, "RssFile": 2, "RssShmem": 3, "VmHWM": 4}

    def read() -> dict[str, int]:
        looks.append(1)
        return dict(now)

    def wait_for_a_look() -> None:
        enough = len(looks) + 2
        while len(looks) < enough:
            time.sleep(0.001)

    with memory.peak_memory(read) as peak:
        now.update(RssAnon=50)
        wait_for_a_look()
        now.update(RssAnon=1, RssFile=60)
        wait_for_a_look()
        now.update(RssFile=2, VmHWM=70)
    assert (peak.anonymous_bytes, peak.mapped_bytes, peak.rss_bytes) == (50, 63, 70)
    assert "peak-memory" not in [thread.name for thread in threading.enumerate()]


def test_a_system_without_these_amounts_has_the_peak_of_the_process() -> None:
    with memory.peak_memory(dict) as peak:
        pass
    assert peak.anonymous_bytes is None and peak.mapped_bytes is None
    assert peak.rss_bytes > MB
