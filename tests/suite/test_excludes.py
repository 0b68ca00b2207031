# ruff: noqa: E501  (messages stand as they are printed, one a line)
"""Excludes: what they match, and what is said of those that match nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import pytest
from stand_ins import Cnn, CrossEntropy, Emotion, Kl, Mask, Minilm, Mlp, Nothing, mistakes, parse

import harness
from harness.suite.excludes import Exclude, Excluded


@dataclass(frozen=True)
class Cell:
    task: harness.Task
    teacher: harness.Teacher | None
    student: harness.Student | None
    augmenter: harness.Augmenter | None
    loss: harness.Loss | None
    seed: int = 0


CELL = Cell(Emotion(), Minilm(), Mlp(), Nothing(), Kl())

WIDE = """
[suite]
seeds = [0, 1, 2]
[[task]]
use = "emotion"
path = "a/b"
[[teacher]]
use = "minilm"
[[student]]
use = "mlp"
width = { sweep = [8, 16] }
kernels = { sweep = [[1], [1, 2]] }
tags = ["x", "y"]
[[student]]
use = "cnn"
[[loss]]
use = "kl"
temperature = { sweep = [1, 2] }
[[loss]]
use = "weighted"
of = [{ use = "kl", temperature = 4 }, { use = "cross-entropy" }]
"""


@pytest.mark.parametrize(
    ("keys", "count"),
    [
        ('student = "cnn"', 1),
        ('student = ["cnn", "mlp"]', 5),
        ('student = { use = "mlp" }', 4),
        ('student = { use = "mlp", width = 8 }', 2),
        ("student = { width = 8 }", 2),
        ('student = { use = "mlp", width = 8, kernels = [1, 2] }', 1),
        ('student = { tags = ["y", "x"] }', 4),
        ('student = ["cnn", { width = 8 }]', 3),
        ("student = { fast = true }", 1),
        ('task = { path = "a/b" }', 1),
        ("loss = { temperature = 1 }", 1),
        ("loss = { temperature = 1.0 }", 1),
        ('loss = { of = [{ temperature = 4 }, { use = "cross-entropy" }] }', 1),
        ('loss = "cross-entropy"', 1),
        ("seed = [1, 2]", 2),
        ("seed = 1", 1),
    ],
)
def test_excludes_resolve_to_the_components_of_the_suite(keys: str, count: int) -> None:
    (exclude,) = parse(f"{WIDE}[[exclude]]\n{keys}").excludes
    (matched,) = [value for value in vars(exclude).values() if value is not None]
    assert len(matched) == count


def test_an_exclude_needs_all_of_its_keys_to_match() -> None:
    (exclude,) = parse(
        f'{WIDE}[[exclude]]\nstudent = ["cnn", {{ width = 8 }}]\nloss = "kl"\nseed = 1'
    ).excludes
    cell = replace(CELL, student=Cnn(), loss=Kl(1.0), seed=1)
    assert left_out(exclude, cell)
    assert not left_out(exclude, replace(cell, seed=0))
    assert not left_out(exclude, replace(cell, student=Mlp()))
    assert not left_out(exclude, replace(cell, student=None, loss=None))
    assert not left_out(exclude, replace(cell, loss=CrossEntropy()))
    assert left_out(Exclude(task=frozenset({Emotion()})), CELL)
    assert not left_out(Exclude(teacher=frozenset({Minilm()})), replace(CELL, teacher=None))
    assert not left_out(Exclude(augmenter=frozenset({Mask()})), CELL)


def left_out(exclude: Exclude, cell: Cell) -> bool:
    return Excluded((exclude,))(cell)


def test_of_many_excludes_one_that_matches_is_enough() -> None:
    students, losses, seeds = (Cnn(), Mlp()), (Kl(1.0), Kl(2.0), CrossEntropy()), range(20)
    many = [Exclude(student=frozenset({Mlp()}), seed=frozenset({seed})) for seed in seeds if seed % 3]
    many += [Exclude(loss=frozenset({Kl(2.0)}), seed=frozenset({seed})) for seed in seeds if seed % 2]
    many.append(Exclude(student=frozenset({Cnn()}), loss=frozenset({CrossEntropy(), Kl(1.0)})))
    excluded = Excluded(many)
    for student, loss, seed in product(students, losses, seeds):
        expected = (
            (student == Mlp() and seed % 3)
            or (loss == Kl(2.0) and seed % 2)
            or (student == Cnn() and loss != Kl(2.0))
        )
        assert excluded(replace(CELL, student=student, loss=loss, seed=seed)) == bool(expected)
    assert not Excluded(())(CELL)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("student = {}", "exclude[0].student: a table without a key would exclude every student"),
        ("student = [{}]", "exclude[0].student[0]: a table without a key would exclude every student"),
        ("", "exclude[0]: an exclude without a key would exclude everything (allowed: task, "),
        (
            'student = "mpl"',
            "exclude[0].student: unknown student 'mpl'; did you mean 'mlp'? (allowed: cnn, mlp)",
        ),
        ('student = ["cnn", "mpl"]', "exclude[0].student[1]: unknown student 'mpl'"),
        ("student = { use = 3 }", "exclude[0].student: unknown student '3' (allowed: cnn, mlp)"),
        (
            'augmenter = "mask"',
            "exclude[0].augmenter: excludes nothing: the suite has no augmenter 'mask' (allowed: none)",
        ),
        (
            'student = { use = "mlp", width = 99 }',
            "exclude[0].student: excludes nothing: the suite has no student { use = 'mlp', width = 99 } (allowed: mlp, cnn)",
        ),
        (
            "student = { fast = 1 }",
            "exclude[0].student: excludes nothing: the suite has no student { fast = 1 }",
        ),
        (
            'student = { use = "mlp", widht = 8 }',
            "exclude[0].student.widht: parameter 'widht' of student 'mlp' is unknown; did you mean 'width'?",
        ),
        (
            "student = 3",
            "exclude[0].student: `student` must be the name of a student, a table with `use` and ",
        ),
        ("student = []", "exclude[0].student: `student` must be the name of a student, a table"),
        ("seed = 7", "exclude[0].seed: excludes nothing: the suite has no seed 7 (allowed: 0, 1, 2)"),
        ("seed = '0'", "exclude[0].seed: `seed` must be an integer or a list of integers, got '0'"),
        ("seed = true", "exclude[0].seed: `seed` must be an integer or a list of integers, got true"),
        ("seed = []", "exclude[0].seed: `seed` must be an integer or a list of integers, got []"),
        ('studnt = "mlp"', "exclude[0].studnt: unknown key 'studnt'; did you mean 'student'? (allowed: "),
        (
            'teacher = "minilm"\nloss = "cross-entropy"',
            "exclude[0]: excludes nothing: loss 'cross-entropy' is never combined with a teacher",
        ),
    ],
)
def test_mistaken_excludes(keys: str, message: str) -> None:
    (said,) = mistakes(f"{WIDE}[[exclude]]\n{keys}")
    line = len(WIDE.splitlines()) + 1 + ("exclude[0]:" not in message)
    assert said.startswith(f"s.toml:{line}: {message}")
