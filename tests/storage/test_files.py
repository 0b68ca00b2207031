from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.api import HarnessError
from harness.storage.files import dumps, publish


@pytest.mark.parametrize(
    ("code", "says"),
    [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "the folder is read-only"), (errno.EIO, "error")],
)
def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, says: str
) -> None:
    path = tmp_path / "file"
    publish(path, "before")

    def fail(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(HarnessError, match=f"cannot write .*{says}"):
        publish(path, b"after")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_written_in_parts(tmp_path: Path) -> None:
    path = tmp_path / "file"
    publish(path, (f"{number}\n" for number in range(3)))
    assert path.read_text() == "0\n1\n2\n"

    def broken() -> Iterator[str]:
        yield "new"
        raise KeyError

    with pytest.raises(KeyError):
        publish(path, broken())
    assert path.read_text() == "0\n1\n2\n" and list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(HarnessError, match="the folder is read-only"):
            publish(tmp_path / "file", "")
    finally:
        tmp_path.chmod(0o700)


def test_a_file_in_the_way_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(HarnessError, match="cannot write"):
        publish(tmp_path / "results" / "file", "")


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path, stop = tmp_path / "file", threading.Event()
    versions = [b"0" * 900, b"1" * 40_000]
    publish(path, versions[0])

    def rewrite() -> None:
        while not stop.is_set():
            for version in versions:
                publish(path, version)

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        for _ in range(50):
            assert path.read_bytes() in versions
    finally:
        stop.set()
        writer.join()


def test_what_json_has_no_number_for() -> None:
    value = {"a": float("nan"), "b": (1.5, float("-inf")), "ü": [None]}
    assert dumps(value) == '{"a": null, "b": [1.5, null], "ü": [null]}'
    assert dumps([1], indent=1) == "[\n 1\n]"
