"""Write JSON, and files that a reader sees completely or not at all."""

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
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that only one process can hold at a time; remove its file after success."""
    from filelock import FileLock

    with FileLock(path).acquire(poll_interval=0.1):
        yield
        with contextlib.suppress(OSError):
            path.unlink()


def publish(path: Path, content: str | bytes) -> None:
    """Write a file under another name, sync it and rename it: a reader sees all of it, or the old file."""
    # File names may contain bytes that are not UTF-8; the escape used here is valid JSON too.
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
