"""Find the folder with the results of a suite."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from harness.suite.bundled import find, suggested
from harness.values import HarnessError


def results_of(suite: Path, results: Path) -> Path:
    """Return the folder of results, given a suite's file, its name, or the folder itself.

    Raise HarnessError if there are no results.
    """
    path = find(suite)
    for folder in (suite, results / suite.name, results / name_in(path)):
        if (folder / "records.jsonl").is_file():
            return folder
    near = [folder.parent.name for folder in results.glob("*/records.jsonl")]
    if path.is_file():
        remedy = f"run: harness bench {suite}"
    elif names := [*get_close_matches(suite.name, near, n=1), *suggested(suite)]:
        remedy = f"did you mean {' or '.join(dict.fromkeys(names))}?"
    else:
        remedy = f"there are results of {', '.join(sorted(near)) or 'no suite'}"
    raise HarnessError(f"there are no results of '{suite}' in {results}/; {remedy}")


def name_in(path: Path) -> str:
    """Return the name of a suite that its file gives, or otherwise the name of the file."""
    import tomllib

    try:
        return str(tomllib.loads(path.read_text(encoding="utf-8"))["suite"]["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return path.stem
