"""Which layers of a student and of its teacher are compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from harness import HarnessError

# "uniform": the student's layer m with the teacher's m N / M, rounded up (Jiao et al., 2020); "last": its
# layers with the teacher's M last (cf. Sun et al., 2019); "final": the two last layers alone. Or the
# teacher's layer, from 1, for each of the student's; -1 leaves one out.
Map = Literal["uniform", "last", "final"] | tuple[int, ...]


def check_map(layers: Map) -> None:
    """ValueError where a list names no layer, or something else than layers."""
    if isinstance(layers, tuple) and (not layers or min(layers) < -1 or 0 in layers or max(layers) < 1):
        raise ValueError(
            "a map of layers is 'uniform', 'last', 'final', or a list of the teacher's layers, from 1, "
            "one for each of the student's, where -1 leaves one out"
        )


def pairs(student: int, teacher: int, layers: Map) -> Sequence[tuple[int, int]]:
    """The layers to compare, from 1, of a student with `student` layers and a teacher with `teacher`.

    Raises HarnessError where the map does not fit the two models.
    """
    if layers == "final":
        return ((student, teacher),)
    if layers == "uniform":
        return [(m, -(-m * teacher // student)) for m in range(1, student + 1)]
    if layers == "last":
        if student > teacher:
            raise HarnessError(
                f"the map 'last' needs a teacher with as many layers as its student: {student}, not {teacher}"
            )
        return [(m, teacher - student + m) for m in range(1, student + 1)]
    assert isinstance(layers, tuple)
    if len(layers) != student:
        raise HarnessError(f"the map {list(layers)} has {len(layers)} layers, but the student has {student}")
    if max(layers) > teacher:
        raise HarnessError(f"the map {list(layers)} is of a larger teacher: this one has {teacher} layers")
    return [(m, n) for m, n in enumerate(layers, start=1) if n > 0]
