"""The matrix and its graph, as a pure function of suites."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from components import SUITE, Home, install_toys

import harness
from harness.catalog import Catalog
from harness.plan import planner as planning
from harness.plan.planner import Cell, Plan, Step, build
from harness.plan.select import select
from harness.speeds import Choice
from harness.suite.excludes import Exclude
from harness.suite.reader import Suite

# -- components that do nothing but stand in a plan ----------------------------------------------------


@dataclass(frozen=True)
class Words(harness.Task):
    """A task."""

    name = "words"
    number: int = 0
    data: str = "v1"
    absent: bool = False
    error: type[Exception] | None = None

    def resolve(self, source: str) -> harness.Source:
        if self.error is not None:
            raise self.error("no such thing")
        if self.absent:
            raise harness.Unavailable("the data is elsewhere")
        return harness.Source("sample", f"{self.data}:{source}", f"/somewhere/{self.number}")


@dataclass(frozen=True)
class Big(harness.Teacher):
    """A teacher."""

    name = "big"
    mixed_precision = True
    accelerated = True
    exports = True
    layers: int = 6
    missing: bool = False
    revision: str = "a"
    gpus: int = 1

    @property
    def gpus_to_train(self) -> int:
        return self.gpus

    def base(self) -> str:
        if self.missing:
            raise harness.Unavailable("no network")
        return f"big@{self.revision}"


@dataclass(frozen=True)
class Tiny(harness.Student):
    """A student."""

    name = "tiny"
    width: int = 16


@dataclass(frozen=True)
class Forest(harness.Student):
    """A student that learns from labels only."""

    name = "forest"
    learns_from = frozenset({"labels"})


@dataclass(frozen=True)
class Noise(harness.Augmenter):
    """An augmenter."""

    name = "noise"
    copies: int = 0


@dataclass(frozen=True)
class Gold(harness.Loss):
    """Asks for labels."""

    name = "gold"

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"labels"})


@dataclass(frozen=True)
class Kl(harness.Loss):
    """Asks for logits."""

    name = "kl"
    temperature: float = 1.0


@dataclass(frozen=True)
class Deep(harness.Loss):
    """Asks for hidden states and logits."""

    name = "deep"

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"hidden", "logits"})


@dataclass(frozen=True)
class Both(harness.Loss):
    """A sum."""

    name = "both"
    of: tuple[harness.Loss, ...] = ()


class Versions:
    """Packages whose versions a test can choose."""

    def __init__(self, **versions: str) -> None:
        self.versions = versions

    def package_of(self, component: harness.Component) -> str:
        return f"package-of-{component.name} {self.versions.get(component.name, '1.0')}"

    def task_type_of(self, task: harness.Task) -> harness.TaskType:
        return Catalog({}).task_type(task.task_type, task.type_options)


def a_suite(**changes: Any) -> Suite:
    """One of each kind, one seed."""
    plain: dict[str, Any] = {
        "name": "test",
        "path": None,
        "seeds": (0,),
        "teacher_seeds": "first",
        "baselines": {"classification": Gold()},
        "tasks": (Words(),),
        "teachers": (Big(),),
        "students": (Tiny(),),
        "augmenters": (Noise(),),
        "losses": (Kl(),),
        "excludes": (),
        "precision": "auto",
        "latency": True,
        "time_limit": "auto",
    }
    return Suite(**plain | changes)


def planned(packages: Any = None, **changes: Any) -> Plan:
    options = {name: changes.pop(name) for name in ("source", "precision") if name in changes}
    if "precision" in options:
        options["precision"] = Choice(options["precision"], "for this test")
    return build(a_suite(**changes), packages or Versions(), **options)


def counts(plan: Plan) -> Counter[str]:
    return Counter(step.kind for step in plan.steps.values())


def of(plan: Plan, role: str) -> list[Cell]:
    return [cell for cell in plan.cells if cell.role == role]


def the(plan: Plan, role: str) -> Cell:
    (cell,) = of(plan, role)
    return cell


def step(plan: Plan, kind: str, role: str = "distilled") -> Step:
    return plan.steps[the(plan, role).steps[kind]]


# -- the matrix ----------------------------------------------------------------------------------------


def test_a_matrix_shares_its_steps() -> None:
    plan = planned(
        tasks=(Words(0, "a"), Words(1, "b")),
        students=(Tiny(1), Tiny(2), Tiny(3)),
        losses=tuple(Kl(float(t)) for t in (1, 2, 3, 4)),
        augmenters=(Noise(0), Noise(1)),
    )
    assert Counter(cell.role for cell in plan.cells) == {
        "teacher": 2,
        "baseline": 2 * 3,
        "distilled": 2 * 3 * 2 * 4,
    }
    assert counts(plan) == {
        "data": 2,
        "teacher": 2,
        "transfer": 4,
        "targets": 4 * (1 + planning.PARTS),
        "student": 6 + 48,
        "evaluation": 2 + 6 + 48,
        "export": 2,  # only the teacher has an exported form
        "latency": 2 + 6 + 48,
    }


def test_seeds_share_the_teacher_unless_told_otherwise() -> None:
    first = planned(seeds=(3, 4, 5))
    assert [cell.seed for cell in of(first, "teacher")] == [3]
    assert (
        counts(first)
        == counts(planned(seeds=(3, 4, 5)))
        == {
            "data": 1,
            "teacher": 1,
            "transfer": 1,
            "targets": 1 + planning.PARTS,
            "student": 6,
            "evaluation": 7,
            "export": 1,
            "latency": 7,
        }
    )
    each = planned(seeds=(3, 4, 5), teacher_seeds="each")
    assert [cell.seed for cell in of(each, "teacher")] == [3, 4, 5]
    assert counts(each)["teacher"] == counts(each)["transfer"] == 3
    assert counts(each)["targets"] == 3 * (1 + planning.PARTS)
    taught = {cell.seed: each.steps[cell.steps["teacher"]].settings["seed"] for cell in of(each, "distilled")}
    assert taught == {3: 3, 4: 4, 5: 5}


def test_a_cell_is_another_where_its_teacher_has_another_seed() -> None:
    keys = {
        how: {cell.seed: cell.key for cell in of(planned(seeds=(0, 1), teacher_seeds=how), "distilled")}
        for how in ("first", "each")
    }
    assert keys["first"][0] == keys["each"][0]
    assert keys["first"][1] != keys["each"][1]


def test_a_cell_names_what_it_is_made_of() -> None:
    plan = planned(seeds=(7,))
    cell = the(plan, "distilled")
    assert cell.label == "words: big → tiny → noise → kl (seed 7)"
    assert list(cell.steps) == ["data", "transfer", "teacher", "targets", "student", "evaluation", "latency"]
    assert [plan.steps[key].kind for key in cell.goals] == ["evaluation", "latency"]
    assert plan.steps[cell.steps["student"]].label == "student tiny by noise/kl"
    assert the(plan, "baseline").label == "words: tiny → gold (seed 7)"
    teacher = the(plan, "teacher")
    assert teacher.label == "words: big (seed 7)"
    assert [plan.steps[key].kind for key in teacher.goals] == ["evaluation", "export", "latency"]
    assert "student" not in teacher.steps


def test_steps_stand_after_what_they_need() -> None:
    plan = planned(seeds=(0, 1), augmenters=(Noise(0), Noise(1)), students=(Tiny(1), Forest()))
    seen: set[str] = set()
    for each in plan.steps.values():
        assert set(each.needs.values()) <= seen, each.label
        seen.add(each.key)
    assert all(key == each.key for key, each in plan.steps.items())


def test_a_distilled_student_is_compared_with_its_teacher() -> None:
    plan = planned()
    needs = step(plan, "evaluation").needs
    assert needs["teacher"] == the(plan, "teacher").steps["evaluation"]
    assert "teacher" not in step(plan, "evaluation", "baseline").needs
    assert step(plan, "student").needs == {
        kind: the(plan, "distilled").steps[kind] for kind in ("data", "transfer", "targets")
    }
    assert set(step(plan, "student", "baseline").needs) == {"data"}


def test_a_loss_on_labels_alone_makes_baselines() -> None:
    plan = planned(losses=(Gold(), Kl()), augmenters=(Noise(0), Noise(1)), teachers=(Big(1), Big(2)))
    assert len(of(plan, "teacher")) == 2
    assert len(of(plan, "distilled")) == 2 * 2
    baselines = of(plan, "baseline")  # no augmenter, and each of the augmenters; no teacher
    assert [(cell.augmenter, cell.teacher) for cell in baselines] == [
        (None, None),
        (Noise(0), None),
        (Noise(1), None),
    ]
    assert "targets" not in baselines[1].steps
    assert set(plan.steps[baselines[1].steps["student"]].needs) == {"data", "transfer"}


def test_no_configuration_stands_twice() -> None:
    plan = planned(students=(Tiny(1), replace(Tiny(1))), seeds=(0, 1))
    assert len(of(plan, "baseline")) == len(of(plan, "distilled")) == 2
    assert len({cell.key for cell in plan.cells}) == len(plan.cells)


def test_a_suite_may_have_students_alone_or_teachers_alone() -> None:
    assert {cell.role for cell in planned(teachers=()).cells} == {"baseline"}
    assert {cell.role for cell in planned(students=()).cells} == {"teacher"}
    assert [cell.role for cell in planned(losses=()).cells] == ["teacher", "baseline"]


def test_excluded_cells_and_their_steps_are_left_out() -> None:
    students, losses = (Tiny(1), Tiny(2)), (Kl(1.0), Kl(2.0))
    plan = planned(
        students=students,
        losses=losses,
        seeds=(0, 1),
        excludes=(
            Exclude(student=frozenset({Tiny(1)}), loss=frozenset(losses)),
            Exclude(student=frozenset({Tiny(2)}), seed=frozenset({1})),
        ),
    )
    assert {(c.student, c.loss, c.seed) for c in plan.cells if c.student} == {
        (Tiny(1), Gold(), 0),
        (Tiny(1), Gold(), 1),
        (Tiny(2), Gold(), 0),
        (Tiny(2), Kl(1.0), 0),
        (Tiny(2), Kl(2.0), 0),
    }
    assert counts(plan)["student"] == 5
    assert len(of(plan, "teacher")) == 1  # an exclude that names a student says nothing of teachers
    nobody = planned(excludes=(Exclude(teacher=frozenset({Big()})),))
    assert {cell.role for cell in nobody.cells} == {"baseline"}
    assert "teacher" not in counts(nobody)


def test_without_latency_nothing_is_timed() -> None:
    plan = planned(latency=False)
    assert {"latency", "export"}.isdisjoint(counts(plan))
    assert [plan.steps[key].kind for key in the(plan, "teacher").goals] == ["evaluation"]


def test_what_a_slot_must_know_of_a_step() -> None:
    plan = planned()
    flags = {(s.kind, "teacher" in s.components): (s.gpu, s.exclusive) for s in plan.steps.values()}
    assert flags == {
        ("data", False): (False, False),
        ("transfer", False): (False, False),
        ("teacher", True): (True, False),
        ("targets", True): (True, False),
        ("student", False): (False, False),
        ("evaluation", True): (True, False),
        ("evaluation", False): (False, False),
        ("export", True): (False, False),
        ("latency", True): (True, True),
        ("latency", False): (False, True),
    }


def test_a_teacher_for_several_gpus_trains_alone() -> None:
    plan = planned(teachers=(Big(), Big(gpus=4)))
    several = {(s.kind, s.exclusive) for s in plan.steps.values() if s.gpus == 4}
    assert several == {("teacher", True)}  # it labels texts and is timed on one
    teachers = [step for step in plan.steps.values() if step.kind == "teacher"]
    assert sorted((step.gpus, step.exclusive) for step in teachers) == [(1, False), (4, True)]
    assert len({step.key for step in teachers}) == 2  # the parts of a batch are a part of the result


# -- what cannot run -----------------------------------------------------------------------------------


def test_needs_that_are_not_met_are_a_reason() -> None:
    plan = planned(students=(Forest(), Tiny()), losses=(Kl(), Deep()), teacher_seeds="first")
    assert {(c.student.name, c.loss.name): (c.status, c.reason) for c in of(plan, "distilled")} == {  # type: ignore[union-attr]
        ("forest", "kl"): (
            "incompatible",
            "loss 'kl' needs logits, but student 'forest' cannot learn from logits",
        ),
        ("forest", "deep"): (
            "incompatible",
            "loss 'deep' needs hidden and logits, but student 'forest' cannot learn from hidden and logits",
        ),
        ("tiny", "kl"): ("ok", ""),
        ("tiny", "deep"): (
            "incompatible",
            "loss 'deep' needs hidden and logits, but student 'tiny' cannot learn from hidden",
        ),
    }
    assert all(not cell.steps and not cell.goals for cell in plan.cells if cell.status != "ok")
    assert all(cell.status == "ok" for cell in of(plan, "baseline"))


def test_a_teacher_must_give_what_a_loss_needs() -> None:
    class Reader(Tiny):
        learns_from = frozenset({"logits", "labels", "hidden"})

    cell = the(planned(students=(Reader(),), losses=(Deep(),)), "distilled")
    assert cell.status == "incompatible"
    assert cell.reason == "loss 'deep' needs hidden, which teacher 'big' does not give"


@dataclass(frozen=True)
class Open(Big):
    """A teacher that shows all of itself."""

    name = "open"
    gives = frozenset({"logits", "hidden", "layers"})


@dataclass(frozen=True)
class Half(Tiny):
    """A student that starts from its teacher's layers."""

    name = "half"
    learns_from = frozenset({"logits", "labels", "hidden", "layers"})
    tokens: str = "open"
    alone: bool = False

    @property
    def borrows(self) -> bool:
        return not self.alone

    def aligned(self, teacher: harness.Teacher) -> bool:
        return teacher.name == self.tokens


