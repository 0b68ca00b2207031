"""Use a store in a bucket, or elsewhere, through a folder of this machine that keeps copies of what is used.

The folder is a store whose file ``upstream`` has the URL. Every process that opens it with :func:`opened`
finds the same artefacts as other machines. A look at an artefact copies its manifest alone; its files are
copied when it is opened, and their checksums are checked. A published artefact is kept in the folder and sent
to the store elsewhere, files first and manifest last, unless another machine was faster.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path

from harness.api import HarnessError
from harness.storage import files
from harness.storage.leases import Leases, NoLeases
from harness.storage.remote import Folder, Remote, RemoteError, is_url, place
from harness.storage.store import MANIFEST, Artefact, Damaged, Store, Unsound, manifest_of

UPSTREAM = "upstream"
_CACHES = Path(".harness/cache")


def folder_of(where: str) -> Path:
    """Return the folder for ``--store``: that of a path, or the one in front of the store at a URL.

    The latter is made, in ``HARNESS_CACHE`` or ``.harness/cache``. Raise HarnessError if that fails, or if
    `where` is nearly a URL.
    """
    if not is_url(where):
        return Path(where)
    url = where.rstrip("/")
    readable = re.sub(r"[^\w.-]+", "-", url.partition("://")[2]).strip("-.")[-60:]
    digest = hashlib.sha256(url.encode()).hexdigest()[:8]
    folder = Path(os.environ.get("HARNESS_CACHE") or _CACHES) / f"{readable}-{digest}"
    if not (folder / UPSTREAM).is_file():
        try:
            files.publish(folder / UPSTREAM, f"{url}\n")
        except HarnessError as error:
            raise HarnessError(
                f"{error}; copies of what is used of {url} are kept there; "
                "set HARNESS_CACHE to a folder that can be written"
            ) from None
    return folder


def url_of(root: Path) -> str:
    """Return the URL of the store elsewhere that a folder is in front of; "" for a store of its own."""
    try:
        return files.contents(root / UPSTREAM).decode().strip()
    except (OSError, UnicodeError):
        return ""


def shown(root: Path) -> str:
    """Return the name of a store's folder for people; if it has copies of a store elsewhere, with its URL."""
    url = url_of(root)
    return f"{root} (copies of what is used of {url})" if url else str(root)


def opened(root: Path) -> Store:
    """Return the store in a folder; if the folder is the cache of a store elsewhere, both together."""
    url = url_of(root)
    return Shared(root, url) if url else Store(root)


class Shared(Store):
    """A store elsewhere, with a folder of this machine in front of it."""

    def __init__(self, root: Path, url: str) -> None:
        super().__init__(root)
        self.url = url
        self._listed: dict[str, set[str]] = {}  # keys of artefacts there by kind, as last listed
        self._reached = False  # whether the store elsewhere could ever be used

    def reach(self) -> None:
        """Raise HarnessError if the store elsewhere cannot be read."""
        self._there.keys("data")

    @cached_property
    def _there(self) -> Remote | Folder:
        return place(self.url, create=True)

    # -- reading --------------------------------------------------------------------------------------

    def keys(self, kind: str) -> set[str]:
        """See :class:`Store`. Raise HarnessError if the store elsewhere could never be read."""
        try:
            self._listed[kind] = self._there.keys(kind)
        except RemoteError:
            if kind not in self._listed:
                raise
        return super().keys(kind) | self._listed[kind]

    def look(self, kind: str, key: str) -> Artefact | None:
        """See :class:`Store`. The files of the artefact may still be elsewhere, until `open` is called.

        If the store elsewhere cannot be read, only what is here is found.
        """
        found = super().look(kind, key)
        if found is None:
            with suppress(RemoteError), self._repaired(kind, key):
                if (told := self._there.manifest(kind, key)) is not None:
                    found = self._remember(kind, key, told[0])
        return found

    def _remember(self, kind: str, key: str, raw: bytes) -> Artefact:
        value = manifest_of(raw, kind, key)
        folder = self.root / kind / key
        artefact = Artefact(kind, key, folder, value["result"], value["made"], value["files"])
        self._known[key] = artefact
        return artefact

    def open(self, kind: str, key: str) -> Artefact:
        """See :class:`Store`. Raise HarnessError if its files are not here and cannot be copied."""
        if not (self.root / kind / key / MANIFEST).exists():
            self._fetch(kind, key)
        return super().open(kind, key)

    def _fetch(self, kind: str, key: str) -> None:
        """Copy an artefact to the folder. If it is damaged there, remove it there and raise Damaged."""
        self.forget(key)
        try:
            try:
                self._there.download(kind, key, self)
            except Unsound:  # another machine may have replaced it in the meantime, or the copy went wrong
                self._there.download(kind, key, self)
        except Unsound as fault:
            self._there.remove(kind, key)
            raise Damaged(kind, key, f"{fault}, at {self.url}") from None

    @contextmanager
    def _repaired(self, kind: str, key: str) -> Iterator[None]:
        """Remove an artefact elsewhere whose manifest is damaged, so that it is made again."""
        try:
            yield
        except Unsound:
            self._there.remove(kind, key)

    def expect(self, wanted: Mapping[str, set[str]]) -> None:
        """See :class:`Store`. Ask for all manifests together, because one after the other takes long.

        Raise HarnessError if the store elsewhere could never be read; later, what is known already must do.
        """
        try:
            for kind, keys in wanted.items():
                here = super().keys(kind)
                missing = (keys & (self.keys(kind) - here)) - self._known.keys()
                for key, raw in self._there.manifests(kind, missing).items():
                    with self._repaired(kind, key):
                        self._remember(kind, key, raw)
        except RemoteError:
            if not self._reached:
                raise
        self._reached = True

    # -- writing --------------------------------------------------------------------------------------

    @contextmanager
    def claim(self, key: str, waiting: Callable[[bool], None] = lambda waits: None) -> Iterator[None]:
        """Do nothing: the runner has the step's lease, which counts on all machines."""
        yield

    def leases(self, notice: Callable[[str], None]) -> Leases | NoLeases:
        """See :class:`Store`."""
        return Leases(self._there, notice)

    def share(self, artefact: Artefact) -> Artefact:
        """See :class:`Store`."""
        kind, key = artefact.kind, artefact.key
        if self._there.upload(artefact):
            return artefact
        told = self._there.manifest(kind, key)
        if told is not None and told[0] == (artefact.folder / MANIFEST).read_bytes():
            return artefact  # sent before, or the answer to it was lost
        # Another machine was faster. All use its copy, which differs in its times.
        with self.workspace(f"{key}.own") as aside:
            (self.root / kind / key).rename(aside / "own")
            self.forget(key)
            try:
                return self.open(kind, key)
            except HarnessError:
                if not (self.root / kind / key).exists():
                    (aside / "own").rename(self.root / kind / key)
                raise

    def deliver(self, wanted: Mapping[str, set[str]]) -> None:
        """See :class:`Store`."""
        for kind, keys in wanted.items():
            for key in sorted((super().keys(kind) & keys) - self._listed.get(kind, set())):
                with suppress(Unsound, Damaged):  # found again, and told, when it is used
                    artefact = super().look(kind, key)
                    if artefact is not None and (artefact.folder / MANIFEST).is_file():
                        self.share(artefact)
                        self._listed.setdefault(kind, set()).add(key)

    def remove(self, kind: str, key: str) -> None:
        """Remove an artefact here and elsewhere."""
        super().remove(kind, key)
        self._there.remove(kind, key)
