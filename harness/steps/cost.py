"""The seconds that an artefact cost, over all steps that made it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.storage.store import Artefact


def seconds_of(parts: Iterable[Artefact]) -> float:
    """Return the seconds spent on these artefacts, and on the artefacts that they were made from."""
    return sum(float(part.made["seconds"] + part.result.get("seconds_before", 0.0)) for part in parts)
