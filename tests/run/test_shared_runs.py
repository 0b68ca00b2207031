"""Runs on several machines that share a store without locks: each step is computed once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from components import SMALL, SUITE, Home, Inline, events, named, plan_of, steps_of, without_times

from harness.run.runner import run
from harness.storage.remote import RemoteError
from harness.storage.shared import Shared

NO_LOCKS = """
import errno, fcntl
def flock(*_):
    raise OSError(errno.ENOLCK, "No locks available")
fcntl.flock = flock
"""


class Machine(Home):
    """A machine: a folder with results and a cache of its own."""

    def performed(self) -> int:
        """How many steps this machine brought to their end."""
        found = [*self.path.glob("cache/*/timings.jsonl"), *self.path.glob("store/timings.jsonl")]
        return sum(len(path.read_text().splitlines()) for path in found)


Make = Callable[[str], Machine]


@pytest.fixture
def machine(tmp_path: Path, toy_site: Path) -> Make:
    def make(name: str) -> Machine:
        folder = tmp_path / name
        folder.mkdir()
        made = Machine(folder, toy_site)
        made.environment |= {
            "HARNESS_CACHE": str(folder / "cache"),
            "TOYKIT_GATE": str(tmp_path / "gate"),
        }
        return made

    return make


@pytest.fixture(params=["bucket", "url", "folder"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A bucket, a folder that is given as a URL, and a folder on a file system without locks."""
    if request.param == "bucket":
        return str(request.getfixturevalue("bucket"))
    return str(tmp_path / "shared") if request.param == "folder" else f"file://{tmp_path}/shared"


def without_locks(one: Machine, where: str) -> None:
    """Take away the locks of files, if the store is a folder."""
    if "://" not in where:
        site = one.path / "no-locks"
        site.mkdir()
        (site / "sitecustomize.py").write_text(NO_LOCKS)
        one.environment["PYTHONPATH"] = os.pathsep.join([str(one.site), str(site)])


def finished(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    return out


def computed(where: str, *machines: Machine) -> int:
    """How many steps all machines computed."""
    if "://" not in where:  # they write into the same file
        return len((Path(where) / "timings.jsonl").read_text().splitlines())
    return sum(one.performed() for one in machines)


def test_two_machines_compute_each_step_once(machine: Make, where: str) -> None:
    first, second = machine("first"), machine("second")
    suite = SUITE.replace("seeds = [0, 1]", 'seeds = [0]\n    precision = "fp32"')
    for one in (first, second):
        without_locks(one, where)
    running = [
        one.start("bench", one.write(suite), "--store", where, "--devices", "cpu:1", "--json")
        for one in (first, second)
    ]
    steps = [named(events(finished(process)), "run")[0]["steps"] for process in running]
    assert steps == [computed(where, first, second)] * 2 and steps[0] > 15
    told = [[without_times(record) for record in one.records()] for one in (first, second)]
    assert told[0] == told[1] and len(told[0]) == 7
    done = first.run("bench", "toys.toml", "--store", where, "--devices", "cpu:1")
    assert "nothing to run" in done.stdout, done.stdout + done.stderr
    third = machine("third")
    without_locks(third, where)
    done = third.run("bench", third.write(suite), "--store", where, "--devices", "cpu:1")
    assert "nothing to run" in done.stdout, done.stdout + done.stderr
    assert [without_times(record) for record in third.records()] == told[0]
    assert third.performed() == 0 or "://" not in where


def test_the_step_of_a_dead_machine_is_taken_over(machine: Make, where: str, tmp_path: Path) -> None:
    first, second = machine("first"), machine("second")
    for one in (first, second):
        without_locks(one, where)
        one.environment["HARNESS_LEASE_S"] = "3"
    text = SMALL + '    trouble = "gate"\n'
    dying = first.start("bench", first.write(text), "--store", where, "--devices", "cpu:1", "--json")
    assert dying.stdout is not None
    while True:
        line = dying.stdout.readline()
        assert line, dying.communicate()
        if any(event.get("kind") == "student" for event in events(line)):
            break
    waiting = second.start("bench", second.write(text), "--store", where, "--devices", "cpu:1", "--json")
    assert waiting.stdout is not None
    heard: list[str] = []
    while not any("waiting for other runs, which do 1 of" in line for line in heard):
        line = waiting.stdout.readline()
        assert line, waiting.communicate()
        heard.append(line)
    os.killpg(dying.pid, signal.SIGKILL)
    dying.communicate()
    (tmp_path / "gate").touch()
    out, err = waiting.communicate()
    assert waiting.returncode == 0, out + err
    messages = [event["message"] for event in named(events("".join(heard) + out), "message")]
    (told,) = (message for message in messages if "taking over" in message)
    assert "which gives no sign of life" in told and f"process {dying.pid} on " in told
    assert [record["status"] for record in second.records("small")] == ["ok"]


def test_a_run_does_other_steps_while_another_run_does_one(toys: Home) -> None:
    url = f"file://{toys.path}/shared"
    plan, store, told = plan_of(SUITE), Shared(toys.path / "cache", url), list[dict[str, Any]]()
    runs = Inline(store.root)
    runs.store = store
    (teacher,) = steps_of(plan, "teacher")
    with store.leases(print) as other:
        assert other.take(teacher.key)

        def observe(event: dict[str, Any]) -> None:
            told.append(event)
            if event["event"] == "message":
                other.release(teacher.key)

        schedule = run(plan, store, runs, observe)
    assert all(schedule.outcome(key).state == "done" for key in plan.steps)
    (waits,) = (number for number, event in enumerate(told) if event["event"] == "message")
    assert told[waits]["message"] == "waiting for other runs, which do 1 of the steps"
    early = [event["kind"] for event in told[:waits] if event["event"] == "done"]
    assert early.count("student") == 4 and "teacher" not in early  # the baselines need no teacher
    late = [event["kind"] for event in told[waits:] if event["event"] == "done"]
    assert late[0] == "teacher" and len(early) + len(late) == len(plan.steps)


def test_a_store_that_cannot_be_used_is_one_line(machine: Make, bucket: str) -> None:
    one = machine("one")
    suite = one.write(SMALL)
    for url, cause in (
        ("s3://no-such-bucket-at-all/x", "cannot write the store s3://no-such-bucket-at-all/x: "),
        ("nosuch://place", "cannot open the store nosuch://place: "),
    ):
        done = one.run("bench", suite, "--store", url, "--devices", "cpu:1")
        assert done.returncode == 2 and one.performed() == 0
        assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith(f"error: {cause}")
    one.environment |= {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}
    done = one.run("bench", suite, "--store", bucket, "--devices", "cpu:1")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"error: cannot read the store {bucket}: Could not connect to the endpoint")


