"""Artefacts: all of one or nothing of it, whatever befalls the process, the disk or the file."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

import harness
from harness.storage import files
from harness.storage import store as storing
from harness.storage.store import Artefact, Damaged, Store
from harness.storage.timings import Timings

MADE = {"started": "s", "finished": "f", "seconds": 1.0}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def put(store: Store, key: str = "k1", files: dict[str, str] | None = None, **result: Any) -> Artefact:
    """Publish a small artefact."""
    with store.workspace(key) as folder:
        for name, text in (files or {"a.txt": "one", "deep/b.txt": "two"}).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return store.publish("data", key, folder, result, MADE)


def again(store: Store) -> Store:
    """The store as another process sees it."""
    return Store(store.root)


def in_a_process(code: str, *arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", dedent(code), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


# -- publishing and reading ----------------------------------------------------------------------------


def test_what_is_published_can_be_read(store: Store) -> None:
    published = put(store, rows=3, name="naïve")
    for reader in (store, again(store)):
        found = reader.find("data", "k1")
        assert found == reader.open("data", "k1") == published
        assert found is not None
        assert (found.kind, found.key) == ("data", "k1")
        assert (found.folder / "deep" / "b.txt").read_text() == "two"
        assert found.result == {"rows": 3, "name": "naïve"}
        assert found.made == MADE
        assert sorted(found.files) == ["a.txt", "deep/b.txt"]
        assert found.size_bytes == 6
    assert list((store.root / "tmp").iterdir()) == []


def test_what_is_not_there_is_none(store: Store) -> None:
    assert store.find("data", "k1") is None
    with pytest.raises(Damaged, match=r"stored data k1 is damaged \(it is gone\)"):
        store.open("data", "k1")


def test_one_kind_is_not_another(store: Store) -> None:
    put(store, "k1")
    assert again(store).find("teacher", "k1") is None


def test_numbers_of_numpy_are_numbers(store: Store) -> None:
    put(store, "k1", rows=np.int64(3), share=np.float32(0.5))
    found = again(store).find("data", "k1")
    assert found is not None
    assert found.result == {"rows": 3, "share": 0.5}


def test_what_json_does_not_know_is_not_published(store: Store) -> None:
    with pytest.raises(TypeError, match="a step's result must be plain values, got object"):
        put(store, "k1", odd=object())
    assert again(store).find("data", "k1") is None
    with pytest.raises(TypeError, match="got ndarray"):
        put(store, "k1", odd=np.zeros(3))


def test_of_two_equal_artefacts_the_first_stays(store: Store) -> None:
    first = put(store, "k1", n=1)
    second = put(again(store), "k1", n=1)
    assert second.folder == first.folder
    manifest = json.loads((first.folder / "manifest.json").read_text())
    assert manifest["result"] == {"n": 1}
    assert list((store.root / "tmp").iterdir()) == []


def test_what_lies_in_the_way_is_not_overwritten(store: Store) -> None:
    (store.root / "data" / "k1").mkdir(parents=True)
    (store.root / "data" / "k1" / "other").touch()
    with pytest.raises(OSError, match="not empty"):
        put(store, "k1")


def test_a_workspace_is_emptied_whatever_happens(store: Store) -> None:
    def use() -> None:
        with store.workspace("k1") as folder:
            (folder / "half").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        use()
    assert list((store.root / "tmp").iterdir()) == []
    with store.workspace("k1") as folder:
        (folder / "left").touch()
        with store.workspace("k1") as same:  # what an earlier step left under this name
            assert list(same.iterdir()) == []


# -- a publisher that is killed ------------------------------------------------------------------------

PUBLISHER = """
    import os, sys, time
    from pathlib import Path
    from harness.storage import store as storing

    root, moment = Path(sys.argv[1]), int(sys.argv[2])
    store = storing.Store(root)
    calls = 0

    def counted(name):
        real = getattr(os, name)
        def replacement(*args, **kwargs):
            global calls
            calls += 1
            if calls == moment:
                os.kill(os.getpid(), 9)
            return real(*args, **kwargs)
        return replacement

    with store.workspace("k1") as folder:
        for name in ("a", "b"):
            (folder / name).write_text(name * 1000)
        for name in ("fsync", "rename", "open", "write"):
            setattr(os, name, counted(name))
        store.publish("data", "k1", folder, {"n": 1}, {"seconds": 60.0})
    print("calls", calls)
