"""List the families of disturbances."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from faults import crowds, damage, disks, files, hostile, kills, suites
from faults.judge import Case

FAMILIES: dict[str, Callable[[bool], list[Case]]] = {
    "kills": kills.cases,
    "runs at once": crowds.cases,
    "full disks": disks.cases,
    "damage": damage.cases,
    "hostile plugins": hostile.cases,
    "mutated suites": suites.cases,
    "mutated files": files.cases,
}


def cases(whole: bool, families: Iterable[str] = ()) -> list[Case]:
    """Return the cases of some families, or of all."""
    return [case for name in (list(families) or FAMILIES) for case in FAMILIES[name](whole)]
