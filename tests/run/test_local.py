"""Workers that go wrong in every way cost their own step, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from components import CPU, SMALL, Home, installed, perform_in, plan_of, steps_of

import harness
from harness.devices import Slot
from harness.executors.base import Event
from harness.plan.planner import Plan, Step
from harness.run import local
from harness.run.local import LocalWorkers
from harness.storage.store import Store

TROUBLES = (
    "",
    *("raise", "raise-nothing", "refuse", "print", "leave", "exit", "kill", "odd-signal", "memory"),
    *("full-disk", "unavailable", "hang", "gate", "warn", "numpy", "unplain", "nan", "shape"),
    *("disorder", "spoil", "daemon", "cores"),
)
SUITE = f"{SMALL}    trouble = {{ sweep = {list(TROUBLES)} }}\n"


@pytest.fixture(scope="module", params=["isolated", "own"])
def isolated(request: pytest.FixtureRequest) -> bool:
    """Whether steps run in processes of their own, as those of the toys do, or as this project's do."""
    return bool(request.param == "isolated")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory, toy_site: Path, isolated: bool) -> Iterator[Home]:
    """The toys installed, and their data in the store."""
    with installed(Home(tmp_path_factory.mktemp("workshop"), toy_site)) as home:
        perform_in(Store(home.store), plan_of(SUITE), "data")
        yield home


@pytest.fixture(scope="module")
def plan(workshop: Home, isolated: bool) -> Plan:
    return planned(isolated)


def planned(isolated: bool) -> Plan:
    plan = plan_of(SUITE)
    assert all(step.foreign for step in plan.steps.values())
    if isolated:
        return plan
    return replace(plan, steps={key: step._replace(foreign=()) for key, step in plan.steps.items()})


@pytest.fixture(scope="module")
def executor(workshop: Home) -> Iterator[LocalWorkers]:
    """Two workers, for all tests here: what one test does to them is nothing to the next."""
    executor = LocalWorkers(workshop.store, (CPU, CPU))
    yield executor
    executor.close()


def student(plan: Plan, trouble: str) -> Step:
    (step,) = (s for s in steps_of(plan, "student") if s.components["student"].trouble == trouble)  # type: ignore[attr-defined]
    return step


def ended(executor: LocalWorkers, *steps: Step) -> list[Event]:
    """Wait for the ends of some steps that were submitted; the events until then."""
    missing, seen = {step.key for step in steps}, []
    while missing:
        for event in executor.wait(1.0):
            seen.append(event)
            if event.type not in ("progress", "warning"):
                missing.discard(event.key)
    return seen


def do(executor: LocalWorkers, step: Step) -> list[Event]:
    """Submit a step to a free slot and wait for its end."""
    executor.submit(executor.free()[0], step)
    return ended(executor, step)


def process_of(executor: LocalWorkers, slot: int) -> Any:
    (worker,) = (worker for (place, *_), worker in executor._workers.items() if place == slot)
    return worker.process


# -- what goes wrong -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trouble", "reason", "log"),
    [
        ("raise", "ValueError: the toy broke", "and more of this"),
        ("raise-nothing", "ValueError", "raise ValueError"),
        ("refuse", "the toy is only for tests", None),
        ("print", "ValueError: the toy broke", "the last words\nof a toy\nTraceback"),
        ("memory", "out of memory", "Traceback"),
        ("full-disk", "No space left on device: '", "OSError"),
        ("unplain", "TypeError: cannot pickle '_thread.lock' object", "Traceback"),
        ("leave", "its worker ended with status 5", ""),
        ("exit", "its worker ended with status 3", "gone without a word"),
        ("kill", "its worker was ended by SIGKILL, perhaps because memory ran out", ""),
        ("odd-signal", f"its worker was ended by signal {signal.SIGRTMIN + 6}", ""),
    ],
)
def test_a_step_that_goes_wrong_is_told_of(
    executor: LocalWorkers, plan: Plan, trouble: str, reason: str, log: str | None
) -> None:
    event = do(executor, student(plan, trouble))[-1]
    assert event.type == "failed"
    assert event.key == student(plan, trouble).key
    assert event.details["reason"].startswith(reason)
    if log is None:
        assert event.details["log"] == ""  # the sentence says it all
    else:
        assert log in event.details["log"]
    assert sorted(executor.free()) == [0, 1]


