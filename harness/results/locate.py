"""The folder of results that people mean."""

from __future__ import annotations

from pathlib import Path

from harness.api import HarnessError


def results_of(suite: Path, results: Path) -> Path:
    """The folder of results that a suite's file, its name, or the folder itself means."""
    for folder in (suite, results / name_in(suite), results / suite.name):
        if (folder / "records.jsonl").is_file():
            return folder
    raise HarnessError(f"there are no results of '{suite}' in {results}/; run: harness bench {suite}")


def name_in(path: Path) -> str:
    """The name of a suite by its file: what stands in it, else the file's own."""
    import tomllib

    try:
        return str(tomllib.loads(path.read_text(encoding="utf-8"))["suite"]["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return path.stem