@dataclass(frozen=True)
class Layers(harness.Loss):
    """Asks for layers and labels."""

    name = "layers"

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"layers", "labels"})


def test_hidden_states_are_recorded_beside_logits() -> None:
    plan = planned(teachers=(Open(),), students=(Half(alone=True),), losses=(Deep(), Kl()))
    deep, kl = of(plan, "distilled")
    assert deep.status == kl.status == "ok"
    assert deep.steps["targets"] == kl.steps["targets"] != deep.steps["hidden"]
    assert plan.steps[deep.steps["hidden"]].kind == "targets"
    assert plan.steps[deep.steps["hidden"]].settings["output"] == "hidden"
    assert set(plan.steps[deep.steps["student"]].needs) == {"data", "transfer", "targets", "hidden"}
    assert set(plan.steps[kl.steps["student"]].needs) == {"data", "transfer", "targets"}


@dataclass(frozen=True)
class Team(harness.Teacher):
    """Several teachers."""

    name = "team"
    of: tuple[harness.Teacher, ...] = ()

    @property
    def members(self) -> tuple[harness.Teacher, ...]:
        return self.of


def test_members_are_fitted_side_by_side_and_shared_with_the_suites_teachers() -> None:
    plan = planned(teachers=(Big(), Team((Big(), Big(), Big(7)))), seeds=(3,))
    alone, team = of(plan, "teacher")
    needs = dict(plan.steps[team.steps["teacher"]].needs)
    assert needs.pop("data") == team.steps["data"]
    assert list(needs) == ["member-0", "member-1", "member-2"]
    assert needs["member-0"] == alone.steps["teacher"]
    members = [plan.steps[key] for key in needs.values()]
    assert [member.components["teacher"] for member in members] == [Big(), Big(), Big(7)]
    first, second, third = (member.settings["seed"] for member in members)
    assert first == third == 3 != second
    assert counts(plan)["teacher"] == 4


