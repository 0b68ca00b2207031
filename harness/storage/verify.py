"""Check a whole store: every manifest and the checksum of every file, and what does not belong there."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.api import HarnessError
from harness.storage import files
from harness.storage.store import MANIFEST, Store, Unsound, verify

# Entries of a store's root that are not folders of artefacts.
_OTHERS = ("tmp", "locks", "checkpoints", "damaged", "leases", "timings.jsonl", "upstream")
_HIDDEN = (
    "lost+found",
    ".gitignore",
    ".DS_Store",
    ".leases",
)  # of file systems and programs: never worth a word


@dataclass
class Findings:
    """The result of a check. Paths are relative to the store."""

    artefacts: int = 0  # sound ones
    files: int = 0  # of sound artefacts
    bytes: int = 0
    damaged: list[dict[str, Any]] = field(default_factory=list)  # kind, key, reason; `set_aside` if repaired
    unknown: list[str] = field(default_factory=list)  # files and folders that the store did not make
    leftovers: list[str] = field(default_factory=list)  # of killed runs
    set_aside: int = 0  # artefacts in damaged/, also of earlier checks and runs

    @property
    def sound(self) -> bool:
        """Return whether no damaged artefact is left in its place."""
        return all(one["set_aside"] for one in self.damaged)


def check(root: Path, kinds: Collection[str], repair: bool = False) -> Findings:
    """Return what is wrong in a store; `kinds` are the names of its folders of artefacts.

    With `repair`, set damaged artefacts aside, so that the next run makes them again, and remove leftovers of
    killed runs. Otherwise change nothing. Raise HarnessError if there is no store, or it cannot be read.
    """
    if not root.is_dir():
        raise HarnessError(f"cannot find a store at {str(root)!r}; name its folder with --store")
    found = Findings()
    store = Store(root, create=False)
    for entry in _entries(root):
        if entry.name in kinds and entry.is_dir():
            for place in _entries(entry):
                _artefact(store, entry.name, place, found, repair)
        elif entry.name not in (*_OTHERS, *_HIDDEN):
            found.unknown.append(entry.name)
    for name in ("tmp", "locks"):
        _unfinished(root / name, found, repair)
    found.set_aside = len(_entries(root / "damaged"))
    return found


def _artefact(store: Store, kind: str, place: Path, found: Findings, repair: bool) -> None:
    try:
        artefact = store.look(kind, place.name)
        if artefact is None:
            return  # removed in the meantime
        verify(artefact)
        if extra := sorted(set(_within(place)) - {*artefact.files, MANIFEST}):
            raise Unsound(f"it contains {extra[0]}, which is not in its manifest")
    except Unsound as fault:
        if not os.path.lexists(place):
            return  # set aside in the meantime by a run
        is_key = set(place.name) <= set("0123456789abcdef")
        if not is_key and not (place / MANIFEST).is_file():
            if place.name not in _HIDDEN:
                found.unknown.append(f"{kind}/{place.name}")
            return
        if repair:
            store.set_aside(kind, place.name, str(fault))
        found.damaged.append({"kind": kind, "key": place.name, "reason": str(fault), "set_aside": repair})
        return
    found.artefacts += 1
    found.files += len(artefact.files)
    found.bytes += artefact.size_bytes


def _within(folder: Path) -> Iterator[str]:
    """Yield all files below a folder, and links to folders, without those of :data:`_HIDDEN`."""
    for where, folders, names in os.walk(folder):
        for name in (*names, *folders):
            path = Path(where, name)
            if name not in _HIDDEN and (name in names or path.is_symlink()):
                yield path.relative_to(folder).as_posix()


def _unfinished(folder: Path, found: Findings, repair: bool) -> None:
    """Find what killed runs left in ``tmp/`` and ``locks/``, and what the store did not make."""
    dead = set(files.abandoned(folder))
    for path in _entries(folder):
        name = f"{folder.name}/{path.name}"
        if path in dead:
            found.leftovers.append(name)
        elif folder.name == "locks" and path.suffix == ".lock":
            if files.is_free(path):
                found.leftovers.append(name)
        elif not files.is_owned(path) and path.name not in _HIDDEN:
            found.unknown.append(name)
    if repair:
        files.sweep(folder)
        for path in folder.glob("*.lock"):
            files.is_free(path, remove=True)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise HarnessError(f"cannot read the store: {error.strerror}: {str(folder)!r}") from None
