"""Code of plugins in a child process: whatever it does to its process is told."""

from __future__ import annotations

import atexit
import ctypes
import faulthandler
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.isolation import probe
from harness.isolation.probe import Trial, shielded, tried


def crashed(crash: Callable[[], object]) -> Callable[[], object]:
    """A call that crashes without the report of pytest's fault handler."""

    def call() -> None:
        faulthandler.disable()
        crash()

    return call


def nothing() -> None:
    pass


def forked() -> None:
    if os.fork():
        os._exit(0)
    time.sleep(60)  # holds the pipe open


def lowered() -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most - 1, most - 1))


def closed() -> None:
    os.closerange(3, 256)
    time.sleep(0.3)


@pytest.mark.parametrize(
    ("call", "trouble"),
    [
        (nothing, ""),
        (lowered, "lowers the limits of resources for good"),
        (lambda: os._exit(9), "ends the process, with exit status 9"),
        (lambda: os._exit(0), "ends the process, with exit status 0"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "ends the process, with SIGKILL"),
        (crashed(lambda: ctypes.string_at(0)), "ends the process, with SIGSEGV"),
        (crashed(os.abort), "ends the process, with SIGABRT"),
        (forked, "ends the process, with exit status 0"),
        (closed, "ends the process, with exit status 0"),
        (lambda: atexit.register(os._exit, 7), "ends the process, with exit status 7"),
        (lambda: atexit.register(nothing), ""),
        (lambda: threading.Thread(target=time.sleep, args=(0.1,)).start(), ""),
    ],
)
def test_what_a_call_does_to_its_process(call: Callable[[], object], trouble: str) -> None:
    assert tried(call, nothing).trouble == trouble


@pytest.mark.parametrize(
    "call",
    [
        lambda: time.sleep(60),
        lambda: threading.Thread(target=time.sleep, args=(60,)).start(),
        lambda: atexit.register(time.sleep, 60),
        lambda: (signal.signal(signal.SIGTERM, signal.SIG_IGN), subprocess.run(["sleep", "60"])),
    ],
)
def test_a_call_that_never_ends(call: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "LIMIT_S", 0.6)
    monkeypatch.setattr(probe, "NOTICE_S", 0.1)
    told: list[int] = []
    began = time.monotonic()
    assert tried(call, lambda: told.append(1)).trouble == "does not end within 0.6 seconds"
    assert time.monotonic() - began < 20 and told == [1]


def test_beside_other_threads_a_call_has_a_second_chance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if another thread had held a lock at the moment of the fork."""
    monkeypatch.setattr(probe, "LIMIT_S", 0.6)
    first, done = tmp_path / "first", threading.Event()

    def call() -> None:
        if not first.exists():
            first.touch()
            time.sleep(60)

    other = threading.Thread(target=done.wait)
    other.start()
    assert tried(call, nothing) == probe.Trial() and first.exists()
    done.set()
    other.join()


def test_what_it_printed_is_kept_and_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    def call() -> None:
        sys.stdout.write("in Python\n")
        os.write(1, b"in C\n")
        os._exit(1)

    trial = tried(call, nothing)
    assert trial.trouble and trial.log == "in Python\nin C\n"
    assert capfd.readouterr() == ("", "")


def test_this_process_is_left_as_it_was(tmp_path: Path) -> None:
    def state() -> tuple[object, ...]:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
        return (
            signal.getsignal(signal.SIGINT),
            Path.cwd(),
            len(list(Path("/proc/self/fd").iterdir())),
            children,
        )

    before = state()

    def call() -> None:
        os.chdir(tmp_path)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    assert tried(call, nothing) == Trial()
    assert state() == before


def test_a_system_without_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork")
    assert tried(lambda: os._exit(1), nothing) == Trial()


def test_shielded_code_has_nothing_to_read() -> None:
    code = """
import sys
from harness.isolation.probe import shielded
try:
    with shielded():
        input()
except EOFError:
    print("nothing,", sys.stdin.read())
"""
    done = subprocess.run([sys.executable, "-c", code], input="kept", capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("nothing, kept\n", "")


def test_shielded_code_without_a_stdin() -> None:
    code = (
        "import os; os.close(0)\nfrom harness.isolation.probe import shielded\nwith shielded(): print('ran')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "ran\n")


def test_what_shielded_code_changes_is_undone_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, path, told = Path.cwd(), list(sys.path), list[str]()
    with shielded(told.extend):
        os.chdir(tmp_path)
        os.environ["OF_A_LIBRARY"] = "1"
        monkeypatch.syspath_prepend(tmp_path)
    assert (Path.cwd(), "OF_A_LIBRARY" in os.environ) == (here, False)
    assert told == [f"the current folder (from {here} to {tmp_path})"]
    assert sys.path == [str(tmp_path), *path]  # a plugin may bring modules of its own


def shielded_from(code: str) -> subprocess.CompletedProcess[str]:
    """Run shielded code in a process of its own, which then prints what was changed."""
    program = (
        "import os, sys, json, csv, signal, time\nfrom harness.isolation.probe import shielded\ntold = []\n"
        f"with shielded(told.extend):\n    {code}\n"
        "import csv as again\n"
        "print(json.dumps([told, again is csv, open.__name__, signal.getitimer(signal.ITIMER_REAL)[0]]))\n"
    )
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("json.dumps = None", ["json.dumps"]),
        ("import builtins; builtins.open = None", ["builtins.open"]),
        ("del sys.modules['csv']", ["module csv"]),
        ("import harness; harness.Student.fit = None", ["harness.api.Student.fit"]),
        ("signal.alarm(100)", ["the timer of alarms (from False to True)"]),
        ("sys.settrace(lambda *given: None)", ["the trace function"]),
        ("sys.meta_path.clear()", []),
        ("sys.path.clear()", []),
        ("os.closerange(0, 3)", []),
    ],
)
def test_what_an_import_replaces_is_put_back(code: str, told: list[str]) -> None:
    done = shielded_from(code)
    assert not done.returncode, done.stderr
    assert json.loads(done.stdout) == [told, True, "open", 0.0]


def test_what_an_import_writes_is_printed_without_control_codes() -> None:
    done = shielded_from("os.write(1, b'one\\x1b[31m\\ntwo'); print('three')")
    assert done.stderr == "one [31m\ntwothree\n" and json.loads(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are found in /proc")
def test_what_an_import_starts_ends_with_the_process() -> None:
    done = shielded_from(
        "import subprocess; print(subprocess.Popen(['sleep', '600'], start_new_session=True).pid)"
    )
    state = Path(f"/proc/{int(done.stderr)}/stat")
    until = time.monotonic() + 10  # a process that was killed may take a moment to end
    while (alive := is_alive(state)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive


def is_alive(state: Path) -> bool:
    """Whether a process, given by its file in /proc, still runs."""
    try:
        return state.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
