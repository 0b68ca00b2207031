"""A browser for tests: it keeps what a page complains of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# What a reader may have changed: the theme, the order of rows, filters, and which rows are looked at.
_PUT_BACK = """looks => {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem("harness-theme");
    document.activeElement.blur();
    scrollTo(0, 0);
    for (const head of document.querySelectorAll("th[aria-sort]")) head.removeAttribute("aria-sort");
    for (const body of document.querySelectorAll(".board tbody"))
        body.append(...[...body.rows].sort((one, other) => one.dataset.index - other.dataset.index));
    for (const form of document.querySelectorAll("form[role=search]")) form.reset();
    document.querySelectorAll("form.look select").forEach((select, i) => {
        if (select.value === looks[i]) return;
        select.value = looks[i];
        select.dispatchEvent(new Event("change", { bubbles: true }));
    });
}"""
_LOOKS = "[...document.querySelectorAll('form.look select')].map(select => select.value)"
_TEXT = (
    "[...document.querySelectorAll('main :is(th, td, text, output)')].map(one => one.textContent).join('|')"
)


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


class Shared:
    """A page that many tests look at one after the other, each as it was when it was opened."""

    def __init__(self, chromium: Any, path: Path, **options: Any) -> None:
        self.browser = Browser(chromium)
        self.page = self.browser.open(path, **options)
        self.looks, self.text = self.page.evaluate(_LOOKS), self.page.evaluate(_TEXT)

    def put_back(self) -> list[str]:
        """Undo what a test changed: the page must say again what it said at first. What it complained of."""
        self.page.mouse.move(0, 0)
        self.page.evaluate(_PUT_BACK, self.looks)
        self.page.wait_for_function(f"text => {_TEXT} === text", arg=self.text, timeout=10_000)
        complaints, self.browser.complaints[:] = list(self.browser.complaints), []
        return complaints
