"""Executors of other packages, registered with `register_executors`, as the command finds and uses them."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from click.testing import CliRunner, Result
from components import SMALL, Home, events, named, without_times

from harness import HarnessError, catalog
from harness.cli import main
from harness.commands.options import executor_named
from harness.executors.base import Executor
from harness.run.local import Local


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def refused(executor: str) -> str:
    done = invoke("plan", "small.toml", "--executor", executor)
    assert done.exit_code == 2
    return done.stderr


def test_the_executor_of_another_package_runs_a_suite(toys: Home) -> None:
    toys.write(SMALL, "small")
    done = invoke("bench", "small.toml", "--devices", "cpu", "--executor", "toy-executor:nodes=3", "--json")
    assert done.exit_code == 0, done.stderr
    assert done.stderr == "warning: the toy cluster has two nodes\n"
    assert {event["node"] for event in named(events(done.stdout), "started")} <= {"toy-0", "toy-1"}
    records = toys.records("small")
    invoke("bench", "small.toml", "--devices", "cpu:1", "--fresh")
    assert [*map(without_times, records)] == [*map(without_times, toys.records("small"))]
    assert records[0]["status"] == "ok"


def test_a_plan_is_for_the_slots_of_its_executor(toys: Home) -> None:
    toys.write(SMALL, "small")
    found = [
        json.loads(invoke("plan", "small.toml", "--devices", "cpu", "--executor", one, "--json").stdout)
        for one in ("local", "toy-executor")
    ]
    assert found[0]["cells"] == found[1]["cells"]


def test_mistakes_in_the_option_are_named(toys: Home) -> None:
    toys.write(SMALL, "small")
    assert "unknown executor 'toy-execute'; did you mean 'toy-executor'?" in refused("toy-execute")
    assert "unknown executor 'toy-tracker'" in refused("toy-tracker")
    assert (
        "--executor: parameter 'node' of executor 'toy-executor' is unknown; did you mean 'nodes'?"
        in refused("toy-executor:node=2")
    )
    assert "--executor must be NAME or NAME:PARAMETER=VALUE,…" in refused("toy-executor:2")
    assert refused("toy-executor:nodes=0") == "error: the toy cluster has no nodes\n"


def test_local_is_registered_as_the_others_are_and_there_without_its_plugin() -> None:
    entry = catalog.load().get("executor", "local")
    assert entry.component is Local and entry.plugin == "executors"
    assert executor_named("local", catalog.Catalog({})) == Local()
    with pytest.raises(HarnessError, match=r"unknown executor 'lokal'"):
        executor_named("lokal", catalog.load())


def test_a_class_that_is_no_executor_is_refused() -> None:
    @dataclass(frozen=True)
    class Odd:
        """Runs nothing."""

        name = "odd"

    with pytest.raises(TypeError, match=r"Odd does not derive from harness\.executors\.base\.Executor"):
        catalog.vet("executor", Odd)
    catalog.vet("executor", Local)
    assert Executor.kind in catalog.REGISTERED
