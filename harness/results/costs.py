"""Add up what the models of some records cost to make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.results.record import Record


@dataclass(frozen=True)
class Spent:
    """Seconds of work, summed over the processes that did it, so that a run on two cores takes about half."""

    teachers_s: float = 0.0  # to train teachers, and the models that they start from
    labels_s: float = 0.0  # for teachers to label the students' texts
    students_s: float = 0.0  # to train students, on labels alone too

    @property
    def whole_s(self) -> float:
        """Return the sum."""
        return self.teachers_s + self.labels_s + self.students_s


def spent(records: Iterable[Record]) -> Spent:
    """Return what the models cost; what several records share counts once."""
    parts: dict[str, dict[object, float]] = {"teachers_s": {}, "labels_s": {}, "students_s": {}}
    for record in records:
        cost: Mapping[str, Any] = record.get("cost") or {}
        made = record.get("artefacts") or {}
        kind = "teacher" if record["role"] == "teacher" else "student"
        own: object = made.get(kind) or record["cell"]
        parts[f"{kind}s_s"][own] = cost.get("train_s") or 0.0
        parts["teachers_s"][made.get("prior") or (own, "prior")] = cost.get("prior_s") or 0.0
        labelled = made.get("targets"), made.get("hidden")
        parts["labels_s"][labelled if any(labelled) else own] = cost.get("labelling_s") or 0.0
    return Spent(**{name: sum(found.values()) for name, found in parts.items()})
