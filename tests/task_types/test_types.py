"""Kinds of task: which components are for which, what is impossible then, and what baselines learn by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any, ClassVar

import numpy as np
import pytest

import harness
from harness import catalog
from harness.api import Examples
from harness.catalog import Catalog, Entry
from harness.plan.planner import Plan, build
from harness.report import columns
from harness.results import board
from harness.suite import reader as suite
from harness.suite.reader import SuiteError
from harness.task_types.regression import Regression
from harness.task_types.tagging import Tagging
from harness.testing.tiny import CheckContext, FromLabels, tiny_examples

INSTALLED = catalog.load()

TEXT = """
    [suite]
    name = "both"
    latency = false

    [[task]]
    use = "emotion"

    [[task]]
    use = "stsb"

    [[teacher]]
    use = "minilm"

    [[student]]
    use = "mlp"

    [[student]]
    use = "tfidf-logreg"

    [[loss]]
    use = "kl"

    [[loss]]
    use = "mse"
"""


@pytest.fixture(autouse=True)
def no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def planned(text: str = TEXT, found: Catalog = INSTALLED) -> Plan:
    return build(suite.parse(dedent(text), found), found)


def by_task(plan: Plan, role: str) -> set[tuple[str, str, str, str]]:
    return {
        (cell.task.name, cell.student.name, cell.loss.name, cell.status)
        for cell in plan.cells
        if cell.role == role and cell.student is not None and cell.loss is not None
    }


def test_every_kind_of_task_has_its_own_baseline() -> None:
    assert by_task(planned(), "baseline") == {
        ("emotion", "mlp", "cross-entropy", "ok"),
        ("emotion", "tfidf-logreg", "cross-entropy", "ok"),
        ("stsb", "mlp", "squared-error", "ok"),
        ("stsb", "tfidf-logreg", "squared-error", "incompatible"),
    }


def test_what_is_for_other_tasks_is_a_row_with_the_reason() -> None:
    plan = planned()
    found = {cell.label: cell.reason for cell in plan.cells if cell.status == "incompatible"}
    assert found["stsb: minilm → mlp → none → kl (seed 0)"] == (
        "loss 'kl' is for classification, language-modelling and tagging, and task 'stsb' is regression"
    )
    assert found["stsb: minilm → tfidf-logreg → none → mse (seed 0)"] == (
        "student 'tfidf-logreg' is for classification, and task 'stsb' is regression"
    )
    assert {cell.status for cell in plan.cells if cell.role == "teacher"} == {"ok"}
    assert ("stsb", "mlp", "mse", "ok") in by_task(plan, "distilled")


def test_a_baseline_serves_the_tasks_that_it_is_for() -> None:
    smoothed = TEXT.replace("latency = false", 'baseline = { use = "cross-entropy", label_smoothing = 0.1 }')
    suites = suite.parse(dedent(smoothed), INSTALLED).baselines
    assert {kind: loss.name for kind, loss in suites.items()} == {
        "classification": "cross-entropy",
        "regression": "squared-error",
    }
    assert suites["classification"].label_smoothing == 0.1  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Rival(harness.Loss):
    """Another default."""

    name = "rival"
    baseline_for: ClassVar[frozenset[str]] = frozenset({"classification"})


def test_two_defaults_are_a_mistake() -> None:
    entry = Entry("loss", "rival", Rival, "test", "test", "1", "", 0)
    both = Catalog({**INSTALLED.entries, ("loss", "rival"): entry})
    with pytest.raises(SuiteError) as error:
        planned(TEXT, both)
    assert str(error.value) == (
        "<suite>: the `baseline` for classification has several defaults: cross-entropy, rival; "
        'set `baseline = { use = "..." }` in [suite]'
    )
    plain = 'baseline = { use = "cross-entropy" }'
    assert planned(TEXT.replace("latency = false", plain), both)


def test_teachers_alone_need_no_baseline() -> None:
    text = '[suite]\nname = "alone"\n[[task]]\nuse = "stsb"\n[[teacher]]\nuse = "minilm"\n'
    assert suite.parse(text, INSTALLED).baselines == {}
    assert [cell.status for cell in planned(text).cells] == ["ok"]


def test_combinations_are_for_what_all_of_their_members_are_for() -> None:
    def types(kind: str, **table: Any) -> frozenset[str]:
        return INSTALLED.build(kind, table).task_types

    both, classes = frozenset({"classification", "regression"}), frozenset({"classification"})
    mlp = {"use": "mlp"}
    assert types("teacher", use="student", student=mlp) == both
    assert types("teacher", use="student", student={"use": "tfidf-logreg"}) == classes
    assert types("teacher", use="student", student=mlp, loss={"use": "cross-entropy"}) == classes
    members = [{"use": "minilm"}, {"use": "student", "student": mlp}]
    assert types("teacher", use="ensemble", of=members) == both
    members.append({"use": "student", "student": {"use": "tfidf-logreg"}})
    assert types("teacher", use="ensemble", of=members) == classes


class Says(harness.Model):
    def __init__(self, *outputs: list[float]) -> None:
        self.outputs = outputs

    def predict(self, texts: Any) -> Any:
        return np.array(self.outputs, dtype=np.float32)

    def save(self, folder: Path) -> None: ...

    def parameters(self) -> harness.Parameters:
        return harness.Parameters(0, 0, 0)


def of_members(task_type: harness.TaskType, average: Any, *members: Says) -> Any:
    from harness_teachers.ensemble import Ensemble, EnsembleModel

    member: Any = INSTALLED.build("teacher", {"use": "minilm"})
    teacher = Ensemble(of=(member, member), average=average, weights=(1.0, 3.0))
    return EnsembleModel(teacher, members, task_type).predict(["a"])


def test_an_ensemble_of_scores_is_their_mean() -> None:
    assert of_members(Regression(), "probabilities", Says([1.0]), Says([3.0])).tolist() == [[2.5]]
    assert of_members(Regression(), "logits", Says([0.0]), Says([3.0])).tolist() == [[2.25]]


def test_what_a_member_did_not_read_is_left_to_the_others() -> None:
    one, other = Says([2.0, -1.0], [0.0, 0.0], [0.0, 0.0]), Says([2.0, 3.0], [3.0, 1.0], [0.0, 0.0])
    tags = Tagging()
    assert of_members(tags, "logits", one, other).tolist() == [[2.0, 2.0], [3.0, 1.0], [0.0, 0.0]]
    found = np.exp(of_members(tags, "probabilities", one, other))
    first = 0.25 / (1 + np.exp(-3)) + 0.75 / (1 + np.exp(1))
    second = 1 / (1 + np.exp(-2))
    np.testing.assert_allclose(found, [[first, 1 - first], [second, 1 - second], [1, 1]], atol=1e-6)


def test_a_student_keeps_the_epoch_of_the_smallest_error(tmp_path: Path) -> None:
    train, validation = tiny_examples(Regression())
    assert validation.labels is not None
    student = INSTALLED.build(
        "student", {"use": "mlp", "epochs": 40, "min_examples": 20_000, "learning_rate": 0.05}
    )
    context = CheckContext(tmp_path)
    found: dict[str, list[float]] = {"validation_mse": []}
    context.progress = lambda done, total, **scalars: [  # type: ignore[method-assign]
        found["validation_mse"].append(value) for name, value in scalars.items() if name == "validation_mse"
    ]
    assert isinstance(student, harness.Student)
    model = student.fit(train, validation, FromLabels(Regression()), context)
    errors = model.predict(validation.texts)[:, 0] - validation.labels
    assert np.mean(errors**2) == pytest.approx(min(found["validation_mse"]), rel=1e-4)
    assert np.mean(errors**2) < 0.3 * np.var(validation.labels)


def test_weights_of_classes_mean_nothing_for_scores() -> None:
    train, _ = tiny_examples(Regression())
    assert train.task_type.row_weights(train, "balanced", "cpu") is None
    classes = Examples(train.texts, ("a", "b"), np.array([0, 1, 1, -1]))
    assert classes.task_type.row_weights(classes, "balanced", "cpu") is not None


def record(task: dict[str, Any], seed: int, **metrics: float) -> Any:
    part = {"name": "mlp", "params": {}, "plugin": "x 1", "version": 1}
    return {
        "suite": "s",
        "status": "ok",
        "reason": "",
        "role": "baseline",
        "seed": 0,
        "teacher": None,
        "student": {**part, "params": {"width": seed}},
        "augmenter": None,
        "loss": None,
        "task": {"name": "t", "params": {}, **task},
        "metrics": metrics,
        "provenance": {},
        "cell": str(seed),
    }


def shown(task: dict[str, Any], *metrics: dict[str, float]) -> tuple[list[str], list[str]]:
    """The best row's cells of the columns that show metrics, and these columns' titles."""
    (table,) = board.build(record(task, n, **each) for n, each in enumerate(metrics)).tables
    scores = [column for column in columns.columns(table) if column.stat in metrics[0]]
    return [column.cell(table.rows[0]) for column in scores], [column.title for column in scores]


def test_leaderboards_show_what_glue_lists() -> None:
    worse, better = (
        {"pearson": 0.5, "spearman": 0.9, "mse": 1.0},
        {"pearson": 0.7, "spearman": 0.6, "mse": 2.0},
    )
    task = {"type": "regression", "headline": "pearson"}
    assert shown(task, worse, better) == (["70.0", "60.0"], ["pearson, %", "spearman, %"])
    assert shown({"type": "regression"}, worse, better)[0][0] == "70.0"
    worse, better = {"f1": 0.5, "accuracy": 0.9}, {"f1": 0.7, "accuracy": 0.6}
    task = {"type": "classification", "headline": "f1"}
    assert shown(task, worse, better) == (["70.0", "60.0"], ["F1, %", "accuracy, %"])
    assert shown({"type": "tagging", "headline": "f1"}, worse, better) == (
        ["70.0", "60.0"],
        ["F1, %", "accuracy, %"],
    )
