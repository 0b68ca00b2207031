"""Run trials of all families, print the table of figures, and write it as JSON."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from tempfile import TemporaryDirectory

from faults import bases
from faults.families import FAMILIES, cases
from faults.judge import Case, Outcome, details, figures, judge, read, table


def main() -> int:
    """Return 0 if no case went wrong."""
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("families", nargs="*", help=f"any of {', '.join(FAMILIES)}; default: all")
    parser.add_argument("--small", action="store_true", help="only the trials of `make test`")
    parser.add_argument("--only", default="", help="only cases whose name contains this")
    parser.add_argument("--most", type=int, default=1000, help="cases of a family, evenly spread over it")
    parser.add_argument("--jobs", type=int, default=2, help="cases that run at once")
    parser.add_argument("--again", type=Path, help="folder of a run: try only what went wrong in it")
    parser.add_argument("--out", type=Path, default=Path("build/faults"), help="folder for the figures")
    options = parser.parse_args()

    began = time.monotonic()
    chosen: list[Case] = []
    for family in options.families or FAMILIES:
        found = [case for case in cases(not options.small, [family]) if options.only in case.name]
        count = min(options.most, len(found))
        chosen += (found[place * len(found) // count] for place in range(count))
    every = list(chosen)
    keep = options.out / "kept"
    outcomes: list[Outcome] = []
    if options.again:
        kept = [outcome for outcome in read(options.again / "outcomes.jsonl") if not outcome.faults]
        chosen = [
            case for case in chosen if (case.family, case.name) not in {(o.family, o.name) for o in kept}
        ]
    with TemporaryDirectory(prefix="faults-") as made:
        for base in sorted({case.base for case in chosen}):
            bases.build(base, Path(made))
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(options.jobs, mp_context=context) as pool:
            waiting = [pool.submit(judge, case, Path(made), keep) for case in chosen]
            for future in as_completed(waiting):
                outcomes.append(outcome := future.result())
                _tell(outcome, len(outcomes), len(chosen), time.monotonic() - began)
    minutes, again = (time.monotonic() - began) / 60, 0
    if options.again:
        outcomes += kept
        before = json.loads((options.again / "figures.json").read_text())
        minutes, again = minutes + before["minutes"], max(len(chosen), before.get("again", 0))
    order = {(case.family, case.name): place for place, case in enumerate(every)}
    outcomes.sort(key=lambda outcome: order[outcome.family, outcome.name])
    found = figures(outcomes) | {
        "minutes": round(minutes, 1),
        "cores": len(os.sched_getaffinity(0)),
        "again": again,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "figures.json").write_text(json.dumps(found, indent=1) + "\n")
    (options.out / "outcomes.jsonl").write_text(details(outcomes))
    print(table(found))  # noqa: T201
    return int(any(outcome.faults for outcome in outcomes))


def _tell(outcome: Outcome, done: int, total: int, seconds: float) -> None:
    state = f"{len(outcome.faults)} faults" if outcome.faults else outcome.skipped or "ok"
    print(f"[{done}/{total} {seconds:.0f} s] {outcome.family} {outcome.name}: {state}")  # noqa: T201
    for fault in outcome.faults[:4]:
        print(f"    {fault.criterion}: {fault.detail[:400]}")  # noqa: T201
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
