"""Store artefacts by key: folders of files with a manifest, published atomically and checked when read.

Layout below the store's root: ``<kind>/<key>/`` contains an artefact and its ``manifest.json``; ``tmp/``
contains unfinished work; ``checkpoints/<key>/`` contains what long steps save in case they are killed;
``locks/`` has one file for each running step; ``leases/`` replaces it on file systems without locks;
``damaged/`` contains artefacts that failed their checksum; ``timings.jsonl`` lists how long steps took, for
estimates.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.api import HarnessError
from harness.storage import files, timings
from harness.storage.leases import LEASES, FolderBoard, Leases, NoLeases
from harness.storage.timings import Timings

MANIFEST = "manifest.json"
_SYNCED_S = 0.5  # work that takes longer is synced to disk, which can take tens of milliseconds
_UNTOUCHED_S = 14 * 86_400.0  # age at which the checkpoints of a killed step are removed
_REFUSED = (errno.EACCES, errno.EPERM)
_FULL_BYTES = 64 * 1024  # free bytes below which a disk counts as full


class Damaged(HarnessError):
    """The error for an artefact whose bytes are not those that were published."""

    def __init__(self, kind: str, key: str, reason: str) -> None:
        self.what = f"stored {kind} {key[:12]} is damaged ({reason})"
        super().__init__(f"{self.what}; it was set aside and will be made again")
        self.kind, self.key = kind, key


class Unsound(Exception):
    """The reason why an artefact cannot be used, found by looking at it."""


@dataclass(frozen=True)
class Artefact:
    """A published artefact."""

    kind: str
    key: str
    folder: Path
    result: dict[str, Any]  # the step's small outcome: counts, metrics
    made: dict[str, Any]  # when, where and in how many seconds
    files: dict[str, list[Any]]  # name → [bytes, sha256]

    @property
    def size_bytes(self) -> int:
        """The size of the artefact's files, without its manifest."""
        return sum(size for size, _ in self.files.values())


