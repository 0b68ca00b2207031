"""Read the validation scores of a trial from its records."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.api import parameters_of
from harness.results.record import read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.bench import Ran


@dataclass(frozen=True)
class Scored:
    """A model of a trial, with its score on the validation split."""

    role: str  # "teacher", "baseline" or "distilled"
    part: Mapping[str, Any]  # the teacher or student, as in its record
    value: float  # larger is better
    said: str  # the model with its score, in words
    parameters: float

    def is_for(self, component: Any) -> bool:
        """Return whether this is the score of a component with exactly these parameters."""
        params = json.loads(json.dumps(parameters_of(component), default=str))
        return bool(self.part["name"] == component.name and self.part["params"] == params)


def scores_in(ran: Ran) -> list[Scored]:
    """Return the models of a run that have a score, by the headline of its table."""
    found = []
    places = {cell: (table, row) for table in ran.board.tables for row in table.rows for cell in row.cells}
    for record in read(ran.folder / "records.jsonl"):
        if record["status"] != "ok" or record["cell"] not in places:
            continue
        table, row = places[record["cell"]]
        name = table.headline
        every: Mapping[str, Any] = record
        value = (every.get("validation") or {}).get(name)
        part = every.get("teacher" if record["role"] == "teacher" else "student")
        if value is None or part is None:
            continue
        share = table.is_share(name)
        shown = f"{100 * value:.1f} %" if share else f"{value:.4g}"
        label = row.labels["teacher" if record["role"] == "teacher" else "student"]
        counted = (every.get("parameters") or {}).get("total") or 0
        sign = -1 if table.lower_is_better(name) else 1
        found.append(Scored(record["role"], part, sign * value, f"{label} {shown}", counted))
    return found
