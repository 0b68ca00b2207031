"""The students of ``harness distill --max-parameters``: those that can be so small, made so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from harness.api import HarnessError
from harness.guiding.budget import Level

if TYPE_CHECKING:
    from harness.catalog import Catalog

Settings = dict[str, dict[str, Any]]  # of students, by name: those that are not the usual


def within(
    most: int, classes: int, offered: Sequence[Level], catalog: Catalog
) -> tuple[list[Level], Settings, str]:
    """The levels with those students alone that can have `most` parameters, their settings, and what to say.

    Raises HarnessError where none can that has a form to ship.
    """
    settings: Settings = {}
    large, ships = [], False
    for name in dict.fromkeys(name for level in offered for name in level.students):
        usual: Any = catalog.build("student", {"use": name})
        found = usual.within(most, classes)
        if found is None:
            large.append(name)
            continue
        ships = ships or found.exports
        if changed := _changed(usual, found):
            settings[name] = changed
    if not ships:
        raise HarnessError(f"{most:,} parameters are too few for {', '.join(large)}: raise --max-parameters")
    cut = (
        replace(level, students=tuple(name for name in level.students if name not in large))
        for level in offered
    )
    levels = [level for level in dict.fromkeys(cut) if level.students]
    told = [
        f"{name} with {', '.join(f'{key} {to}' for key, to in each.items())}"
        for name, each in settings.items()
    ]
    told += [f"{name} left out as too large" for name in large]
    return levels, settings, f"for {most:,} parameters: {'; '.join(told)}" if told else ""


def _changed(usual: Any, found: Any) -> dict[str, Any]:
    """The parameters in which one component differs from another of its kind."""
    names = (each.name for each in fields(found))
    return {name: to for name in names if (to := getattr(found, name)) != getattr(usual, name)}
