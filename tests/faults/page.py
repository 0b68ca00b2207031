"""Write docs/faults.md from the figures of a whole run, so that nobody types a figure."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from faults.judge import table

PAGE = Path("docs/faults.md")
FIGURES = Path("tests/faults/figures.json")

_TEXT = """\
# Faults

What happens to a run that is disturbed from outside. `make faults` disturbs runs in many ways and writes
this page; `make test` tries a few ways of each family. The figures are of the last run that was kept:
{trials} ways, which took {minutes} minutes on {cores} cores. {again}The right figure in every column is 0.

{table}

{criteria}

{skipped}## The families

- **kills**: SIGKILL to the process group, to the parent or to one worker, at random moments: at any time,
  in training, in evaluation, export and latency, while an artefact is published, while a lock is held, and
  while results are written; then the next run, on the same store. Half of the runs over finished results
  use `--fresh`. A trial is one kill.
- **runs at once**: 2 and 4 runs on one store and one folder of results: of the same cells, of parts of the
  suite, with `--fresh`, and with one run killed. A trial is one run.
- **full disks**: store, results or temporary files on a disk with 0 to 120 KiB left, at first or over
  earlier results, and limits on the size of a file; then a run with space again.
- **damage**: every kind of file in the store and in the results is cut, changed by one bit, filled with
  noise, emptied, deleted, or replaced by a folder, other JSON, a link to itself or a named pipe; and
  folders are deleted.
- **hostile plugins**: a plugin that moves global state (of torch, NumPy, Python and the process), ends its
  process in every way, hangs, leaves child processes and threads, floods its output, returns what is no
  model, reaches for other files of the store, has strange classes, or goes wrong when it is imported. Cells
  of other plugins run beside it.
- **mutated suites**: suites with random changes to values, keys, tables and bytes are planned. Others, with
  extreme values of parameters, are run. A trial is one suite.
- **mutated files**: CSV, TSV, JSON lines, Parquet and CoNLL files with random changes are planned and read.
  A file that cannot be read must be refused by the plan. A trial is one file.

Every case is compared with a run of the same suite that nothing disturbed. The random choices come from
fixed seeds; the moments of kills also depend on the speed of the machine.
"""


_AGAIN = "{} cases that had gone wrong were\ntried again after their cause was mended. "


def text(found: dict[str, Any]) -> str:
    """Return the page with these figures."""
    meanings = [f"- **{name}**: {meaning}." for name, meaning in found["criteria"].items()]
    reasons = found["total"]["reasons"]
    told = f"Skipped on this machine: {'; '.join(reasons)}.\n\n" if reasons else ""
    return _TEXT.format(
        trials=f"{found['total']['trials']:,}",
        minutes=round(found["minutes"]),
        cores=found["cores"],
        again=_AGAIN.format(found["again"]) if found.get("again") else "",
        table=table(found),
        criteria="\n".join(meanings),
        skipped=told,
    )


def main() -> None:
    """Take the figures of a run (a folder) for the page."""
    found = json.loads((Path(sys.argv[1]) / "figures.json").read_text())
    FIGURES.write_text(json.dumps(found, indent=1) + "\n")
    PAGE.write_text(text(found))


if __name__ == "__main__":
    main()
