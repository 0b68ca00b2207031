"""What an artefact cost that was made in several steps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.storage.store import Artefact


def seconds_of(parts: Iterable[Artefact]) -> float:
    """Seconds that went into these artefacts, and into those that they are made of."""
    return sum(float(part.made["seconds"] + part.result.get("seconds_before", 0.0)) for part in parts)
