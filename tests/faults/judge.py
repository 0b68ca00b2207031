"""Cases, the criteria by which each is judged, and the table of their figures."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faults.world import World

# Each criterion counts faults; the right figure is 0 everywhere.
CRITERIA = {
    "lost": "cells or artefacts that were there before and are gone, or records that lost a field",
    "changed": "cells whose metrics, answers or model differ from those of an undisturbed run",
    "tracebacks": "tracebacks in the output or in the reason of a record",
    "endless": "processes that did not end within the limit",
    "left": "processes that were alive after their run had ended",
    "wrong": "other wrong outcomes: exit status, messages, temporary files that nobody removes",
}
_DETAIL = 1_500  # characters of a fault's description that are kept


@dataclass(frozen=True)
class Fault:
    """One way in which a case went wrong."""

    criterion: str
    detail: str


class Skip(Exception):
    """Raised by a case that this machine cannot run; the message is the reason."""


@dataclass(frozen=True)
class Case:
    """One disturbance of a world. `act` can be pickled, so that cases run in several processes."""

    family: str
    name: str
    act: Callable[[World], None]
    base: str = "toys"  # the undisturbed world of which it gets a copy; see :mod:`faults.bases`


@dataclass
class Outcome:
    """What came of a case."""

    family: str
    name: str
    trials: int = 0
    faults: list[Fault] = field(default_factory=list)
    skipped: str = ""
    seconds: float = 0.0


def judge(case: Case, bases: Path, keep: Path | None = None) -> Outcome:
    """Run a case in a temporary folder. A case with faults is moved to `keep`, if that is given."""
    from faults.world import World

    outcome = Outcome(case.family, case.name)
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix=f"faults-{case.family}-"))
    world = World.copy_of(bases / case.base, folder / "world")
    try:
        case.act(world)
    except Skip as reason:
        outcome.skipped = str(reason)
    except Exception as error:  # a case that cannot be judged counts as a fault, and the others go on
        world.fault("wrong", f"the case itself failed: {type(error).__name__}: {error}")
        if not isinstance(error, AssertionError):
            import traceback

            world.fault("wrong", traceback.format_exc())
    finally:
        world.end()
    outcome.trials, outcome.seconds = max(world.trials, 1), time.monotonic() - began
    outcome.faults = [Fault(each.criterion, each.detail[:_DETAIL]) for each in world.faults]
    if outcome.faults and keep is not None:
        target = keep / case.family / case.name
        shutil.rmtree(target, ignore_errors=True)
        with suppress(OSError, shutil.Error):
            shutil.copytree(folder, target, symlinks=True, ignore_dangling_symlinks=True)
    shutil.rmtree(folder, ignore_errors=True)
    return outcome


def figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the number of trials, skipped cases and faults of each family and of all, for JSON."""
    families: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        families.setdefault(outcome.family, []).append(outcome)
    return {
        "criteria": CRITERIA,
        "families": {name: _counted(found) for name, found in families.items()},
        "total": _counted(outcomes),
    }


def details(outcomes: Iterable[Outcome]) -> str:
    """Return every outcome with its faults as JSON lines."""
    return "".join(json.dumps(asdict(outcome)) + "\n" for outcome in outcomes)


def read(path: Path) -> list[Outcome]:
    """Return the outcomes that :func:`details` wrote."""
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [Outcome(**{**each, "faults": [Fault(**fault) for fault in each["faults"]]}) for each in found]


def table(found: dict[str, Any]) -> str:
    """Return figures as a Markdown table with a row for each family."""
    head = ["family", "cases", "trials", *CRITERIA, "skipped"]
    rows = [[name, *_row(counts)] for name, counts in found["families"].items()]
    rows.append(["all", *_row(found["total"])])
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = [cells[0].ljust(widths[0]), *map(str.rjust, cells[1:], widths[1:])]
        return f"| {' | '.join(padded)} |"

    ruler = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(head), line(ruler), *map(line, rows)])


def _row(counts: dict[str, Any]) -> list[str]:
    names = ("cases", "trials", *CRITERIA, "skipped")
    return [f"{counts[name]:,}" for name in names]


def _counted(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    counts = {name: sum(f.criterion == name for o in outcomes for f in o.faults) for name in CRITERIA}
    return {
        "cases": len(outcomes),
        "trials": sum(outcome.trials for outcome in outcomes if not outcome.skipped),
        **counts,
        "skipped": sum(bool(outcome.skipped) for outcome in outcomes),
        "reasons": sorted({outcome.skipped for outcome in outcomes if outcome.skipped}),
        "seconds": round(sum(outcome.seconds for outcome in outcomes)),
    }
