"""Count what a model costs: the seconds of all steps that made it, and its parameters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from operator import index
from typing import TYPE_CHECKING

from harness.api import HarnessError, Model

if TYPE_CHECKING:
    from harness.storage.store import Artefact


def seconds_of(parts: Iterable[Artefact]) -> float:
    """Return the seconds spent on these artefacts, and on the artefacts that they were made from."""
    return sum(float(part.made["seconds"] + part.result.get("seconds_before", 0.0)) for part in parts)


def parameters_of(model: Model) -> dict[str, int]:
    """Return a model's numbers of parameters. Raise HarnessError if they are not whole numbers from 0 up."""
    counted = {}
    for name, number in asdict(model.parameters()).items():
        try:
            counted[name] = index(number)  # plain, not of NumPy
        except TypeError:
            counted[name] = -1
        if not 0 <= counted[name] < 2**63:
            raise HarnessError(f"expected a whole number of {name} parameters from 0 up, got {number!r:.40}")
    return counted
