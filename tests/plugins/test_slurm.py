"""Jobs that take steps through the store give the records of this machine; submitit runs them here."""

from __future__ import annotations

import os
import pickle
import signal
import time
import uuid
from pathlib import Path

import pytest
from components import Home, named
from remote import FAILING, FEW, GATE, TORCH, ended, processes, records, soon, started

from harness import HarnessError
from harness.testing.checks import check_component, check_imports
from harness_slurm.executor import Slurm
from harness_slurm.jobs import Mailbox

pytest.importorskip("submitit")

HERE = ("slurm:cluster=local,jobs=2", "--devices", "cpu:1")


@pytest.fixture
def at(home: Home) -> Home:
    """A folder to run the command in."""
    home.environment |= {**FEW, "OF_THIS_TEST": uuid.uuid4().hex}
    return home


def jobs(home: Home) -> list[int]:
    """The processes that serve a driver; each has workers below it."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_text()
            if "submitit.core._submit" in command and str(home.path) in command:
                found.append(int(folder.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize(
    ("suite", "cells", "jobs"), [(TORCH, 3, 1), (FAILING, 7, 2)], ids=["torch", "failing"]
)
def test_records_are_those_of_this_machine(at: Home, suite: str, cells: int, jobs: int) -> None:
    at.write(suite, "suite")
    here = records(at, "local", "--devices", "cpu:1")
    there = records(at, f"slurm:cluster=local,jobs={jobs}", "--devices", "cpu:1")
    assert there == here
    assert len(here) >= cells and any(record["status"] == "ok" for record in here)
    assert soon(lambda: not processes(at)), processes(at)
    assert not list((at.path / "slurm" / "tmp").iterdir())


def test_the_steps_of_a_killed_job_are_run_again(at: Home) -> None:
    process = started(at, *HERE)
    os.kill(max(jobs(at)), signal.SIGKILL)
    told = ended(at, process)
    (lost,) = named(told, "lost")
    assert lost["kind"] == "student" and lost["reason"].startswith("job ")


def test_an_interrupted_run_leaves_no_process(at: Home) -> None:
    process = started(at, *HERE)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    process.communicate()
    assert process.returncode == 130
    assert soon(lambda: not processes(at)), processes(at)
    assert time.monotonic() - began < 5


def test_a_step_that_hangs_is_stopped(at: Home) -> None:
    text = GATE.replace('trouble = "gate"', 'trouble = "hang"').replace("seeds = [0, 1, 2]", "time_limit = 5")
    at.write(text, "suite")
    (record,) = records(at, "slurm:cluster=local", "--devices", "cpu:1")
    assert record["status"] == "failed"
    assert record["reason"].endswith("it exceeded its time limit of 5 s")


def test_messages_arrive_once_and_in_order(tmp_path: Path) -> None:
    sender, receiver = Mailbox(tmp_path), Mailbox(tmp_path)
    for number in range(12):
        sender.send(number)
    assert list(receiver.receive()) == list(range(12))
    sender.send("last")
    assert list(receiver.receive()) == ["last"] and not list(receiver.receive())
    (tmp_path / ".00000013.part").write_bytes(pickle.dumps("unfinished"))
    assert not list(receiver.receive())


def test_the_slots_of_jobs(tmp_path: Path) -> None:
    def devices(text: str) -> list[tuple[str, str]]:
        return [(slot.node, slot.device) for slot in Slurm(jobs=2).slots(text, tmp_path, print)]

    assert devices("cpu:1") == [("job 1", "cpu"), ("job 2", "cpu")]
    assert devices("cuda") == [("job 1", "cuda:0"), ("job 2", "cuda:0")]
    assert len(devices("auto")) == 2 * (os.cpu_count() or 1)
    with pytest.raises(HarnessError, match=r"--devices must be auto, cpu, .* executor 'slurm', got 'cpu:x'"):
        devices("cpu:x")


def test_without_slurm_there_is_one_line(at: Home) -> None:
    done = at.run("bench", at.write(), "--executor", "slurm")
    assert done.returncode == 2
    assert done.stderr.startswith("error: cannot submit a job to Slurm: ")
    assert len(done.stderr.splitlines()) == 1


def test_without_the_package_the_extra_is_named(at: Home, tmp_path: Path) -> None:
    site = tmp_path / "without"
    site.mkdir()
    (site / "submitit.py").write_text("raise ImportError('not here')\n")
    at.environment["PYTHONPATH"] = os.pathsep.join([str(at.site), str(site)])
    done = at.run("bench", at.write(), "--executor", "slurm")
    assert done.returncode == 2
    assert done.stderr == (
        "error: the executor 'slurm' needs the extra 'slurm': "
        "pip install 'distil-harness[slurm]' (not here)\n"
    )


def test_the_executor_keeps_the_rules() -> None:
    check_component(Slurm())
    check_imports(Slurm())
