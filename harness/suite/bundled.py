"""Find a suite by its path or name, also those that come with the package."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path


@cache
def bundled() -> Mapping[str, Path]:
    """Return the files of the suites that come with the package, by name."""
    package = Path(__file__).resolve().parents[1]
    # A wheel has them in the package, a checkout beside it.
    for folder in (package / "suites", package.parent / "suites"):
        if found := {path.stem: path for path in sorted(folder.glob("*.toml"))}:
            return found
    return {}


def title(path: Path) -> str:
    """Return the comment with which a suite's file begins, up to its first stop or colon."""
    lines = path.read_text(encoding="utf-8").splitlines()
    first = next((index for index, line in enumerate(lines) if not line.startswith("#")), len(lines))
    comment = " ".join(line.lstrip("# ") for line in lines[:first]).strip()
    return re.split(r"(?<=[.?!:;])\s", comment, maxsplit=1)[0].rstrip(".:;")


def find(given: Path) -> Path:
    """Return the file of a suite, given its path or name; return `given` if there is none.

    A file comes first, then one with the ending `.toml`, then a suite that comes with the package.
    """
    for path in (given, given.with_name(f"{given.name}.toml") if given.name else given):
        if path.is_file():
            return path
    return bundled().get(str(given), given)


def suggested(given: Path) -> list[str]:
    """Return what a suite that does not exist may have been meant to be: a file, or a name, or both."""
    there = {
        path.stem: path
        for folder in (given.parent / "suites", given.parent)
        for path in (sorted(folder.glob("*.toml")) if folder.is_dir() else ())
    }
    name = given.name.removesuffix(".toml")
    files = [there[near] for near in get_close_matches(name, there, n=1)]
    names = get_close_matches(name, bundled(), n=1)
    if files and (len(given.parts) > 1 or any(bundled()[near].samefile(files[0]) for near in names)):
        names = []
    return [*map(str, files), *names]
