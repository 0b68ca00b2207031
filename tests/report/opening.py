"""A browser for tests: it keeps what a page complains of."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Browser:
    """Opens files, without a network."""

    def __init__(self, chromium: Any) -> None:
        self.chromium = chromium
        self.contexts: list[Any] = []
        self.complaints: list[str] = []

    def open(
        self, path: Path, width: int = 1280, height: int = 900, charts: bool = True, **options: Any
    ) -> Any:
        """The page, once its charts are drawn."""
        context = self.chromium.new_context(
            viewport={"width": width, "height": height}, offline=True, reduced_motion="reduce", **options
        )
        self.contexts.append(context)
        page = context.new_page()
        address = path.resolve().as_uri()
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on(
            "dialog", lambda dialog: (self.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss())
        )
        page.on("console", lambda said: self._said(said.type, said.text))
        page.on("request", lambda request: self._asked("request", request.url, address))
        page.on("response", lambda response: self._asked("response", response.url, address))
        page.goto(address)
        if charts:
            page.wait_for_selector("html[data-ready]", timeout=60_000)
        return page

    def _said(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(f"{kind}: {text}")

    def _asked(self, kind: str, url: str, address: str) -> None:
        if url.partition("#")[0] != address and not url.startswith(("data:", "blob:")):
            self.complaints.append(f"{kind}: {url}")

    def close(self) -> None:
        for context in self.contexts:
            context.close()
