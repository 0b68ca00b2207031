"""Find models in the folder that HARNESS_MODELS names, such as a copy of some models of the hub."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from harness import HarnessError
from harness.wording import nearest

VARIABLE = "HARNESS_MODELS"
_MOST = 8  # models that an error lists


def mirrored(model: str) -> Path | None:
    """Return the folder of a model in HARNESS_MODELS, or None if it has none of that name."""
    root, path = _root(), PurePosixPath(model)
    if root is None or path.is_absolute() or ".." in path.parts or not path.parts:
        return None
    return root / path if (root / path).is_dir() else None


def mirrored_caches() -> list[Path]:
    """Return the folders that may have the layout of the hub's cache: HARNESS_MODELS, and `hub` in it."""
    root = _root()
    return [] if root is None else [root, root / "hub"]


def absent(model: str) -> tuple[str, str]:
    """Return two parts of an error about a model that HARNESS_MODELS has not: where, and what it has.

    Both are empty if HARNESS_MODELS is not set.
    """
    root = _root()
    if root is None:
        return "", ""
    names = sorted(set(_names(root)))
    if model in names:  # in the layout of the cache
        return f"not at this revision in {VARIABLE}, ", f"; {VARIABLE} has another revision of it"
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    short = {name.rpartition("/")[2]: name for name in names}
    found = nearest(model, [*names, *short])
    for name, whole in short.items():
        found = found.replace(f"'{name}'", f"'{whole}'")
    return f"not in {VARIABLE}, ", f"; {VARIABLE} has {', '.join(names[:_MOST]) or 'no models'}{more}{found}"


def _root() -> Path | None:
    """Return the folder, or None if HARNESS_MODELS is not set. Raise HarnessError if it is no folder."""
    named = os.environ.get(VARIABLE, "")
    if not named:
        return None
    root = Path(named).expanduser()
    if not root.is_dir():
        raise HarnessError(f"expected {VARIABLE} to be a folder of models, got '{named}'; correct it")
    return root


def _names(root: Path) -> Iterator[str]:
    """Yield the names by which the models in a folder are found."""
    for path in _folders(root):
        if path.name.startswith("models--"):
            yield path.name.removeprefix("models--").replace("--", "/", 1)
        elif (path / "config.json").is_file():
            yield path.name
        elif path.name == "hub":
            yield from _names(path)
        else:
            for inner in _folders(path):
                if (inner / "config.json").is_file():
                    yield f"{path.name}/{inner.name}"


def _folders(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir() and not path.name.startswith("."):
            yield path
