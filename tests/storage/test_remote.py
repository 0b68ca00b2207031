"""Copies of artefacts in other stores: whole or not at all, and only one of each."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from harness.api import HarnessError
from harness.storage.remote import Folder, Remote, RemoteError, place, pull, push
from harness.storage.store import Store, Unsound, manifest_of

pytest.importorskip("fsspec", "2024.12", reason="older ones overwrite files")

ALL = {"data": {"d1"}, "student": {"s1"}}


def stored(root: Path, text: str = "one") -> Store:
    store = Store(root)
    for kind, keys in ALL.items():
        for key in keys:
            with store.workspace(key) as folder:
                (folder / "deep").mkdir()
                (folder / "a.txt").write_text(text)
                (folder / "deep" / "b.txt").write_text(f"{text} of {key}")
                store.publish(kind, key, folder, {"text": text}, {"seconds": 0.0})
    return Store(root)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return stored(tmp_path / "store")


@pytest.fixture(params=["memory", "folder", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        return str(request.getfixturevalue("bucket"))
    return f"memory://{uuid.uuid4().hex}" if request.param == "memory" else str(tmp_path / "other")


def test_there_and_back(store: Store, url: str, tmp_path: Path) -> None:
    done = push(store, place(url, create=True), ALL)
    assert (done.copied, done.present, done.errors) == (2, 0, []) and done.bytes == 24
    done = push(store, place(url, create=True), ALL)
    assert (done.copied, done.present, done.errors) == (0, 2, [])
    back = Store(tmp_path / "back")
    done = pull(back, place(url, create=False), {"data": None, "student": {"s1", "s9"}, "teacher": None})
    assert (done.copied, done.present, done.missing, done.errors) == (2, 0, 1, []) and done.bytes == 24
    for kind, (key,) in ALL.items():
        here, there = (root / kind / key for root in (store.root, back.root))
        assert (there / "manifest.json").read_bytes() == (here / "manifest.json").read_bytes()
        artefact = Store(back.root).open(kind, key)
        assert (artefact.folder / "deep" / "b.txt").read_text() == f"one of {key}"
    assert pull(back, place(url, create=False), {"data": None}).present == 1
    assert list((back.root / "tmp").iterdir()) == []


def test_of_two_uploads_the_first_stays(store: Store, url: str, tmp_path: Path) -> None:
    push(store, place(url, create=True), ALL)
    other = stored(tmp_path / "second", "another")
    artefact = other.look("data", "d1")
    assert artefact is not None
    remote = place(url, create=True)
    if isinstance(remote, Remote):
        assert not remote.upload(artefact)
    assert push(other, remote, ALL).present == 2
    back = Store(tmp_path / "back")
    assert pull(back, remote, {"data": None}).errors == []
    assert back.open("data", "d1").result == {"text": "one"}


def test_an_interrupted_upload_is_no_artefact_and_is_finished_later(store: Store, tmp_path: Path) -> None:
    url = f"memory://{uuid.uuid4().hex}"
    remote = Remote(url)
    artefact = store.look("data", "d1")
    assert artefact is not None
    raw = (artefact.folder / "manifest.json").read_bytes()
    checksum = manifest_of(raw, "data", "d1")["checksum"][:16]
    assert remote.create(f"data/d1/{checksum}/a.txt", b"o")  # a part of the file
    assert remote.keys("data") == set() and remote.manifest("data", "d1") is None
    with pytest.raises(Unsound, match="it is gone"):
        remote.download("data", "d1", store)
    assert push(store, remote, ALL).copied == 2
    assert pull(Store(tmp_path / "back"), remote, {"data": None}).errors == []


def test_a_small_file_is_created_once(url: str) -> None:
    if not url.startswith(("memory", "s3")):
        url = f"local://{url}"
    remote = Remote(url)
    assert remote.create("some/name", b"first")
    assert not remote.create("some/name", b"second")


def test_damage_is_one_line_and_the_rest_is_copied(store: Store, tmp_path: Path) -> None:
    remote = Remote(f"memory://{uuid.uuid4().hex}")
    (store.root / "data" / "d1" / "a.txt").write_text("two")
    done = push(store, remote, ALL)
    assert done.copied == 1
    assert done.errors == ["data d1 was not copied: it is damaged here (the checksum of a.txt is wrong)"]
    artefact = store.look("student", "s1")
    assert artefact is not None
    (path,) = (path for path in remote._fs.find(remote._root) if path.endswith("a.txt") and "student" in path)
    remote._fs.pipe_file(path, b"two")
    back = Store(tmp_path / "back")
    done = pull(back, remote, {"student": None})
    assert done.errors == ["student s1 was not copied: it is damaged there (the checksum of a.txt is wrong)"]
    assert back.look("student", "s1") is None and list((back.root / "tmp").iterdir()) == []
    remote.remove("student", "s1")
    assert remote.keys("student") == set()
    assert push(store, remote, {"student": {"s1"}}).copied == 1
    assert pull(back, remote, {"student": None}).copied == 1


@pytest.mark.parametrize("name", ("../out", "/tmp/out", "deep/../../out"))
def test_no_file_is_written_outside_of_an_artefact(store: Store, tmp_path: Path, name: str) -> None:
    with store.workspace("x") as folder:
        (folder / "a").write_text("one")
        made = store.publish("data", "x", folder, {}, {"seconds": 0.0})
    from harness.storage import store as storing

    manifest = manifest_of((made.folder / "manifest.json").read_bytes(), "data", "x")
    manifest.pop("checksum")
    manifest["files"][name] = manifest["files"].pop("a")
    manifest["checksum"] = storing._checksum(manifest)
    remote = Remote(f"memory://{uuid.uuid4().hex}")
    remote.create("data/x/manifest.json", storing._canonical(manifest).encode())
    done = pull(Store(tmp_path / "back"), remote, {"data": None})
    assert done.copied == 0 and len(done.errors) == 1 and "which is not in its folder" in done.errors[0]


def test_a_url_that_cannot_be_used_is_one_line(store: Store) -> None:
    message = "cannot open the store nosuch://bucket: .*nosuch.*allowed are URLs of fsspec"
    with pytest.raises(RemoteError, match=message) as error:
        Remote("nosuch://bucket").keys("data")
    assert "\n" not in str(error.value)
    for wrong, meant in (("S3", "s3"), ("s33", "s3"), ("memroy", "memory")):
        hint = rf"not known: {wrong}; did you mean '{meant}'\?; allowed are"
        with pytest.raises(RemoteError, match=hint):
            Remote(f"{wrong}://bucket")


def test_a_bucket_that_does_not_exist_is_one_line(store: Store, bucket: str) -> None:
    done = push(store, Remote("s3://no-such-bucket-here/x"), {"data": {"d1"}})
    assert done.copied == 0 and len(done.errors) == 1 and "\n" not in done.errors[0]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"cannot find a store at '.*typo'"):
        place(str(tmp_path / "typo"), create=False)
    assert not (tmp_path / "typo").exists()
    assert isinstance(place(f"file://{tmp_path}/new", create=True), Folder)