def test_a_slow_teacher_labels_parts_side_by_side_and_a_quick_one_at_once() -> None:
    joined = step(planned(), "targets")
    assert list(joined.needs) == [f"part-{part}" for part in range(planning.PARTS)]
    plan = planned()
    parts = [plan.steps[key] for key in joined.needs.values()]
    assert [part.settings["part"] for part in parts] == list(range(planning.PARTS))
    assert all(set(part.needs) == {"model", "transfer"} and part.gpu for part in parts)
    quick = step(planned(teachers=(Team(),)), "targets")
    assert set(quick.needs) == {"model", "transfer"}


def test_the_number_of_parts_follows_the_suite() -> None:
    class Crawl(Noise):
        size = 1_600_000

    assert len(step(planned(augmenters=(Crawl(),)), "targets").needs) == 7  # of at most 250,000 texts
    assert len(step(planned(label_parts=9), "targets").needs) == 9
    assert len(step(planned(label_parts=9, teachers=(Team(),)), "targets").needs) == 9
    assert set(step(planned(label_parts=1), "targets").needs) == {"model", "transfer"}


def test_how_logits_are_stored_is_a_part_of_keys() -> None:
    def keys(**settings: Any) -> tuple[str, str, str]:
        plan = planned(**settings)
        return the(plan, "distilled").key, step(plan, "targets").key, the(plan, "baseline").key

    plain = keys()
    assert keys(logits="fp32", top_logits=None) == plain
    others = [keys(logits="fp16"), keys(top_logits=5), keys(logits="fp16", top_logits=5)]
    for place in (0, 1):
        assert len({each[place] for each in (plain, *others)}) == 4
    assert {each[2] for each in others} == {plain[2]}  # a baseline has no teacher


