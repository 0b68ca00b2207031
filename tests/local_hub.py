"""A hub on this machine: a server that speaks as much of the hub's API as downloads need.

Its repositories are dictionaries of files. Start a process with :meth:`LocalHub.variables` to let it use this
hub. The libraries read HF_ENDPOINT when they are imported, so the process must be a new one.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_LARGE = (".safetensors", ".bin", ".parquet", ".arrow")  # files that the hub keeps apart (LFS)
_CHUNK = 1 << 14


@dataclass
class Repository:
    """A model or a data set at one commit, which is also its branch "main"."""

    kind: str  # "models" or "datasets"
    name: str
    files: dict[str, bytes]
    commit: str = COMMIT
    gated: bool = False  # anybody sees its files' names, and those who were let in its files
    private: bool = False

    def known(self, revision: str) -> bool:
        return revision in ("main", self.commit)

    def entry(self, file: str) -> dict[str, Any]:
        """A file, as listings have it."""
        data = self.files[file]
        found: dict[str, Any] = {"type": "file", "path": file, "size": len(data), "oid": _git_id(data)}
        if file.endswith(_LARGE):
            found["lfs"] = {"oid": _sha256(data), "size": len(data), "pointerSize": 130}
        return found


@dataclass
class Fault:
    """What goes wrong with the next requests whose path has a pattern."""

    pattern: str
    times: int
    status: int = 0  # 0: the connection breaks off in the middle of the answer
    headers: Mapping[str, str] = field(default_factory=dict)
    after: int = 0  # bytes of the answer that still arrive


@dataclass
class LocalHub:
    """A running hub. Add repositories and faults at any time; `requests` has what was asked so far."""

    url: str = ""
    repositories: dict[tuple[str, str], Repository] = field(default_factory=dict)
    tokens: dict[str, frozenset[str]] = field(default_factory=dict)  # to the private and gated ids it opens
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, range

    def add(self, kind: str, name: str, files: Mapping[str, bytes] | Path, **about: Any) -> Repository:
        """Add a repository of files, or of those in a folder."""
        if isinstance(files, Path):
            paths = (path for path in files.rglob("*") if path.is_file())
            files = {path.relative_to(files).as_posix(): path.read_bytes() for path in paths}
        found = self.repositories[kind, name] = Repository(kind, name, dict(files), **about)
        return found

    def fail(self, pattern: str, status: int, times: int = 1_000_000, **headers: str) -> None:
        """Answer the next requests of a path with a status; `Retry_After` is the header Retry-After."""
        plain = {name.replace("_", "-"): value for name, value in headers.items()}
        self.faults.append(Fault(pattern, times, status, plain))

    def cut(self, pattern: str, after: int, times: int = 1) -> None:
        """Break the connection after some bytes of the next files of a path."""
        self.faults.append(Fault(pattern, times, after=after))

    def asked(self, pattern: str, method: str = "") -> list[tuple[str, str, str]]:
        """The requests so far whose path has a pattern."""
        return [one for one in self.requests if re.search(pattern, one[1]) and method in ("", one[0])]

    def variables(self, home: Path, token: str = "", **more: str) -> dict[str, str]:
        """The environment of a process that uses this hub, with its cache in a folder."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_CACHE": str(home / "hub"),
            "HF_DATASETS_CACHE": str(home / "datasets"),
            "HF_HUB_OFFLINE": "",
            "HARNESS_MODELS": "",
            "HF_TOKEN": token,
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DOWNLOAD_TIMEOUT": "120",  # on a busy machine
            "HF_HUB_ETAG_TIMEOUT": "120",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            **more,
        }


@contextmanager
def local_hub() -> Iterator[LocalHub]:
    """Run a hub while the code inside runs."""
    hub = LocalHub()
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"hub": hub})) as server:
        server.daemon_threads = True
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


