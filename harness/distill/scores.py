"""Read the validation scores of a trial from its records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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

    def is_for(self, table: Mapping[str, Any]) -> bool:
        """Return whether this is the score of a component, given as in a suite."""
        return _agree({"use": self.part["name"], **self.part["params"]}, table)


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


def _agree(known: Any, given: Any) -> bool:
    """Return whether all that is given of a component is so in its record."""
    if isinstance(given, dict):
        return isinstance(known, dict) and all(
            _agree(known.get("name") if name == "use" and "name" in known else known.get(name), value)
            for name, value in given.items()
        )
    if isinstance(given, list | tuple):
        return len(known or ()) == len(given) and all(map(_agree, known, given))
    return bool(known == given)