"""


def test_a_publisher_killed_at_any_moment_leaves_all_or_nothing(tmp_path: Path) -> None:
    whole = in_a_process(PUBLISHER, tmp_path / "whole", 0).communicate()[0]
    calls = int(whole.split()[1])
    assert calls >= 6  # two files and the folder opened and synced at least, and the manifest synced
    seen = set()
    for moment in range(1, calls + 1):
        root = tmp_path / str(moment)
        process = in_a_process(PUBLISHER, root, moment)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        store = Store(root)
        found = store.find("data", "k1")
        seen.add(found is not None)
        if found is not None:
            assert store.open("data", "k1").result == {"n": 1}
        else:
            assert not (root / "data" / "k1").exists()
        assert len(list((root / "tmp").iterdir())) == (found is None)
        store.sweep()
        assert list((root / "tmp").iterdir()) == []
        assert not (root / "damaged").exists()
    assert False in seen


def test_a_full_disk_publishes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        put(store, "k1")
    assert again(store).find("data", "k1") is None
    assert list((store.root / "tmp").iterdir()) == []


def test_short_work_is_not_synced_and_long_work_is(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    with store.workspace("k1") as folder:
        store.publish("data", "k1", folder, {}, {"seconds": 0.01})
    assert synced == []
    with store.workspace("k2") as folder:
        store.publish("data", "k2", folder, {}, {"seconds": 100.0})
    assert len(synced) == 2  # the manifest and the folder that lists it


# -- damage --------------------------------------------------------------------------------------------


def edit(name: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / name
        path.write_text(change(path.read_text()))

    return damage


def replace_by_file(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.write_text("a file")


def manifest_as_folder(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").mkdir()


FOUND = [  # by a look at sizes and the manifest
    (lambda folder: (folder / "manifest.json").unlink(), "it has no manifest"),
    (replace_by_file, "it has no manifest"),
    (manifest_as_folder, "it has no manifest"),
    (edit("manifest.json", lambda text: text[: len(text) // 2]), "its manifest cannot be read"),
    (edit("manifest.json", lambda text: ""), "its manifest cannot be read"),
    (edit("manifest.json", lambda text: "[1]"), "its manifest cannot be read"),
    (edit("manifest.json", lambda text: '"text"'), "its manifest cannot be read"),
    (edit("manifest.json", lambda text: "{}"), "its manifest cannot be read"),
    (lambda folder: (folder / "manifest.json").write_bytes(b"\xff\xfe"), "its manifest cannot be read"),
    (edit("manifest.json", lambda text: text.replace('"n":1', '"n":2')), "its manifest was altered"),
    (lambda folder: (folder / "a.txt").unlink(), "a.txt is missing"),
    (edit("deep/b.txt", lambda text: "longer"), "deep/b.txt has 6 bytes instead of 3"),
    (edit("a.txt", lambda text: "on"), "a.txt has 2 bytes instead of 3"),
]


@pytest.mark.parametrize(("damage", "reason"), FOUND)
def test_damage_is_found_and_set_aside(store: Store, damage: Callable[[Path], None], reason: str) -> None:
    folder = put(store, "k1", n=1).folder
    damage(folder)
    reader = again(store)
    with pytest.raises(Damaged) as error:
        reader.find("data", "k1")
    assert str(error.value) == (
        f"stored data k1 is damaged ({reason}); it was set aside and will be made again"
    )
    assert (error.value.kind, error.value.key) == ("data", "k1")
    assert len(list((store.root / "damaged").iterdir())) == 1
    assert reader.find("data", "k1") is None  # and can be made again
    put(reader, "k1", n=1)
    assert again(store).open("data", "k1").result == {"n": 1}


def test_changed_bytes_are_found_when_a_file_is_to_be_used(store: Store) -> None:
    folder = put(store, "k1", n=1).folder
    (folder / "a.txt").write_text("eno")
    reader = again(store)
    assert reader.find("data", "k1") is not None  # a look is quick, and reads no file
    with pytest.raises(Damaged, match=r"the checksum of a\.txt is wrong"):
        reader.open("data", "k1")
    assert reader.find("data", "k1") is None


def test_checksums_are_verified_once_a_process(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, "k1")
    reader = again(store)
    reader.open("data", "k1")
    monkeypatch.setattr(storing, "_sha256", lambda path: pytest.fail("verified twice"))
    reader.open("data", "k1")


def test_a_file_that_goes_while_it_is_verified_is_damage(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "k1")
    reader = again(store)

    def gone(path: Path) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(storing, "_sha256", gone)
    with pytest.raises(Damaged, match=r"a\.txt is missing"):
        reader.open("data", "k1")


def test_a_reader_sees_that_another_process_set_an_artefact_aside(store: Store) -> None:
    folder = put(store, "k1", n=1).folder
    reader, other = again(store), again(store)
    reader.open("data", "k1")
    (folder / "a.txt").write_text("eno")
    with pytest.raises(Damaged):
        other.open("data", "k1")
    with pytest.raises(Damaged, match="it is gone"):
        reader.open("data", "k1")
    put(other, "k1", n=1)
    assert reader.open("data", "k1").result == {"n": 1}


def test_what_is_published_between_two_looks_is_found(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, reader = again(store), again(store)
    real = storing._bytes
    looks = []

    def late(path: Path) -> bytes | None:
        looks.append(path)
        found = real(path)
        if len(looks) == 1:
            put(writer, "k1", n=1)
        return found

    monkeypatch.setattr(storing, "_bytes", late)
    found = reader.find("data", "k1")
    assert found is not None
    assert len(looks) == 2
    assert not (store.root / "damaged").exists()


def test_of_two_that_find_damage_one_sets_it_aside(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = put(store, "k1").folder
    (folder / "manifest.json").write_text("{}")
    other = again(store)
    loads = json.loads

    def overtaken(raw: bytes) -> Any:
        monkeypatch.setattr(json, "loads", loads)
        with pytest.raises(Damaged):
            other.find("data", "k1")
        return loads(raw)

    monkeypatch.setattr(json, "loads", overtaken)
    with pytest.raises(Damaged):
        again(store).find("data", "k1")
    assert len(list((store.root / "damaged").iterdir())) == 1


def test_forgetting_asks_the_disk_again(store: Store) -> None:
    put(store, "k1")
    again(store).remove("data", "k1")
    assert store.find("data", "k1") is not None  # remembered
    store.forget("k1")
    assert store.find("data", "k1") is None
    store.forget("never known")


# -- sharing -------------------------------------------------------------------------------------------

WORKER = """
    import sys, time
    from pathlib import Path
    from harness.storage.store import Store

    root, journal = Path(sys.argv[1]), Path(sys.argv[2])

    def note(line):
        with journal.open("a") as stream:
            stream.write(line + "\\n")

    store = Store(root)
    print("ready", flush=True)
    sys.stdin.readline()
    for key in ("k1", "k2", "k3"):
        with store.claim(key):
            store.forget(key)
            if store.find("data", key) is None:
                note(f"begin {key}")
                with store.workspace(key) as folder:
                    (folder / "x").write_bytes(b"x" * 100_000)
                    time.sleep(0.1)  # long enough for the others to come by
                    note(f"end {key}")
                    store.publish("data", key, folder, {"key": key}, {"seconds": 60.0})
        assert store.open("data", key).result == {"key": key}
