"""Store the ids of texts in files, so that all trainings on the same texts share them, memory-mapped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from harness.featurise.featuriser import Featuriser
    from harness.featurise.tokens import Tokens

_HELD = 4_000_000  # bytes of a table that are in memory while it is made, if there is a folder for the rest


def write(
    folder: Path, featuriser: Featuriser, texts: Mapping[str, Sequence[str]], scratch: Path | None = None
) -> dict[str, int]:
    """Write a featuriser and the ids of texts, by name, into a folder; return the number of ids by name."""
    featuriser.save(folder)
    counts = {}
    for name, each in texts.items():
        tokens = featuriser.tokens(each, scratch, _HELD)
        np.save(folder / f"{name}-ids.npy", tokens.ids)
        np.save(folder / f"{name}-offsets.npy", tokens.offsets)
        counts[name] = len(tokens.ids)
    return counts


class Stored:
    """A featuriser, fitted on examples, and the ids of texts that :func:`write` wrote into a folder."""

    def __init__(
        self, folder: Path, featuriser: Featuriser, fitted_on: Any, texts: Mapping[str, Sequence[str]]
    ) -> None:
        self.folder = folder
        self._featuriser = featuriser
        self._fitted_on = fitted_on
        self._texts = texts

    def featuriser(self, examples: Any) -> Featuriser | None:
        """Return the featuriser if it was fitted on this very object, else None."""
        return self._featuriser if examples is self._fitted_on else None

    def find(self, featuriser: Featuriser, texts: Sequence[str]) -> Tokens | None:
        """Return the ids of texts, memory-mapped; None if they are other texts, or of another featuriser."""
        name = next((name for name, own in self._texts.items() if own is texts), None)
        if name is None or not self._is(featuriser):
            return None
        ids, offsets = (self._read(f"{name}-{part}.npy") for part in ("ids", "offsets"))
        return featuriser.table(ids, offsets, texts)

    def _is(self, other: Featuriser) -> bool:
        own = self._featuriser
        return other is own or (type(other) is type(own) and other.state() == own.state())

    def _read(self, name: str) -> Any:
        # As a plain array, because numpy looks up parts of a `memmap` more slowly.
        return np.asarray(np.load(self.folder / name, mmap_mode="r", allow_pickle=False))
