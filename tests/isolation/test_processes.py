"""Processes that plugins left are found by their mark, and no others are ended."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.isolation import processes
from harness.isolation.processes import MARK, end_processes

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are found in /proc")

Start = Callable[[str], "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a process that has a mark."""
    started: list[subprocess.Popen[bytes]] = []

    def start(mark: str) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(["sleep", "60"], env={**os.environ, MARK: mark}))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_processes_with_the_mark_are_ended_and_no_others(start: Start) -> None:
    marked, also, other = start("test-mark"), start("test-mark"), start("test-mark-2")
    end_processes("test-mark")
    assert marked.wait(20) == also.wait(20) == -9
    assert other.poll() is None


def test_a_process_does_not_end_itself() -> None:
    code = "from harness.isolation.processes import end_processes\nend_processes('own')\nprint('goes on')"
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, MARK: "own"}, capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"goes on\n")


@pytest.mark.parametrize("own", ["1234567", None])
def test_the_numbers_of_another_system_are_not_trusted(
    own: str | None, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start("test-mark")
    folder = tmp_path / str(process.pid)  # there it is the number of another process
    folder.mkdir()
    (folder / "environ").write_bytes(f"{MARK}=test-mark".encode())
    if own is not None:
        (tmp_path / "self").symlink_to(own)
    monkeypatch.setattr(processes, "_PROC", tmp_path)
    end_processes("test-mark")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    if own is None:
        (tmp_path / "self").symlink_to(str(os.getpid()))
        end_processes("test-mark")
        assert process.wait(20) == -9  # as soon as the numbers are those of this system
