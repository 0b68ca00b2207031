"""Copy artefacts to and from a store that is not on this machine: a bucket, or any other URL of fsspec.

Layout below the URL: ``<kind>/<key>/manifest.json``, and beside it a folder with the artefact's files. The
folder has the first digits of the manifest's checksum as its name. Two machines that upload the same artefact
therefore never write the same file, and the manifest, which is written last and only once, decides which
copy counts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from harness.api import HarnessError
from harness.storage import files
from harness.storage.leases import FolderBoard
from harness.storage.store import MANIFEST, Artefact, Store, Unsound, manifest_of, verify
from harness.wording import nearest

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_DIGITS = 16  # of the checksum, in the name of the folder with an artefact's files
_BUCKETS = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss"}  # protocols of object stores
_SLIP = re.compile(r"([a-z][a-z0-9+.-]+):/(?!/)(.+)", re.IGNORECASE)  # a URL that lacks a slash
_FSSPEC = (2024, 12)  # the first version that creates a file only if there is none
# Errors that are bugs of ours. Everything else that a file system raises is an error of the remote store: the
# libraries behind fsspec have many types of their own.
_BUGS = (HarnessError, Unsound, AssertionError, AttributeError, NameError, TypeError)


class RemoteError(HarnessError):
    """The error for a remote store that cannot be read or written."""


def is_url(text: str) -> bool:
    """Return whether a text is a URL, such as "s3://bucket/prefix", and not the path of a folder.

    Raise HarnessError if it lacks a slash to be one: what is meant for a bucket would stay on this machine.
    """
    if slip := _SLIP.fullmatch(text):
        protocol, rest = slip.groups()
        url = f"{protocol}://{'/' if protocol.lower() == 'file' else ''}{rest}"
        raise HarnessError(f"'{text}' is not a URL; did you mean '{url}'? The path of a folder is './{text}'")
    return "://" in text


class Remote:
    """A remote store. Raise RemoteError if the URL cannot be used, e.g. because a package is missing."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._root, self._process = "", -1
        self._files: AbstractFileSystem
        with self._told("open"):
            self._connect()

    @property
    def _fs(self) -> AbstractFileSystem:
        """Return the file system of this process: connections do not survive a fork."""
        if self._process != os.getpid():
            self._connect()
        return self._files

    def _connect(self) -> None:
        import fsspec
        from fsspec.core import url_to_fs

        if tuple(map(int, fsspec.__version__.split(".")[:2])) < _FSSPEC:
            raise RemoteError(
                f"cannot use the store {self.url} with fsspec {fsspec.__version__}; update it with: "
                "pip install -U fsspec"
            )
        self._files, root = url_to_fs(self.url, use_listings_cache=False)
        self._root = root.rstrip("/")
        self._process = os.getpid()

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Turn errors of the file system into one plain line."""
        try:
            yield
        except _BUGS:
            raise
        except Exception as error:
            cause = str(error).strip().partition("\n")[0] or type(error).__name__
            if isinstance(error, ImportError) and "s3fs" in cause:
                cause = "the package s3fs is missing; install it with: pip install 'distil-harness[s3]'"
            elif isinstance(error, ValueError) and what == "open" and is_url(self.url):
                cause = f"{cause}{self._near()}; allowed are URLs of fsspec, such as s3://bucket/prefix"
            raise RemoteError(f"cannot {what} the store {self.url}: {cause}") from None

    def _near(self) -> str:
        """Return the protocol that may be meant, as the end of a sentence about an unknown one."""
        from fsspec import available_protocols

        protocol = self.url.partition("://")[0]
        known = available_protocols()
        return "" if protocol in known else nearest(protocol, known)

    # -- reading --------------------------------------------------------------------------------------

    def keys(self, kind: str) -> set[str]:
        """Return the keys of all artefacts of a kind, by one listing."""
        with self._told("read"):
            try:
                found = self._fs.find(f"{self._root}/{kind}")
            except FileNotFoundError:
                return set()
        paths = (PurePosixPath(str(path)) for path in found)
        keys = {path.parts[-2] for path in paths if path.name == MANIFEST and path.parts[-3] == kind}
        return keys - {".", ".."}

    def manifest(self, kind: str, key: str) -> tuple[bytes, dict[str, Any]] | None:
        """Return an artefact's manifest, as bytes and as a value, or None if there is no such artefact.

        Raise Unsound if it is damaged.
        """
        with self._told("read"):
            try:
                raw = bytes(self._fs.cat_file(self._place(kind, key, MANIFEST)))
            except FileNotFoundError:
                return None
        return raw, manifest_of(raw, kind, key)

    def manifests(self, kind: str, keys: Iterable[str]) -> dict[str, bytes]:
        """Return the manifests of those artefacts that exist, by key, asked for together."""
        paths = {self._place(kind, key, MANIFEST): key for key in keys}
        if not paths:
            return {}
        with self._told("read"):
            found = self._fs.cat(list(paths), on_error="return")
            for value in found.values():
                if isinstance(value, Exception) and not isinstance(value, FileNotFoundError):
                    raise value
        return {paths[path]: bytes(raw) for path, raw in found.items() if not isinstance(raw, Exception)}

    def download(self, kind: str, key: str, store: Store) -> int:
        """Copy an artefact to a store, with its checksums checked; return the number of its bytes.

        Raise Unsound if it is damaged or gone; the store is unchanged then.
        """
        found = self.manifest(kind, key)
        if found is None:
            raise Unsound("it is gone")
        raw, manifest = found
        with store.workspace(key) as folder:
            for name in manifest["files"]:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                with self._told("read"):
                    try:
                        self._fs.get_file(self._file(kind, key, raw, name), str(folder / name))
                    except FileNotFoundError:
                        raise Unsound(f"{name} is missing") from None
            return store.adopt(kind, key, folder, raw).size_bytes

    # -- writing --------------------------------------------------------------------------------------

    def upload(self, artefact: Artefact) -> bool:
        """Copy an artefact to the remote store: its files first, then its manifest, if there is none.

        Files of an interrupted upload that are whole stay. Return whether the manifest was written; if not,
        another machine was faster, and its copy counts. Raise Unsound if the artefact is damaged.
        """
        verify(artefact)
        raw = (artefact.folder / MANIFEST).read_bytes()
        kind, key = artefact.kind, artefact.key
        for name, (size, _) in artefact.files.items():
            target = self._file(kind, key, raw, name)
            with self._told("write"):
                if self._size(target) != size:
                    self._make_parent(target)
                    self._fs.put_file(str(artefact.folder / name), target)
        return self.create(f"{kind}/{key}/{MANIFEST}", raw)

    def create(self, name: str, content: bytes) -> bool:
        """Write a small file if there is none of this name; return whether it was written.

        If two machines try it at the same time, one of them succeeds.
        """
        path = f"{self._root}/{name}"
        with self._told("write"):
            self._make_parent(path)
            try:
                if "file" in self._protocols:
                    return files.create(Path(path), content)
                self._fs.pipe_file(path, content, mode="create")
            except FileExistsError:
                return False
        return True

    # -- small files, as a board (see harness.storage.leases) -----------------------------------------

    def read(self, name: str) -> bytes | None:
        """Return what is in a small file, or None if there is none."""
        with self._told("read"):
            try:
                return bytes(self._fs.cat_file(f"{self._root}/{name}"))
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        """Write or replace a small file."""
        path = f"{self._root}/{name}"
        with self._told("write"):
            self._make_parent(path)
            self._fs.pipe_file(path, content)

    def names(self, folder: str) -> list[str]:
        """Return the names of the files in a folder."""
        with self._told("read"):
            try:
                found = self._fs.find(f"{self._root}/{folder}")
            except FileNotFoundError:
                return []
        return [PurePosixPath(str(path)).name for path in found]

    def delete(self, name: str) -> None:
        """Delete a small file, if there is one."""
        with self._told("write"), suppress(FileNotFoundError):
            self._fs.rm_file(f"{self._root}/{name}")

    # -- removing -------------------------------------------------------------------------------------

    def remove(self, kind: str, key: str) -> None:
        """Remove an artefact: its manifest first, so that no reader sees a part of it."""
        with self._told("write"), suppress(FileNotFoundError):
            self._fs.rm_file(self._place(kind, key, MANIFEST))
        with self._told("write"), suppress(FileNotFoundError):
            self._fs.rm(f"{self._root}/{kind}/{key}", recursive=True)

    def _make_parent(self, path: str) -> None:
        """Make the folder of a file. Buckets have no folders, and one that is missing must not be made."""
        if not _BUCKETS & set(self._protocols):
            self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)

    @property
    def _protocols(self) -> tuple[str, ...]:
        found = self._fs.protocol
        return (found,) if isinstance(found, str) else tuple(found)

    def _place(self, kind: str, key: str, name: str) -> str:
        return f"{self._root}/{kind}/{key}/{name}"

    def _file(self, kind: str, key: str, raw: bytes, name: str) -> str:
        checksum: str = manifest_of(raw, kind, key)["checksum"]
        return self._place(kind, key, f"{checksum[:_DIGITS]}/{name}")

    def _size(self, path: str) -> int | None:
        try:
            return int(self._fs.size(path) or 0)
        except FileNotFoundError:
            return None


class Folder(FolderBoard):
    """A store in a folder, as the other end of a copy; it has the methods of Remote."""

    def __init__(self, root: Path, create: bool) -> None:
        if not create and not root.is_dir():
            raise RemoteError(f"cannot find a store at {str(root)!r}")
        super().__init__(root)
        self.store = Store(root, create=create)
        self.url = str(root)

    def keys(self, kind: str) -> set[str]:
        """Return the keys of all artefacts of a kind that have a manifest."""
        return {key for key in self.store.keys(kind) if (self.store.root / kind / key / MANIFEST).is_file()}

    def manifest(self, kind: str, key: str) -> tuple[bytes, dict[str, Any]] | None:
        """Return an artefact's manifest, or None if there is none. Raise Unsound if it is damaged."""
        raw = self.read(f"{kind}/{key}/{MANIFEST}")
        return None if raw is None else (raw, manifest_of(raw, kind, key))

    def manifests(self, kind: str, keys: Iterable[str]) -> dict[str, bytes]:
        """Return the manifests of those artefacts that exist, by key."""
        found = {key: self.read(f"{kind}/{key}/{MANIFEST}") for key in keys}
        return {key: raw for key, raw in found.items() if raw is not None}

    def remove(self, kind: str, key: str) -> None:
        """Remove an artefact."""
        self.store.remove(kind, key)

    def download(self, kind: str, key: str, store: Store) -> int:
        """Copy an artefact to another store. Raise Unsound if it is damaged or gone."""
        import shutil

        self.store.forget(key)
        artefact = self.store.look(kind, key)
        if artefact is None:
            raise Unsound("it is gone")
        with store.workspace(key) as folder:
            for name in artefact.files:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(artefact.folder / name, folder / name)
            return store.adopt(kind, key, folder, (artefact.folder / MANIFEST).read_bytes()).size_bytes

    def upload(self, artefact: Artefact) -> bool:
        """Copy an artefact to the folder, unless it has it. Raise Unsound if it is damaged.

        Return whether this copy counts; if not, another machine was faster.
        """
        source = Folder(artefact.folder.parent.parent, create=False)
        source.download(artefact.kind, artefact.key, self.store)
        own = (artefact.folder / MANIFEST).read_bytes()
        return self.read(f"{artefact.kind}/{artefact.key}/{MANIFEST}") == own