"""


def test_processes_that_claim_the_same_key_work_once(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    workers = [in_a_process(WORKER, tmp_path / "store", journal) for _ in range(3)]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        worker.communicate()
        assert worker.returncode == 0
    assert journal.read_text().splitlines() == [
        f"{what} {key}" for key in ("k1", "k2", "k3") for what in ("begin", "end")
    ]
    assert list((tmp_path / "store" / "locks").iterdir()) == []


HOLDER = """
    import sys
    from pathlib import Path
    from harness.storage.store import Store

    with Store(Path(sys.argv[1])).claim("k1"):
        print("held", flush=True)
        sys.stdin.read()
"""


def test_the_lock_of_a_killed_process_is_free(store: Store) -> None:
    holder = in_a_process(HOLDER, store.root)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with store.claim("k1"):
        pass
    holder.communicate()


def test_who_waits_for_a_lock_hears_of_it(store: Store) -> None:
    told: list[bool] = []
    with store.claim("k1", told.append):
        pass
    assert told == []
    holder = in_a_process(HOLDER, store.root)
    assert holder.stdout is not None and holder.stdin is not None
    assert holder.stdout.readline() == "held\n"

    def waiting(waits: bool) -> None:
        told.append(waits)
        if waits:
            assert holder.stdin is not None
            holder.stdin.close()

    with store.claim("k1", waiting):
        assert told == [True, False]
    holder.wait()


def test_a_failed_step_frees_its_lock(store: Store) -> None:
    def fail() -> None:
        with store.claim("k1"):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list((store.root / "locks").iterdir()) == []
    with store.claim("k1"):
        pass


def test_sweeping_takes_what_the_dead_left_and_nothing_else(store: Store) -> None:
    dead = in_a_process("pass")
    dead.communicate()
    tmp = store.root / "tmp"
    node = files._NODE
    left = {
        f"k1-{dead.pid}@{node}": False,
        f"k2.scratch-{dead.pid}@{node}": False,
        f"k3-{os.getpid()}@{node}": True,
        "k4-1@" + node: True,  # alive, and not ours
        f"k5-{dead.pid}@another_machine": True,
        "what-is-this": True,
    }
    for name in left:
        (tmp / name / "deep").mkdir(parents=True)
    store.sweep()
    assert {path.name for path in tmp.iterdir()} == {name for name, stays in left.items() if stays}


def test_a_process_of_another_user_is_alive(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refused)
    (store.root / "tmp" / f"k1-12345@{files._NODE}").mkdir()
    store.sweep()
    assert len(list((store.root / "tmp").iterdir())) == 1


def test_removing_takes_an_artefact_out_whole(store: Store) -> None:
    put(store, "k1")
    store.remove("data", "k1")
    store.remove("data", "k1")  # what is not there
    assert store.find("data", "k1") is None
    assert list((store.root / "data").iterdir()) == []
    assert list((store.root / "tmp").iterdir()) == []


# -- where nothing can be written, or read -------------------------------------------------------------


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        harness.HarnessError, match=r"cannot write the store '.*/file/store': Not a directory"
    ):
        Store(tmp_path / "file" / "store")


def test_what_fails_on_a_full_disk_names_the_store(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing.Store, "_is_full", lambda self: True)

    def use(error: Exception) -> None:
        with store.workspace("k1"):
            raise error

    for error, said in (
        (ValueError("cannot save\nmore"), "cannot save"),
        (OSError(28, "No space"), "No space"),
    ):
        with pytest.raises(
            harness.HarnessError, match=rf"cannot write the store '.*': the disk is full \(.*{said}\)"
        ):
            use(error)
    for error in (harness.HarnessError("mine"), harness.Unavailable("mine"), MemoryError()):
        with pytest.raises(type(error)):
            use(error)


def test_damage_that_cannot_be_set_aside_is_one_sentence(store: Store) -> None:
    folder = put(store, "k1").folder
    (folder / "manifest.json").write_text("{}")
    (store.root / "damaged").touch()
    with pytest.raises(
        harness.HarnessError, match=r"stored data k1 is damaged \(.*\), but cannot be moved to '.*damaged': "
    ):
        again(store).find("data", "k1")


@pytest.mark.parametrize("put_there", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to(path)])
def test_a_lock_that_is_no_file(store: Store, put_there: Callable[[Path], None]) -> None:
    put_there(store.root / "locks" / "k1.lock")
    store.sweep()  # it goes on
    try:
        with store.claim("k1"):
            pass
    except harness.HarnessError as error:
        assert str(error).startswith("cannot lock '")


def test_logs_go_with_their_process(store: Store) -> None:
    mine, other = store.logs(), store.logs()
    assert mine != other and mine.parent == other.parent == store.root / "tmp"
    store.sweep()
    assert mine.is_dir()
    dead = mine.with_name(mine.name.replace(f"-{os.getpid()}@", "-99999999@"))
    mine.rename(dead)
    store.sweep()
    assert not dead.exists() and other.is_dir()


def test_what_another_machine_left_goes_with_time(store: Store) -> None:
    for name, days in (("old", 15), ("new", 13)):
        left = store.root / "tmp" / f"{name}-1@another_machine"
        left.mkdir()
        then = time.time() - days * 86_400
        os.utime(left, (then, then))
    store.sweep()
    assert [path.name for path in (store.root / "tmp").iterdir()] == ["new-1@another_machine"]


def test_a_file_that_cannot_be_read_is_one_sentence(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, "k1")

    def refused(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(harness.HarnessError, match="cannot read the store: Permission denied: "):
        again(store).find("data", "k1")


# -- timings -------------------------------------------------------------------------------------------


def test_timings_are_kept_by_work_and_what_it_is_like(store: Store) -> None:
    assert store.timings() == Timings({}, {})
    store.add_timing("w1", ("student mlp", "student"), 1.00004, 2)
    store.add_timing("w2", ("student cnn", "student"), 3, 1)
    paces = {"student mlp": [0.5], "student cnn": [3.0], "student": [0.5, 3.0]}
    assert again(store).timings() == Timings({"w1": [1.0], "w2": [3.0]}, paces)


def test_torn_lines_cost_an_estimate_and_nothing_else(store: Store) -> None:
    store.add_timing("w1", ["f"], 1, 1)
    odd = [b'{"work": "w2", "fam', b"\xff\xfe", b"[]", b"3", b'{"work": "w3", "likes": ["f"]}', b""]
    odd += [b'{"work": "w4", "likes": ["f"], "seconds": "x"}', b'{"work": [], "likes": ["f"], "seconds": 1}']
    odd += [b'{"work": "w6", "likes": ["f"], "seconds": 2, "rated": 0}']
    with (store.root / "timings.jsonl").open("ab") as stream:
        stream.write(b"\n".join(odd) + b"\n")
    store.add_timing("w5", ["f"], 5, 1)
    assert store.timings() == Timings({"w1": [1.0], "w6": [2.0], "w5": [5.0]}, {"f": [1.0, 5.0]})


def test_the_latest_timings_count(store: Store) -> None:
    for number in range(25):
        store.add_timing("w", ["f"], number, 2)
    found = store.timings()
    assert found.seconds["w"] == [float(number) for number in range(5, 25)]
    assert found.paces["f"] == [number / 2 for number in range(5, 25)]


def test_a_timing_that_cannot_be_kept_is_no_failure(store: Store) -> None:
    (store.root / "timings.jsonl").mkdir()
    store.add_timing("w", ["f"], 1, 1)
    assert store.timings() == Timings({}, {})


# -- what long steps keep on the way --------------------------------------------------------------------


def test_kept_states_are_no_artefacts_and_go_with_them(tmp_path: Path) -> None:
    store = Store(tmp_path)
    kept = store.checkpoints("k1")
    assert not kept.exists() and kept.parent.parent == tmp_path
    kept.mkdir(parents=True)
    (kept / "state.json").write_text("{}")
    assert store.find("student", "k1") is None
    store.remove("student", "k1")  # as a step is that is to be done afresh
    assert not kept.exists()
    store.drop_checkpoints("k1")  # there need be none


def test_states_that_none_came_back_to_are_swept_away(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for key, days in (("old", 15), ("new", 13)):
        (kept := store.checkpoints(key)).mkdir(parents=True)
        then = time.time() - days * 86_400
        os.utime(kept, (then, then))
    store.sweep()
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["new"]


def test_a_manifest_that_is_spelled_in_another_way_is_sound(store: Store) -> None:
    path = put(store, "k1", name="naïve").folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=2))
    found = again(store).find("data", "k1")
    assert found is not None and found.result == {"name": "naïve"}


def test_keys_are_those_of_all_folders_of_a_kind(store: Store) -> None:
    assert store.keys("data") == set()
    folder = put(store, "k1").folder
    put(store, "k2")
    (folder / "manifest.json").unlink()
    assert store.keys("data") == {"k1", "k2"}
    assert store.keys("teacher") == set()
    (store.root / "odd").touch()
    assert store.keys("odd") == set()


def test_a_pipe_in_place_of_the_timings_costs_a_timing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    os.mkfifo(tmp_path / "timings.jsonl")
    store.add_timing("work", ["kind"], 1.0, 1.0)
    assert store.timings().seconds == {}
