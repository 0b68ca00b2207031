"""A local HTTP server with the part of the hub's API that an upload uses."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class Hub:
    """What was uploaded: the files of each repository, by path, and the requests."""

    address: str = ""
    token: str = "hf_writer"
    private: dict[str, bool] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@contextmanager
def hub() -> Iterator[Hub]:
    """Run a hub on this machine, whose writers need its token."""
    state = Hub()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *about: Any) -> None:
            pass

        def _answer(self, found: Any, status: int = 200) -> None:
            body = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def do_GET(self) -> None:
            state.asked.append(f"GET {self.path}")
            path = self.path.partition("?")[0]
            if path.startswith("/api/models/"):
                name = "/".join(path.split("/")[3:5])
                files = state.files.get(name)
                if files is None:
                    self._answer({"error": "Repository not found"}, 404)
                elif "/tree/" in path:
                    listed = [
                        {"type": "file", "path": one, "size": len(data), "oid": "0" * 40}
                        for one, data in files.items()
                    ]
                    self._answer(listed)
                else:
                    siblings = [{"rfilename": one} for one in files]
                    self._answer({"id": name, "modelId": name, "sha": "0" * 40, "siblings": siblings})
            else:
                self._answer({"error": "not found"}, 404)

        def do_POST(self) -> None:
            state.asked.append(f"POST {self.path}")
            body = self._body()
            if self.path == "/api/validate-yaml":
                self._answer({"errors": [], "warnings": []})
            elif self.headers.get("Authorization") != f"Bearer {state.token}":
                self._answer({"error": "Invalid username or password."}, 401)
            elif self.path == "/api/repos/create":
                given = json.loads(body)
                name = f"{given.get('organization') or 'me'}/{given['name']}"
                state.private.setdefault(
                    name, "private" in (given.get("visibility"), given.get("private") and "private")
                )
                state.files.setdefault(name, {})
                self._answer({"url": f"{state.address}/{name}", "id": name, "name": name})
            elif "/preupload/" in self.path:
                files = json.loads(body)["files"]
                told = [
                    {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False} for one in files
                ]
                self._answer({"files": told})
            elif "/commit/" in self.path:
                name = "/".join(self.path.split("/")[3:5])
                for line in body.splitlines():
                    change = json.loads(line)
                    if change["key"] == "file":
                        data = base64.b64decode(change["value"]["content"])
                        state.files[name][change["value"]["path"]] = data
                    elif change["key"] == "deletedFile":
                        del state.files[name][change["value"]["path"]]
                url = f"{state.address}/{name}/commit/{'1' * 40}"
                self._answer({"commitUrl": url, "commitOid": "1" * 40, "success": True, "hookOutput": ""})
            else:
                self._answer({"error": "not found"}, 404)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
