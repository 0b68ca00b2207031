"""Choose which layers of a student and its teacher are compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from harness import HarnessError

# For a student with M layers and a teacher with N. "uniform": the student's layer m with the teacher's layer
# m N / M, rounded up (Jiao et al., 2020); "last": the student's layers with the teacher's last M (cf. Sun et
# al., 2019); "final": only the last layers of the two. A list: the teacher's layer for each of the student's,
# counted from 1; -1 leaves out a layer of the student.
Map = Literal["uniform", "last", "final"] | tuple[int, ...]


def check_map(layers: Map) -> None:
    """Raise ValueError for a list without any layer, or with a number that is not a layer."""
    if isinstance(layers, tuple) and (not layers or min(layers) < -1 or 0 in layers or max(layers) < 1):
        raise ValueError(
            f"expected map to be 'uniform', 'last', 'final' or a list, got {list(layers)}; a list has the "
            "teacher's layer for each of the student's, counted from 1, or -1 to leave that one out"
        )


def pairs(student: int, teacher: int, layers: Map) -> Sequence[tuple[int, int]]:
    """Return the pairs of layers to compare, counted from 1: (the student's, the teacher's).

    `student` and `teacher` are the numbers of layers. Raise HarnessError if the map does not fit them.
    """
    if layers == "final":
        return ((student, teacher),)
    if layers == "uniform":
        return [(m, -(-m * teacher // student)) for m in range(1, student + 1)]
    if layers == "last":
        if student > teacher:
            raise HarnessError(
                f"map 'last' expected a teacher with at least as many layers as the student, {student}, got "
                f"{teacher}; use map 'uniform'"
            )
        return [(m, teacher - student + m) for m in range(1, student + 1)]
    assert isinstance(layers, tuple)
    if len(layers) != student:
        raise HarnessError(
            f"map {list(layers)} has {len(layers)} entries, but the student has {student} layers; "
            "give one entry for each layer of the student"
        )
    if max(layers) > teacher:
        raise HarnessError(
            f"map {list(layers)} names layer {max(layers)}, but the teacher has {teacher} layers; "
            f"give numbers up to {teacher}"
        )
    return [(m, n) for m, n in enumerate(layers, start=1) if n > 0]
