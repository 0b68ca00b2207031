"""Shrink students to the limit of ``harness distill --max-parameters``, or leave them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.api import HarnessError, parameters_of
from harness.distill.budget import Level

if TYPE_CHECKING:
    from harness.catalog import Catalog

Settings = dict[str, dict[str, Any]]  # by student's name, the parameters that differ from the defaults


def within(
    most: int | None, classes: int, offered: Sequence[Level], catalog: Catalog
) -> tuple[list[Level], Settings, str]:
    """Return the levels without students that need more than `most` parameters, settings, and a message.

    The settings make the other students small enough. Without a limit nothing changes. Raise HarnessError
    if no student that can be exported is small enough.
    """
    if most is None:
        return list(offered), {}, ""
    settings: Settings = {}
    large, ships = [], False
    for name in dict.fromkeys(name for level in offered for name in level.students):
        usual: Any = catalog.build("student", {"use": name})
        found = usual.within(most, classes)
        if found is None:
            large.append(name)
            continue
        ships = ships or found.exports
        before = parameters_of(usual)
        if changed := {each: to for each, to in parameters_of(found).items() if to != before[each]}:
            settings[name] = changed
    if not ships:
        raise HarnessError(
            f"cannot make {', '.join(large)} with at most {most:,} parameters; raise --max-parameters"
        )
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