def test_a_run_goes_on_without_its_store_and_sends_results_later(toys: Home) -> None:
    url = f"memory://{uuid.uuid4().hex}"
    store = Shared(toys.path / "cache", url)
    plan, told = plan_of(SMALL), list[dict[str, Any]]()
    runs = Inline(store.root)
    runs.store = store

    def broken(*_: Any) -> Any:
        raise RemoteError("cannot reach it")

    with pytest.MonkeyPatch.context() as patch:

        def observe(event: dict[str, Any]) -> None:
            told.append(event)
            if event["event"] == "done":  # after the first step
                for name in ("upload", "manifest", "keys", "download", "create", "names", "write"):
                    patch.setattr(store._there, name, broken)

        schedule = run(plan, store, runs, observe)
    assert all(schedule.outcome(key).state == "done" for key in plan.steps)
    said = [event["message"] for event in told if event["event"] in ("message", "warning")]
    kept = f"the result is kept in {str(store.root)!r}, and the next run sends it"
    assert said.count(f"cannot reach it; {kept}") == 2
    assert sum("goes on without leases" in line for line in said) == 1
    assert "run it again later" in said[-1]
    steps = {(step.kind, step.key) for step in plan.steps.values()}
    assert sum(key in store._there.keys(kind) for kind, key in steps) == 1
    told.clear()
    run(plan, Shared(store.root, url), Inline(store.root), told.append)
    assert [event["event"] for event in told] == ["run"] and told[0]["todo"] == 0
    assert all(key in store._there.keys(kind) for kind, key in steps)


def test_a_damaged_artefact_of_another_machine_is_made_again(toys: Home) -> None:
    shared = toys.path / "shared"
    plan = plan_of(SMALL)

    def machine(name: str) -> list[dict[str, Any]]:
        told = list[dict[str, Any]]()
        store = Shared(toys.path / name, f"file://{shared}")
        runs = Inline(store.root)
        runs.store = Shared(store.root, store.url)
        schedule = run(plan, store, runs, told.append)
        assert all(schedule.outcome(key).state == "done" for key in plan.steps)
        return told

    assert len(named(machine("first"), "done")) == len(plan.steps)
    (model,) = shared.glob("student/*/model/points.json")
    whole = model.read_bytes()
    model.write_bytes(whole[:-1] + b" ")
    (evaluation,) = shared.glob("evaluation/*")
    shutil.rmtree(evaluation)
    told = machine("second")
    (damaged,) = named(told, "damaged")
    assert "points.json is wrong, at file://" in damaged["reason"]
    assert [event["kind"] for event in named(told, "done")] == ["student", "evaluation"]
    assert model.read_bytes() == whole
    assert named(machine("third"), "done") == []
