"""Which step runs next, on graphs written down as a test needs them."""

from __future__ import annotations

import random
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from harness.plan.planner import Step
from harness.run.estimates import UNKNOWN, Estimates, Size
from harness.run.projection import speed_up
from harness.run.schedule import Outcome, Schedule, State, offers
from harness.storage.timings import Timings


def a_step(name: str, *needs: str, seconds: float = 1.0, **flags: Any) -> Step:
    kind = name.rstrip("0123456789")
    return Step(
        kind=kind,
        key=name,
        label=f"the {name}",
        components={},
        settings={},
        notes={},
        needs={need: need for need in needs},
        work=f"work {name} {seconds}",
        likes=(f"{kind} x", kind),
        **flags,
    )


class Clock:
    """A clock that stands still unless it is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def scheduled(
    *steps: Step,
    goals: Iterable[str] | None = None,
    stored: Iterable[str] = (),
    clock: Clock | None = None,
) -> Schedule:
    """A schedule of steps of which the last, or the goals, are asked for."""
    plan = SimpleNamespace(
        steps={step.key: step for step in steps},
        cells=[SimpleNamespace(goals=tuple(goals if goals is not None else [steps[-1].key]))],
        results=lambda cell: {},
    )
    known = {step.work: [float(step.work.split()[-1])] for step in steps}
    there = stored if isinstance(stored, set) else set(stored)
    estimates = Estimates(Timings(known, {}), plan.steps)
    return Schedule(plan, lambda step: step.key in there, estimates, clock=clock or Clock())  # type: ignore[arg-type]


def take(schedule: Schedule, gpu: bool = False, gpus: bool = False) -> str | None:
    """Start the next step; its key."""
    step = schedule.next(gpu, gpus)
    if step is None:
        return None
    schedule.started(step.key)
    return step.key


def drain(schedule: Schedule) -> list[str]:
    """Do everything on one slot; the order."""
    order = []
    while key := take(schedule):
        order.append(key)
        schedule.done(key)
    return order


# -- order ---------------------------------------------------------------------------------------------


def test_steps_run_after_those_they_need() -> None:
    schedule = scheduled(
        a_step("data"), a_step("teacher", "data"), a_step("student", "data", "teacher"), goals=["student"]
    )
    assert schedule.unfinished == 3
    assert take(schedule) == "data"
    assert take(schedule) is None
    schedule.done("data")
    assert take(schedule) == "teacher"
    assert take(schedule) is None
    schedule.done("teacher")
    assert take(schedule) == "student"
    schedule.done("student")
    assert take(schedule) is None
    assert schedule.unfinished == 0


def test_what_is_stored_or_needed_by_nobody_is_left_out() -> None:
    steps = (a_step("data"), a_step("teacher", "data"), a_step("student", "teacher"), a_step("export"))
    schedule = scheduled(*steps, goals=["student"], stored=["teacher"])
    assert drain(schedule) == ["student"]  # the data of a stored teacher is not asked for
    assert schedule.outcome("teacher") == schedule.outcome("export") == Outcome("done")
    assert scheduled(*steps, goals=["student"], stored=["student"]).unfinished == 0


def test_the_longest_path_goes_first() -> None:
    steps = (
        a_step("data"),
        a_step("student1", "data", seconds=5),
        a_step("teacher", "data", seconds=3),
        a_step("targets", "teacher", seconds=4.5),
        a_step("student2", "targets"),
        a_step("student3", "data", seconds=6),
    )
    schedule = scheduled(*steps, goals=["student1", "student2", "student3"])
    assert drain(schedule) == ["data", "teacher", "student3", "targets", "student1", "student2"]


def test_equal_steps_run_in_the_order_of_their_keys() -> None:
    steps = [a_step(f"student{number}") for number in (3, 1, 2)]
    assert drain(scheduled(*steps, goals=[step.key for step in steps])) == [
        "student1",
        "student2",
        "student3",
    ]


# -- GPUs and the clock --------------------------------------------------------------------------------


def test_a_gpu_takes_what_it_speeds_up_and_a_core_the_rest() -> None:
    steps = (a_step("data", seconds=1), a_step("teacher", seconds=9, gpu=True))
    schedule = scheduled(*steps, goals=["data", "teacher"])
    assert take(schedule, gpu=False, gpus=True) == "data"
    assert take(schedule, gpu=False, gpus=True) is None
    assert take(schedule, gpu=True, gpus=True) == "teacher"
    without = scheduled(*steps, goals=["data", "teacher"])
    assert [take(without), take(without)] == ["teacher", "data"]


def test_a_gpu_leaves_what_it_does_not_speed_up() -> None:
    schedule = scheduled(a_step("data"))
    assert take(schedule, gpu=True, gpus=True) is None
    assert take(schedule, gpu=False, gpus=True) == "data"


def test_while_a_clock_is_read_nothing_else_runs() -> None:
    steps = (
        a_step("student1"),
        a_step("student2", seconds=2),
        a_step("latency1", seconds=50, exclusive=True),
        a_step("latency2", seconds=60, exclusive=True),
    )
    schedule = scheduled(*steps, goals=[step.key for step in steps])
    assert take(schedule) == "student2"
    assert take(schedule) == "student1"
    assert take(schedule) is None  # both run
    schedule.done("student1")
    assert take(schedule) is None  # one still does
    schedule.done("student2")
    assert take(schedule) == "latency2"
    assert take(schedule) is None
    schedule.done("latency2")
    assert take(schedule) == "latency1"


def test_a_clock_waits_for_what_could_run_elsewhere() -> None:
    steps = (a_step("teacher", gpu=True), a_step("latency", exclusive=True))
    schedule = scheduled(*steps, goals=["teacher", "latency"])
    assert take(schedule, gpu=False, gpus=True) is None
    assert take(schedule, gpu=True, gpus=True) == "teacher"
    schedule.done("teacher")
    assert take(schedule, gpu=True, gpus=True) is None
    assert take(schedule, gpu=False, gpus=True) == "latency"


def test_what_becomes_ready_while_a_clock_is_read_waits() -> None:
    stored = {"data"}
    steps = (a_step("data"), a_step("latency1", "data", exclusive=True), a_step("student", "data"))
    schedule = scheduled(*steps, goals=["latency1", "student"], stored=stored)
    schedule.started("student")
    schedule.started("latency1")
    stored.clear()
    schedule.lost("data", "student")
    assert take(schedule) is None
    schedule.done("latency1")
    assert take(schedule) == "data"


# -- failure -------------------------------------------------------------------------------------------


def test_a_failure_fails_what_waits_for_it_and_nothing_else() -> None:
    steps = (
        a_step("data"),
        a_step("teacher", "data"),
        a_step("targets", "teacher"),
        a_step("student1", "targets"),
        a_step("student2", "data"),
    )
    schedule = scheduled(*steps, goals=["student1", "student2"])
    take(schedule)
    schedule.done("data")
    schedule.started("teacher")
    schedule.failed("teacher", "it broke")
    assert schedule.outcome("teacher") == Outcome("failed", "it broke")
    assert schedule.outcome("targets") == Outcome("failed", "step 'the teacher': it broke")
    assert schedule.outcome("student1") == Outcome("failed", "step 'the teacher': it broke")
    assert schedule.unfinished == 1
    assert drain(schedule) == ["student2"]


def test_a_reason_is_told_of_once_however_it_begins() -> None:
    steps = (a_step("data"), a_step("teacher", "data"), a_step("student", "teacher"))
    schedule = scheduled(*steps)
    schedule.failed("data", "step 'one' of the recipe is missing")
    expected = "step 'the data': step 'one' of the recipe is missing"
    assert schedule.outcome("teacher").reason == schedule.outcome("student").reason == expected


def test_unavailable_passes_on_as_such() -> None:
    schedule = scheduled(a_step("teacher"), a_step("student", "teacher"))
    schedule.started("teacher")
    schedule.failed("teacher", "no network", "unavailable")
    assert schedule.outcome("student") == Outcome("unavailable", "step 'the teacher': no network")
    assert schedule.unfinished == 0


def test_what_has_failed_fails_once() -> None:
    steps = (a_step("data"), a_step("teacher"), a_step("student", "data", "teacher"))
    schedule = scheduled(*steps)
    schedule.failed("data", "first")
    schedule.failed("teacher", "second")
    assert schedule.outcome("student").reason == "step 'the data': first"
    assert schedule.unfinished == 0


# -- lost artefacts ------------------------------------------------------------------------------------


def test_a_lost_artefact_is_made_again_before_its_reader_runs() -> None:
    stored = {"data", "teacher"}
    steps = (
        a_step("data"),
        a_step("teacher", "data"),
        a_step("student1", "teacher"),
        a_step("student2", "teacher"),
    )
    schedule = scheduled(*steps, goals=["student1", "student2"], stored=stored)
    assert take(schedule) == "student1"
    stored.clear()  # the teacher was found damaged, and its data is gone as well
    schedule.lost("teacher", "student1")
    assert schedule.unfinished == 4
    schedule.started("student2")
    schedule.lost("teacher", "student2")
    assert drain(schedule) == ["data", "teacher", "student1", "student2"]
    assert schedule.unfinished == 0


def test_what_this_run_made_may_be_lost_too() -> None:
    stored: set[str] = set()
    schedule = scheduled(a_step("data"), a_step("student", "data"), stored=stored)
    take(schedule)
    schedule.done("data")
    schedule.started("student")
    schedule.lost("data", "student")
    assert drain(schedule) == ["data", "student"]


def test_what_another_process_made_again_is_not_waited_for() -> None:
    schedule = scheduled(a_step("data"), a_step("student", "data"), stored=["data"])
    schedule.started("student")
    schedule.lost("data", "student")  # by now it is stored again
    assert drain(schedule) == ["student"]


def test_a_lost_artefact_whose_own_needs_have_failed_fails_its_reader() -> None:
    stored = {"teacher"}
    steps = (
        a_step("data"),
        a_step("student1", "data"),
        a_step("teacher", "data"),
        a_step("targets", "teacher"),
        a_step("student2", "targets"),
    )
    schedule = scheduled(*steps, goals=["student1", "student2"], stored=stored)
    schedule.started("data")
    schedule.failed("data", "the file is gone", "unavailable")
    schedule.started("targets")
    stored.clear()
    schedule.lost("teacher", "targets")
    told = Outcome("unavailable", "step 'the data': the file is gone")
    assert [schedule.outcome(key) for key in ("teacher", "targets", "student2")] == [told] * 3
    assert schedule.unfinished == 0


def test_one_damage_is_one_however_many_read_it() -> None:
    stored = {"data"}
    students = [f"student{n}" for n in range(6)]
    steps = (a_step("data"), *(a_step(student, "data") for student in students))
    schedule = scheduled(*steps, goals=students, stored=stored)
    for student in students:
        schedule.started(student)
    stored.clear()
    for student in students[:4]:
        schedule.lost("data", student)
    assert take(schedule) == "data"
    schedule.lost("data", students[4])  # while it is made again
    schedule.done("data")
    stored.add("data")
    schedule.lost("data", students[5])  # and after that
    assert sorted(drain(schedule)) == students
    assert {schedule.outcome(student).state for student in students} == {"done"}


@pytest.mark.parametrize("state", ["failed", "unavailable"])
def test_who_says_it_when_it_could_not_be_made_again_fails_too(state: State) -> None:
    stored = {"data"}
    steps = (a_step("data"), a_step("student1", "data"), a_step("student2", "data"))
    schedule = scheduled(*steps, goals=["student1", "student2"], stored=stored)
    schedule.started("student1")
    schedule.started("student2")
    stored.clear()
    schedule.lost("data", "student1")
    assert take(schedule) == "data"
    schedule.failed("data", "the source is gone", state)
    schedule.lost("data", "student2")
    told = Outcome(state, "step 'the data': the source is gone")
    assert [schedule.outcome(student) for student in ("student1", "student2")] == [told] * 2
    assert schedule.unfinished == 0 and not schedule.running


def test_what_is_there_but_cannot_be_read_is_not_read_for_ever() -> None:
    schedule = scheduled(a_step("data"), a_step("student", "data"), stored=["data"])
    reads = 0
    while take(schedule) == "student":
        reads += 1
        schedule.lost("data", "student")
    assert reads == 3
    assert schedule.unfinished == 0 and "several times" in schedule.outcome("student").reason


def test_an_artefact_that_is_damaged_for_ever_ends_in_a_reason() -> None:
    schedule = scheduled(a_step("data"), a_step("student", "data"))
    for _ in range(10):
        key = take(schedule)
        if key == "data":
            schedule.done(key)
        elif key == "student":
            schedule.lost("data", "student")
        else:
            break
    assert schedule.unfinished == 0
    assert schedule.outcome("student") == Outcome(
        "failed", "stored data data was damaged several times; check the disk of the store"
    )


# -- how long it takes ---------------------------------------------------------------------------------


def test_what_is_expected_is_the_schedule_played_through() -> None:
    steps = [a_step(f"student{n}", seconds=4) for n in range(4)]
    steps.append(a_step("latency", seconds=3, exclusive=True))
    schedule = scheduled(*steps, goals=[step.key for step in steps])
    assert schedule.expected_s([False]) == 19
    assert schedule.expected_s([False, False]) == 11
    assert schedule.expected_s([False] * 16) == 7  # no more slots make one step shorter
    assert schedule.unfinished == 5  # it was played, not done
    assert scheduled(*steps, goals=[], stored=[]).expected_s([False]) == 0


def test_each_node_runs_an_exclusive_step() -> None:
    steps = [a_step(f"latency{n}", seconds=3, exclusive=True) for n in range(3)]
    steps.append(a_step("student", seconds=4))
    schedule = scheduled(*steps, goals=[step.key for step in steps])
    assert schedule.expected_s([False] * 2) == 4 + 9
    assert schedule.expected_s([False] * 2, ["one", "two"]) == 4 + 3  # two beside the student of another node
    assert schedule.left_s(2) == 2 + 9
    assert schedule.left_s(2, 2) == 2 + 4.5

    def started(node: str) -> str | None:
        if (step := schedule.next(False, False, node)) is None:
            return None
        schedule.started(step.key, node)
        return step.key

    assert started("one") == "student"
    assert started("one") is None
    assert started("two") == "latency0"
    assert started("two") is None
    schedule.done("student")
    assert started("one") == "latency1"


def played_s(schedule: Schedule, slots: list[bool], nodes: list[str]) -> float:
    """Do all steps as a run would, on a clock; the time at the end."""
    free, running, now = list(range(len(slots))), [], 0.0
    while schedule.unfinished:
        for slot, gpu in offers(slots, free):
            if slot in free and (step := schedule.next(gpu, any(slots), nodes[slot])):
                schedule.started(step.key, nodes[slot])
                free.remove(slot)
                running.append((now + schedule.estimates.seconds(step), len(running), slot, step.key))
        first = min(running)
        running[running.index(first)] = (float("inf"), *first[1:])
        now, _, slot, key = first
        schedule.done(key)
        free.append(slot)
    return now


@pytest.mark.parametrize("slots", [[False], [False] * 2, [True, False, False], [True, True, False]])
@pytest.mark.parametrize("nodes", ["aaa", "aba", "abc"])
@pytest.mark.parametrize("seed", range(4))
def test_what_is_expected_is_what_a_run_would_do(seed: int, nodes: str, slots: list[bool]) -> None:
    dice = random.Random(seed)
    steps: list[Step] = []
    for number in range(60):
        needs = dice.sample([step.key for step in steps], min(len(steps), dice.randrange(3)))
        flags = {"gpu": dice.random() < 0.3, "exclusive": dice.random() < 0.1}
        name = f"student{dice.randrange(10**6)}{number}"
        steps.append(a_step(name, *needs, seconds=dice.choice([1, 2, 2, 4]), **flags))
    goals = [step.key for step in steps]
    places = list(nodes[: len(slots)])
    expected = scheduled(*steps, goals=goals).expected_s(slots, places)
    assert expected == played_s(scheduled(*steps, goals=goals), slots, places)


def test_what_waits_for_a_long_step_is_expected_after_it() -> None:
    steps = (
        a_step("data"),
        a_step("teacher", "data", seconds=100),
        a_step("student1", "data", seconds=10),
        *(a_step(f"student{n}", "teacher", seconds=20) for n in (2, 3, 4)),
    )
    schedule = scheduled(*steps, goals=[step.key for step in steps])
    assert schedule.expected_s([False, False]) == 141  # 171 seconds of work, but 101 of them come first


def test_a_gpu_takes_its_steps_and_lends_a_core() -> None:
    steps = [a_step(f"teacher{n}", seconds=10, gpu=True) for n in (1, 2)] + [a_step("data", seconds=5)]
    schedule = scheduled(*steps, goals=[step.key for step in steps])
    assert schedule.expected_s([True]) == 25
    assert schedule.expected_s([True, False]) == 20
    assert schedule.expected_s([False, False]) == 15


def test_idle_cores_are_lent_to_what_can_use_them() -> None:
    teacher, data = a_step("teacher", seconds=17, wide=True), a_step("data", seconds=5)
    schedule = scheduled(teacher, data, goals=["teacher", "data"])
    assert schedule.expected_s([False]) == 22
    assert schedule.expected_s([False, False]) == pytest.approx(5 + 12 / 1.7)
    assert schedule.expected_s([False] * 8) == pytest.approx(10)
    assert schedule.expected_s([True]) == 22
    three = [a_step(f"teacher{n}", seconds=17, wide=True) for n in range(3)]
    schedule = scheduled(*three, goals=[step.key for step in three])
    assert schedule.expected_s([False, False]) == pytest.approx(17 + 10)


def test_each_idle_core_counts_for_labelling() -> None:
    one, *three = (a_step(f"targets{n}", seconds=60, wide=True) for n in range(4))
    schedule = scheduled(one)
    expected = [schedule.expected_s([False] * slots) for slots in (1, 2, 4, 8)]
    assert expected == pytest.approx([60 / speed_up(cores, "targets") for cores in (1, 2, 4, 8)])
    assert expected == sorted(set(expected), reverse=True)
    schedule = scheduled(one, three[0], goals=["targets0", "targets1"])
    assert schedule.expected_s([False] * 8) == pytest.approx(60 / speed_up(4, "targets"))
    schedule = scheduled(*three, goals=[step.key for step in three])
    first = 60 / 1.7  # it has the only idle core; then the others have one each
    assert schedule.expected_s([False] * 4) == pytest.approx(first + (60 - first) / 1.7)


def test_a_step_with_lent_cores_says_how_long_its_like_take_on_one() -> None:
    clock = Clock()
    first, second = (a_step(f"teacher{n}", seconds=100, wide=True) for n in (1, 2))
    schedule = scheduled(first, second, goals=["teacher1", "teacher2"], clock=clock)
    schedule.started("teacher1")
    schedule.lent("teacher1", 2)
    assert schedule.left_s(1) == 200
    schedule.progressed("teacher1", 0, 10)
    clock.now += 10
    schedule.progressed("teacher1", 1, 10)
    assert schedule.left_s(1) == pytest.approx((90 + 100) * 1.7)
    clock.now += 90
    schedule.done("teacher1", 100.0)
    assert schedule.left_s(1) == pytest.approx(170)


def test_what_is_left_follows_what_steps_take() -> None:
    steps = [a_step(f"student{n}", seconds=10) for n in range(3)]
    steps.append(a_step("export", seconds=2))
    schedule = scheduled(*steps, goals=[step.key for step in steps])
    assert schedule.left_s(1) == 32
    assert schedule.left_s(4) == 10  # as long as the longest
    schedule.started("student0")
    assert schedule.left_s(1) == 32  # what runs is not finished
    schedule.done("student0", 5.0)  # half of what was expected
    assert schedule.left_s(1) == pytest.approx(12)
    schedule.failed("student1", "it broke")
    assert schedule.left_s(1) == pytest.approx(7)
    schedule.done("export")
    schedule.done("student2", 100.0)
    assert schedule.left_s(1) == 0


def test_what_runs_is_done_in_part() -> None:
    clock = Clock()
    schedule = scheduled(a_step("student1", seconds=10), a_step("export", "student1"), clock=clock)
    schedule.started("student1")
    clock.now += 4
    assert schedule.left_s(1) == schedule.left_s(9) == 7
    clock.now += 40
    assert schedule.left_s(1) == 1


def test_progress_corrects_what_is_left_of_a_step_and_of_its_like() -> None:
    clock = Clock()
    steps = [a_step(f"teacher{n}", seconds=1_000) for n in range(3)]
    steps += [a_step("export", *(step.key for step in steps), seconds=10)]
    schedule = scheduled(*steps, clock=clock)
    schedule.started("teacher0")
    assert schedule.left_s(1) == 3_010
    clock.now += 5  # of loading; the whole takes 5 + 100 s
    assert not schedule.progressed("teacher0", 1, 100)
    clock.now += 20
    assert schedule.progressed("teacher0", 21, 100)
    assert schedule.left_s(1) == pytest.approx(79 + 2 * 104 + 10)
    assert schedule.left_s(3) == pytest.approx(104 + 10, rel=0.1)  # the longest path
    clock.now += 79
    schedule.done("teacher0", 104.0)
    assert schedule.left_s(1) == pytest.approx(2 * 104 + 10)
    assert not schedule.progressed("teacher0", 100, 100)  # a report that comes late


def test_a_model_that_is_trained_slowly_labels_slowly() -> None:
    clock, model = Clock(), {"teacher": SimpleNamespace(name="minilm")}
    teacher = a_step("teacher", seconds=100)._replace(components=model)
    targets = a_step("targets", "teacher", seconds=50)._replace(components=model)
    export = a_step("export", "teacher", seconds=10)._replace(components=model)
    schedule = scheduled(teacher, targets, export, goals=["targets", "export"], clock=clock)
    schedule.started("teacher")
    schedule.progressed("teacher", 0, 10)
    clock.now += 30
    schedule.progressed("teacher", 1, 10)
    assert schedule.left_s(1) == pytest.approx(270 + 3 * 50 + 10)
    schedule.done("teacher", 300.0)
    assert schedule.left_s(1) == pytest.approx(3 * 50 + 10)


def test_clocks_are_read_at_the_end_and_alone() -> None:
    steps = [a_step(f"latency{n}", seconds=3, exclusive=True) for n in (1, 2)]
    steps += [a_step(f"student{n}", seconds=8) for n in range(4)]
    schedule = scheduled(*steps, goals=[step.key for step in steps])
    assert schedule.left_s(2) == schedule.expected_s([False, False]) == 16 + 6


def test_the_pace_of_a_kind_serves_for_what_is_like_none() -> None:
    first, second = (
        a_step("student1", seconds=10),
        a_step("student2", seconds=10)._replace(likes=("student y", "student")),
    )
    schedule = scheduled(first, second, goals=["student1", "student2"])
    schedule.done("student1", 20.0)
    assert schedule.left_s(1) == 20


def test_what_the_data_tell_is_heeded_when_they_are_there() -> None:
    steps = (a_step("data"), a_step("student", "data", seconds=7))
    plan = SimpleNamespace(
        steps={step.key: step for step in steps},
        cells=[SimpleNamespace(goals=("student",))],
        results=lambda cell: {},
    )
    sizes: list[Size] = []
    estimates = Estimates(Timings({}, {}), plan.steps, lambda step: sizes[0] if sizes else None)
    schedule = Schedule(plan, lambda step: False, estimates)  # type: ignore[arg-type]
    guess = schedule.left_s(1)
    assert estimates.guessed
    sizes.append(Size(2 * UNKNOWN.train, 2 * UNKNOWN.held_out, 100.0))
    schedule.started("data")
    schedule.done("data", 1.0)
    assert not estimates.guessed
    assert schedule.left_s(1) == estimates.seconds(steps[1])
    assert guess > 0
