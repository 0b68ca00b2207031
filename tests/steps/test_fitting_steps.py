"""The teacher and student steps: who is given what to learn from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from stepbench import Bench, Makes, Repeater, Says, Speaker, Team

from harness.testing.tiny import FromLabels, FromLogits

ROWS = [("a", "x"), ("bb", "y"), ("ccc", "x")]
COUNTED = {"total": 7, "trainable": 5, "embedding": 2}


def lengths(texts: Sequence[str]) -> Any:
    return np.array([[0.0, len(text)] for text in texts], dtype=np.float32)


def test_a_teacher_learns_gold_labels(bench: Bench) -> None:
    teacher = Speaker(lengths)
    found = bench.run("teacher", {"data": bench.data(ROWS, ROWS[:2])}, teacher=teacher, seed=3)
    assert found.result == {"parameters": COUNTED, "examples": 3}
    assert json.loads((found.folder / "model" / "model.json").read_text()) == {}
    ((train, validation, seed),) = teacher.given
    assert list(train.texts) == ["a", "bb", "ccc"] and train.labels.tolist() == [0, 1, 0]
    assert train.logits is None and train.classes == ("x", "y")
    assert len(validation) == 2 and seed == 3


def test_a_student_alone_learns_gold_labels(bench: Bench) -> None:
    student = Repeater(lengths)
    found = bench.run("student", {"data": bench.data(ROWS)}, student=student, loss=FromLabels(), seed=4)
    assert found.result == {"parameters": COUNTED, "examples": 3}
    ((transfer, validation, loss, seed),) = student.given
    assert list(transfer.texts) == ["a", "bb", "ccc"] and transfer.logits is None
    assert loss == FromLabels() and seed == 4 and len(validation) == 3


def test_a_student_learns_a_transfer_set_with_its_teachers_logits(bench: Bench) -> None:
    data, teacher, student = bench.data(ROWS), Speaker(lengths), Repeater(lengths)
    model = bench.run("teacher", {"data": data}, teacher=teacher)
    new = [(0, "dddd"), (1, "eeeee")]
    transfer = bench.run("transfer", {"data": data}, augmenter=Makes(lambda texts, g: new))
    targets = bench.run("targets", {"model": model, "transfer": transfer}, teacher=teacher)
    needs = {"data": data, "transfer": transfer, "targets": targets}
    found = bench.run("student", needs, student=student, loss=FromLogits())
    ((given, _, _, seed),) = student.given
    assert list(given.texts) == ["a", "bb", "ccc", "dddd", "eeeee"]
    assert given.labels.tolist() == [0, 1, 0, 0, 1] and given.classes == ("x", "y")
    assert given.logits[:, 1].tolist() == [1, 2, 3, 4, 5]
    assert found.result["examples"] == 5 and seed == 0


def test_a_student_may_learn_augmented_texts_without_a_teacher(bench: Bench) -> None:
    data, student = bench.data(ROWS), Repeater(lengths)
    transfer = bench.run("transfer", {"data": data}, augmenter=Makes(lambda texts, g: [(1, "new")]))
    bench.run("student", {"data": data, "transfer": transfer}, student=student, loss=FromLabels())
    ((given, *_),) = student.given
    assert list(given.texts)[3:] == ["new"] and given.labels.tolist()[3:] == [1] and given.logits is None


def test_members_fitted_before_are_joined(bench: Bench) -> None:
    team = Team((Speaker(lengths), Speaker(lengths)))
    data = bench.data(ROWS)
    members = {
        f"member-{place}": bench.run("teacher", {"data": data}, teacher=member)
        for place, member in enumerate(team.of)
    }
    found = bench.run("teacher", {"data": data, **members}, teacher=team)
    (models,) = team.joins
    assert len(models) == 2 and all(isinstance(model, Says) for model in models)
    before = sum(member.made["seconds"] for member in members.values())
    assert found.result == {"parameters": COUNTED, "examples": 3, "seconds_before": before}


def test_a_student_is_lent_the_teacher_that_it_borrows_from(bench: Bench) -> None:
    data, teacher = bench.data(ROWS), Speaker(lengths)
    fitted = bench.run("teacher", {"data": data}, teacher=teacher)
    lent: list[Any] = []

    class Borrower(Repeater):
        def fit(self, *given: Any) -> Any:
            lent.append(given[-1].teacher)
            return super().fit(*given)

    bench.run(
        "student",
        {"data": data, "fitted": fitted},
        student=Borrower(lengths),
        teacher=teacher,
        loss=FromLabels(),
    )
    bench.run("student", {"data": data}, student=Borrower(lengths), loss=FromLabels())
    assert isinstance(lent[0], Says) and lent[1] is None
