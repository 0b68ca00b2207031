"""Texts as counts of their letters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def counted(texts: Sequence[str]) -> NDArray[np.float64]:
    """The share that each letter has in each text, (N, 26)."""
    counts = np.array([[text.count(letter) for letter in LETTERS] for text in texts], dtype=np.float64)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
