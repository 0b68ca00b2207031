"""A suite on real Ray clusters gives the records of this machine, also if parts of them are lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from components import SMALL, Home, events, named, until, without_times
from remote import FAILING as EVERY_FAILURE
from remote import FEW, GATE, TORCH, ended, processes, records, soon, started

from harness import HarnessError
from harness.testing.checks import check_component, check_imports
from harness_ray.executor import Ray
from harness_ray.nodes import Node, cause, slots_of

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.timeout(900)  # on a busy machine, each of a cluster's processes starts slowly

NODE = {"num_cpus": 1, "object_store_memory": 80 << 20}
SOON_S = 20.0  # on a busy machine
FAILING = EVERY_FAILURE.replace(
    ', "raise", "kill", "memory", "exit", "warn", "disorder"', ', "kill", "memory"'
)
QUICK = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 12,  # a busy machine may not answer for some seconds
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster with a head that runs no step, and two nodes."""
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="ray")  # the path of a socket must be short
    Path(tempfile.gettempdir(), "ray").mkdir(exist_ok=True)  # where `Cluster` writes the address, too
    head = {
        "num_cpus": 0,
        "include_dashboard": False,
        "include_log_monitor": False,
        "no_monitor": True,  # of the load, to start more nodes
        "temp_dir": folder,
        "_system_config": QUICK,
        "object_store_memory": 80 << 20,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_raylet_start_wait_time_s", "120")
        patch.setenv("RAY_worker_niceness", "0")
        made = Cluster(initialize_head=True, head_node_args=head)
        for number in range(2):
            made.add_node(**NODE, env_vars={"HARNESS_CACHE": f"{folder}/disk{number}"})
        made.disks = [Path(folder, f"disk{number}") for number in range(2)]
        yield made
        made.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def disks(cluster: Any) -> list[Path]:
    """The folders in which the two nodes keep copies of artefacts."""
    return list(cluster.disks)


@pytest.fixture
def at(home: Home, cluster: Any) -> Home:
    """A folder to run the command in, with the address of the cluster."""
    home.environment |= {**FEW, "RAY_ADDRESS": cluster.address, "OF_THIS_TEST": uuid.uuid4().hex}
    return home


@pytest.fixture
def alone(home: Home) -> Home:
    """A folder to run the command in, without a cluster."""
    home.environment |= {**FEW, "OF_THIS_TEST": uuid.uuid4().hex}
    return home


def actors(home: Home) -> list[int]:
    """The processes of our actors on any node of the cluster, which other tests have too."""
    listed = subprocess.run(
        ["ps", "-wweo", "pid,ppid,args"], capture_output=True, text=True, check=True
    ).stdout
    lines = [line.split(None, 2) for line in listed.splitlines()[1:]]
    address = home.environment["RAY_ADDRESS"]
    nodes = {pid for pid, _, command in lines if "raylet/raylet" in command and address in command}
    return [
        int(pid) for pid, parent, command in lines if parent in nodes and command.startswith("ray::Actor")
    ]


# -- records -------------------------------------------------------------------------------------------------


def test_records_are_those_of_this_machine(at: Home, disks: list[Path], bucket: str) -> None:
    """Also if the nodes share a bucket, and no disk."""
    at.write(TORCH, "suite")
    here = records(at, "local", "--devices", "cpu:1")
    at.environment["HARNESS_CACHE"] = str(at.path / "own")
    there = records(at, "ray", store=bucket)
    assert there == here
    assert len(here) == 3 and all(record["status"] == "ok" for record in here)
    assert all(any(disk.glob("*/*/*/manifest.json")) for disk in disks)
    assert not any((at.path / "own").glob("*/student/*/model*"))


def test_a_node_that_differs_is_named_and_not_used(at: Home, cluster: Any, tmp_path: Path) -> None:
    """And the records of steps that fail are those of this machine too."""
    site = tmp_path / "odd"
    site.mkdir()
    code = "import platform\nplatform.python_version = lambda: '3.11.99'\n"
    (site / "sitecustomize.py").write_text(code)
    odd = cluster.add_node(**NODE, env_vars={"PYTHONPATH": str(site)})
    at.write(FAILING, "suite")
    options = ("suite.toml", "--store", "ray", "--results", "of-ray", "--executor", "ray")
    try:
        done = at.run("bench", *options, "--json")
    finally:
        cluster.remove_node(odd)
    assert done.returncode == 1, done.stderr
    assert f"-{odd.node_id[:8]} is not used: it has Python 3.11.99, this machine " in done.stderr
    assert done.stderr.count("is not used") == 1
    used = {event["node"] for event in named(events(done.stdout), "started")}
    assert used and not any(name.endswith(odd.node_id[:8]) for name in used)
    here = records(at, "local", "--devices", "cpu:1")
    assert [without_times(record) for record in at.records("../of-ray/small")] == here
    assert {record["status"] for record in here} == {"ok", "failed"}


def test_without_a_cluster_one_is_started_and_ended(alone: Home) -> None:
    """One step hangs, and is stopped."""
    text = SMALL.replace("latency = false", "time_limit = 5")
    alone.write(text + '    trouble = { sweep = ["", "hang"] }\n', "suite")
    here = records(alone, "local", "--devices", "cpu:1")
    there = records(alone, "ray", "--devices", "cpu:2")
    assert there == here
    assert sorted(record["status"] for record in there) == ["failed", "ok"]
    (reason,) = (record["reason"] for record in there if record["status"] == "failed")
    assert reason.endswith("it exceeded its time limit of 5 s")
    assert soon(lambda: not processes(alone)), processes(alone)


# -- what is lost --------------------------------------------------------------------------------------------


def test_steps_of_a_killed_worker_and_of_a_removed_node_are_run_again(at: Home, cluster: Any) -> None:
    process = started(at, "ray")  # on both nodes
    os.kill(actors(at)[0], signal.SIGKILL)
    told = until_told(process, "lost")
    assert told[-1]["kind"] == "student" and "ended" in told[-1]["reason"]
    told += until_told(process, "started")
    assert told[-1]["key"] == named(told, "lost")[0]["key"]
    cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)
    try:
        told = until_told(process, "lost")  # before the gate opens, or the step could still end
        told += ended(at, process)
    finally:
        cluster.add_node(**NODE)
    (lost,) = named(told, "lost")
    again = [event for event in named(told, "started") if event["key"] == lost["key"]]
    assert again[-1]["node"] not in lost["reason"]


