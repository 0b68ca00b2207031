"""Steps that hang are ended, and steps that are only slow are not."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from components import CPU, SMALL, Home, named, plan_of, steps_of

from harness.executors.base import Event
from harness.plan.planner import Plan
from harness.run.limits import Patience, TimeLimit, Watch
from harness.run.local import LocalWorkers
from harness.run.runner import run
from harness.run.schedule import Schedule
from harness.storage.store import Store

HOW = 'if it is only slow, set `time_limit` in [suite] to more seconds, or to "none"'
PATIENCE = Patience(times=20.0, least_s=100.0)


class Hours:
    """A watch of one step, `step`, on a clock that the test moves."""

    def __init__(self, limit: TimeLimit = "auto", usual: float = 1.0) -> None:
        self.time = 5_000.0
        self.watch = Watch(limit, lambda key: usual, PATIENCE, lambda: self.time)
        self.watch.started("step")

    def heard(self, kind: Any, **details: Any) -> None:
        self.watch.heard(Event(kind, "step", details))

    def passed(self, seconds: float) -> tuple[int, list[str]]:
        """Let time pass; the seconds until the step was ended (or all of them), and what was said of it."""
        said = []
        for second in range(int(seconds)):
            self.time += 1
            for late in self.watch.overdue(["step"]):
                said.append(late.message)
                if late.ended:
                    return second + 1, said
        return int(seconds), said


def test_a_silent_step_is_warned_of_and_then_ended() -> None:
    ended, said = Hours().passed(1_000)
    assert ended == 101
    assert said == [
        f"gave no sign of life for 51 s, and is ended after 2 min; {HOW}",
        f"it gave no sign of life for 2 min, so it was ended; {HOW}",
    ]


def test_a_step_that_should_take_long_may_be_silent_for_long() -> None:
    assert Hours(usual=30.0).passed(1_000)[0] == 601


def test_progress_keeps_a_step_alive_beyond_any_estimate() -> None:
    hours = Hours()
    for done in range(100):
        assert hours.passed(90)[0] == 90
        hours.heard("progress", done=done, total=100)
    # What is usual is now known: 90 seconds between two reports.
    assert hours.passed(5_000)[0] == 20 * 90 + 1


def test_a_training_that_stops_reporting_is_ended_whatever_it_should_have_taken() -> None:
    hours = Hours(usual=36_000.0)
    for done in range(10):
        hours.passed(2)
        hours.heard("progress", done=done, total=100)
    ended, said = hours.passed(5_000)
    assert ended == 101
    assert said[-1].startswith("it reported no progress for 2 min")
    hours = Hours(usual=30.0)
    hours.heard("progress", done=100, total=100)  # what follows the training does not report
    assert hours.passed(5_000)[0] == 601


def test_a_step_that_waits_for_another_run_has_all_its_time_afterwards() -> None:
    hours = Hours()
    hours.passed(30)
    hours.heard("waiting", waiting=True)
    assert hours.passed(10_000) == (10_000, [])
    hours.heard("waiting", waiting=False)
    assert hours.passed(1_000)[0] == 101
    hours = Hours(limit=10.0)
    hours.heard("waiting", waiting=True)
    assert hours.passed(100)[0] == 100
    hours.heard("progress", done=1, total=2)
    assert hours.passed(100) == (11, ["it exceeded its time limit of 10 s"])


def test_a_limit_of_the_user_is_the_only_one() -> None:
    hours = Hours(limit=300.0)
    assert hours.passed(250) == (250, [])
    hours.heard("progress", done=1, total=2)
    assert hours.passed(250) == (51, ["it exceeded its time limit of 300 s"])
    assert Hours(limit="none").passed(10_000) == (10_000, [])


def test_time_in_which_the_run_itself_was_stopped_does_not_count() -> None:
    hours = Hours()
    hours.passed(50)
    hours.time += 100_000  # Ctrl-Z, or a laptop that slept
    assert hours.passed(1_000)[0] == 42  # ten of these seconds are counted
    hours = Hours(limit=100.0)
    hours.time += 100_000
    assert hours.passed(1_000)[0] == 92


def test_a_step_that_ended_is_forgotten() -> None:
    hours = Hours()
    hours.heard("done", seconds=1.0)
    assert hours.passed(1_000) == (1_000, [])


# -- on workers ----------------------------------------------------------------------------------------------


def done(toys: Home, plan: Plan, observe: Any = None) -> tuple[Schedule, list[dict[str, Any]]]:
    """A run whose steps may be silent for a second, on a worker that has started already."""
    told: list[dict[str, Any]] = []
    store = Store(toys.store)
    executor = LocalWorkers(toys.store, (CPU,))
    executor.submit(0, *steps_of(plan, "data"))
    while not executor.wait(1.0):
        pass

    def note(event: dict[str, Any]) -> None:
        told.append(event)
        if observe:
            observe(event, executor)

    schedule = run(plan, store, executor, note, patience=Patience(times=0.0, least_s=2.0))
    return schedule, told


def test_a_step_that_hangs_is_ended_without_a_limit(toys: Home) -> None:
    plan = plan_of(SMALL + '    trouble = "hang"\n')
    schedule, told = done(toys, plan)
    (student,) = steps_of(plan, "student")
    assert schedule.outcome(student.key).state == "failed"
    assert "so it was ended; if it is only slow, set `time_limit`" in schedule.outcome(student.key).reason
    (warned,) = named(told, "message")
    assert warned["message"].startswith("student toy by toy-labels gave no sign of life for ")
    assert warned["key"] == student.key


def test_a_worker_that_is_stopped_is_ended(toys: Home) -> None:
    plan = plan_of(SMALL + '    trouble = "slow"\n')
    stopped: list[int] = []

    def stop(event: dict[str, Any], executor: LocalWorkers) -> None:
        if event["event"] == "progress" and not stopped:
            (worker,) = executor._workers.values()
            children = Path(f"/proc/{worker.process.pid}/task/{worker.process.pid}/children")
            for pid in (worker.process.pid, *map(int, children.read_text().split())):
                os.kill(pid or 0, signal.SIGSTOP)
            stopped.append(worker.process.pid or 0)

    schedule, _ = done(toys, plan, stop)
    assert stopped
    (student,) = steps_of(plan, "student")
    assert schedule.outcome(student.key).reason.startswith("it reported no progress for ")


def test_a_slow_step_that_reports_is_not_ended(toys: Home) -> None:
    plan = plan_of(SMALL + '    trouble = "slow"\n')
    schedule, told = done(toys, plan)
    assert {schedule.outcome(key).state for key in plan.steps} == {"done"}
    (took,) = (event["seconds"] for event in named(told, "done") if event["kind"] == "student")
    assert took > 2.0