def place(where: str, create: bool) -> Remote | Folder:
    """Return the store at a URL or in a folder; with `create`, a folder is made if it is missing."""
    if where.startswith("file://"):
        where = where.removeprefix("file://")
    return Remote(where) if is_url(where) else Folder(Path(where), create)


class Copied:
    """The result of a copy."""

    def __init__(self) -> None:
        self.copied, self.present, self.bytes = 0, 0, 0
        self.missing = 0  # wanted, but the source has no such artefact
        self.errors: list[str] = []  # one line for each artefact that could not be copied

    def failed(self, kind: str, key: str, error: Exception, where: str) -> None:
        """Note why an artefact could not be copied; `where` says where a damaged one is."""
        cause = files.why(error) if isinstance(error, OSError) else str(error)
        if isinstance(error, Unsound):
            cause = f"it is damaged {where} ({error})"
        self.errors.append(f"{kind} {key[:12]} was not copied: {cause}")


def push(store: Store, target: Remote | Folder, wanted: Mapping[str, set[str]]) -> Copied:
    """Copy artefacts of a store to another one, unless it has them; `wanted` are keys by kind."""
    done = Copied()
    for kind, keys in wanted.items():
        here = store.keys(kind) & keys
        done.missing += len(keys - here)
        there = target.keys(kind) if here else set()
        done.present += len(here & there)
        for key in sorted(here - there):
            try:
                artefact = store.look(kind, key)
                if artefact is None:
                    raise Unsound("it is gone")
                if target.upload(artefact):
                    done.copied += 1
                    done.bytes += artefact.size_bytes
                else:
                    done.present += 1
            except (Unsound, OSError, HarnessError) as error:
                done.failed(kind, key, error, "here")
    return done


def pull(store: Store, source: Remote | Folder, wanted: Mapping[str, set[str] | None]) -> Copied:
    """Copy artefacts of another store to this one; `wanted` are keys by kind, or None for all of a kind."""
    done = Copied()
    for kind, keys in wanted.items():
        there = source.keys(kind)
        here = store.keys(kind)
        done.missing += len(keys - there - here) if keys is not None else 0
        keys = there if keys is None else keys & there
        done.present += len(keys & here)
        for key in sorted(keys - here):
            try:
                done.bytes += source.download(kind, key, store)
                done.copied += 1
            except (Unsound, OSError, HarnessError) as error:
                done.failed(kind, key, error, "there")
    return done