def test_what_is_absent_is_unavailable(executor: LocalWorkers, plan: Plan) -> None:
    event = do(executor, student(plan, "unavailable"))[-1]
    assert (event.type, event.details) == ("unavailable", {"reason": "the toy is out of stock"})


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ("nan", "cannot score: the model's outputs are NaN or infinite"),
        ("shape", "'toy' returned predictions of shape (12, 2); expected (12, 3)"),
    ],
)
def test_predictions_that_are_none(executor: LocalWorkers, plan: Plan, trouble: str, reason: str) -> None:
    fit = student(plan, trouble)
    assert do(executor, fit)[-1].type == "done"
    (evaluation,) = (s for s in steps_of(plan, "evaluation") if fit.key in s.needs.values())
    event = do(executor, evaluation)[-1]
    assert (event.type, event.details["reason"]) == ("failed", reason)


def test_a_failure_leaves_nothing_in_the_store(executor: LocalWorkers, plan: Plan, workshop: Home) -> None:
    for trouble in ("raise", "kill"):
        do(executor, student(plan, trouble))
    store = Store(workshop.store)
    store.sweep()
    assert store.find("student", student(plan, "raise").key) is None
    assert store.find("student", student(plan, "kill").key) is None
    left = {path.name.partition(".")[0] for path in (workshop.store / "tmp").iterdir()}
    assert left <= {"logs"}  # of workers that are still there


# -- what goes well --------------------------------------------------------------------------------------


def test_progress_and_warnings_come_before_the_end(
    executor: LocalWorkers, plan: Plan, workshop: Home
) -> None:
    events = do(executor, student(plan, "warn"))
    assert [event.type for event in events] == ["warning", "progress", "done"]
    assert events[0].details == {"message": "this toy is [red]hot[/red]"}
    assert events[1].details == {"done": 30, "total": 30, "loss": 0.5}
    artefact = Store(workshop.store).open("student", student(plan, "warn").key)
    assert events[2].details == {"seconds": artefact.made["seconds"]}
    assert artefact.result["warnings"] == ["this toy is [red]hot[/red]"]
    assert artefact.result["history"] == [{"done": 30.0, "loss": 0.5}]


def test_cores_are_lent_during_a_step(executor: LocalWorkers, plan: Plan, workshop: Home) -> None:
    step = student(plan, "cores")
    (workshop.path / "gate").unlink(missing_ok=True)
    executor.submit(0, step)
    (first,) = executor.wait(20.0)
    assert first.details == {"message": "1 cores"}
    executor.lend("another step", 5)
    executor.lend(step.key, 2)
    (workshop.path / "gate").touch()
    assert ended(executor, step)[0].details == {"message": "2 cores"}
    (workshop.path / "gate").unlink()


def test_numbers_of_numpy_reach_us_as_plain_ones(executor: LocalWorkers, plan: Plan, workshop: Home) -> None:
    events = do(executor, student(plan, "numpy"))
    assert [event.type for event in events] == ["progress", "done"]
    assert type(events[0].details["loss"]) is float
    result = Store(workshop.store).open("student", student(plan, "numpy").key).result
    assert result["parameters"]["total"] == 78


def test_a_worker_serves_step_after_step(executor: LocalWorkers, plan: Plan) -> None:
    first = do(executor, student(plan, "print"))[-1]
    process = process_of(executor, 0)
    second = do(executor, student(plan, "raise"))[-1]
    assert process_of(executor, 0) is process
    assert "the last words" in first.details["log"]
    assert "the last words" not in second.details["log"]  # each step's log is its own