def test_layers_are_asked_of_the_teacher_in_step_and_recorded_nowhere() -> None:
    plan = planned(teachers=(Open(),), students=(Half(alone=True),), losses=(Layers(),))
    cell = the(plan, "distilled")
    made = plan.steps[cell.steps["student"]]
    assert made.needs == {
        "data": cell.steps["data"],
        "transfer": cell.steps["transfer"],
        "fitted": the(plan, "teacher").steps["teacher"],
    }
    assert made.components["teacher"] == Open() and made.gpu
    assert counts(plan)["targets"] == 0


def test_layers_are_compared_only_between_models_that_read_the_same_tokens() -> None:
    plan = planned(teachers=(Open(),), students=(Half(tokens="other"),), losses=(Layers(), Kl()))
    layers, kl = of(plan, "distilled")
    assert (layers.status, kl.status) == ("incompatible", "ok")
    assert layers.reason == (
        "loss 'layers' compares token by token, but student 'half' does not read the tokens of teacher 'open'"
    )


def test_a_student_that_borrows_has_a_baseline_by_teacher() -> None:
    plan = planned(teachers=(Open(1), Open(2)), students=(Half(),))
    baselines = of(plan, "baseline")
    assert [cell.teacher for cell in baselines] == [Open(1), Open(2)]
    fitted = [cell.steps["teacher"] for cell in of(plan, "teacher")]
    for cells in (baselines, of(plan, "distilled")):
        assert [plan.steps[cell.steps["student"]].needs["fitted"] for cell in cells] == fitted
    assert len({cell.key for cell in baselines}) == 2
    alone = the(planned(teachers=(), students=(Half(),)), "baseline")
    assert alone.status == "incompatible"
    assert alone.reason == "student 'half' takes parts of its teacher, and the suite has no teacher"


