"""Compute what a student reaches together with its teacher, which answers what the student is unsure of.

The threshold is chosen on the validation split: it is the lowest one at which both together are as accurate
there as the teacher alone. Accuracies, and the share of texts for the teacher, are those of the test split.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from harness.results.ranking import Row, Table, reference
from harness.runtime.calibration import abstains

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.task_types.base import Prediction

    Truths = NDArray[np.bool_]


class Cascade(NamedTuple):
    """A student and its teacher together: means over the student's seeds."""

    share: float  # of the test texts that the teacher answers
    accuracy: float  # on test, of both together
    teacher: float  # the teacher's accuracy on the same texts
    student: float  # the student's
    thresholds: tuple[float, ...]  # of the student's confidence, by seed
    p50_ms: float | None = None  # cost of a text: the student's p50, and the share of the teacher's
    teacher_p50_ms: float | None = None


def teacher_of(row: Row, table: Table) -> Row | None:
    """Return the row of a student's own teacher; for a student without one, of the best teacher."""
    teachers = [each for each in table.rows if each.role == "teacher" and each.rank is not None]
    own = [each for each in teachers if reference(each, "teacher") == reference(row, "teacher")]
    return next(iter(own or teachers), None) if row.role != "teacher" else None


def cascade(
    student: Row, teacher: Row, test: Mapping[str, Prediction], validation: Mapping[str, Prediction]
) -> Cascade | None:
    """Return what two rows of a table reach together; None without predictions of labels on both splits.

    A student is joined with the teacher of the same seed, or else with the teacher's first seed.
    """
    of_teacher = dict(zip(teacher.seeds, teacher.cells, strict=True))
    found = []
    for seed, cell in zip(student.seeds, student.cells, strict=True):
        other = of_teacher.get(seed, teacher.cells[0])
        held, tested = (_both(split.get(cell), split.get(other)) for split in (validation, test))
        if held is None or tested is None:
            return None
        threshold = lowest_threshold(*held)
        sure, right, others = tested
        passed = sure < threshold
        both = np.where(passed, others, right)
        found.append([float(each.mean()) for each in (passed, both, others, right)] + [threshold])
    if not found:
        return None
    share, accuracy, alone, small, _ = map(fmean, zip(*found, strict=True))
    return Cascade(share, accuracy, alone, small, tuple(each[-1] for each in found))


def _both(
    one: Prediction | None, other: Prediction | None
) -> tuple[NDArray[np.float64], Truths, Truths] | None:
    """Return the first model's confidences, and which texts each of two models answers right.

    Return None unless both have predicted the labels of the same texts.
    """
    if one is None or other is None or not abstains(one.task_type) or one.gold.shape != other.gold.shape:
        return None
    known = one.gold >= 0
    if not known.any() or (one.gold != other.gold).any():
        return None
    right, others = ((each.predicted == each.gold)[known] for each in (one, other))
    return one.confidence[known].astype(np.float64), right, others


def lowest_threshold(confidence: NDArray[np.float64], right: Truths, other: Truths) -> float:
    """Return the lowest threshold at which two models together are as often right as the second one alone.

    The first model answers texts whose confidence reaches the threshold, and the second one all others.
    Arrays are (N,): the first model's confidences, and which texts each model answers right. At 0, no text
    goes to the second model; at a threshold above all confidences, every text does.
    """
    order = np.argsort(confidence, kind="stable")
    sure = confidence[order]
    won = np.append(0, np.cumsum(other[order].astype(np.int64) - right[order]))
    wanted = int(other.sum()) - int(right.sum())
    starts = [0, *(np.flatnonzero(sure[1:] > sure[:-1]) + 1).tolist(), len(sure)]  # equal ones stay together
    place = next(start for start in starts if won[start] >= wanted)
    if place == 0:
        return 0.0
    return float(sure[place] if place < len(sure) else np.nextafter(sure[-1], np.inf))


def told(found: Cascade) -> str:
    """Return what a cascade reaches, in words."""
    seeds = f" (means of {len(found.thresholds)} seeds)" if len(found.thresholds) > 1 else ""
    cost = ""
    if found.p50_ms is not None and found.teacher_p50_ms is not None:
        cost = f", at {found.p50_ms:.3g} ms a text in place of {found.teacher_p50_ms:.3g}"
    if not found.share:
        return f"no text needs the teacher: on validation, the student is as accurate{seeds}"
    return (
        f"the teacher answers the {100 * found.share:.1f} % of texts that the student is least sure of: "
        f"accuracy {100 * found.accuracy:.1f} %, for {100 * found.teacher:.1f} % of the teacher alone"
        f"{cost}{seeds}"
    )
