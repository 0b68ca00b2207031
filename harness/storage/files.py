"""Write JSON, and files that a reader sees completely or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import platform
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.api import HarnessError

_NODE = platform.node().replace("-", "_")
_UNTOUCHED_S = 14 * 86_400.0  # age at which the leftovers of another machine count as abandoned
_AT_ONCE_S = 0.3  # how long a lock may take to become free before the caller hears that it waits
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)
_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK)
FULL = (errno.ENOSPC, errno.EDQUOT)


def dumps(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON, in one line unless indented. NaN and the infinities become null."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, indent=indent)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextlib.contextmanager
def locked(path: Path, waiting: Callable[[bool], None] = lambda waits: None) -> Iterator[None]:
    """Hold a lock that only one process can hold at a time, and remove its file afterwards.

    If another process holds the lock, `waiting` is called with True, and with False when the wait is over.
    Raise HarnessError if the lock's file cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)

    def acquired(seconds: float) -> bool:
        try:
            lock.acquire(timeout=seconds, poll_interval=0.05)
        except Timeout:
            return False
        except (OSError, NotImplementedError) as error:
            cause = why(error) if isinstance(error, OSError) else str(error)
            raise HarnessError(f"cannot lock {str(path)!r}: {cause}") from None
        return True

    if not acquired(_AT_ONCE_S):
        waiting(True)
        acquired(-1)
        waiting(False)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        lock.release()


def has_locks(folder: Path) -> bool:
    """Return whether the file system of a folder locks files; some network file systems do not.

    ``HARNESS_LEASES=1`` says that it does not, for one that locks files only against the same machine.
    """
    if os.environ.get("HARNESS_LEASES", "") not in ("", "0"):
        return False
    try:
        import fcntl
        import tempfile

        with tempfile.TemporaryFile(dir=folder) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # a system with locks of its own
        return True
    except OSError as error:
        return error.errno not in _NO_LOCKS
    return True


def is_free(path: Path, remove: bool = False) -> bool:
    """Return whether a lock's file exists and no process holds the lock; with `remove`, remove the file."""
    from filelock import FileLock

    if not path.is_file():
        return False
    try:
        with FileLock(path).acquire(timeout=0):
            if remove:
                path.unlink()
    except OSError:  # held (filelock's Timeout), or it cannot be locked
        return False
    return True


# -- unfinished files and folders ----------------------------------------------------------------------------


def owned(name: str) -> str:
    """Return a name that shows which process on which machine made the file or folder."""
    return f"{name}-{os.getpid()}@{_NODE}"


def is_owned(path: Path) -> bool:
    """Return whether the name of a file or folder is from :func:`owned`."""
    pid, at, _ = path.name.rpartition("-")[2].partition("@")
    return bool(at) and pid.isdecimal()


def abandoned(folder: Path) -> list[Path]:
    """Return the files and folders in `folder` with a name from :func:`owned` whose process has ended.

    Whether a process of another machine runs is unknown; its files count as abandoned after 14 days.
    """

    def ended(path: Path) -> bool:
        if not is_owned(path):
            return False
        pid, _, node = path.name.rpartition("-")[2].partition("@")
        if node == _NODE:
            return not _alive(int(pid))
        with contextlib.suppress(OSError):
            return time.time() - path.lstat().st_mtime > _UNTOUCHED_S
        return False

    try:
        return sorted(path for path in folder.iterdir() if ended(path))
    except OSError:
        return []


def sweep(folder: Path) -> None:
    """Remove what killed processes left unfinished in a folder."""
    for path in abandoned(folder):
        shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(OSError):
            path.unlink()


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


# -- writing -------------------------------------------------------------------------------------------------


def contents(path: Path, most: int = -1) -> bytes:
    """Return the bytes of a regular file, or the first `most` of them.

    Raise OSError for anything else: to open a FIFO would wait for ever.
    """
    kind = path.stat().st_mode
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    with path.open("rb") as file:
        return file.read(most)


def publish(path: Path, content: str | bytes | Iterable[str]) -> None:
    """Write a file under another name, sync it and rename it: a reader sees all of it, or the old file.

    The content may be in parts, which need not be in memory together.
    """
    parts = (content,) if isinstance(content, str | bytes) else content
    beside = path.parent / owned(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("wb") as file:
                for part in parts:
                    # File names may contain bytes that are not UTF-8; the escape used here is valid JSON too.
                    file.write(part if isinstance(part, bytes) else part.encode("utf-8", "backslashreplace"))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise HarnessError(f"cannot write {path}: {why(error)}") from None


def create(path: Path, content: bytes) -> bool:
    """Write a file if there is none of this name; return whether it was written.

    If several machines try it at the same time, one of them succeeds, also without locks. A reader sees all
    of the file or nothing, if the file system has hard links. Raise OSError if nothing can be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.parent / owned(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(beside, path)
        except FileExistsError:  # or a network file system lost its answer, and was asked twice
            return beside.stat().st_nlink > 1
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            try:
                with path.open("xb") as file:
                    file.write(content)
            except FileExistsError:
                return False
    finally:
        beside.unlink(missing_ok=True)
    return True


def check_writable(folder: Path) -> None:
    """Make the folder, and raise OSError if a small file cannot be written in it."""
    import tempfile

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(4096))  # a full disk often still takes an empty file
        file.flush()


def why(error: OSError) -> str:
    """Return the cause of an error in plain words."""
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "the folder is read-only"
    if error.errno in FULL:
        return "the disk is full"
    return error.strerror or str(error)