def test_a_part_of_a_suite_has_the_baselines_of_its_own_teachers_alone() -> None:
    plan = planned(teachers=(Open(1), Open(2)), students=(Half(),))
    part = select(plan, ("teacher.layers=2",), None)
    assert {cell.role: cell.teacher for cell in part.cells} == dict.fromkeys(
        ("teacher", "baseline", "distilled"), Open(2)
    )
    assert len(part.cells) == 3


@pytest.mark.parametrize("kind", ["student", "augmenter"])
def test_what_any_component_starts_from_is_part_of_its_keys(kind: str) -> None:
    parent: type[Any] = {"student": Tiny, "augmenter": Noise}[kind]

    @dataclass(frozen=True)
    class Rooted(parent):  # type: ignore[misc]
        """A component that starts from something."""

        name = "rooted"
        revision: str = "a"

        def base(self) -> str:
            if self.revision == "none":
                raise harness.Unavailable("no network")
            return revisions[self.revision]

    def keys(plan: Plan) -> set[str]:
        return set(plan.steps) - set(planned().steps)

    revisions = {"a": "1"}
    before = keys(planned(**{f"{kind}s": (Rooted(),)}))
    assert before == keys(planned(**{f"{kind}s": (Rooted(),)}))
    revisions["a"] = "2"
    assert not before & keys(planned(**{f"{kind}s": (Rooted(),)}))
    absent = the(planned(**{f"{kind}s": (Rooted(revision="none"),)}), "distilled")
    assert (absent.status, absent.reason) == ("unavailable", "no network")


