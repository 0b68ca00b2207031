"""Store artefacts by key: folders of files with a manifest, published atomically and checked when read.

Layout below the store's root: ``<kind>/<key>/`` contains an artefact and its ``manifest.json``; ``tmp/``
contains unfinished work; ``checkpoints/<key>/`` contains what long steps save in case they are killed;
``locks/`` has one file for each running step; ``damaged/`` contains artefacts that failed their checksum;
``timings.jsonl`` lists how long steps took, for estimates.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.api import HarnessError
from harness.storage.files import locked

MANIFEST = "manifest.json"
_SYNCED_S = 0.5  # work that takes longer is synced to disk, which can take tens of milliseconds
_UNTOUCHED_S = 14 * 86_400.0  # age at which the checkpoints of a killed step are removed
_LATEST = 20  # timings of each name that count
_NODE = platform.node().replace("-", "_")


class Damaged(HarnessError):
    """The error for an artefact whose bytes are not those that were published."""

    def __init__(self, kind: str, key: str, reason: str) -> None:
        super().__init__(
            f"stored {kind} {key[:12]} is damaged ({reason}); it was set aside and will be made again"
        )
        self.kind, self.key = kind, key


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


@dataclass(frozen=True)
class Timings:
    """How long steps took in a store, newest last."""

    seconds: dict[str, list[float]]  # by piece of work
    paces: dict[str, list[float]]  # by names of similar steps: seconds divided by those that rates predict


class Store:
    """A folder of artefacts that any number of processes may share."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[str, Artefact] = {}
        self._verified: set[str] = set()
        try:
            for name in ("tmp", "locks"):
                (root / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HarnessError(f"cannot write the store {str(root)!r}: {error.strerror or error}") from None

    # -- reading --------------------------------------------------------------------------------------

    def find(self, kind: str, key: str) -> Artefact | None:
        """Return the artefact, or None if there is none. Set a damaged one aside and raise Damaged."""
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
                raise self._set_aside(kind, key, "it has no manifest")
        try:
            manifest = json.loads(raw)
            checksum = manifest.pop("checksum")
        except (ValueError, KeyError, TypeError, AttributeError):
            raise self._set_aside(kind, key, "its manifest cannot be read") from None
        if checksum != _checksum(manifest):
            raise self._set_aside(kind, key, "its manifest was altered")
        for name, (size, _) in manifest["files"].items():
            try:
                found = (folder / name).stat().st_size
            except OSError:
                raise self._set_aside(kind, key, f"{name} is missing") from None
            if found != size:
                raise self._set_aside(kind, key, f"{name} has {found} bytes instead of {size}")
        artefact = Artefact(kind, key, folder, manifest["result"], manifest["made"], manifest["files"])
        self._known[key] = artefact
        return artefact

    def open(self, kind: str, key: str) -> Artefact:
        """Return the artefact after verifying the checksum of every file (once per process)."""
        if key in self._known and not (self._known[key].folder / MANIFEST).exists():
            self.forget(key)  # set aside by another process, or removed
        artefact = self.find(kind, key)
        if artefact is None:
            raise Damaged(kind, key, "it is gone")
        if key not in self._verified:
            for name, (_, sha256) in artefact.files.items():
                try:
                    found = _sha256(artefact.folder / name)
                except FileNotFoundError:
                    raise self._set_aside(kind, key, f"{name} is missing") from None
                if found != sha256:
                    raise self._set_aside(kind, key, f"the checksum of {name} is wrong")
            self._verified.add(key)
        return artefact

    def _set_aside(self, kind: str, key: str, reason: str) -> Damaged:
        self.forget(key)
        aside = self.root / "damaged" / f"{kind}-{key}-{time.time_ns()}"
        aside.parent.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # another process may have been faster
            (self.root / kind / key).rename(aside)
        return Damaged(kind, key, reason)

    def forget(self, key: str) -> None:
        """Forget what this process knows about an artefact, so that it is read from disk again."""
        self._known.pop(key, None)
        self._verified.discard(key)

    # -- writing --------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def claim(self, key: str) -> Iterator[None]:
        """Hold a step's lock, so that only one process on this store works on the step.

        The lock's file is removed with the lock. A process that waited for it then finds the artefact and has
        nothing to do.
        """
        with locked(self.root / "locks" / f"{key}.lock"):
            yield

    @contextlib.contextmanager
    def workspace(self, key: str) -> Iterator[Path]:
        """Yield a private folder in which to make an artefact; remove what is left in it afterwards."""
        folder = self.root / "tmp" / f"{key}-{os.getpid()}@{_NODE}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(
        self, kind: str, key: str, folder: Path, result: dict[str, Any], made: dict[str, Any]
    ) -> Artefact:
        """Rename `folder` to its place, so that a reader sees all of it or nothing.

        Artefacts that took long to make are synced first. A power cut may damage the others; like any damage,
        their checksums reveal it.
        """
        durable = made.get("seconds", _SYNCED_S) >= _SYNCED_S
        files: dict[str, list[Any]] = {}
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            if durable:
                _sync(path)
            files[path.relative_to(folder).as_posix()] = [path.stat().st_size, _sha256(path)]
        manifest: dict[str, Any] = {"kind": kind, "key": key, "files": files, "result": result, "made": made}
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
        artefact = Artefact(kind, key, target, result, made, files)
        self._known[key] = artefact
        self._verified.add(key)
        return artefact

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
        """Remove what killed workers left in ``tmp/``, and old checkpoints of steps that never continued."""
        for folder in (self.root / "tmp").iterdir():
            pid, _, node = folder.name.rpartition("-")[2].partition("@")
            if node == _NODE and pid.isdigit() and not _alive(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)
        for folder in (self.root / "checkpoints").glob("*"):
            with contextlib.suppress(OSError):
                if time.time() - folder.stat().st_mtime > _UNTOUCHED_S:
                    shutil.rmtree(folder, ignore_errors=True)

    # -- timings --------------------------------------------------------------------------------------

    def add_timing(self, work: str, likes: Iterable[str], seconds: float, rated: float) -> None:
        """Record how long a step took, and how long by the rates; `likes` are names of similar steps.

        The record is one short line, so that lines of several processes never mix.
        """
        row = {"work": work, "likes": list(likes), "seconds": round(seconds, 4), "rated": round(rated, 4)}
        with (
            contextlib.suppress(OSError),  # e.g. a full disk: losing a timing must not fail the step
            (self.root / "timings.jsonl").open("a", encoding="utf-8") as stream,
        ):
            stream.write(json.dumps(row) + "\n")

    def timings(self) -> Timings:
        """Return how long steps took here: the latest timings of each name."""
        found = Timings({}, {})
        for line in (_bytes(self.root / "timings.jsonl") or b"").splitlines():
            try:
                row = json.loads(line)
                seconds = float(row["seconds"])
                found.seconds.setdefault(row["work"], []).append(seconds)
                pace = seconds / float(row["rated"])
                for name in row["likes"]:
                    found.paces.setdefault(name, []).append(pace)
            except (ValueError, KeyError, TypeError, ZeroDivisionError):
                continue  # a line that a full disk cut off: only a timing is lost
        for each in (found.seconds, found.paces):
            each.update({name: values[-_LATEST:] for name, values in each.items()})
        return found


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_number)


def _number(value: Any) -> Any:
    """Return a numpy number as a Python number: plugins may return numpy's, which JSON does not support."""
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return value.item()
    raise TypeError(f"a step's result must be plain values, got {type(value).__name__}")


def _checksum(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(manifest).encode()).hexdigest()


def _bytes(path: Path) -> bytes | None:
    """Return a file's content, or None if there is no such file."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        raise HarnessError(f"cannot read the store: {error.strerror}: {str(path)!r}") from None


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    try:  # in a container whose first process does not wait for its children, dead ones stay listed
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] not in "ZX"
    except (OSError, ValueError):
        return True
