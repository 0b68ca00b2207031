"""A store elsewhere behind the interface of a folder: copied when it is opened, sent when it is made."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from harness.api import HarnessError
from harness.storage.remote import Remote, RemoteError, place
from harness.storage.shared import Shared, folder_of, opened, shown
from harness.storage.store import MANIFEST, Artefact, Damaged, Store

KEY = "a1"


@pytest.fixture(params=["memory", "file", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        return str(request.getfixturevalue("bucket"))
    return f"memory://{uuid.uuid4().hex}" if request.param == "memory" else f"file://{tmp_path}/elsewhere"


def made(store: Store, text: str = "one", key: str = KEY) -> Artefact:
    with store.workspace(key) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "a.txt").write_text(text)
        return store.publish("data", key, folder, {"text": text}, {"seconds": 0.0})


def test_the_folder_in_front_of_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "caches"))
    folder = folder_of("s3://bucket/some/prefix")
    assert folder == folder_of("s3://bucket/some/prefix/")
    assert folder.parent == tmp_path / "caches" and folder.name.startswith("bucket-some-prefix-")
    assert folder != folder_of("s3://bucket/some-prefix")
    store = opened(folder)
    assert isinstance(store, Shared) and store.url == "s3://bucket/some/prefix"
    assert shown(folder) == f"{folder} (copies of what is used of s3://bucket/some/prefix)"
    assert shown(tmp_path / "plain") == str(tmp_path / "plain")
    assert folder_of(str(tmp_path / "plain")) == tmp_path / "plain"
    assert type(opened(tmp_path / "plain")) is Store


def test_a_folder_for_copies_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "file"))
    with pytest.raises(HarnessError, match=r"cannot write .*s3://bucket/x .*set HARNESS_CACHE to"):
        folder_of("s3://bucket/x")


@pytest.mark.parametrize(
    ("where", "meant"),
    [
        ("s3:/bucket/team", "s3://bucket/team"),
        ("GS:/bucket", "GS://bucket"),
        ("file:/nfs/store", "file:///nfs/store"),
    ],
)
def test_a_url_without_a_slash_is_not_taken_for_a_folder(where: str, meant: str) -> None:
    message = f"'{where}' is not a URL; did you mean '{meant}'? The path of a folder is './{where}'"
    with pytest.raises(HarnessError) as error:
        folder_of(where)
    assert str(error.value) == message
    with pytest.raises(HarnessError) as error:
        place(where, create=True)
    assert str(error.value) == message


@pytest.mark.parametrize("where", ["./s3:/bucket", "runs:1/store", "C:/store", "/a:/b"])
def test_a_folder_with_a_colon_is_a_folder(where: str) -> None:
    assert folder_of(where) == Path(where)


def test_what_one_machine_makes_another_finds(url: str, tmp_path: Path) -> None:
    first, second = Shared(tmp_path / "1", url), Shared(tmp_path / "2", url)
    assert second.find("data", KEY) is None and second.keys("data") == set()
    first.share(made(first))
    assert second.keys("data") == {KEY}
    found = second.find("data", KEY)
    assert found is not None and found.result == {"text": "one"}
    assert not found.folder.exists()  # only its manifest was copied
    assert (second.open("data", KEY).folder / "deep" / "a.txt").read_text() == "one"
    assert Store(second.root).find("data", KEY) is not None
    second.remove("data", KEY)
    assert Shared(tmp_path / "3", url).find("data", KEY) is None


def test_manifests_are_asked_for_together(url: str, tmp_path: Path) -> None:
    first, second = Shared(tmp_path / "1", url), Shared(tmp_path / "2", url)
    for key in ("a", "b", "c"):
        first.share(made(first, key, key))
    made(second, "own", "c")
    second.expect({"data": {"a", "b", "c", "d"}, "teacher": {"t"}})
    second._there.manifest = pytest.fail  # type: ignore[method-assign,assignment]
    results = [second.look("data", key).result["text"] for key in ("a", "b", "c")]  # type: ignore[union-attr]
    assert results == ["a", "b", "own"]


def test_of_two_copies_the_first_counts_for_both(url: str, tmp_path: Path) -> None:
    first, second = Shared(tmp_path / "1", url), Shared(tmp_path / "2", url)
    mine, other = made(first), made(second, "two")
    assert first.share(mine).result == {"text": "one"}
    assert second.share(other).result == {"text": "one"}
    assert (second.open("data", KEY).folder / "deep" / "a.txt").read_text() == "one"
    assert first.share(mine).result == {"text": "one"}  # once more
    assert list((second.root / "tmp").iterdir()) == []


def spoil(store: Shared, what: str, content: bytes | None) -> None:
    """Change a file elsewhere, or remove it."""
    there = store._there
    if isinstance(there, Remote):
        (path,) = (path for path in there._fs.find(there._root) if path.endswith(what))
        there._fs.rm_file(path)
        if content is not None:
            there._fs.pipe_file(path, content)
    else:
        (found,) = there.root.glob(f"data/*/{what}")
        found.unlink()
        if content is not None:
            found.write_bytes(content)


@pytest.mark.parametrize(
    ("what", "content"),
    [("deep/a.txt", b"eno"), ("deep/a.txt", b"o"), ("deep/a.txt", None), (MANIFEST, b"{")],
)
def test_damage_elsewhere_is_found_and_made_again(
    url: str, tmp_path: Path, what: str, content: bytes | None
) -> None:
    first, second = Shared(tmp_path / "1", url), Shared(tmp_path / "2", url)
    first.share(made(first))
    spoil(first, what, content)
    if what == MANIFEST:
        assert second.find("data", KEY) is None
    else:
        assert second.find("data", KEY) is not None
        with pytest.raises(Damaged, match=r"stored data a1 is damaged \(.*a.txt"):
            second.open("data", KEY)
    assert second.find("data", KEY) is None and list((second.root / "tmp").iterdir()) == []
    second.share(made(second, "again"))
    assert Shared(tmp_path / "3", url).open("data", KEY).result == {"text": "again"}


def test_damage_here_is_mended_from_elsewhere(url: str, tmp_path: Path) -> None:
    store = Shared(tmp_path / "1", url)
    store.share(made(store))
    path = store.root / "data" / KEY / "deep" / "a.txt"
    path.write_text("eno")
    again = Shared(store.root, url)
    with pytest.raises(Damaged):
        again.open("data", KEY)
    assert again.find("data", KEY) is not None
    assert (again.open("data", KEY).folder / "deep" / "a.txt").read_text() == "one"


def test_what_could_not_be_sent_is_sent_later(url: str, tmp_path: Path) -> None:
    store = Shared(tmp_path / "1", url)

    def broken(*_: Any) -> Any:
        raise RemoteError("cannot write the store: no route to it")

    with pytest.MonkeyPatch.context() as patch:
        for name in ("upload", "manifest", "keys", "download"):
            patch.setattr(store._there, name, broken)
        artefact = made(store)
        with pytest.raises(HarnessError, match="no route to it"):
            store.share(artefact)
        assert store.open("data", KEY).result == {"text": "one"}
        assert store.find("data", "unknown") is None
        with pytest.raises(HarnessError, match="no route to it"):
            store.keys("data")
        with pytest.raises(HarnessError, match="no route to it"):
            store.expect({"data": {KEY}})
        with pytest.raises(HarnessError, match="no route to it"):
            store.deliver({"data": {KEY}})
    store.expect({"data": {"other"}})
    with pytest.MonkeyPatch.context() as patch:  # once it was reached, what is known must do
        patch.setattr(store._there, "keys", broken)
        store.expect({"data": {KEY}})
        assert store.keys("data") == {KEY}
    later = Shared(store.root, url)
    later.expect({"data": {KEY, "other"}})
    later.deliver({"data": {KEY, "other"}})
    assert Shared(tmp_path / "2", url).open("data", KEY).result == {"text": "one"}
