"""Count the cells of a suite from its tables, before any sweep is expanded, and refuse too many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from harness.api import KINDS, Student

LIMIT = 20_000  # cells that a suite may have without --limit; a plan needs about 5 kB of memory for each
LARGEST = 4_000_000  # bytes of a suite's file
_VALUES = 20_000_000  # values in all tables that a suite's sweeps make
_SHOWN = 10**15  # larger numbers are not written out

Tables = Mapping[str, Sequence[Mapping[str, Any]]]  # by kind, as written


@dataclass(frozen=True)
class Size:
    """The numbers of components that the tables of a suite describe, and of the cells that they make."""

    counts: Mapping[str, int]  # of components by kind, and of seeds
    cells: int  # at most; excludes, and losses on gold labels alone, make it fewer
    values: int  # in all tables, after their sweeps are expanded

    def refusal(self, limit: int | None) -> str:
        """Return why a suite of this size is refused, or an empty string; None: any number of cells.

        The number of components is always limited, because all of them are built.
        """
        shorten = "shorten its sweeps or split it into several suites"
        most = LIMIT if limit is None else max(limit, LIMIT)
        for kind, count in self.counts.items():
            if count > most:
                return f"the suite has {_some(count, kind)}, and at most {most:,} can be read; {shorten}"
        if self.values > _VALUES:
            return f"the sweeps of the suite repeat {_some(self.values, 'value')}; {shorten}"
        if limit is not None and self.cells > limit:
            factors = {kind: count for kind, count in self.counts.items() if count and kind != "tracker"}
            product = " × ".join(_some(count, kind) for kind, count in factors.items())
            return (
                f"the suite has up to {_some(self.cells, 'cell')} ({product}), and the limit is {limit:,}; "
                f"{shorten}, or raise the limit of bench and plan with --limit"
            )
        return ""


def measure(tables: Tables, classes: Mapping[str, type[Any]], seeds: int, taught: int) -> Size:
    """Return the size of a suite with these tables, in a time that does not depend on its sweeps.

    `classes` are the installed students by name, `seeds` is the number of seeds, and `taught` the number of
    seeds with which teachers are fitted.
    """
    sizes = {
        kind: [(table, prod(map(combinations, table.values()))) for table in tables.get(kind, ())]
        for kind in (*KINDS, "tracker")
    }
    counts = {kind: sum(count for _, count in sized) for kind, sized in sizes.items()}
    teachers, augmenters = max(1, counts["teacher"]), max(1, counts["augmenter"])
    # A student that takes parts of its teacher has a baseline for each teacher.
    baselines = sum(
        count * (teachers if _borrows(classes.get(str(table.get("use")))) else 1)
        for table, count in sizes["student"]
    )
    others = counts["student"] * augmenters * counts["loss"] * teachers
    cells = counts["task"] * (counts["teacher"] * taught + (baselines + others) * seeds)
    values = sum(count * _values(table) for sized in sizes.values() for table, count in sized)
    return Size(counts | {"seed": seeds}, cells, values)


def combinations(value: Any) -> int:
    """Return how many tables a table with sweeps expands into; sweeps may be inside others."""
    if isinstance(value, Mapping):
        if isinstance(swept := value.get("sweep"), list):
            return max(1, sum(map(combinations, swept)))
        return prod(map(combinations, value.values()))
    return prod(map(combinations, value)) if isinstance(value, list) else 1


def _values(value: Any) -> int:
    """Return the number of values in a table, at any depth, once its sweeps are expanded."""
    if isinstance(value, Mapping):
        if isinstance(swept := value.get("sweep"), list):  # each expanded table has one of them
            return max(map(_values, swept), default=0)
        return sum(map(_values, value.values()))
    return 1 + sum(map(_values, value)) if isinstance(value, list) else 1


def _borrows(student: type[Student] | None) -> bool:
    """Return whether some students of a class may take parts of their teacher."""
    return student is not None and student.borrows is not Student.borrows


def _some(number: int, noun: str) -> str:
    """Return a number with its noun; one that has too many digits is not written out."""
    nouns = noun if number == 1 else "losses" if noun == "loss" else f"{noun}s"
    return f"{number:,} {nouns}" if number <= _SHOWN else f"more than {_SHOWN:,} {nouns}"
