"""JavaScript libraries: from a registry on this machine, from the cache, and from a folder of npm."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness import HarnessError
from harness.sources.npm import Package, files_of

CODE = b"export const answer = 42;\n"
PACKAGE = Package("@some/library", "1.2.0", "MIT", {"dist/library.mjs": hashlib.sha256(CODE).hexdigest()})


def archive(files: dict[str, bytes]) -> bytes:
    with tarfile.open(fileobj=(target := io.BytesIO()), mode="w:gz") as opened:
        for name, content in files.items():
            (member := tarfile.TarInfo(name)).size = len(content)
            opened.addfile(member, io.BytesIO(content))
    return target.getvalue()


class Registry:
    """A registry with one archive."""

    def __init__(self) -> None:
        self.archive = archive({"package/package.json": b"{}", "package/dist/library.mjs": CODE})
        self.asked: list[str] = []
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.asked.append(self.path)
                known = self.path == "/@some/library/-/library-1.2.0.tgz"
                self.send_response(200 if known else 404)
                self.end_headers()
                self.wfile.write(registry.archive if known else b"")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/"


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    found = Registry()
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", found.address)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    threading.Thread(target=found.server.serve_forever, daemon=True).start()
    yield found
    found.server.shutdown()
    found.server.server_close()


def test_a_package_is_downloaded_once(registry: Registry, tmp_path: Path) -> None:
    told: list[str] = []
    for _ in range(2):
        assert files_of([PACKAGE], tell=told.append) == {"dist/library.mjs": CODE}
    assert registry.asked == ["/@some/library/-/library-1.2.0.tgz"]
    (line,) = told
    assert line.startswith("downloading @some/library@1.2.0 from http://127.0.0.1:")
    (kept,) = (tmp_path / "cache").rglob("library.mjs")
    kept.write_bytes(CODE[:-1])  # a damaged file is downloaded again
    assert files_of([PACKAGE]) == {"dist/library.mjs": CODE}
    assert len(registry.asked) == 2 and kept.read_bytes() == CODE


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"package/dist/library.mjs": b"alert(1)"}, r"dist/library.mjs is not the file that was published"),
        ({"package/package.json": b"{}"}, r"cannot download @some/library@1.2.0 from .* --demo-runtime web"),
        (
            None,
            r"cannot download .*; on a machine with a network, run: npm install --prefix web @some",
        ),
    ],
)
def test_another_file_is_refused(
    files: dict[str, bytes] | None, why: str, registry: Registry, tmp_path: Path
) -> None:
    registry.archive = b"no archive" if files is None else archive(files)
    with pytest.raises(HarnessError, match=why):
        files_of([PACKAGE])
    assert not list((tmp_path / "cache").rglob("library.mjs"))


def test_without_a_network_the_error_says_what_to_do(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for address in ("http://127.0.0.1:9", "file:///etc"):
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", address)
        with pytest.raises(HarnessError, match=r"cannot download .*, run: npm install .* --demo-runtime web"):
            files_of([PACKAGE])
    assert not registry.asked


def test_a_folder_of_npm_is_read(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"cannot find @some/library in .*; run: npm install --prefix"):
        files_of([PACKAGE], tmp_path)
    place = tmp_path / "node_modules" / "@some" / "library" / "dist" / "library.mjs"
    place.parent.mkdir(parents=True)
    with pytest.raises(HarnessError, match=r"cannot read dist/library.mjs: No such file"):
        files_of([PACKAGE], tmp_path)
    place.write_bytes(b"another version")
    with pytest.raises(HarnessError, match=r"dist/library.mjs is not that of version 1.2.0; run: npm"):
        files_of([PACKAGE], tmp_path)
    place.write_bytes(CODE)
    for folder in (tmp_path, tmp_path / "node_modules"):
        assert files_of([PACKAGE], folder) == {"dist/library.mjs": CODE}