def test_data_that_is_not_here_makes_its_cells_unavailable() -> None:
    plan = planned(tasks=(Words(absent=True), Words(1)))
    away = [cell for cell in plan.cells if cell.task.absent]  # type: ignore[attr-defined]
    assert {(cell.status, cell.reason, cell.source) for cell in away} == {
        ("unavailable", "the data is elsewhere", None)
    }
    assert len(away) == 3
    assert all(cell.status == "ok" for cell in plan.cells if cell not in away)
    assert counts(plan)["data"] == 1


def test_a_teacher_that_is_not_here_leaves_the_baselines() -> None:
    plan = planned(teachers=(Big(missing=True), Big()))
    found = {(cell.role, cell.teacher): (cell.status, cell.reason) for cell in plan.cells}
    absent = ("unavailable", "no network")
    assert found == {
        ("teacher", Big(missing=True)): absent,
        ("distilled", Big(missing=True)): absent,
        ("teacher", Big()): ("ok", ""),
        ("distilled", Big()): ("ok", ""),
        ("baseline", None): ("ok", ""),
    }
    assert counts(plan)["teacher"] == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (harness.HarnessError, "no such thing"),
        (KeyError, "task 'words' raised KeyError: 'no such thing'"),
        (RuntimeError, "task 'words' raised RuntimeError: no such thing"),
    ],
)
def test_a_task_that_cannot_be_resolved_fails_its_cells_only(error: type[Exception], reason: str) -> None:
    plan = planned(tasks=(Words(error=error), Words()))
    assert {(c.status, c.reason) for c in plan.cells if c.source is None} == {("failed", reason)}
    assert sum(cell.status == "ok" for cell in plan.cells) == 3


def test_a_teacher_whose_base_raises_fails_its_cells_only() -> None:
    @dataclass(frozen=True)
    class Odd(Big):
        def base(self) -> str:
            return {}["revision"]  # type: ignore[no-any-return]

    plan = planned(teachers=(Odd(),))
    assert {(c.role, c.status) for c in plan.cells} == {
        ("teacher", "failed"),
        ("distilled", "failed"),
        ("baseline", "ok"),
    }
    assert the(plan, "teacher").reason == "teacher 'big' raised KeyError: 'revision'"


def test_a_source_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def resolve(self: Words, source: str) -> harness.Source:
        asked.append(source)
        return harness.Source("hub", "f", "o")

    monkeypatch.setattr(Words, "resolve", resolve)
    planned(seeds=(0, 1), students=(Tiny(1), Tiny(2)), source="hub")
    assert asked == ["hub"]


# -- keys ----------------------------------------------------------------------------------------------


def keys(plan: Plan, role: str = "distilled") -> dict[str, str]:
    """The keys of the only cell of a role, with the cell's own."""
    cell = the(plan, role)
    return {**cell.steps, "cell": cell.key}


def changed(before: Plan, after: Plan, role: str = "distilled") -> set[str]:
    one, other = keys(before, role), keys(after, role)
    assert one.keys() == other.keys()
    return {kind for kind in one if one[kind] != other[kind]}


EVERY = {"data", "transfer", "teacher", "targets", "student", "evaluation", "latency", "cell"}
TAUGHT = {"targets", "student", "evaluation", "latency", "cell"}
LEARNT = {"student", "evaluation", "latency", "cell"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"tasks": (Words(number=1),)}, EVERY),
        ({"tasks": (Words(data="v2"),)}, EVERY),
        ({"source": "local"}, EVERY),
        ({"teachers": (Big(layers=3),)}, {"teacher", *TAUGHT}),
        ({"teachers": (Big(revision="b"),)}, {"teacher", *TAUGHT}),
        ({"augmenters": (Noise(1),)}, {"transfer", *TAUGHT}),
        ({"students": (Tiny(17),)}, LEARNT),
        ({"losses": (Kl(1.5),)}, LEARNT),
        ({"seeds": (1,)}, EVERY - {"data"}),
        ({"precision": "bf16"}, {"teacher", *TAUGHT}),
        ({"baselines": {"classification": Kl()}}, set()),
        ({"name": "other"}, set()),
        ({"time_limit": 3.0}, set()),
    ],
)
def test_a_key_covers_what_can_change_its_result(change: dict[str, Any], expected: set[str]) -> None:
    assert changed(planned(), planned(**change)) == expected


