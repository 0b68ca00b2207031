"""Teacher's assistants: students that are distilled by a teacher, and teach others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from components import plan_of, without_workers

import harness
from harness.cli import main
from harness.plan.planner import Plan
from harness.testing.tiny import CheckContext, tiny_examples
from harness_augmenters.words import Mask
from harness_losses.labels import CrossEntropy
from harness_losses.soft import SoftTargets
from harness_students.tfidf import TfidfLogreg
from harness_students.transformer import TransformerStudent
from harness_students.words import Mlp
from harness_teachers.ensemble import Ensemble
from harness_teachers.pupil import Assistant, Pupil
from harness_transformers.transformer import Transformer

LINEAR = Pupil(student=TfidfLogreg())
MIDDLE = '{ use = "mlp", width = 16, epochs = 2, min_examples = 0 }'
ASSISTANT = f"""{{ use = "assistant", teacher = {{ use = "student", student = {{ use = "tfidf-logreg" }} }},
    student = {MIDDLE}, loss = {{ use = "kl" }} }}""".replace("\n", " ")


def suite(*teachers: str, student: str = MIDDLE, tasks: str = '[[task]]\nuse = "emotion"\n') -> str:
    """A suite of teachers, each an inline table without its braces."""
    parts = ['[suite]\nname = "down"\nlatency = false\nprecision = "fp32"\n', tasks]
    for teacher in teachers:
        parts.append(f"[[teacher]]\n{_lines(teacher)}\n")
    return "\n".join([*parts, f"[[student]]\n{_lines(student)}\n", '[[loss]]\nuse = "kl"\n'])


def _lines(table: str) -> str:
    """The keys of an inline table, one a line."""
    inside, depth, found = table.strip()[1:-1], 0, [""]
    for char in inside:
        depth += (char in "{[") - (char in "}]")
        if char == "," and not depth:
            found.append("")
        else:
            found[-1] += char
    return "\n".join(line.strip() for line in found)


def prior_of(plan: Plan, teacher: str, task: str = "") -> str:
    """The key of the step that distils the assistant of a teacher's own row."""
    (cell,) = [
        cell
        for cell in plan.cells
        if cell.role == "teacher" and cell.teacher and cell.teacher.name == teacher
        if task in ("", cell.task.name)
    ]
    return plan.steps[cell.steps["teacher"]].needs["prior"]


# -- the plan ---------------------------------------------------------------------------------------------


def test_its_student_is_that_of_an_equal_cell() -> None:
    plan = plan_of(
        suite(ASSISTANT, '{ use = "student", student = { use = "tfidf-logreg" } }'), source="sample"
    )
    assert {cell.status for cell in plan.cells} == {"ok"}
    (equal,) = [
        cell
        for cell in plan.cells
        if cell.role == "distilled" and cell.teacher and cell.teacher.name == "student"
    ]
    key = prior_of(plan, "assistant")
    assert key == equal.steps["student"]
    needs = plan.steps[key].needs
    assert plan.steps[needs["targets"]].kind == "targets"  # it learns from outputs, not from labels
    kinds = [step.kind for step in plan.steps.values()]
    assert kinds.count("student") == 3  # the assistant, its student, and the baseline of both


def test_assistants_of_assistants() -> None:
    lower = f"""{{ use = "assistant", teacher = {ASSISTANT}, loss = {{ use = "kl" }},
        student = {{ use = "mlp", width = 8, epochs = 2, min_examples = 0 }} }}""".replace("\n", " ")
    plan = plan_of(suite(lower), source="sample")
    second = plan.steps[prior_of(plan, "assistant")]
    first = plan.steps[_teacher(plan, second)]
    assert first.components["teacher"].teacher == LINEAR
    assert plan.steps[first.needs["prior"]].components["student"].width == 16


def _teacher(plan: Plan, student: object) -> str:
    """The key of the teacher whose outputs a step learns from."""
    targets = plan.steps[student.needs["targets"]]  # type: ignore[attr-defined]
    return targets.needs["model"]


def test_each_task_has_its_own() -> None:
    tasks = '[[task]]\nuse = "emotion"\n\n[[task]]\nuse = "sst2"\n'
    plan = plan_of(suite(ASSISTANT, tasks=tasks), source="sample")
    keys = {task: prior_of(plan, "assistant", task) for task in ("emotion", "sst2")}
    assert keys["emotion"] != keys["sst2"]
    for task, key in keys.items():
        assert plan.steps[plan.steps[key].needs["data"]].components["task"].name == task


def test_members_that_are_equal_are_distilled_with_other_seeds() -> None:
    plan = plan_of(suite(f'{{ use = "ensemble", of = [{ASSISTANT}, {ASSISTANT}] }}'), source="sample")
    (cell,) = [cell for cell in plan.cells if cell.role == "teacher"]
    whole = plan.steps[cell.steps["teacher"]]
    members = [plan.steps[whole.needs[f"member-{place}"]] for place in (0, 1)]
    students = [plan.steps[member.needs["prior"]] for member in members]
    assert students[0].settings["seed"] != students[1].settings["seed"]
    assert _teacher(plan, students[0]) == _teacher(plan, students[1])  # of one and the same teacher