class _Refused(Exception):
    """An answer other than 200, with the headers by which the hub says why."""

    def __init__(self, status: int, code: str = "", message: str = "", **headers: str) -> None:
        self.status = status
        self.headers = {"X-Error-Code": code, "X-Error-Message": message or code, **headers}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: LocalHub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, *_: Any) -> None:
        pass

    # -- answers

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.requests.append((self.command, path, self.headers.get("Range", "")))
        if fault := self._fault(path, cuts=False):
            self._send(fault.status, b"", fault.headers)
            return
        try:
            for pattern, method in _ROUTES:
                if match := re.fullmatch(pattern, path):
                    method(self, body, **match.groupdict())
                    return
            raise _Refused(404, "", "not found")
        except _Refused as why:
            self._send(why.status, b"", {name: value for name, value in why.headers.items() if value})

    def _fault(self, path: str, cuts: bool) -> Fault | None:
        """What goes wrong now with this path, which is then used up."""
        for fault in self.hub.faults:
            if fault.times and cuts == (not fault.status) and re.search(fault.pattern, path):
                fault.times -= 1
                return fault
        return None

    def _send(self, status: int, data: bytes, headers: Mapping[str, str], after: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if after is not None:
            self.wfile.write(data[:after])
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_WR)
            return
        with suppress(ConnectionError):  # the client has given up
            for start in range(0, len(data), _CHUNK):
                self.wfile.write(data[start : start + _CHUNK])

    def _json(self, value: Any, **headers: str) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})

    def _repository(self, kind: str, name: str, revision: str = "main", files: bool = False) -> Repository:
        """The repository, if the asker may see it (and its `files`)."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if token and token not in self.hub.tokens:
            raise _Refused(401, "", "Invalid credentials in Authorization header")
        found = self.hub.repositories.get((kind, name))
        opened = name in self.hub.tokens.get(token, ())
        if found is None or (found.private and not opened):
            if token:
                raise _Refused(404, "RepoNotFound", "Repository not found")
            raise _Refused(401, "", "Invalid username or password.")
        if files and found.gated and not opened:
            raise _Refused(403 if token else 401, "GatedRepo", f"Access to {kind[:-1]} {name} is restricted.")
        if not found.known(revision):
            raise _Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return found

    # -- what can be asked

    def _root(self, body: bytes) -> None:
        self._send(200, b"a hub", {})

    def _info(self, body: bytes, kind: str, name: str, revision: str | None) -> None:
        found = self._repository(kind, name, revision or "main")
        siblings = [
            {"rfilename": file, "size": len(data), "blobId": _git_id(data)}
            for file, data in found.files.items()
        ]
        about = {"id": name, "sha": found.commit, "private": found.private, "tags": [], "siblings": siblings}
        self._json({**about, "gated": "manual" if found.gated else False, "downloads": 0, "likes": 0})

    def _check(self, body: bytes, kind: str, name: str) -> None:
        self._repository(kind, name, files=True)
        self._send(200, b"OK", {})

    def _tree(self, body: bytes, kind: str, name: str, revision: str, folder: str | None) -> None:
        found = self._repository(kind, name, revision)
        prefix = f"{folder}/" if folder else ""
        files = [file for file in found.files if file.startswith(prefix)]
        if prefix and not files:
            raise _Refused(404, "EntryNotFound")
        inner = {file[len(prefix) :].partition("/") for file in files}
        folders = sorted({first for first, slash, _ in inner if slash})
        entries = [_folder(prefix + one) for one in folders]
        recursive = parse_qs(urlsplit(self.path).query).get("recursive", [""])[0].lower() == "true"
        shown = [file for file in files if recursive or "/" not in file[len(prefix) :]]
        self._json([*entries, *map(found.entry, shown)])

    def _paths(self, body: bytes, kind: str, name: str, revision: str) -> None:
        found = self._repository(kind, name, revision)
        entries = []
        for path in parse_qs(body.decode()).get("paths", []):
            if path in found.files:
                entries.append(found.entry(path))
            elif any(file.startswith(f"{path}/") for file in found.files):
                entries.append(_folder(path))
        self._json(entries)

    def _file(self, body: bytes, kind: str | None, name: str, revision: str, file: str) -> None:
        found = self._repository(kind or "models", name, revision, files=True)
        known = {"X-Repo-Commit": found.commit}
        if file not in found.files:
            raise _Refused(404, "EntryNotFound", **known)
        data = found.files[file]
        if "lfs" not in found.entry(file):
            self._content(data, {**known, "ETag": f'"{_git_id(data)}"'})
            return
        number = _sha256(data)
        linked = {"X-Linked-ETag": f'"{number}"', "X-Linked-Size": str(len(data))}
        other = self.hub.url.replace("127.0.0.1", "localhost")  # large files are on another host
        place = f"{other}/cdn/{found.kind}/{found.name}/{number}/{file}"
        self._send(302, b"", {**known, **linked, "Location": place})

    def _large(self, body: bytes, kind: str, name: str, file: str) -> None:
        data = self.hub.repositories[kind, name].files[file]
        self._content(data, {"ETag": f'"{_sha256(data)}"'})

    def _content(self, data: bytes, headers: Mapping[str, str]) -> None:
        fault = self._fault(self.path, cuts=True) if self.command == "GET" else None
        after = None if fault is None else fault.after
        headers = {**headers, "Accept-Ranges": "bytes"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            self._send(200, data, headers, after)
            return
        first, last = int(asked[1]), int(asked[2]) if asked[2] else len(data) - 1
        part = data[first : last + 1]
        headers["Content-Range"] = f"bytes {first}-{first + len(part) - 1}/{len(data)}"
        self._send(206, part, headers, after)


_NAME = r"(?P<name>[^/]+(?:/[^/]+)?)"
_REPOSITORY = rf"/api/(?P<kind>models|datasets)/{_NAME}"
_ROUTES: list[tuple[str, Callable[..., None]]] = [
    ("/", _Handler._root),
    (_REPOSITORY + r"/tree/(?P<revision>[^/]+)(?:/(?P<folder>.+))?", _Handler._tree),
    (_REPOSITORY + r"/paths-info/(?P<revision>[^/]+)", _Handler._paths),
    (_REPOSITORY + r"/auth-check", _Handler._check),
    (_REPOSITORY + r"(?:/revision/(?P<revision>[^/]+))?", _Handler._info),
    (rf"/cdn/(?P<kind>\w+)/{_NAME}/[0-9a-f]{{64}}/(?P<file>.+)", _Handler._large),
    (rf"/(?:(?P<kind>datasets)/)?{_NAME}/resolve/(?P<revision>[^/]+)/(?P<file>.+)", _Handler._file),
]


def _folder(path: str) -> dict[str, Any]:
    return {"type": "directory", "path": path, "size": 0, "oid": COMMIT}


def _git_id(data: bytes) -> str:
    """The name by which Git keeps a file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