def test_keys_do_not_depend_on_what_else_is_compared() -> None:
    alone = planned()
    among = planned(
        students=(Tiny(1), Tiny()),
        losses=(Kl(3.0), Kl()),
        seeds=(0, 1),
        augmenters=(Noise(4), Noise()),
        teachers=(Big(1), Big()),
    )
    cell = the(alone, "distilled")
    (same,) = (other for other in among.cells if other.key == cell.key)
    assert same.steps == cell.steps
    assert alone.steps.keys() < among.steps.keys()


def test_a_student_and_its_baseline_have_keys_of_their_own() -> None:
    plan = planned(losses=(Gold(), Kl()))
    evaluations = [cell.steps["evaluation"] for cell in plan.cells]
    assert len(set(evaluations)) == len(evaluations) == 4


def test_a_raised_version_changes_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    before = planned(losses=(Both((Kl(), Gold())),))
    monkeypatch.setattr(Kl, "version", 2)
    assert changed(before, planned(losses=(Both((Kl(), Gold())),))) == LEARNT


@pytest.mark.parametrize(
    ("package", "expected"),
    [
        ("words", {"data", "evaluation", "latency"}),
        ("big", {"teacher", *TAUGHT} - {"cell"}),
        ("tiny", LEARNT - {"cell"}),
        ("kl", LEARNT - {"cell"}),  # within the sum
        ("noise", {"transfer", *TAUGHT} - {"cell"}),
    ],
)
def test_another_version_of_a_distribution_changes_keys(package: str, expected: set[str]) -> None:
    losses = (Both((Kl(), Gold())),)
    after = changed(planned(losses=losses), planned(Versions(**{package: "1.1"}), losses=losses))
    assert after >= expected
    assert "cell" not in after  # the same row of the leaderboard, made anew
    if package != "words":
        assert after == expected


def test_other_pretrained_weights_change_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    before = planned()
    monkeypatch.setattr(Big, "base", lambda self: "the same name at another revision")
    assert changed(before, planned()) == {"teacher", *TAUGHT} - {"cell"}


def test_latency_belongs_to_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    before = planned()
    monkeypatch.setattr(planning, "machine", lambda: "another machine")
    assert changed(before, planned()) == {"latency"}


def test_where_the_data_lies_is_no_part_of_a_key() -> None:
    plan = planned()
    assert step(plan, "data").notes == {"origin": "/somewhere/0"}
    assert "/somewhere" not in str(step(plan, "data").settings)


def test_steps_that_differ_in_their_seed_are_the_same_work() -> None:
    plan = planned(seeds=(0, 1), teacher_seeds="each", students=(Tiny(1), Tiny(2)))
    works: dict[str, set[str]] = {}
    for each in plan.steps.values():
        works.setdefault(each.kind, set()).add(each.work)
    assert {kind: len(found) for kind, found in works.items()} == {
        "data": 1,
        "teacher": 1,
        "transfer": 1,
        "targets": 1 + planning.PARTS,
        "student": 4,
        "evaluation": 5,
        "export": 1,
        "latency": 5,
    }
    students = [step for step in plan.steps.values() if step.kind == "student"]
    assert {step.likes[1:] for step in students} == {
        ("student tiny,gold", "student"),
        ("student tiny,kl", "student"),
    }
    assert len({step.likes[0] for step in students}) == 2  # students of two widths, whatever they learn by


def test_steps_of_one_form_share_what_they_have_in_common() -> None:
    plan = planned(seeds=(0, 1), students=(Tiny(1),))
    first, second = (step for step in plan.steps.values() if step.kind == "student" and "Kl" in str(step))
    assert first.settings == {"seed": 0, "precision": "fp32"} and second.settings["seed"] == 1
    for name in ("components", "likes", "label", "needs", "work"):
        assert getattr(first, name) is getattr(second, name), name


