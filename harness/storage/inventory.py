"""List what is in a store, say what commands use of it, and delete what nobody needs."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from harness.api import HarnessError
from harness.storage import files
from harness.storage.leases import LEASES, exclusive
from harness.storage.store import MANIFEST, Store, Unsound

_USE = "use."  # begins the names of the files in tmp/ that say what a command uses
_ALL = "*"


@dataclass(frozen=True)
class Listed:
    """A stored artefact, as a list shows it."""

    kind: str
    key: str
    bytes: int
    age_s: float  # since it came into this store


@dataclass
class Collected:
    """The artefacts that a garbage collection removed, or would remove."""

    removed: list[Listed] = field(default_factory=list)
    kept: int = 0  # needed, or not old enough
    in_use: int = 0  # would be removed if no running command used them
    errors: list[str] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """Return the number of bytes that are freed."""
        return sum(one.bytes for one in self.removed)


def listed(store: Store, kinds: Iterable[str]) -> Iterator[Listed]:
    """Yield the artefacts of a store; damaged ones are left out, because `harness verify` shows them."""
    now = time.time()
    for kind in kinds:
        for key in sorted(store.keys(kind)):
            try:
                artefact = store.look(kind, key)
                if artefact is not None:
                    age = now - (artefact.folder / MANIFEST).stat().st_mtime
                    yield Listed(kind, key, artefact.size_bytes, max(0.0, age))
            except (Unsound, OSError):
                continue


# -- what running commands use -------------------------------------------------------------------------------


@contextlib.contextmanager
def using(store: Store, keys: Iterable[str] | None = None) -> Iterator[None]:
    """Keep artefacts from being deleted by :func:`collect` in the meantime; without `keys`, all of them.

    If a collection is running, wait for its end. A store that cannot be written can still be read, so that
    no error is raised then.
    """
    path = store.root / "tmp" / files.owned(f"{_USE}{uuid.uuid4().hex[:8]}")
    with contextlib.suppress(HarnessError), _alone(store):
        files.publish(path, "\n".join(keys) if keys is not None else _ALL)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def _alone(store: Store) -> contextlib.AbstractContextManager[None]:
    """Hold the lock for the files that say what is used, and for collections."""
    return exclusive(store.root / "locks" / "collect.lock")


def _used(store: Store) -> set[str]:
    """Return the keys that running commands use. Raise HarnessError if one of them may use all."""
    folder = store.root / "tmp"
    ended = set(files.abandoned(folder))
    found: set[str] = set()
    for path in folder.glob(f"{_USE}*"):
        if path in ended:
            continue
        try:
            keys = path.read_text(encoding="utf-8").split("\n")
        except FileNotFoundError:
            continue  # the command has just ended
        if keys == [_ALL]:
            owner = path.name.rpartition("-")[2]
            raise HarnessError(
                f"cannot delete: process {owner} is using the store; try again when it has ended"
            )
        found.update(keys)
    return found


def collect(
    store: Store,
    kinds: Collection[str],
    needed: Collection[str] | None,
    older_s: float | None,
    dry_run: bool,
) -> Collected:
    """Delete artefacts that are not `needed` and older than `older_s` seconds; None stands for any.

    What a running command uses is kept. With `dry_run`, delete nothing. Raise HarnessError if neither
    condition is given, or if a running command may use all artefacts.
    """
    if needed is None and older_s is None:
        raise HarnessError("expected a condition, got none: without one, everything would be deleted")
    found = Collected()
    with _alone(store):  # a command that starts now waits, and then sees what is left
        used = _used(store)
        for one in listed(store, kinds):
            if (needed is not None and one.key in needed) or (older_s is not None and one.age_s < older_s):
                found.kept += 1
            elif one.key in used or _locked(store, one.key):
                found.in_use += 1
            else:
                if not dry_run:
                    try:
                        store.remove(one.kind, one.key)
                    except (OSError, HarnessError) as error:
                        cause = files.why(error) if isinstance(error, OSError) else error
                        found.errors.append(f"cannot delete {one.kind} {one.key[:12]}: {cause}")
                        continue
                found.removed.append(one)
    return found


def _locked(store: Store, key: str) -> bool:
    """Return whether a process is making the artefact."""
    if (store.root / LEASES / key).is_dir():
        return True
    lock = store.root / "locks" / f"{key}.lock"
    return lock.is_file() and not files.is_free(lock)
