"""Sizes of taggers over words' features that learn a few sentences in a second."""

from __future__ import annotations

from typing import Any

SIZES: dict[str, Any] = {
    "vocabulary": 60,
    "affixes": 40,
    "shapes": 20,
    "letters": 50,
    "characters": 6,
    "width": 8,
    "hidden": 12,
    "min_examples": 0,
    "learning_rate": 2e-2,
}