def test_a_component_is_asked_once_for_what_it_starts_from(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(Tiny, "prior", property(lambda self: asked.append(self.name)))
    planned(seeds=(0, 1, 2), losses=(Kl(), Kl(2.0)))
    assert asked == ["tiny"]


# -- keys, across processes and edits ------------------------------------------------------------------

KEYS = """
    import json, sys
    from pathlib import Path
    from harness import catalog
    from harness.suite import reader as suite
    from harness.plan.planner import build
    found = catalog.load()
    assert not found.failures, found.failures
    for path in sys.argv[1:]:
        plan = build(suite.parse(Path(path).read_text(), found), found)
        heavy = {"torch", "pandas", "transformers", "datasets", "sklearn", "pyarrow"} & sys.modules.keys()
        cells = {one.label + str(one.student) + str(one.augmenter): dict(one.steps) for one in plan.cells}
        print(json.dumps([sorted(heavy), cells]))
"""


def keys_in_a_process(home: Home, **environment: str) -> dict[str, dict[str, str]]:
    path = home.write(SUITE)
    done = subprocess.run(
        [sys.executable, "-c", dedent(KEYS), str(path)],
        env={**home.variables(), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    heavy, found = json.loads(done.stdout)
    assert heavy == []
    return found  # type: ignore[no-any-return]


def test_keys_are_the_same_in_every_process(home: Home) -> None:
    one = keys_in_a_process(home, PYTHONHASHSEED="1")
    assert one == keys_in_a_process(home, PYTHONHASHSEED="2", PYTHONDONTWRITEBYTECODE="1")
    assert len(one) == 13


def test_planning_our_own_suites_imports_nothing_heavy(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    suites = sorted((root / "suites").glob("*.toml"))
    assert suites
    done = subprocess.run(
        [sys.executable, "-c", dedent(KEYS), *map(str, suites)],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for path, line in zip(suites, done.stdout.splitlines(), strict=True):
        assert json.loads(line)[0] == [], path


MODELS = {"teacher", "targets", "student", "evaluation"}


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A copy of the toys that a test may edit."""
    path = tmp_path_factory.mktemp("edited")
    return Home(path, install_toys(path / "site"))


@pytest.fixture(scope="module")
def unedited(edited: Home) -> dict[str, dict[str, str]]:
    return keys_in_a_process(edited)


def kinds_changed(before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]) -> set[str]:
    assert before.keys() == after.keys()
    return {kind for cell in before for kind in before[cell] if before[cell][kind] != after[cell][kind]}


@pytest.mark.parametrize(
    ("file", "pattern", "replacement", "expected"),
    [
        # A helper of the task and the models: its code counts, its words do not.
        ("counting.py", "np.maximum", "np.fmax", {"data", "transfer", *MODELS}),
        ("counting.py", '"""Texts as', '"""Texts, as', set()),
        ("counting.py", "    counts =", "    # How often.\n\n    counts =", set()),
        ("recipes.py", 'name = "toy-hidden"', 'name = "toy-hiding"', {"transfer", *MODELS}),
        ("models.py", "-40", "-41", MODELS),
        # One component more, registered beside them, is nothing to the others.
        ("__init__.py", "    register(Soft)\n", "    register(Soft)\n    print(end='')\n", set()),
    ],
)
def test_an_edited_helper_changes_keys_and_an_edited_comment_does_not(
    edited: Home,
    unedited: dict[str, dict[str, str]],
    file: str,
    pattern: str,
    replacement: str,
    expected: set[str],
) -> None:
    path = edited.site / "toykit" / file
    before = path.read_text()
    after, count = re.subn(re.escape(pattern), lambda _: replacement, before, count=1)
    assert count == 1
    path.write_text(after)
    try:
        found = kinds_changed(unedited, keys_in_a_process(edited, PYTHONDONTWRITEBYTECODE="1"))
    finally:
        path.write_text(before)
    assert found == expected


def test_a_new_release_of_a_plugin_changes_keys(edited: Home, unedited: dict[str, dict[str, str]]) -> None:
    metadata = edited.site / "toykit-1.0.dist-info" / "METADATA"
    before = metadata.read_text()
    metadata.write_text(before.replace("Version: 1.0", "Version: 1.1"))
    try:
        assert kinds_changed(unedited, keys_in_a_process(edited)) == {"data", "transfer", *MODELS}
    finally:
        metadata.write_text(before)


def test_other_data_changes_keys(edited: Home, unedited: dict[str, dict[str, str]]) -> None:
    assert "data" in kinds_changed(unedited, keys_in_a_process(edited, TOYKIT_DATA="another byte"))
