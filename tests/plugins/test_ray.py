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
from components import SMALL, Home, events, named, until
from remote import FAILING, FEW, GATE, TORCH, ended, processes, records, soon, started

from harness import HarnessError
from harness.testing.checks import check_component, check_imports
from harness_ray.executor import Ray
from harness_ray.nodes import Node, cause, slots_of

ray = pytest.importorskip("ray")

NODE = {"num_cpus": 1, "object_store_memory": 80 << 20}
QUICK = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 4,
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster with a head that runs no step, and two nodes."""
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="ray")  # the path of a socket must be short
    head = {
        "num_cpus": 0,
        "include_dashboard": False,
        "temp_dir": folder,
        "_system_config": QUICK,
        "object_store_memory": 80 << 20,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_raylet_start_wait_time_s", "120")
        made = Cluster(initialize_head=True, head_node_args=head)
        for _ in range(2):
            made.add_node(**NODE)
        yield made
        made.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


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


def actors() -> list[int]:
    """The processes of our actors on any node."""
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    lines = (line.split(None, 1) for line in listed.splitlines())
    return [int(pid) for pid, command in lines if command.startswith("ray::Actor")]


# -- records -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", [TORCH, FAILING], ids=["torch", "failing"])
def test_records_are_those_of_this_machine(at: Home, suite: str) -> None:
    at.write(suite, "suite")
    here = records(at, "local", "--devices", "cpu:2")
    there = records(at, "ray")
    assert there == here
    assert len(here) > 6 and any(record["status"] == "ok" for record in here)


def test_both_nodes_take_steps(at: Home) -> None:
    done = at.run("bench", at.write(), "--executor", "ray", "--json")
    assert done.returncode == 0, done.stderr
    assert len({event["node"] for event in named(events(done.stdout), "started")}) == 2
    assert soon(lambda: not actors() and not processes(at))  # and the cluster is still there
    assert at.run("bench", at.write(), "--executor", "ray", "--fresh").returncode == 0


def test_without_a_cluster_one_is_started_and_ended(alone: Home) -> None:
    alone.write(SMALL.replace("latency = false", ""), "suite")
    here = records(alone, "local", "--devices", "cpu:1")
    there = records(alone, "ray", "--devices", "cpu:2")
    assert there == here
    assert soon(lambda: not processes(alone)), processes(alone)


# -- what is lost --------------------------------------------------------------------------------------------


def test_the_step_of_a_killed_worker_is_run_again(at: Home) -> None:
    process = started(at, "ray")
    os.kill(actors()[0], signal.SIGKILL)
    told = ended(at, process)
    (lost,) = named(told, "lost")
    assert lost["kind"] == "student" and "ended" in lost["reason"]


def test_the_step_of_a_removed_node_is_run_elsewhere(at: Home, cluster: Any) -> None:
    process = started(at, "ray")
    cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)
    try:
        told = ended(at, process)
    finally:
        cluster.add_node(**NODE)
    (lost,) = named(told, "lost")
    again = [event for event in named(told, "started") if event["key"] == lost["key"]]
    assert again[-1]["node"] not in lost["reason"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_leaves_no_process(at: Home, number: int, status: int) -> None:
    process = started(at, "ray")
    process.send_signal(number)
    began = time.monotonic()
    process.communicate()
    assert process.returncode == status
    assert soon(lambda: not actors() and not processes(at))
    assert time.monotonic() - began < 5
    (at.path / "gate").touch()
    assert at.run("bench", "small.toml", "--executor", "ray").returncode == 0
    assert len(at.records("small")) == 3


def test_an_interrupted_run_ends_the_cluster_that_it_started(alone: Home) -> None:
    process = alone.start("bench", alone.write(GATE, "small"), "--executor", "ray", "--devices", "cpu:1")
    until(lambda: any("multiprocessing" in line for line in processes(alone)), process)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    process.communicate()
    assert process.returncode == 130
    assert soon(lambda: not processes(alone)), processes(alone)
    assert time.monotonic() - began < 5


def test_a_step_that_hangs_is_stopped(alone: Home) -> None:
    text = SMALL.replace("latency = false", "latency = false\n    time_limit = 5")
    alone.write(text + '    trouble = "hang"\n', "suite")
    (record,) = records(alone, "ray", "--devices", "cpu:1")
    assert record["status"] == "failed"
    assert record["reason"].endswith("it exceeded its time limit of 5 s")


# -- nodes ---------------------------------------------------------------------------------------------------


def test_a_node_that_differs_is_named_and_not_used(at: Home, cluster: Any, tmp_path: Path) -> None:
    site = tmp_path / "odd"
    site.mkdir()
    code = "import platform\nplatform.python_version = lambda: '3.11.99'\n"
    (site / "sitecustomize.py").write_text(code)
    odd = cluster.add_node(**NODE, env_vars={"PYTHONPATH": str(site)})
    try:
        done = at.run("bench", at.write(SMALL, "small"), "--executor", "ray", "--json")
    finally:
        cluster.remove_node(odd)
    assert done.returncode == 0, done.stderr
    assert f"-{odd.node_id[:8]} is not used: it has Python 3.11.99, this machine " in done.stderr
    assert done.stderr.count("is not used") == 1
    used = {event["node"] for event in named(events(done.stdout), "started")}
    assert used and not any(name.endswith(odd.node_id[:8]) for name in used)


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
