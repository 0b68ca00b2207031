"""Keep the thresholds at which an exported classifier abstains, in ``calibration.json``.

The export step writes the file from the predictions on the validation split. It has one table for each group
of forms that give the same answers. Reading it needs no torch and no statistics; see
:mod:`harness.runtime.risk` for how thresholds are chosen.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.api import HarnessError
from harness.runtime.reading import check_digests, object_of, read_manifest, refuse
from harness.runtime.risk import LEVEL, Point, thresholds, within
from harness.task_types.base import DIGITS, TaskType

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.runtime.exported import Exported

FILE = "calibration.json"
RISKS = (0.01, 0.05, 0.1)  # those that cards and reports show


def abstains(task_type: TaskType) -> bool:
    """Return whether models of a type can abstain: their answer to a text is one label with a probability."""
    return task_type.call == "label"


def check_abstains(task_type: TaskType) -> None:
    """Raise HarnessError if models of a type cannot abstain."""
    if not abstains(task_type):
        raise HarnessError(
            f"cannot abstain: this model is for {task_type.name}; expected one that gives each text one label"
        )


def judged(
    task_type: TaskType, logits: NDArray[Any], labels: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the confidence in each answer, as its ``score`` shows it, and whether the answer is wrong.

    Logits are (N, C) and labels (N,); texts without a label, -1, are left out.
    """
    known = labels >= 0
    logits = logits[known].astype(np.float64)
    sure = task_type.confidence(logits) if len(logits) else np.zeros(0)
    return np.round(sure, DIGITS), logits.argmax(axis=1) != labels[known]


@dataclass(frozen=True)
class Calibration:
    """The thresholds of some forms of an export."""

    forms: tuple[str, ...]
    texts: int  # number of held-out texts
    points: tuple[Point, ...]

    @classmethod
    def of(
        cls, forms: Sequence[str], confidence: NDArray[np.float64], wrong: NDArray[np.bool_]
    ) -> Calibration:
        """Return the thresholds for answers to held-out texts; see :func:`judged`."""
        return cls(tuple(forms), len(confidence), tuple(thresholds(confidence, wrong)))

    @classmethod
    def read(cls, folder: Path, model: Exported) -> Calibration:
        """Return the thresholds for the form of an export that is read as `model`.

        Raise HarnessError if the export does not have them, or if the file is damaged.
        """
        check_abstains(model.task_type)
        if not os.path.lexists(folder / FILE):
            raise HarnessError(
                f"cannot abstain: the export in {folder} has no {FILE}, as earlier versions wrote none; run "
                "harness bench and harness export again, or give --threshold"
            )
        check_digests(folder, read_manifest(folder), {FILE: FILE})
        tables = object_of(folder, FILE).get("tables")
        try:
            found = [_table(each) for each in tables or ()]
        except (KeyError, TypeError, ValueError):
            refuse(folder, f"{FILE} is damaged: expected tables with forms, texts and points")
        for one in found:
            if model.form in one.forms:
                return one
        known = ", ".join(name for one in found for name in one.forms) or "none"
        raise HarnessError(
            f"cannot abstain: {FILE} in {folder} has no thresholds for the form '{model.form}' (it has: "
            f"{known}); use another form, or give --threshold"
        )

    def threshold(self, risk: float) -> float:
        """Return the lowest score of an answer at which the error stays within `risk`.

        Raise HarnessError if no threshold keeps it.
        """
        point = within(self.points, risk)
        if point is None:
            least = f"the lowest that it can keep is {100 * self.points[0].risk:.1f}%" if self.points else ""
            raise HarnessError(
                f"cannot keep the error of this model within {100 * risk:.3g}%: "
                f"{least or 'it was calibrated on no texts'} ({self.texts:,} held-out texts)"
            )
        return point.threshold


def _table(found: Mapping[str, Any]) -> Calibration:
    """Return the thresholds in one table of the file; raise an error unless they are sound."""
    points = tuple(Point(*map(float, point)) for point in found["points"])
    texts, forms = int(found["texts"]), tuple(str(name) for name in found["forms"])
    sound = all(0 <= number <= 1 for point in points for number in point)
    ordered = all(one.risk < other.risk for one, other in pairwise(points))
    if not (sound and ordered):
        raise ValueError(points)
    return Calibration(forms, texts, points)


def write(folder: Path, tables: Sequence[Calibration], split: str) -> None:
    """Write ``calibration.json`` with the tables of an export; `split` is that of the held-out texts."""
    found = {
        "format": 1,
        "method": "fixed sequence testing with exact binomial bounds",
        "level": LEVEL,
        "split": split,
        "columns": list(Point._fields),
        "tables": [{"forms": one.forms, "texts": one.texts, "points": one.points} for one in tables],
    }
    (folder / FILE).write_text(json.dumps(found) + "\n", encoding="utf-8")