def until_told(process: Any, name: str) -> list[dict[str, Any]]:
    """The events of a run up to one of a name."""
    told: list[dict[str, Any]] = []
    while not named(told, name):
        line = process.stdout.readline()
        assert line, process.communicate()
        told += events(line)
    return told


def test_an_interrupted_run_leaves_no_process(at: Home) -> None:
    process = started(at, "ray")
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    process.communicate()
    assert process.returncode == 130
    assert soon(lambda: not actors(at) and not processes(at), SOON_S)
    assert time.monotonic() - began < SOON_S


def test_an_interrupted_run_ends_the_cluster_that_it_started(alone: Home) -> None:
    process = alone.start("bench", alone.write(GATE, "small"), "--executor", "ray", "--devices", "cpu:1")
    until(lambda: any("multiprocessing" in line for line in processes(alone)), process)
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    process.communicate()
    assert process.returncode == 143
    assert soon(lambda: not processes(alone), SOON_S), processes(alone)
    assert time.monotonic() - began < SOON_S


def test_a_step_that_takes_all_memory_is_ended_and_the_run_goes_on(alone: Home) -> None:
    lines = Path("/proc/meminfo").read_text().splitlines()
    total, available = (
        next(int(line.split()[1]) for line in lines if line.startswith(name))
        for name in ("MemTotal", "MemAvailable")
    )
    if available < 4 << 20:
        pytest.skip("less than 4 GB of memory are free")
    # Ray ends workers when so much more is used; other tests must not use as much.
    more = min(available / 3, 3 << 20)
    alone.environment["RAY_memory_usage_threshold"] = f"{1 - (available - more) / total:.3f}"
    alone.environment["RAY_memory_monitor_refresh_ms"] = "100"
    alone.write(SMALL + '    trouble = { sweep = ["balloon", ""] }\n', "small")
    done = alone.run("bench", "small.toml", "--executor", "ray", "--devices", "cpu:1")
    assert done.returncode == 1, done.stdout + done.stderr
    by_status = {record["status"]: record for record in alone.records("small")}
    assert set(by_status) == {"failed", "ok"}, done.stdout
    assert (
        "out of memory: Ray ended its worker, because this machine had too little memory left"
        in (by_status["failed"]["reason"])
    )
    assert soon(lambda: not processes(alone), SOON_S), processes(alone)


# -- nodes ---------------------------------------------------------------------------------------------------


def test_the_slots_of_a_node() -> None:
    def devices(text: str, steps_per_gpu: int = 1) -> list[str]:
        return [slot.device for slot in slots_of(Node("n", "id", 4, 2), text, steps_per_gpu)]

    assert devices("auto") == ["cuda:0", "cuda:1", "cpu", "cpu"]
    assert devices("cuda", 2) == ["cuda:0", "cuda:0", "cuda:1", "cuda:1"]
    assert devices("cpu") == ["cpu"] * 4
    assert devices("cpu:3") == ["cpu"] * 3
    with pytest.raises(HarnessError, match=r"--devices must be auto, cpu, .* executor 'ray', got 'cuda:1'"):
        devices("cuda:1")


# -- mistakes ------------------------------------------------------------------------------------------------


def test_a_cluster_that_there_is_not_is_one_line(alone: Home) -> None:
    for address, told in (
        ("127.0.0.1:1", "error: cannot join the Ray cluster at '127.0.0.1:1': "),
        ("ray://127.0.0.1:1", "error: cannot use 'ray://127.0.0.1:1': run the command on a node"),
    ):
        done = alone.run("plan", alone.write(), "--executor", f"ray:address={address}")
        assert done.returncode == 2
        assert [line[: len(told)] for line in done.stderr.splitlines()] == [told]


def test_without_the_package_the_extra_is_named(alone: Home, tmp_path: Path) -> None:
    site = tmp_path / "without"
    site.mkdir()
    (site / "ray.py").write_text("raise ImportError('not here')\n")
    alone.environment["PYTHONPATH"] = os.pathsep.join([str(alone.site), str(site)])
    done = alone.run("bench", alone.write(), "--executor", "ray")
    assert done.returncode == 2
    assert done.stderr == (
        "error: the executor 'ray' needs the extra 'ray': pip install 'distil-harness[ray]' (not here)\n"
    )


def test_the_executor_keeps_the_rules() -> None:
    check_component(Ray())
    check_imports(Ray())
    assert cause(RuntimeError("a\n  b\nImportError: c\n  d")) == "ImportError: c"
