"""Leases: one run at a time has a step, and a dead run loses it."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from harness.api import HarnessError
from harness.storage import files, leases
from harness.storage.leases import Board, FolderBoard, Leases, exclusive
from harness.storage.remote import Remote
from harness.storage.store import Store


@pytest.fixture(params=["folder", "memory", "s3"])
def board(request: pytest.FixtureRequest, tmp_path: Path) -> Board:
    if request.param == "folder":
        return FolderBoard(tmp_path / "shared")
    if request.param == "s3":
        return Remote(str(request.getfixturevalue("bucket")))
    return Remote(f"memory://{uuid.uuid4().hex}")


def taken(board: Board, told: list[str] | None = None, lease_s: float = 60.0) -> Leases:
    return Leases(board, (told if told is not None else []).append, lease_s)


def no_locks(*_: Any) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


def test_a_board(board: Board) -> None:
    assert board.names("leases/a") == [] and board.read("leases/a/1") is None
    assert board.create("leases/a/1", b"one") and not board.create("leases/a/1", b"two")
    board.write("leases/a/2", b"x")
    board.write("leases/a/2", b"three")
    assert sorted(board.names("leases/a")) == ["1", "2"]
    assert (board.read("leases/a/1"), board.read("leases/a/2")) == (b"one", b"three")
    for name in ("1", "2", "2"):
        board.delete(f"leases/a/{name}")
    assert board.names("leases/a") == []


def test_one_of_many_gets_it(board: Board) -> None:
    runs = [taken(board) for _ in range(6)]
    start = threading.Barrier(len(runs))
    got: list[Leases] = []

    def race(run: Leases) -> None:
        start.wait()
        if run.take("k"):
            got.append(run)

    threads = [threading.Thread(target=race, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = got
    assert winner.take("k") and not any(run.take("k") for run in runs if run is not winner)
    winner.release("k")
    assert sum(run.take("k") for run in runs) == 1


def test_leases_are_given_back_at_the_end(board: Board) -> None:
    with taken(board) as first:
        assert first.take("a") and first.take("b")
        with taken(board) as second:
            assert not second.take("a")
    assert not board.names("leases/a") and not board.names("leases/runs")
    assert taken(board).take("a")


def test_a_run_that_lives_keeps_its_lease_and_a_dead_one_loses_it(board: Board) -> None:
    told: list[str] = []
    lease_s = 1.5
    with taken(board, lease_s=lease_s) as alive:
        assert alive.take("a")
        dead = taken(board, lease_s=lease_s)
        dead._beat()
        assert dead.take("b") and dead.take("c")
        other = taken(board, told, lease_s)
        ends = time.monotonic() + 2.5 * lease_s
        when = None
        while time.monotonic() < ends:
            assert not other.take("a")
            if when is None and other.take("b"):
                when = time.monotonic()
            time.sleep(0.05)
        assert when is not None and ends - when < 1.5 * lease_s  # it waited as long as a lease lasts
        assert other.take("c")  # at once
        assert [one.partition(" from")[0] for one in told] == ["taking over step b", "taking over step c"]
        assert f"from process {os.getpid()} on " in told[0]


def test_of_two_that_take_over_one_gets_it(board: Board) -> None:
    dead = taken(board, lease_s=1.5)
    dead._beat()
    assert dead.take("a")
    runs = [taken(board, lease_s=1.5) for _ in range(4)]
    got: list[Leases] = []
    over = threading.Barrier(len(runs))

    def try_it(run: Leases) -> None:
        with run:
            ends = time.monotonic() + 3.0
            while time.monotonic() < ends:
                if run.take("a") and run not in got:
                    got.append(run)
                time.sleep(0.01)
            over.wait()

    threads = [threading.Thread(target=try_it, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1


def test_clocks_of_machines_may_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times of day and of files do not count: those of the holder are a year ago, or to come."""
    board = FolderBoard(tmp_path)
    with taken(board, lease_s=60.0) as alive:
        assert alive.take("a")
        for year in (-1, 1):
            when = time.time() + year * 365 * 86_400
            for path in (tmp_path / "leases").rglob("*"):
                os.utime(path, (when, when))
            monkeypatch.setattr(time, "time", lambda when=when: when)
            assert not taken(board).take("a")


def test_a_board_that_cannot_be_reached_costs_a_sentence(tmp_path: Path) -> None:
    class Broken(FolderBoard):
        broken = False
        asked = 0

        def names(self, folder: str) -> list[str]:
            self.asked += 1
            if self.broken:
                raise HarnessError("cannot read the store: no route to it")
            return super().names(folder)

    board, told = Broken(tmp_path), list[str]()
    with taken(board, told) as run:
        assert run.take("a")
        board.broken = True
        assert run.take("b") and run.take("c")
        assert board.asked == 2
        sentence = "this run goes on without leases, and tries again later"
        assert told == [f"cannot read the store: no route to it; {sentence}"]
    (tmp_path / "file").touch()
    with pytest.raises(HarnessError, match="cannot write"):
        Leases(FolderBoard(tmp_path / "file"), told.append).__enter__()


@pytest.mark.parametrize("text", ["0", "soon", "nan", "1e9"])
def test_the_time_of_a_lease_is_checked(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_LEASE_S", text)
    with pytest.raises(HarnessError, match=f"HARNESS_LEASE_S must be .* from 1 to 86400, got '{text}'"):
        Leases(FolderBoard(tmp_path), print)


def test_a_folder_without_locks_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    assert files.has_locks(tmp_path)
    with store.leases(print) as locks:
        assert locks.take("a") and not (tmp_path / "leases").exists()
    monkeypatch.setattr(fcntl, "flock", no_locks)
    assert not files.has_locks(tmp_path)
    with store.leases(print) as first, store.leases(print) as second, store.claim("a"):
        assert first.take("a") and not second.take("a")
    monkeypatch.undo()
    with Store(tmp_path).leases(print) as third:  # machines that can lock follow those that cannot
        assert isinstance(third, Leases)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_LEASES", "1")
        assert not files.has_locks(tmp_path)


def test_a_folder_of_results_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", no_locks)
    heard: list[Any] = []

    def second() -> None:
        with exclusive(tmp_path / ".lock", heard.append):
            heard.append("mine")

    thread = threading.Thread(target=second)
    with exclusive(tmp_path / ".lock"):
        thread.start()
        while not heard:
            time.sleep(0.01)
        time.sleep(0.3)
        assert heard == [True]
    thread.join()
    assert heard == [True, False, "mine"]


def test_a_file_is_created_without_hard_links_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "link", refused)
    assert files.create(tmp_path / "deep" / "a", b"one") and not files.create(tmp_path / "deep" / "a", b"two")
    assert (tmp_path / "deep" / "a").read_bytes() == b"one" and len(list((tmp_path / "deep").iterdir())) == 1
    assert leases.LEASES == "leases"
