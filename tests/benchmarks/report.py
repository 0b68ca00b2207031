"""What the benchmarks share: their output, and the machine they ran on."""

from __future__ import annotations

import json
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def say(line: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def machine() -> dict[str, Any]:
    """When and on what, without host names."""
    from harness.results.provenance import environment

    found = environment()
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return {"when": when, "git": found["git"], "cpu": found["cpu"], "python": platform.python_version()}


def record(name: str, found: dict[str, Any]) -> None:
    """Append a line to results/<name>.jsonl."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.jsonl"
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(found) + "\n")
    say(f"recorded in {path.relative_to(Path(__file__).parents[2])}")
