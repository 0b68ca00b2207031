"""The part of a plan that is asked for."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from components import SUITE, Home, plan_of

import harness
from harness.plan.planner import Plan
from harness.plan.select import select

EACH = SUITE.replace("seeds = [0, 1]", 'seeds = [0, 1]\n    teacher_seeds = "each"')


@pytest.fixture
def plan(toys: Home) -> Plan:
    return plan_of(SUITE)


def chosen(plan: Plan, *only: str, seeds: str | None = None) -> Plan:
    return select(plan, only, seeds)


def roles(plan: Plan) -> Counter[Any]:
    return Counter((cell.role, cell.seed) for cell in plan.cells)


def test_nothing_asked_is_everything(plan: Plan) -> None:
    assert chosen(plan) is plan


def test_one_kind_of_component(plan: Plan) -> None:
    found = chosen(plan, "augmenter=toy-shuffle")
    assert {cell.augmenter.name for cell in found.cells if cell.augmenter} == {"toy-shuffle"}
    # with the row of the teacher that they learn from, and those of the students alone
    assert roles(found) == {
        ("teacher", 0): 1,
        ("baseline", 0): 2,
        ("baseline", 1): 2,
        ("distilled", 0): 2,
        ("distilled", 1): 2,
    }
    assert Counter(step.kind for step in found.steps.values()) == {
        "data": 1,
        "teacher": 1,
        "transfer": 1,
        "targets": 1,
        "student": 8,
        "evaluation": 9,
    }
    assert list(found.steps) == [key for key in plan.steps if key in found.steps]  # in the plan's order
    assert found.suite is plan.suite


def test_a_parameter(plan: Plan) -> None:
    found = chosen(plan, "student.size=2", seeds="0")
    assert {cell.student.size for cell in found.cells if cell.student} == {2}  # type: ignore[attr-defined]
    assert roles(found) == {("teacher", 0): 1, ("baseline", 0): 1, ("distilled", 0): 2}
    both = chosen(plan, "student.size=1,2", "augmenter.copies=2", seeds="0")
    assert roles(both) == {("teacher", 0): 1, ("baseline", 0): 2, ("distilled", 0): 2}
    assert chosen(plan, "student.size=1,2,augmenter.copies=2", seeds="0").cells == both.cells
    with pytest.raises(harness.HarnessError) as error:
        chosen(plan, "student.size=3")
    assert "--only 'student.size=3': the suite has no student.size '3'; it has: 1, 2" in str(error.value)


def test_a_label_as_plans_show_it(plan: Plan) -> None:
    found = chosen(plan, "student=toy(size=2)", seeds="0")
    assert found.cells == chosen(plan, "student.size=2", seeds="0").cells


def test_ensembles_are_told_apart_by_label_and_by_members() -> None:
    one = '{ use = "minilm" }'
    plan = plan_of(
        f"""
        [suite]
        name = "two"
        [[task]]
        use = "emotion"
        [[teacher]]
        use = "ensemble"
        of = [{one}, {one}]
        [[teacher]]
        use = "ensemble"
        of = [{one}, {one}, {one}]
        [[student]]
        use = "mlp"
        [[loss]]
        use = "mse"
        """,
        source="sample",
    )
    label, listed = "ensemble(of=[2 × minilm])", "[minilm, minilm]"
    two = chosen(plan, f"teacher={label},student=mlp")
    assert [cell.role for cell in two.cells] == ["teacher", "baseline", "distilled"]
    assert {len(cell.teacher.of) for cell in two.cells if cell.teacher} == {2}  # type: ignore[attr-defined]
    assert chosen(plan, f"teacher.of={listed},student=mlp").cells == two.cells
    with pytest.raises(harness.HarnessError) as error:
        chosen(plan, "teacher.of=[x]")
    assert f"has no teacher.of '[x]'; it has: [minilm, minilm, minilm], {listed}" in str(error.value)


def test_baselines_come_along_unless_roles_are_asked_for(plan: Plan) -> None:
    assert roles(chosen(plan, "loss=toy-soft", seeds="1")) == {
        ("teacher", 0): 1,
        ("baseline", 1): 2,
        ("distilled", 1): 4,
    }
    assert ("baseline", 1) not in roles(chosen(plan, "loss=toy-soft", "role=distilled", seeds="1"))


def test_steps_that_are_needed_stay_though_no_cell_names_them(plan: Plan) -> None:
    found = chosen(plan, "role=distilled", "augmenter=toy-plain", seeds="1")
    (teacher,) = (cell for cell in found.cells if cell.role == "teacher")
    assert teacher.seed == 0  # fitted with the first seed, whatever seed its students have
    for step in found.steps.values():
        assert set(step.needs.values()) <= found.steps.keys()


def test_names_of_a_kind_add_up_and_kinds_narrow_down(plan: Plan) -> None:
    both = chosen(plan, "augmenter=toy-shuffle,toy-plain", "student=toy", "role=distilled")
    assert roles(both) == {("teacher", 0): 1, ("distilled", 0): 4, ("distilled", 1): 4}
    spread = chosen(plan, "augmenter=toy-shuffle", "augmenter= toy-plain ", "role=distilled")
    assert spread.cells == both.cells
    assert roles(chosen(plan, "role=baseline,teacher")) == {
        ("baseline", 0): 2,
        ("baseline", 1): 2,
        ("teacher", 0): 1,
    }


def test_seeds(plan: Plan, toys: Home) -> None:
    assert roles(chosen(plan, seeds="1")) == {("teacher", 0): 1, ("baseline", 1): 2, ("distilled", 1): 4}
    assert chosen(plan, seeds="0,1").cells == plan.cells
    assert roles(chosen(plan_of(EACH), seeds="1")) == {
        ("teacher", 1): 1,
        ("baseline", 1): 2,
        ("distilled", 1): 4,
    }


def test_cells_that_cannot_run_are_kept_where_asked_for(toys: Home) -> None:
    suite = SUITE + '\n    [[student]]\n    use = "toy-strict"\n'
    found = chosen(plan_of(suite), "student=toy-strict", "role=distilled")
    assert {cell.status for cell in found.cells} == {"incompatible"}
    assert found.steps == {}


@pytest.mark.parametrize(
    ("only", "message"),
    [
        (
            "student",
            "--only 'student' must be <kind>=<name> or <kind>.<parameter>=<value>, separated by commas; "
            "allowed kinds: task, teacher, student, augmenter, loss, role; did you mean 'student'?",
        ),
        (
            "studnet=toy",
            "--only 'studnet=toy' must be <kind>=<name> or <kind>.<parameter>=<value>, separated ",
        ),
        ("studnet=toy", "; did you mean 'student'?"),
        (
            "student=tyo",
            "--only 'student=tyo': the suite has no student 'tyo'; it has: toy, toy(size=1), toy(size=2); "
            "did you mean 'toy'?",
        ),
        ("student=toy,", "the suite has no student ''; it has: toy, toy(size=1), toy(size=2)"),
        ("student=toy,augmenter=none", "the suite has no augmenter 'none'; it has: toy-plain, toy-shuffle"),
        ("teacher=zzz", "the suite has no teacher 'zzz'; it has: toy-teacher"),
        ("role=basline", "it has: baseline, distilled, teacher; did you mean 'baseline'?"),
    ],
)
def test_what_the_suite_does_not_have(plan: Plan, only: str, message: str) -> None:
    with pytest.raises(harness.HarnessError) as error:
        chosen(plan, only)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        ("x", "--seeds must be numbers separated by commas, such as 0,1, got 'x'"),
        ("0,", "--seeds must be numbers separated by commas, such as 0,1, got '0,'"),
        ("", "--seeds must be numbers separated by commas, such as 0,1, got ''"),
        ("0,5,7", "--seeds: the suite has no seed 5; it has: 0, 1"),
    ],
)
def test_seeds_that_the_suite_does_not_have(plan: Plan, seeds: str, message: str) -> None:
    with pytest.raises(harness.HarnessError) as error:
        chosen(plan, seeds=seeds)
    assert str(error.value) == message


def test_names_that_no_cell_has_together(plan: Plan) -> None:
    with pytest.raises(harness.HarnessError) as error:
        chosen(plan, "role=teacher", "augmenter=toy-plain")
    assert "no cell of suite 'toys' matches all of: role=teacher, augmenter=toy-plain; " in str(error.value)
    with pytest.raises(harness.HarnessError) as error:
        chosen(plan, "role=teacher", seeds="1")
    assert "no cell of suite 'toys' matches all of: role=teacher, seeds 1; " in str(error.value)
