"""What a driver sends to other machines, and what must be equal on them."""

from __future__ import annotations

import os
import pickle
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from components import CPU, SMALL, Home, perform_in, plan_of, steps_of

from harness.plan.planner import Step
from harness.run.relay import Relay, Sealed, Surroundings, Traits
from harness.storage.store import Store

OWN = Traits("3.11.7", {"torch": "2.13.0", "numpy": "2.1.0"}, "a", "Fast 1", frozenset({"avx2", "avx512f"}))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, ""),
        ({"python": "3.11.8"}, "it has Python 3.11.8, this machine 3.11.7"),
        ({"packages": {"torch": "2.12.0"}}, "it has torch 2.12.0, this machine 2.13.0"),
        ({"packages": {"torch": "2.13.0"}}, ""),  # an extra that it lacks
        ({"code": "b"}, "its code of this package or of a plugin is not that of this machine"),
        ({"features": frozenset({"avx2"})}, "its CPU differs from that of this machine in avx512f"),
        ({"cpu": "Fast 2"}, "its CPU is Fast 2, that of this machine Fast 1"),
        ({"sees": False}, "it does not see the store; put that on a file system that all machines share"),
    ],
)
def test_what_may_not_differ(change: dict[str, Any], told: str) -> None:
    assert OWN.difference(OWN._replace(**change)) == told


def test_this_machine_does_not_differ_from_itself(tmp_path: Path) -> None:
    own = Traits.here()
    assert {"torch", "numpy", "click"} <= own.packages.keys() and own.features
    assert own.difference(Traits.here(tmp_path)) != "" and not Traits.here(tmp_path).sees
    (tmp_path / "sign").touch()
    assert own.difference(Traits.here(tmp_path / "sign")) == ""


def test_an_edit_changes_the_digest_of_the_code(tmp_path: Path, toy_site: Path) -> None:
    import shutil
    import subprocess

    site = tmp_path / "site"
    shutil.copytree(toy_site, site)

    def code() -> str:
        command = "from harness.plan.fingerprint import installed_code; print(installed_code())"
        environment = {**os.environ, "PYTHONPATH": str(site)}
        done = subprocess.run(
            [sys.executable, "-c", command], env=environment, capture_output=True, text=True
        )
        return done.stdout

    before = code()
    assert before == code() != ""
    with (site / "toykit" / "counting.py").open("a") as file:
        file.write("# more\n")
    assert code() != before


def test_surroundings_are_those_of_the_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_DATA", "there")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    monkeypatch.setattr(sys, "path", ["", "/some"])
    sent = Surroundings.here()
    assert "CUDA_VISIBLE_DEVICES" not in sent.environment and "PATH" not in sent.environment
    monkeypatch.setattr(sys, "path", ["/own", "/some"])
    monkeypatch.setenv("HARNESS_DATA", "here")
    monkeypatch.chdir("/")
    sent.enter()
    assert (os.environ["HARNESS_DATA"], Path.cwd()) == ("there", tmp_path)
    assert sys.path == [str(tmp_path), "/some", "/own"]
    sent._replace(folder="/not/here").enter()
    assert Path.cwd() == tmp_path


# -- steps -----------------------------------------------------------------------------------------------


@pytest.fixture
def relay(toys: Home, monkeypatch: pytest.MonkeyPatch) -> Relay:
    monkeypatch.setattr(sys, "path", [*sys.path])
    perform_in(Store(toys.store), plan_of(SMALL), "data")
    return Relay(toys.store, CPU, Surroundings.here())


def student(trouble: str) -> Step:
    (step,) = steps_of(plan_of(SMALL + f'    trouble = "{trouble}"\n'), "student")
    return step


def test_a_sealed_step_is_opened_by_who_unpickles_it(toys: Home) -> None:
    step = student("")
    sealed = Sealed(*Sealed.of(step).parts)
    assert (sealed.key, sealed.foreign) == (step.key, step.foreign)
    assert pickle.loads(pickle.dumps(sealed)) == step


def test_a_relay_runs_stops_and_closes(relay: Relay) -> None:
    step = student("raise")
    events = list(relay.run(*Sealed.of(step).parts))
    assert [event.type for event in events] == ["failed"]
    assert events[0].details["reason"] == "ValueError: the toy broke"

    hanging = student("hang")
    threading.Timer(0.5, relay.stop, (hanging.key, "it took too long")).start()
    (event,) = relay.run(*Sealed.of(hanging).parts)
    assert (event.type, event.details["reason"]) == ("failed", "it took too long")

    told: list[Any] = []
    running = threading.Thread(target=lambda: told.extend(relay.run(*Sealed.of(hanging).parts)))
    running.start()
    while not relay._used.locked():
        pass
    relay.close()
    running.join()
    assert [event.details["reason"] for event in told] == ["its executor was closed"]
