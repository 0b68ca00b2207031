"""What goes to disk for others to read: JSON, and files that are whole or not there."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.api import HarnessError


def dumps(value: Any, indent: int | None = None) -> str:
    """JSON, in one line unless indented. What it has no number for, NaN and the infinities, becomes null."""
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
def locked(path: Path) -> Iterator[None]:
    """Hold a lock: of all processes, one at a time. Its file goes with it, if all went well."""
    from filelock import FileLock

    with FileLock(path).acquire(poll_interval=0.1):
        yield
        with contextlib.suppress(OSError):
            path.unlink()


def publish(path: Path, content: str | bytes) -> None:
    """Write a file beside its place, sync it and rename it: a reader sees all of it or the old one."""
    # Names of files may hold bytes that are no UTF-8; their escape is also JSON's own.
    data = content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace")
    beside = path.parent / f".{path.name}.{uuid.uuid4().hex}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            why = "the folder is read-only"
        elif error.errno in (errno.ENOSPC, errno.EDQUOT):
            why = "the disk is full"
        else:
            why = error.strerror or str(error)
        raise HarnessError(f"cannot write {path}: {why}") from None