def test_one_dying_is_nothing_to_the_other(
    executor: LocalWorkers, plan: Plan, workshop: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = student(plan, "gate")
    executor.submit(0, waiting)
    assert executor.free() == [1]
    for trouble in ("kill", "exit"):
        executor.submit(1, student(plan, trouble))
        (event,) = ended(executor, student(plan, trouble))
        assert event.type == "failed"
    (workshop.path / "gate").touch()
    assert [event.type for event in ended(executor, waiting)] == ["progress", "done"]


def test_a_step_that_is_stopped_makes_place_for_others(executor: LocalWorkers, plan: Plan) -> None:
    hanging = student(plan, "hang")
    executor.submit(0, hanging)
    process = process_of(executor, 0)
    event = executor.stop(hanging.key, "it exceeded its time limit of 3 s")
    assert (event.type, event.key) == ("failed", hanging.key)
    assert event.details["reason"] == "it exceeded its time limit of 3 s"
    assert not process.is_alive()
    assert do(executor, student(plan, ""))[-1].type == "done"


def test_a_worker_that_dies_while_idle_is_replaced(executor: LocalWorkers, plan: Plan) -> None:
    do(executor, student(plan, "raise"))
    process = process_of(executor, 0)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    executor.submit(0, student(plan, "raise"))
    assert process_of(executor, 0) is not process
    assert ended(executor, student(plan, "raise"))[-1].details["reason"] == "ValueError: the toy broke"


@pytest.mark.parametrize("trouble", ["disorder", "spoil"])
def test_a_worker_that_a_step_has_changed_makes_place_for_a_fresh_one(
    executor: LocalWorkers, plan: Plan, isolated: bool, trouble: str
) -> None:
    do(executor, student(plan, "raise"))
    process = process_of(executor, 0)
    (event,) = (e for e in do(executor, student(plan, trouble)) if e.type == "done")
    assert set(event.details) == {"seconds"}
    executor.submit(0, student(plan, "raise"))  # at once, whether or not the old one has ended by now
    assert (process_of(executor, 0) is process) == isolated
    assert process.is_alive() == isolated
    assert ended(executor, student(plan, "raise"))[-1].details["reason"] == "ValueError: the toy broke"


def test_who_changes_the_global_state_is_named_once(plan: Plan, workshop: Home) -> None:
    step, store = student(plan, "disorder"), Store(workshop.store)
    with LocalPlace(workshop) as executor:
        said = []
        for _ in range(2):
            store.remove("student", step.key)
            said += [e.details["message"] for e in do(executor, step) if e.type == "warning"]
    assert said == [
        "student 'toy' or loss 'toy-labels' changed the current folder "
        f"(from {Path.cwd()} to /), environment variable OMP_NUM_THREADS, "
        "NumPy's error state; other steps are not affected"
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not list the processes of others")
def test_what_a_step_starts_ends_with_it(plan: Plan, workshop: Home, isolated: bool) -> None:
    if not isolated:
        pytest.skip("this project's components start no processes")

    def daemons() -> list[Path]:
        return [p for p in Path("/proc").glob("[0-9]*") if b"TOY_DAEMON=1" in environment_of(p)]

    with LocalPlace(workshop) as executor:
        assert do(executor, student(plan, "daemon"))[-1].type == "done"
    assert daemons() == []


def environment_of(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def test_a_death_between_two_looks_is_not_lost(
    executor: LocalWorkers, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor.submit(0, student(plan, "kill"))
    with monkeypatch.context() as patch:
        patch.setattr(local, "wait", lambda handles, timeout: [])  # nothing was ready when we looked
        process_of(executor, 0).join()
        assert executor.wait(0) == []
    (event,) = ended(executor, student(plan, "kill"))
    assert event.type == "failed"


def test_an_interrupt_is_no_business_of_a_worker(executor: LocalWorkers, plan: Plan, workshop: Home) -> None:
    step = student(plan, "gate")
    Store(workshop.store).remove("student", step.key)
    (workshop.path / "gate").unlink(missing_ok=True)
    before = len(workshop.journal())
    executor.submit(0, step)
    os.kill(process_of(executor, 0).pid, signal.SIGINT)
    while len(workshop.journal()) == before:
        assert process_of(executor, 0).is_alive()
        time.sleep(0.01)
    os.kill(process_of(executor, 0).pid, signal.SIGINT)
    (workshop.path / "gate").touch()
    assert ended(executor, step)[-1].type == "done"


def test_a_damaged_need_is_told_of(executor: LocalWorkers, plan: Plan, workshop: Home) -> None:
    fit = student(plan, "")
    do(executor, fit)
    (evaluation,) = (s for s in steps_of(plan, "evaluation") if fit.key in s.needs.values())
    (path,) = (workshop.store / "student" / fit.key).glob("model/*")
    path.write_text(path.read_text().replace("1", "2"))
    with LocalPlace(workshop) as fresh:  # a worker that has not read it yet
        event = do(fresh, evaluation)[-1]
    assert event.type == "damaged"
    assert event.details["kind"] == "student"
    assert event.details["damaged"] == fit.key
    assert "the checksum of model/points.json is wrong" in event.details["reason"]


class LocalPlace:
    """One worker for a while."""

    def __init__(self, home: Home, slot: Slot = CPU) -> None:
        self.executor = LocalWorkers(home.store, (slot,))

    def __enter__(self) -> LocalWorkers:
        return self.executor

    def __exit__(self, *_: object) -> None:
        self.executor.close()


# -- steps that cannot be sent ---------------------------------------------------------------------------


def test_a_step_that_cannot_be_sent_is_a_failure(executor: LocalWorkers, plan: Plan) -> None:
    @dataclass(frozen=True)
    class Local(harness.Student):
        name = "local"

    step = student(plan, "")._replace(components={"student": Local()}, key="unsendable")
    (event,) = do(executor, step)
    assert event.type == "failed"
    assert event.details["reason"].startswith("cannot send the step to a worker: ")
    assert "Local" in event.details["reason"]
    assert sorted(executor.free()) == [0, 1]


def test_a_step_that_cannot_be_received_is_a_failure(
    executor: LocalWorkers, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("only_here")
    namespace = {"__module__": "only_here", "name": "only-here"}
    module.Only = dataclass(frozen=True)(type("Only", (harness.Student,), namespace))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "only_here", module)
    step = student(plan, "")._replace(components={"student": module.Only()}, key="unreceivable")
    event = do(executor, step)[-1]
    assert event.details["reason"] == "its worker ended with status 1"
    assert "No module named 'only_here'" in event.details["log"]


# -- the ends of executors and of their parents ----------------------------------------------------------


def test_closing_ends_workers_that_work_and_workers_that_rest(plan: Plan, workshop: Home) -> None:
    executor = LocalWorkers(workshop.store, (CPU, CPU))
    executor.submit(0, student(plan, "hang"))
    executor.submit(1, student(plan, "raise"))
    ended(executor, student(plan, "raise"))
    processes = [process_of(executor, slot) for slot in (0, 1)]
    logs = executor._logs
    assert logs is not None
    assert len(list(logs.iterdir())) == 2
    executor.close()
    assert [process.is_alive() for process in processes] == [False, False]
    assert processes[0].exitcode == -signal.SIGKILL
    assert processes[1].exitcode in (0, -signal.SIGKILL)  # an isolated one may be loading libraries
    assert not logs.exists()


ORPHANS = """
    import os
    from pathlib import Path
    from components import CPU
    from test_local import planned, student
    from harness.run.local import LocalWorkers

    if __name__ == "__main__":
        plan = planned(bool(os.environ["ISOLATED"]))
        executor = LocalWorkers(Path(os.environ["HARNESS_STORE"]), (CPU, CPU))
        executor.submit(0, student(plan, "hang"))
        executor.submit(1, student(plan, "raise"))
        while executor.wait(1) == [] or 1 not in executor.free():
            pass
        print(*(worker.process.pid for worker in executor._workers.values()), flush=True)
        executor.wait(1000)
"""


def test_workers_end_when_their_parent_is_killed(workshop: Home, isolated: bool, tmp_path: Path) -> None:
    script = tmp_path / "orphans.py"
    script.write_text(dedent(ORPHANS))
    here = Path(__file__).parent
    environment = workshop.variables()
    environment["ISOLATED"] = "yes" if isolated else ""
    environment["PYTHONPATH"] += os.pathsep + os.pathsep.join([str(here), str(here.parent)])
    parent = subprocess.Popen([sys.executable, script], env=environment, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(workers) == 2
    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate()  # whose pipe the workers hold as well, so that this returns when they are gone
    while any(running(worker) for worker in workers):
        time.sleep(0.01)


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# -- what a worker finds in its environment --------------------------------------------------------------


@pytest.mark.parametrize(
    ("slot", "visible", "expected"),
    [
        (Slot("cpu"), None, ""),
        (Slot("cpu"), "0,1", ""),
        (Slot("cuda:1"), None, "1"),
        (Slot("cuda:1"), "3,5", "5"),
        (Slot("cuda:0"), "GPU-abc", "GPU-abc"),
    ],
)
def test_a_worker_sees_its_card_alone(
    monkeypatch: pytest.MonkeyPatch, slot: Slot, visible: str | None, expected: str
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    handler = signal.getsignal(signal.SIGINT)
    with local._environment(slot, "m", (slot.device,)):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == expected
        assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == "1"
        assert os.environ["DISTIL_HARNESS_WORKER"] == "m"
        assert (
            signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        )  # a worker that starts must not be interrupted
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == visible
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize(("gpus", "expected"), [(1, "7"), (2, "7,4")])
def test_a_step_for_several_gpus_sees_them(
    plan: Plan, workshop: Home, monkeypatch: pytest.MonkeyPatch, gpus: int, expected: str
) -> None:
    """Its own GPU comes first; others see theirs alone."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7,9")
    workers = LocalWorkers(workshop.store, [Slot("cuda:0"), Slot("cuda:1"), Slot("cuda:1"), Slot("cpu")])
    step = next(iter(plan.steps.values()))._replace(gpus=gpus)
    try:
        workers.submit(1, step)
        ((place, worker),) = workers._workers.items()
        assert place == (1, bool(step.foreign), gpus > 1)
        while not (seen := Path(f"/proc/{worker.process.pid}/environ").read_bytes()):
            pass  # the child has not begun to run its own program
        assert f"CUDA_VISIBLE_DEVICES={expected}".encode() in seen.split(b"\0")
    finally:
        workers.close()


def test_a_step_that_another_process_has_done_is_done(workshop: Home, plan: Plan) -> None:
    step = student(plan, "refuse")
    store = Store(workshop.store)
    with store.workspace("x") as folder:
        store.publish("student", step.key, folder, {}, {"seconds": 12.5})
    with LocalPlace(workshop) as executor:
        (event,) = do(executor, step)
    assert (event.type, event.details) == ("done", {"seconds": 12.5})
    store.remove("student", step.key)
