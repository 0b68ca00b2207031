"""Find JavaScript libraries for pages: in a folder, in the cache of this machine, or at the registry of npm.

Versions are pinned, and each file is checked by its SHA-256, wherever it comes from.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

from harness.api import HarnessError
from harness.storage.files import publish, why
from harness.wording import size

REGISTRY = "https://registry.npmjs.org"
TIMEOUT = 60  # seconds without an answer from the registry
_LARGEST = 100_000_000  # bytes of a package


class Package(NamedTuple):
    """A package of npm, and the files that are needed of it."""

    name: str
    version: str
    licence: str
    files: Mapping[str, str]  # path in the package → SHA-256

    @property
    def title(self) -> str:
        """Return name and version, as ``npm install`` takes them."""
        return f"{self.name}@{self.version}"

    @property
    def address(self) -> str:
        """Return the URL of the package's archive; ``NPM_CONFIG_REGISTRY`` names another registry."""
        registry = os.environ.get("NPM_CONFIG_REGISTRY") or REGISTRY
        short = self.name.rpartition("/")[2]
        return f"{registry.rstrip('/')}/{self.name}/-/{short}-{self.version}.tgz"


def files_of(
    packages: Sequence[Package], folder: Path | None = None, tell: Callable[[str], None] = lambda line: None
) -> dict[str, bytes]:
    """Return the files of packages, by their path in the package.

    `folder` is one in which ``npm install`` has put the packages; None: the cache, which is filled from the
    registry if necessary. `tell` is called with a line before a download. Raise HarnessError if a file is
    not there, cannot be downloaded, or is of another version.
    """
    found: dict[str, bytes] = {}
    for package in packages:
        if folder is None:
            found |= _cached(package, packages, tell)
            continue
        within = next((at for at in (folder / "node_modules", folder) if (at / package.name).is_dir()), None)
        if within is None:
            raise HarnessError(f"cannot find {package.name} in {folder}; run: {_install(packages, folder)}")
        own, problem = _read(package, within / package.name)
        if problem:
            raise HarnessError(
                f"cannot use {package.name} in {folder}: {problem}; run: {_install(packages, folder)}"
            )
        found |= own
    return found


def _install(packages: Sequence[Package], folder: Path | str) -> str:
    return f"npm install --prefix {folder} {' '.join(package.title for package in packages)}"


def _read(package: Package, folder: Path) -> tuple[dict[str, bytes], str]:
    """Return the files of a package, and what is wrong with the first bad one."""
    found = {}
    for name, digest in package.files.items():
        try:
            found[name] = (folder / name).read_bytes()
        except OSError as error:
            return {}, f"cannot read {name}: {why(error)}"
        if hashlib.sha256(found[name]).hexdigest() != digest:
            return {}, f"{name} is not that of version {package.version}"
    return found, ""


def _cached(package: Package, packages: Sequence[Package], tell: Callable[[str], None]) -> dict[str, bytes]:
    """Return the files of a package from the cache, after a download if it lacks them."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "distil-harness" / "npm"
    folder = home / package.title
    found, problem = _read(package, folder)
    if not problem:
        return found
    tell(f"downloading {package.title} from {package.address}, once")
    try:
        archive = _downloaded(package.address)
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as opened:
            for name in package.files:
                member = opened.extractfile(f"package/{name}")
                found[name] = b"" if member is None else member.read(_LARGEST)
    except (OSError, HTTPException, ValueError, KeyError, EOFError, tarfile.TarError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise HarnessError(
            f"cannot download {package.title} from {package.address}: {reason}; on a machine with a network, "
            f"run: {_install(packages, 'web')}; then name its folder with --demo-runtime web"
        ) from None
    for name, digest in package.files.items():
        if hashlib.sha256(found[name]).hexdigest() != digest:
            raise HarnessError(
                f"cannot use {package.title} from {package.address}: {name} is not the file that was "
                "published; set NPM_CONFIG_REGISTRY to another registry, or name a folder with --demo-runtime"
            )
    with suppress(HarnessError):  # if it cannot be kept, it is downloaded again the next time
        for name, content in found.items():
            publish(folder / name, content)
    return found


def _downloaded(address: str) -> bytes:
    if not address.startswith(("https://", "http://")):
        raise ValueError("expected an address that starts with https://")
    with urlopen(address, timeout=TIMEOUT) as answer:
        content: bytes = answer.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise ValueError(f"the package has more than {size(_LARGEST)}")
    return content
