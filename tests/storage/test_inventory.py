"""What a store contains, what running commands use of it, and what may be deleted."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import pytest

from harness.api import HarnessError
from harness.storage import files
from harness.storage.inventory import collect, listed, using
from harness.storage.store import Store

KINDS = ("data", "student")
DAY = 86_400.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with data "d1" of ten days ago, and students "s1" and "s2" of today."""
    made = Store(tmp_path / "store")
    for kind, key in (("data", "d1"), ("student", "s1"), ("student", "s2")):
        with made.workspace(key) as folder:
            (folder / "a.txt").write_text(key)
            made.publish(kind, key, folder, {}, {"seconds": 0.0})
    before = time.time() - 10 * DAY
    os.utime(made.root / "data" / "d1" / "manifest.json", (before, before))
    return Store(made.root)


def keys(store: Store) -> set[str]:
    return {one.key for one in listed(Store(store.root), KINDS)}


def test_artefacts_are_listed_with_size_and_age(store: Store) -> None:
    found = {one.key: one for one in listed(store, KINDS)}
    assert set(found) == {"d1", "s1", "s2"}
    assert {one.bytes for one in found.values()} == {2}
    assert found["d1"].age_s == pytest.approx(10 * DAY, abs=60) and found["s1"].age_s < 60


def test_what_is_not_needed_is_deleted(store: Store) -> None:
    would = collect(store, KINDS, {"s1"}, None, dry_run=True)
    assert {one.key for one in would.removed} == {"d1", "s2"} and would.kept == 1 and would.bytes == 4
    assert keys(store) == {"d1", "s1", "s2"}
    assert {one.key for one in collect(store, KINDS, {"s1"}, None, dry_run=False).removed} == {"d1", "s2"}
    assert keys(store) == {"s1"}
    assert list((store.root / "tmp").iterdir()) == list((store.root / "locks").iterdir()) == []


def test_what_is_old_is_deleted(store: Store) -> None:
    assert collect(store, KINDS, None, 11 * DAY, dry_run=False).removed == []
    assert collect(store, KINDS, {"d1"}, 9 * DAY, dry_run=False).removed == []  # it is needed
    assert [one.key for one in collect(store, KINDS, None, 9 * DAY, dry_run=False).removed] == ["d1"]


def test_nothing_is_deleted_without_a_condition(store: Store) -> None:
    with pytest.raises(HarnessError, match="without one, everything would be deleted"):
        collect(store, KINDS, None, None, dry_run=False)
    assert len(keys(store)) == 3


def test_what_a_running_command_uses_is_kept(store: Store) -> None:
    with using(store, ["d1"]), store.claim("s1"):
        found = collect(Store(store.root), KINDS, (), None, dry_run=False)
        assert found.in_use == 2 and [one.key for one in found.removed] == ["s2"]
    assert {one.key for one in collect(store, KINDS, (), None, dry_run=False).removed} == {"d1", "s1"}


def test_a_command_that_may_use_all_stops_a_collection(store: Store) -> None:
    with using(store), pytest.raises(HarnessError, match=f"process {os.getpid()}@.* is using the store"):
        collect(store, KINDS, (), None, dry_run=False)
    assert len(keys(store)) == 3


def test_a_killed_command_uses_nothing(store: Store) -> None:
    code = """
        import os, sys
        from pathlib import Path
        from harness.storage.inventory import using
        from harness.storage.store import Store
        with using(Store(Path(sys.argv[1]))):
            os._exit(9)
    """
    subprocess.run([sys.executable, "-c", dedent(code), str(store.root)])
    (left,) = (store.root / "tmp").iterdir()
    assert files.abandoned(store.root / "tmp") == [left]
    assert len(collect(store, KINDS, (), None, dry_run=False).removed) == 3
    store.sweep()
    assert list((store.root / "tmp").iterdir()) == []


def test_damaged_artefacts_are_left_to_verify(store: Store) -> None:
    (store.root / "student" / "s1" / "a.txt").write_text("longer")
    assert keys(store) == {"d1", "s2"}
    assert len(collect(Store(store.root), KINDS, (), None, dry_run=False).removed) == 2
    assert (store.root / "student" / "s1").is_dir()


@pytest.mark.skipif(os.getuid() == 0, reason="root can write everywhere")
def test_a_store_that_cannot_be_written_can_be_used(store: Store) -> None:
    (store.root / "locks").chmod(0o500)
    with using(store, ["d1"]):
        assert list((store.root / "tmp").iterdir()) == []
    (store.root / "locks").chmod(0o700)
