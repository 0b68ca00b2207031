"""Find the folder with the results of a suite."""

from __future__ import annotations

from pathlib import Path

from harness.api import HarnessError


def results_of(suite: Path, results: Path) -> Path:
    """Return the folder of results, given a suite's file, its name, or the folder itself.

    Raise HarnessError if there are no results.
    """
    for folder in (suite, results / name_in(suite), results / suite.name):
        if (folder / "records.jsonl").is_file():
            return folder
    raise HarnessError(f"there are no results of '{suite}' in {results}/; run: harness bench {suite}")


def name_in(path: Path) -> str:
    """Return the name of a suite that its file gives, or otherwise the name of the file."""
    import tomllib

    try:
        return str(tomllib.loads(path.read_text(encoding="utf-8"))["suite"]["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return path.stem
