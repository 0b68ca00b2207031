"""Tagging schemes: BIO, IOB1 and IOBES. The harness uses BIO everywhere.

``B-x`` begins an entity of type x, ``I-x`` continues it, ``O`` is outside of entities. An ``I-x`` that does
not continue an entity counts as outside, as in seqeval's strict IOB2 mode.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.values import HarnessError

OUTSIDE = "O"


def to_bio(tags: Sequence[str]) -> list[str]:
    """Return one sentence's tags as BIO, from BIO, IOB1 or IOBES.

    In IOB1, only an entity that follows another of its type begins with B. Raise HarnessError for a tag of no
    such scheme.
    """
    made: list[str] = []
    before = OUTSIDE  # the type that an I- tag may continue
    for tag in tags:
        prefix, dash, kind = tag.partition("-")
        if tag == OUTSIDE:
            made.append(OUTSIDE)
            before = OUTSIDE
            continue
        if not dash or not kind or prefix not in "BIESLU" or len(prefix) != 1:
            raise HarnessError(f"expected a tag O or X-type, with X one of B, I, E, S, L and U, got {tag!r}")
        begins = prefix in "BSU" or before != kind
        made.append(("B-" if begins else "I-") + kind)
        before = OUTSIDE if prefix in "ESLU" else kind
    return made


def classes_of(tags: Sequence[str]) -> tuple[str, ...]:
    """Return the classes for BIO tags: O first, then both tags of each type."""
    kinds = sorted({tag[2:] for tag in tags if tag != OUTSIDE})
    return (OUTSIDE, *(f"{prefix}-{kind}" for kind in kinds for prefix in "BI"))


def kinds_of(classes: Sequence[str]) -> list[str]:
    """Return the types of entities, in the order of the classes."""
    return list(dict.fromkeys(name[2:] for name in classes if name != OUTSIDE))
