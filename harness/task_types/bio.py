"""Schemes of tags: BIO, IOB1 and IOBES. Tags are BIO throughout the harness.

``B-x`` begins an entity of type x, ``I-x`` continues it, ``O`` is outside of entities. An ``I-x`` that
continues nothing counts as outside, as in seqeval's strict IOB2.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.values import HarnessError

OUTSIDE = "O"


def to_bio(tags: Sequence[str]) -> list[str]:
    """One sentence's tags as BIO, from BIO, IOB1 (where only touching entities begin by B) or IOBES.

    Raises HarnessError for a tag that is none of those.
    """
    made: list[str] = []
    before = OUTSIDE  # the type that an I- may go on with
    for tag in tags:
        prefix, dash, kind = tag.partition("-")
        if tag == OUTSIDE:
            made.append(OUTSIDE)
            before = OUTSIDE
            continue
        if not dash or not kind or prefix not in "BIESLU" or len(prefix) != 1:
            raise HarnessError(
                f"{tag!r} is no tag: expected O, or one of B, I, E, S, L, U, a dash and a type"
            )
        begins = prefix in "BSU" or before != kind
        made.append(("B-" if begins else "I-") + kind)
        before = OUTSIDE if prefix in "ESLU" else kind
    return made


def classes_of(tags: Sequence[str]) -> tuple[str, ...]:
    """The classes for these BIO tags: O first, then both tags of each type."""
    kinds = sorted({tag[2:] for tag in tags if tag != OUTSIDE})
    return (OUTSIDE, *(f"{prefix}-{kind}" for kind in kinds for prefix in "BI"))


def kinds_of(classes: Sequence[str]) -> list[str]:
    """The types of entities, in the order of the classes."""
    return list(dict.fromkeys(name[2:] for name in classes if name != OUTSIDE))