def test_it_can_learn_from_new_texts() -> None:
    plain = plan_of(suite(ASSISTANT), source="sample")
    more = ASSISTANT.replace('loss = { use = "kl" }', 'loss = { use = "kl" }, augmenter = { use = "mask" }')
    plan = plan_of(suite(more), source="sample")
    student = plan.steps[prior_of(plan, "assistant")]
    assert plan.steps[student.needs["transfer"]].components["augmenter"] == Mask()
    assert student.key != prior_of(plain, "assistant")
    none = more.replace('{ use = "mask" }', '{ use = "none" }')
    assert prior_of(plan_of(suite(none), source="sample"), "assistant") == prior_of(plain, "assistant")


def test_what_cannot_be_distilled_is_a_row_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    away = ASSISTANT.replace(
        '{ use = "student", student = { use = "tfidf-logreg" } }', '{ use = "roberta-base" }'
    )
    deaf = ASSISTANT.replace(MIDDLE, '{ use = "tfidf-logreg" }')
    plan = plan_of(suite(away, deaf, ASSISTANT), source="sample")
    found = {(cell.status, cell.reason) for cell in plan.cells if cell.role == "teacher"}
    reasons = dict(found)
    assert set(reasons) == {"ok", "unavailable", "incompatible"}
    assert "not in the hub's cache" in reasons["unavailable"]
    assert "student 'tfidf-logreg' cannot learn from logits" in reasons["incompatible"]


# -- what it is -------------------------------------------------------------------------------------------


def test_it_is_told_apart_from_a_student_of_labels() -> None:
    with pytest.raises(ValueError, match=r"on the outputs of teacher 'student', got 'cross-entropy'"):
        Assistant(teacher=LINEAR, student=Mlp(), loss=CrossEntropy()).check()
    with pytest.raises(ValueError, match="takes layers of a transformer, but teacher 'student' is not one"):
        Assistant(teacher=LINEAR, student=TransformerStudent(), loss=SoftTargets()).check()


def test_it_starts_from_what_its_parts_start_from(folder_of: object) -> None:
    start = Transformer(model=str(folder_of("bert")))  # type: ignore[operator]
    assistant = Assistant(teacher=start, student=TransformerStudent(), loss=SoftTargets())
    assistant.check()
    assert assistant.base() == start.base()
    assert {"logits", "layers", "attention"} <= assistant.gives
    lower = TransformerStudent(layers=1)
    assert lower.refuses(assistant) == "" and lower.aligned(assistant)
    shape = lower.shape(assistant)
    assert shape is not None and shape.layers == 1
    assert Ensemble(of=(assistant, assistant)).base() == f"{start.base()}\n{start.base()}"


def test_it_is_not_fitted_by_itself(context: CheckContext) -> None:
    assistant = Assistant(teacher=LINEAR, student=Mlp(), loss=SoftTargets())
    with pytest.raises(
        harness.HarnessError, match="cannot fit teacher 'assistant': its student is distilled by"
    ):
        assistant.fit(*tiny_examples(), context)


# -- at work ----------------------------------------------------------------------------------------------


def test_a_run_with_an_assistant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"the {word} is here {n},{word}" for n in range(40) for word in ("sun", "rain", "wind")]
    (tmp_path / "rows.csv").write_text("\n".join(["text,label", *lines, ""]))
    tasks = '[[task]]\nuse = "file"\ntrain = "rows.csv"\n'
    text = suite(ASSISTANT, '{ use = "student", student = { use = "tfidf-logreg" } }', tasks=tasks)
    (tmp_path / "down.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    with without_workers():
        done = CliRunner().invoke(main, ["bench", "down.toml", "--store", "store"])
    assert done.exit_code == 0, done.stderr
    lines = (tmp_path / "results" / "down" / "records.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert {record["status"] for record in records} == {"ok"}
    rows = {(record["role"], (record["teacher"] or {}).get("name")): record for record in records}
    assert set(rows) == {
        *((role, name) for role in ("teacher", "distilled") for name in ("assistant", "student")),
        ("baseline", None),
    }
    assistant, equal = rows["teacher", "assistant"], rows["distilled", "student"]
    for metric in ("accuracy", "f1_macro", "nll"):  # it is the very model of that row
        assert assistant["metrics"][metric] == equal["metrics"][metric]
    assert assistant["parameters"] == equal["parameters"]
    assert assistant["cost"]["prior_s"] == pytest.approx(equal["cost"]["train_s"])
    assert assistant["prior"]["task"] == "file"
    again = CliRunner().invoke(main, ["bench", "down.toml", "--store", "store"])
    assert again.exit_code == 0 and "nothing to run" in again.output
