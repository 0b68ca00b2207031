"""TODO."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from harness.values import Masked


def tags_of(split: str) -> str:
    """Under what name an evaluation keeps the tags that a model decided for, beside a split's logits."""
    return f"{split}-tags"


def of_masked(split: str, masked: Masked) -> dict[str, NDArray[Any]]:
    """What an evaluation keeps of the hidden tokens of a split, by name."""
    import numpy as np

    types = (np.int32, np.int32, np.int32, np.float32)
    return {
        f"{split}-{name}": np.ascontiguousarray(part, dtype=kind)
        for name, part, kind in zip(masked._fields, masked, types, strict=True)
    }


def masked_in(kept: Mapping[str, NDArray[Any]], split: str) -> Masked | None:
    """What :func:`of_masked` kept; None where it kept nothing of that split."""
    from harness.api import Masked

    names = [f"{split}-{name}" for name in Masked._fields]
    return Masked(*(kept[name] for name in names)) if all(name in kept for name in names) else None
