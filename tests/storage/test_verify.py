"""A whole store, looked through: what is damaged, what does not belong there, what killed runs left."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.api import HarnessError
from harness.storage import files
from harness.storage.store import Store
from harness.storage.verify import check

KINDS = ("data", "student")
KEYS = {kind: str(number) * 32 for number, kind in enumerate(KINDS)}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with two artefacts, as a process finds it that has not read them."""
    made = Store(tmp_path / "store")
    for kind, key in KEYS.items():
        with made.workspace(key) as folder:
            (folder / "deep").mkdir()
            (folder / "a.txt").write_text("one")
            (folder / "deep" / "b.txt").write_text("twice")
            (folder / "empty").touch()
            made.publish(kind, key, folder, {"n": 1}, {"seconds": 1.0})
    return Store(made.root)


def state(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*")}


def test_a_sound_store(store: Store) -> None:
    before = state(store.root)
    found = check(store.root, KINDS)
    assert found.sound
    assert (found.artefacts, found.files, found.bytes) == (2, 6, 16)
    assert not (found.damaged or found.unknown or found.leftovers or found.set_aside)
    assert state(store.root) == before


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def become(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


DAMAGE: list[tuple[Callable[[Path], object], str]] = [
    (lambda folder: flip(folder / "deep" / "b.txt"), "the checksum of deep/b.txt is wrong"),
    (lambda folder: (folder / "a.txt").unlink(), "a.txt is missing"),
    (lambda folder: (folder / "a.txt").write_text(""), "a.txt has 0 bytes instead of 3"),
    (lambda folder: (folder / "manifest.json").unlink(), "it has no manifest"),
    (lambda folder: (folder / "manifest.json").write_text("[" * 100_000), "its manifest cannot be read"),
    (lambda folder: become(folder / "manifest.json", os.mkfifo), "it has no manifest"),
    (lambda folder: become(folder / "empty", os.mkfifo), "empty is not a file"),
    (lambda folder: become(folder / "empty", Path.mkdir), "empty is not a file"),
    (lambda folder: become(folder / "a.txt", lambda path: path.symlink_to(path)), "a.txt is missing"),
    (lambda folder: (folder / "more").touch(), "it contains more, which is not in its manifest"),
    (lambda folder: (folder / "up").symlink_to(".."), "it contains up, which is not in its manifest"),
    (
        lambda folder: folder.joinpath("manifest.json").write_bytes(
            (folder.parent.parent / "student" / KEYS["student"] / "manifest.json").read_bytes()
        ),
        "it is a copy of student 111111111111",
    ),
]


@pytest.mark.parametrize(("damage", "reason"), DAMAGE)
def test_damage_is_found_and_can_be_set_aside(
    store: Store, damage: Callable[[Path], object], reason: str
) -> None:
    damage(store.root / "data" / KEYS["data"])
    before = state(store.root)
    found = check(store.root, KINDS)
    assert not found.sound and found.artefacts == 1
    assert found.damaged == [{"kind": "data", "key": KEYS["data"], "reason": reason, "set_aside": False}]
    assert state(store.root) == before  # a look changes nothing
    repaired = check(store.root, KINDS, repair=True)
    assert repaired.sound and repaired.set_aside == 1 and repaired.damaged[0]["set_aside"]
    assert Store(store.root).find("data", KEYS["data"]) is None  # the next run makes it again
    again = check(store.root, KINDS)
    assert again.sound and not again.damaged and again.set_aside == 1


def test_a_link_to_itself_in_place_of_an_artefact(store: Store) -> None:
    place = store.root / "data" / ("f" * 32)
    place.symlink_to(place)
    assert check(store.root, KINDS, repair=True).damaged[0]["reason"] == "it has no manifest"
    assert not os.path.lexists(place)


def test_what_the_store_did_not_make_is_left_alone(store: Store) -> None:
    for name in ("notes.txt", "data/read.me", "tmp/odd", "locks/odd"):
        (store.root / name).touch()
    (store.root / "student" / "my models").mkdir()
    (store.root / "loop").symlink_to("loop")
    (store.root / "data" / ".DS_Store").touch()
    before = state(store.root)
    found = check(store.root, KINDS, repair=True)
    assert found.sound
    assert found.unknown == ["data/read.me", "loop", "notes.txt", "student/my models", "tmp/odd", "locks/odd"]
    assert state(store.root) == before


def test_what_killed_runs_left_is_told_and_can_be_removed(store: Store) -> None:
    dead = files.owned("k").replace(f"-{os.getpid()}@", "-99999999@")
    (store.root / "tmp" / dead).mkdir()
    (store.root / "locks" / "k1.lock").touch()
    with store.workspace("k2"), store.claim("k3"):
        found = check(store.root, KINDS)
        assert found.leftovers == [f"tmp/{dead}", "locks/k1.lock"]
        assert found.sound and not found.unknown
        check(store.root, KINDS, repair=True)
        assert check(store.root, KINDS).leftovers == []
        assert (store.root / "locks" / "k3.lock").exists()


def test_a_place_without_a_store_is_not_made_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("typo", "file"):
        with pytest.raises(HarnessError, match=f"cannot find a store at '.*{name}'; name its folder"):
            check(tmp_path / name, KINDS)
    assert not (tmp_path / "typo").exists()
    (tmp_path / "empty").mkdir()
    assert check(tmp_path / "empty", KINDS).sound
    assert list((tmp_path / "empty").iterdir()) == []
