"""The main path: what is missing is done, what fails costs its cells, what is finished stays."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import Any

import pytest
from components import CPU, SMALL, SUITE, Home, Inline, named, perform_in, plan_of, steps_of

from harness.devices import Slot
from harness.executors.base import Event
from harness.plan.planner import Plan, Step
from harness.run import runner as running
from harness.run.local import LocalWorkers
from harness.run.runner import prepare, run
from harness.run.schedule import Schedule
from harness.storage.store import Store

MIXED = SUITE.replace(
    "size = { sweep = [1, 2] }", 'trouble = { sweep = ["", "raise", "unavailable", "warn"] }'
)


class Idle(Inline):
    """Must not be asked for anything."""

    def submit(self, slot: int, step: Step) -> None:
        raise AssertionError(f"{step.label} was done again")

    def wait(self, timeout: float) -> list[Event]:
        raise AssertionError("there is nothing to wait for")


def done_inline(plan: Plan, home: Home, **options: Any) -> tuple[Schedule, list[dict[str, Any]]]:
    """A run in this process; the schedule and the events."""
    told: list[dict[str, Any]] = []
    executor = Inline(home.store)
    schedule = run(plan, Store(home.store), executor, told.append, **options)
    assert executor.closed
    return schedule, told


def states(schedule: Schedule, plan: Plan) -> Counter[str]:
    return Counter(schedule.outcome(key).state for key in plan.steps)


def test_a_run_does_what_is_missing_and_a_second_one_nothing(toys: Home) -> None:
    plan = plan_of(SUITE)
    schedule, told = done_inline(plan, toys)
    assert states(schedule, plan) == {"done": 31}
    assert told[0]["event"] == "run"
    assert (told[0]["cells"], told[0]["steps"], told[0]["todo"]) == (13, 31, 31)
    started, done = named(told, "started"), named(told, "done")
    assert {event["key"] for event in started} == {event["key"] for event in done} == plan.steps.keys()
    assert [event["left"] for event in done] == list(range(30, -1, -1))
    assert done[-1]["left_s"] == 0
    assert started[0] == {
        "event": "started",
        "key": steps_of(plan, "data")[0].key,
        "kind": "data",
        "step": "data toy",
        "slot": 0,
    }

    told.clear()
    schedule = run(plan, Store(toys.store), Idle(toys.store), told.append)
    assert [event["event"] for event in told] == ["run"]
    assert told[0]["todo"] == told[0]["expected_s"] == 0
    assert states(schedule, plan) == {"done": 31}


class Reporting(Inline):
    """Reports some progress before each step ends."""

    def wait(self, timeout: float) -> list[Event]:
        ends = super().wait(timeout)
        done = [Event("progress", end.key, {"done": done, "total": 9}) for end in ends for done in (7, 8)]
        return [*done, *ends]


def test_progress_tells_how_much_time_is_left(toys: Home) -> None:
    told: list[dict[str, Any]] = []
    plan = plan_of(SMALL)
    run(plan, Store(toys.store), Reporting(toys.store), told.append)
    first, second = (one for one in named(told, "progress") if one["kind"] == "data")
    assert "left_s" not in first
    assert second["left_s"] > 0


def test_failures_cost_their_cells_and_are_tried_again(toys: Home) -> None:
    plan = plan_of(MIXED)
    schedule, told = done_inline(plan, toys)
    by_trouble: dict[str, set[tuple[str, str]]] = {}
    for cell in plan.cells:
        if cell.student is not None:
            outcome = schedule.outcome(cell.steps["evaluation"])
            by_trouble.setdefault(cell.student.trouble, set()).add((outcome.state, outcome.reason))  # type: ignore[attr-defined]
    labels = ("toy-labels", "toy-plain/toy-soft", "toy-shuffle/toy-soft")
    assert by_trouble == {
        "": {("done", "")},
        "warn": {("done", "")},
        "raise": {
            ("failed", f"step 'student toy by {label}': ValueError: the toy broke") for label in labels
        },
        "unavailable": {
            ("unavailable", f"step 'student toy by {label}': the toy is out of stock") for label in labels
        },
    }
    failed = named(told, "failed")
    assert len(failed) == len(named(told, "unavailable")) == 6
    assert {event["reason"] for event in failed} == {"ValueError: the toy broke"}
    assert all("Traceback" in event["log"] for event in failed)
    assert {event["message"] for event in named(told, "warning")} == {"this toy is [red]hot[/red]"}

    before = Counter(toys.journal())
    schedule, told = done_inline(plan, toys)
    again = Counter(toys.journal()) - before
    assert told[0]["todo"] == 6 * 2 * 2  # a failure is no result, so it is not kept
    assert {line.partition("trouble='")[2].partition("'")[0] for line in again} == {"raise", "unavailable"}


def test_a_run_on_workers_ends_as_one_in_this_process(toys: Home, tmp_path: Path) -> None:
    plan = plan_of(SUITE)
    done_inline(plan, toys)
    elsewhere = tmp_path / "elsewhere"
    executor = LocalWorkers(elsewhere, (CPU, CPU))
    schedule = run(plan, Store(elsewhere), executor, lambda event: None)
    assert states(schedule, plan) == {"done": 31}
    for step in plan.steps.values():
        here, there = (Store(root).open(step.kind, step.key) for root in (toys.store, elsewhere))
        assert here.files == there.files, step.label  # sizes and checksums: to the bit


def test_a_step_that_hangs_is_ended(toys: Home) -> None:
    plan = plan_of(SMALL + '    trouble = "hang"\n')
    store = Store(toys.store)
    perform_in(store, plan, "data")
    told: list[dict[str, Any]] = []
    executor = LocalWorkers(toys.store, (CPU,))
    schedule = run(plan, store, executor, told.append, time_limit=0.25)
    (student,), (evaluation,) = steps_of(plan, "student"), steps_of(plan, "evaluation")
    assert schedule.outcome(student.key).reason == "it exceeded its time limit of 0.25 s"
    expected = "step 'student toy by toy-labels': it exceeded its time limit of 0.25 s"
    assert schedule.outcome(evaluation.key).reason == expected
    assert [event["event"] for event in told] == ["run", "started", "failed"]
    assert executor._workers == {}


def test_a_step_within_its_limit_is_not_ended(toys: Home) -> None:
    plan = plan_of(SMALL)
    schedule, _ = done_inline(plan, toys, time_limit=600.0)
    assert states(schedule, plan) == {"done": 3}


def test_an_interrupt_ends_the_workers_and_keeps_what_is_finished(toys: Home) -> None:
    plan = plan_of(SUITE)
    executor = Inline(toys.store)

    def interrupt(event: dict[str, Any]) -> None:
        if event["event"] == "done" and event["kind"] == "targets":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(plan, Store(toys.store), executor, interrupt)
    assert executor.closed
    done = toys.performed()
    assert 3 < done < 31
    done_inline(plan, toys)
    assert toys.performed() == 31
    assert max(Counter(toys.journal()).values()) == 1


# -- damage ----------------------------------------------------------------------------------------------


def test_damage_found_before_a_run_is_told_of_and_mended(toys: Home) -> None:
    plan = plan_of(SUITE)
    done_inline(plan, toys)
    evaluation = plan.steps[plan.cells[-1].steps["evaluation"]]
    (toys.store / "evaluation" / evaluation.key / "predictions.safetensors").unlink()
    _, told = done_inline(plan, toys)
    (message,) = named(told, "message")
    assert message["message"] == (
        f"stored evaluation {evaluation.key[:12]} is damaged (predictions.safetensors is missing); "
        "it was set aside and will be made again"
    )
    assert [event["key"] for event in named(told, "done")] == [evaluation.key]
    assert Store(toys.store).open("evaluation", evaluation.key)


def test_damage_found_by_a_step_is_mended_before_the_step_runs(toys: Home) -> None:
    plan = plan_of(SUITE)
    done_inline(plan, toys)
    (data,) = steps_of(plan, "data")
    path = toys.store / "data" / data.key / "train.arrow"
    content = bytearray(path.read_bytes())
    content[-200] ^= 1
    path.write_bytes(content)
    store = Store(toys.store)
    for step in steps_of(plan, "student"):
        store.remove("student", step.key)
    for step in steps_of(plan, "evaluation"):
        store.remove("evaluation", step.key)
    schedule, told = done_inline(plan, toys)
    assert states(schedule, plan) == {"done": 31}
    (damaged,) = named(told, "damaged")
    assert "the checksum of train.arrow is wrong" in damaged["reason"]
    assert damaged["damaged"] == data.key
    done = [event["key"] for event in named(told, "done")]
    assert done.count(data.key) == 1
    assert sorted(done) == sorted(
        [data.key, *(s.key for k in ("student", "evaluation") for s in steps_of(plan, k))]
    )
    assert len(list((toys.store / "damaged").iterdir())) == 1


def test_an_artefact_taken_away_during_a_run_is_made_again(toys: Home) -> None:
    plan = plan_of(SMALL)
    (data,) = steps_of(plan, "data")
    taken: list[bool] = []

    def take(event: dict[str, Any]) -> None:
        if event["event"] == "done" and event["key"] == data.key and not taken:
            taken.append(True)
            Store(toys.store).remove("data", data.key)

    schedule = run(plan, Store(toys.store), Inline(toys.store), take)
    assert taken
    assert states(schedule, plan) == {"done": 3}
    assert Counter(toys.journal())["read ToyTask(rows=30, salt=0, trouble='')"] == 2


def test_damage_that_comes_up_after_a_run_began_is_mended(toys: Home) -> None:
    plan = plan_of(SMALL)
    (data,) = steps_of(plan, "data")

    def spoil(event: dict[str, Any]) -> None:
        if event["event"] == "run":  # as another process may leave it
            (folder := toys.store / "data" / data.key).mkdir(parents=True)
            (folder / "manifest.json").write_text("{}")

    schedule = run(plan, Store(toys.store), Inline(toys.store), spoil)
    assert states(schedule, plan) == {"done": 3}
    assert len(list((toys.store / "damaged").iterdir())) == 1


def left_by_the_dead(home: Home) -> Path:
    """A folder under way whose process is gone."""
    with Store(home.store).workspace("k") as folder:
        left = folder.with_name(folder.name.replace("-", "-99999999"))
        left.mkdir()
    return left


def test_what_killed_runs_left_is_swept_away(toys: Home) -> None:
    plan = plan_of(SMALL)
    done_inline(plan, toys)
    left = left_by_the_dead(toys)
    run(plan, Store(toys.store), Idle(toys.store), lambda event: None)  # even where there is nothing to do
    assert not left.exists()


def test_what_killed_workers_left_is_swept_away_at_the_end(toys: Home) -> None:
    left: list[Path] = []

    def die(event: dict[str, Any]) -> None:
        if event["event"] == "done" and not left:
            left.append(left_by_the_dead(toys))

    run(plan_of(SMALL), Store(toys.store), Inline(toys.store), die)
    assert left and not left[0].exists()


# -- before a run ----------------------------------------------------------------------------------------


def test_preparing_runs_nothing(toys: Home) -> None:
    plan = plan_of(SUITE)
    schedule = prepare(plan, Store(toys.store))
    assert schedule.unfinished == 31
    done_inline(plan, toys)
    schedule = prepare(plan, Store(toys.store))
    assert schedule.unfinished == 0
    assert len(toys.journal()) == 16


def test_expected_times_come_from_earlier_runs(toys: Home) -> None:
    plan = plan_of(SUITE)
    store = Store(toys.store)
    for step in plan.steps.values():
        store.add_timing(step.work, step.likes, 2.0, 1.0)
    _, told = done_inline(plan, toys)
    assert told[0]["expected_s"] == 62.0


def test_latencies_are_measured_last_and_alone(toys: Home) -> None:
    plan = plan_of(SUITE.replace("latency = false", "").replace("seeds = [0, 1]", "seeds = [0]"))
    count = len(plan.cells)
    running: set[str] = set()
    beside: list[int] = []
    order = []

    def watch(event: dict[str, Any]) -> None:
        if event["event"] == "started":
            running.add(event["key"])
            order.append(event["kind"])
            if event["kind"] == "latency" or any(plan.steps[key].exclusive for key in running):
                beside.append(len(running))
        elif event["event"] == "done":
            running.discard(event["key"])

    executor = LocalWorkers(toys.store, (CPU, CPU))
    schedule = run(plan, Store(toys.store), executor, watch)
    assert states(schedule, plan) == {"done": len(plan.steps)}
    assert count == 7 and order[-count:] == ["latency"] * count
    assert beside == [1] * count


def test_an_exclude_is_an_exclude(toys: Home) -> None:
    text = dedent(SUITE) + '\n[[exclude]]\naugmenter = "toy-shuffle"\n'
    done_inline(plan_of(text), toys)
    assert not [line for line in toys.journal() if line.startswith("augment Shuffle")]


class Places(Inline):
    """Notes which slots took steps; the first is a GPU."""

    def __init__(self, store: Path) -> None:
        super().__init__(store)
        self.slots = (Slot("cuda:0"), CPU)
        self.taken: list[int] = []

    def submit(self, slot: int, step: Step) -> None:
        self.taken.append(slot)
        super().submit(slot, step)


def test_a_gpus_worker_that_would_be_idle_takes_what_is_for_cores(toys: Home) -> None:
    plan = plan_of(SUITE)
    assert not any(step.gpu for step in plan.steps.values())
    schedule = run(plan, Store(toys.store), executor := Places(toys.store), lambda event: None)
    assert states(schedule, plan) == {"done": 31}
    assert set(executor.taken) == {1}  # while a core is free it takes them
    only = Places(toys.path / "other")
    only.slots = (Slot("cuda:0"),)
    schedule = run(plan, Store(toys.path / "other"), only, lambda event: None)
    assert states(schedule, plan) == {"done": 31}


def test_idle_cores_are_lent_to_steps_that_use_them() -> None:
    lent: dict[str, int] = {}
    steps = {key: SimpleNamespace(wide=key != "narrow") for key in ("a", "b", "narrow")}

    def lend(idle: int, *keys: str, gpu: bool = False) -> dict[str, int]:
        lent.clear()
        slots = [Slot("cuda:0" if gpu else "cpu")] * 8
        executor = SimpleNamespace(slots=slots, free=lambda: list(range(idle)), lend=lent.__setitem__)
        told: dict[str, int] = {}  # the schedule, which expects the step to end sooner
        schedule = SimpleNamespace(
            running=dict.fromkeys(keys, ""), plan=SimpleNamespace(steps=steps), lent=told.__setitem__
        )
        running._lend(schedule, executor)  # type: ignore[arg-type]
        assert told == lent
        return dict(lent)

    assert lend(3, "a", "b", "narrow") == {"a": 3, "b": 2}
    assert lend(1, "a") == {"a": 2}
    assert lend(0, "a", "narrow") == {"a": 1}
    assert lend(2, "narrow") == {}
    assert lend(2, "a", gpu=True) == {"a": 1}


def test_cores_are_lent_within_a_node() -> None:
    lent: dict[str, int] = {}
    slots = [Slot("cpu", 1, node) for node in ("one", "one", "two", "two", "two")]
    workers = SimpleNamespace(slots=slots, free=lambda: [1, 3, 4], lend=lent.__setitem__)
    steps = {key: SimpleNamespace(wide=True) for key in ("a", "b")}
    schedule = SimpleNamespace(
        running={"a": "one", "b": "two"}, plan=SimpleNamespace(steps=steps), lent=lambda key, cores: None
    )
    running._lend(schedule, workers)  # type: ignore[arg-type]
    assert lent == {"a": 2, "b": 3}


class Losing(Inline):
    """Loses the first ends of the steps of one kind, as if their machine had gone."""

    def __init__(self, store: Path, kind: str, times: int) -> None:
        super().__init__(store)
        self.kind, self.times = kind, times
        self.runs: Counter[str] = Counter()

    def submit(self, slot: int, step: Step) -> None:
        self.runs[step.key] += 1
        if step.kind == self.kind and self.runs[step.key] <= self.times:
            self.events.append(Event("lost", step.key, {"reason": "the node is lost"}))
        else:
            super().submit(slot, step)


def test_a_lost_step_is_run_again_twice(toys: Home) -> None:
    plan, told = plan_of(SUITE), list[dict[str, Any]]()
    schedule = run(plan, Store(toys.store), Losing(toys.store, "student", 2), told.append)
    assert states(schedule, plan) == {"done": 31}
    students = len(steps_of(plan, "student"))
    found = Counter(event["event"] for event in told if event.get("kind") == "student")
    assert (found["started"], found["lost"], found["done"]) == (3 * students, 2 * students, students)

    told.clear()
    other = toys.path / "other"
    schedule = run(plan, Store(other), Losing(other, "student", 3), told.append)
    assert {event["reason"] for event in named(told, "failed")} == {"the node is lost, as before"}
    assert len(named(told, "failed")) == students
    outcomes = {schedule.outcome(cell.steps["student"]).state for cell in plan.cells if cell.student}
    assert outcomes == {"failed"}


class Leaving(Inline):
    """Has one slot, which goes for good with the first student."""

    def free(self) -> list[int]:
        return [] if self.gone else super().free()

    def submit(self, slot: int, step: Step) -> None:
        if step.kind != "student":
            return super().submit(slot, step)
        self.gone = {0: "node a is lost"}
        self.events.append(Event("lost", step.key, {"reason": "node a is lost"}))
        return None


def test_a_run_whose_slots_are_all_gone_ends(toys: Home) -> None:
    plan = plan_of(SUITE)
    workers, told = Leaving(toys.store), list[dict[str, Any]]()
    schedule = run(plan, Store(toys.store), workers, told.append)
    assert [event["message"] for event in named(told, "message")] == ["node a is lost"]
    assert workers.closed and not schedule.unfinished
    reasons = {schedule.outcome(cell.steps["student"]).reason for cell in plan.cells if cell.student}
    assert reasons == {"no worker is left that could run it: node a is lost"}


def test_a_store_is_listed_once_and_asked_only_for_what_it_has(
    toys: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(SUITE)
    store = Store(toys.store)
    perform_in(store, plan, "data")
    asked: Counter[str] = Counter()
    for name in ("keys", "find"):
        method = getattr(Store, name)

        def counted(self: Store, kind: str, *key: str, name: str = name, method: Any = method) -> Any:
            asked[f"{name} {kind}"] += 1
            return method(self, kind, *key)

        monkeypatch.setattr(Store, name, counted)
    schedule = prepare(plan, Store(toys.store))
    kinds = {step.kind for step in plan.steps.values()}
    assert asked == {"find data": 1, **dict.fromkeys((f"keys {kind}" for kind in kinds), 1)}
    assert schedule.unfinished == 30

    # What another process adds later is found where it matters: when a step has lost what it needs.
    (transfer, *_), (student, *_) = steps_of(plan, "transfer"), steps_of(plan, "student")
    perform_in(store, plan, "transfer")
    schedule.started(transfer.key)
    schedule.done(transfer.key)
    schedule.started(student.key)
    schedule.lost(transfer.key, student.key)
    assert schedule.outcome(student.key).state == "ready"


def test_the_time_that_is_left_is_not_computed_after_every_step(
    toys: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []
    left_s = Schedule.left_s

    def counting(self: Schedule, slots: int, nodes: int) -> float:
        counted.append(self.unfinished)
        return left_s(self, slots, nodes)

    monkeypatch.setattr(Schedule, "left_s", counting)
    monkeypatch.setattr(running, "_TOLD_S", 1e9)
    _, told = done_inline(plan_of(SUITE), toys)
    assert counted == [30, 0]  # after the first step and the last one
    assert {type(event["left_s"]) for event in named(told, "done")} == {float}