class Store:
    """A folder of artefacts that any number of processes may share; it is made unless `create` is false."""

    def __init__(self, root: Path, create: bool = True) -> None:
        self.root = root
        self._known: dict[str, Artefact] = {}
        self._verified: set[str] = set()
        try:
            for name in ("tmp", "locks") if create else ():
                (root / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from None

    # -- reading --------------------------------------------------------------------------------------

    def find(self, kind: str, key: str) -> Artefact | None:
        """Return the artefact, or None if there is none. Set a damaged one aside and raise Damaged."""
        try:
            return self.look(kind, key)
        except Unsound as fault:
            raise self.set_aside(kind, key, str(fault)) from None

    def look(self, kind: str, key: str) -> Artefact | None:
        """Return the artefact, or None if there is none, after a look at its manifest and its files' sizes.

        Change nothing on disk. Raise Unsound if it is damaged.
        """
        known = self._known.get(key)
        if known is not None:
            return known
        folder = self.root / kind / key
        raw = _bytes(folder / MANIFEST)
        if raw is None:
            if not os.path.lexists(folder):
                return None
            raw = _bytes(folder / MANIFEST)  # it may have been published in the meantime
            if raw is None:
                raise Unsound("it has no manifest")
        manifest = manifest_of(raw, kind, key)
        for name, (size, _) in manifest["files"].items():
            try:
                status = (folder / name).stat()
            except OSError:
                raise Unsound(f"{name} is missing") from None
            if not stat.S_ISREG(status.st_mode):  # reading a pipe would never end
                raise Unsound(f"{name} is not a file")
            if status.st_size != size:
                raise Unsound(f"{name} has {status.st_size} bytes instead of {size}")
        artefact = Artefact(kind, key, folder, manifest["result"], manifest["made"], manifest["files"])
        self._known[key] = artefact
        return artefact

    def keys(self, kind: str) -> set[str]:
        """Return the keys of all artefacts of a kind, sound or damaged, by one look at their folder."""
        try:
            with os.scandir(self.root / kind) as found:
                return {entry.name for entry in found}
        except (FileNotFoundError, NotADirectoryError):
            return set()
        except OSError as error:
            raise HarnessError(f"cannot read the store: {error.strerror}: {error.filename!r}") from None

    def open(self, kind: str, key: str) -> Artefact:
        """Return the artefact after verifying the checksum of every file (once per process)."""
        if key in self._known and not (self._known[key].folder / MANIFEST).exists():
            self.forget(key)  # set aside by another process, or removed
        artefact = self.find(kind, key)
        if artefact is None:
            raise Damaged(kind, key, "it is gone")
        if key not in self._verified:
            try:
                verify(artefact)
            except Unsound as fault:
                raise self.set_aside(kind, key, str(fault)) from None
            self._verified.add(key)
        return artefact

    def set_aside(self, kind: str, key: str, reason: str) -> Damaged:
        """Move an artefact to ``damaged/``; return the error to raise. Raise HarnessError if that fails."""
        self.forget(key)
        damaged = Damaged(kind, key, reason)
        aside = self.root / "damaged" / f"{kind}-{key}-{time.time_ns()}"
        try:
            aside.parent.mkdir(exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # another process may have been faster
                (self.root / kind / key).rename(aside)
        except OSError as error:
            raise HarnessError(
                f"{damaged.what}, but cannot be moved to {str(aside.parent)!r}: {files.why(error)}"
            ) from None
        return damaged

    def forget(self, key: str) -> None:
        """Forget what this process knows about an artefact, so that it is read from disk again."""
        self._known.pop(key, None)
        self._verified.discard(key)

    # -- writing --------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def claim(self, key: str, waiting: Callable[[bool], None] = lambda waits: None) -> Iterator[None]:
        """Hold a step's lock, so that only one process on this store works on the step.

        The lock's file is removed with the lock. A process that waited for it then finds the artefact and has
        nothing to do. `waiting` is called with True when the wait begins, and with False when it ends.
        """
        if self._leased:  # the runner has the step's lease
            yield
            return
        with files.locked(self.root / "locks" / f"{key}.lock", waiting):
            yield

    @contextlib.contextmanager
    def workspace(self, key: str) -> Iterator[Path]:
        """Yield a private folder in which to make an artefact; remove what is left in it afterwards.

        If anything fails in it while the disk of the store is full, raise HarnessError that names the store.
        """
        folder = self.root / "tmp" / files.owned(key)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            folder.mkdir(parents=True)
            yield folder
        except HarnessError:
            raise
        except Exception as error:  # libraries report a full disk with errors of their own
            if self._is_full() and not isinstance(error, MemoryError):
                raise HarnessError(
                    f"cannot write the store {str(self.root)!r}: the disk is full ({_brief(error)})"
                ) from error
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def logs(self) -> Path:
        """Make a private folder for the output of workers; `sweep` removes it once this process has ended."""
        folder = self.root / "tmp" / files.owned(f"logs.{uuid.uuid4().hex[:8]}")
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise self._unwritable(error) from None
        return folder

    def check_writable(self) -> None:
        """Raise HarnessError if nothing can be written to the store, e.g. because its disk is full."""
        try:
            files.check_writable(self.root / "tmp")
            files.check_writable(self.root / "locks")
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> HarnessError:
        cause = error.strerror or str(error)
        if isinstance(error, FileExistsError):
            cause = f"{error.filename!r} is not a folder"
        return HarnessError(f"cannot write the store {str(self.root)!r}: {cause}")

    def _is_full(self) -> bool:
        try:
            return shutil.disk_usage(self.root).free < _FULL_BYTES
        except OSError:
            return False

    def publish(
        self, kind: str, key: str, folder: Path, result: dict[str, Any], made: dict[str, Any]
    ) -> Artefact:
        """Rename `folder` to its place, so that a reader sees all of it or nothing.

        Artefacts that took long to make are synced first. A power cut may damage the others; like any damage,
        their checksums reveal it.
        """
        durable = made.get("seconds", _SYNCED_S) >= _SYNCED_S
        listed: dict[str, list[Any]] = {}
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            if durable:
                _sync(path)
            listed[path.relative_to(folder).as_posix()] = [path.stat().st_size, _sha256(path)]
        manifest: dict[str, Any] = {"kind": kind, "key": key, "files": listed, "result": result, "made": made}
        manifest["checksum"] = _checksum(manifest)
        with (folder / MANIFEST).open("w", encoding="utf-8") as stream:
            stream.write(_canonical(manifest))
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        target = self.root / kind / key
        target.parent.mkdir(exist_ok=True)
        try:
            folder.rename(target)
        except OSError:
            if not (target / MANIFEST).exists():  # else an equal artefact was published first; keep it
                raise
        if durable:
            _sync(target.parent)
        artefact = Artefact(kind, key, target, result, made, listed)
        self._known[key] = artefact
        self._verified.add(key)
        return artefact

    def adopt(self, kind: str, key: str, folder: Path, raw: bytes) -> Artefact:
        """Publish a copy of an artefact of another store; `raw` is its manifest, and `folder` has its files.

        If this store has the artefact already, its own stays. Raise Unsound if a file is not as published.
        """
        manifest = manifest_of(raw, kind, key)
        copy = Artefact(kind, key, folder, manifest["result"], manifest["made"], manifest["files"])
        verify(copy)
        for path in (folder / name for name in copy.files):
            _sync(path)
        (folder / MANIFEST).write_bytes(raw)
        _sync(folder / MANIFEST)
        target = self.root / kind / key
        target.parent.mkdir(exist_ok=True)
        try:
            folder.rename(target)
        except OSError:
            if not (target / MANIFEST).exists():
                raise
        self.forget(key)
        return replace(copy, folder=target)

    def remove(self, kind: str, key: str) -> None:
        """Remove an artefact from the store atomically, and its checkpoints."""
        self.forget(key)
        self.drop_checkpoints(key)
        with self.workspace(key) as folder, contextlib.suppress(FileNotFoundError):
            (self.root / kind / key).rename(folder / "removed")

    def checkpoints(self, key: str) -> Path:
        """Return the folder of a step's checkpoints, from which it continues after it was killed.

        The folder exists only if the step has written checkpoints.
        """
        return self.root / "checkpoints" / key

    def drop_checkpoints(self, key: str) -> None:
        """Remove a step's checkpoints."""
        shutil.rmtree(self.checkpoints(key), ignore_errors=True)

    def sweep(self) -> None:
        """Remove what killed runs left: unfinished work and logs, locks, and checkpoints of 14 days ago."""
        files.sweep(self.root / "tmp")
        for path in (self.root / "locks").glob("*.lock"):
            files.is_free(path, remove=True)
        for folder in (self.root / "checkpoints").glob("*"):
            with contextlib.suppress(OSError):
                if time.time() - folder.stat().st_mtime > _UNTOUCHED_S:
                    shutil.rmtree(folder, ignore_errors=True)

    # -- for several machines -------------------------------------------------------------------------

    def leases(self, notice: Callable[[str], None]) -> Leases | NoLeases:
        """Return what keeps runs from doing a step twice; `notice` gets what a person should know.

        On a file system with locks these are the locks of `claim`. If it has none, or if there is a folder
        ``leases/`` in the store already, they are leases. Raise HarnessError if they cannot be written.
        """
        if not self._leased and files.has_locks(self.root / "locks"):
            return NoLeases()
        return Leases(FolderBoard(self.root), notice)

    @property
    def _leased(self) -> bool:
        return (self.root / LEASES).is_dir()

    def expect(self, wanted: Mapping[str, set[str]]) -> None:
        """Prepare for `look` at many artefacts, given by kind and key; a folder needs no preparation."""

    def share(self, artefact: Artefact) -> Artefact:
        """Pass a published artefact on to other machines; return the one that counts for all of them.

        In a folder that is the same one. Raise HarnessError if it cannot be passed on; it is kept then.
        """
        return artefact

    def deliver(self, wanted: Mapping[str, set[str]]) -> None:
        """Pass on the artefacts that an earlier run could not. Raise HarnessError if that fails again."""

    # -- timings --------------------------------------------------------------------------------------

    def add_timing(self, work: str, likes: Iterable[str], seconds: float, rated: float) -> None:
        """Record how long a step took here, and how long by the rates; `likes` are names of similar steps."""
        timings.add(self.root / timings.FILE, work, likes, seconds, rated)

    def timings(self) -> Timings:
        """Return how long steps took here: the latest timings of each name."""
        return timings.read(self.root / timings.FILE)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_number)


def _number(value: Any) -> Any:
    """Return a numpy number as a Python number: plugins may return numpy's, which JSON does not support."""
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return value.item()
    raise TypeError(f"a step's result must be plain values, got {type(value).__name__}")


def _checksum(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(manifest).encode()).hexdigest()


def _checksum_of(raw: bytes) -> str:
    """Return the checksum of a manifest as `publish` writes it, where the checksum stands first."""
    start = len('{"checksum":"",') + hashlib.sha256().digest_size * 2
    return hashlib.sha256(b"{" + raw[start:]).hexdigest()


def manifest_of(raw: bytes, kind: str, key: str) -> dict[str, Any]:
    """Return a manifest, given its bytes. Raise Unsound if it is damaged, or is that of another artefact."""
    try:
        manifest: dict[str, Any] = json.loads(raw)
        checksum = manifest.pop("checksum")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Unsound("its manifest cannot be read") from None
    if checksum != _checksum_of(raw) and checksum != _checksum(manifest):  # spelled in another way
        raise Unsound("its manifest was altered")
    if (found := (manifest.get("kind", kind), manifest.get("key", key))) != (kind, key):
        raise Unsound(f"it is a copy of {found[0]} {found[1][:12]}")
    for name in manifest["files"]:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise Unsound(f"its manifest lists {name!r}, which is not in its folder")
    return {**manifest, "checksum": checksum}


def verify(artefact: Artefact) -> None:
    """Raise Unsound if the bytes of a file are not those that were published."""
    for name, (_, sha256) in artefact.files.items():
        try:
            found = _sha256(artefact.folder / name)
        except FileNotFoundError:
            raise Unsound(f"{name} is missing") from None
        except OSError as error:
            if error.errno in _REFUSED:
                raise HarnessError(f"cannot read the store: {error.strerror}: {error.filename!r}") from None
            raise Unsound(f"{name} cannot be read: {error.strerror or error}") from None
        if found != sha256:
            raise Unsound(f"the checksum of {name} is wrong")


def _bytes(path: Path) -> bytes | None:
    """Return a file's content, or None if there is no such file. Raise Unsound if the disk cannot read it."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe would never end
            return None
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link to itself
            return None
        if error.errno == errno.EIO:
            raise Unsound(f"{path.name} cannot be read: {error.strerror}") from None
        raise HarnessError(f"cannot read the store: {error.strerror}: {str(path)!r}") from None


def _brief(error: Exception) -> str:
    message = str(error).strip().partition("\n")[0]
    return message or type(error).__name__


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
