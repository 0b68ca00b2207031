"""Ask the hub for models and data sets, report downloads, and word its refusals."""

from __future__ import annotations

import errno
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal, TypeVar

from harness.wording import duration, size

T = TypeVar("T")
Kind = Literal["model", "dataset"]

_EVERY_S = 5.0  # between two messages about a download
_WAIT_S = 30.0  # the longest that the hub may ask to wait; a plan should not take minutes
_TRIES = 4
_TELL: ContextVar[Callable[[str], None] | None] = ContextVar("tell", default=None)


def endpoint() -> str:
    """Return the hub's address."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"


def hub_cache() -> Path:
    """Return the folder in which the hub's library keeps files."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    home = Path(os.environ.get("HF_HOME") or caches / "huggingface")
    return Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()


def cached_repository(kind: Kind, name: str) -> Path:
    """Return the folder in which the hub's library keeps the files of a model or data set."""
    return hub_cache() / f"{kind}s--{name.replace('/', '--')}"


@contextmanager
def telling(tell: Callable[[str], None]) -> Iterator[None]:
    """Pass messages about downloads to a function while the code inside runs; else they are lost."""
    token = _TELL.set(tell)
    try:
        yield
    finally:
        _TELL.reset(token)


def known_to_hub(kind: Kind, name: str, revision: str) -> Any:
    """Return what the hub says about a model or data set: `sha` and `siblings`, files with their sizes.

    If the hub limits requests, wait as long as it asks for, up to half a minute. Its library's errors are
    raised as they are: see :func:`refusal`.
    """
    from huggingface_hub import HfApi

    api, options = HfApi(), {"repo_type": kind, "revision": revision, "timeout": 10, "files_metadata": True}
    info = _patiently(lambda: api.repo_info(name, **options))  # type: ignore[arg-type]
    if getattr(info, "gated", False):  # everybody may see what it has, and only some its files
        _patiently(lambda: api.auth_check(name, repo_type=kind))
    return info


@contextmanager
def downloading(kind: Kind, name: str, total: int = 0) -> Iterator[None]:
    """Tell how many of `total` bytes have arrived (0: unknown) while the code inside downloads them."""
    tell, folder = _TELL.get(), cached_repository(kind, name) / "blobs"
    if tell is None:
        yield
        return
    what = f"{'data set' if kind == 'dataset' else kind} '{name}'"
    before, ended = _bytes(folder), threading.Event()

    def watch() -> None:
        last = before
        while not ended.wait(_EVERY_S):
            if (now := _bytes(folder)) > last:
                last = now
                whole = f" of {size(total)}" if total else ""
                tell(f"downloading {what}: {size(now - before)}{whole}")

    weight = f" ({size(total)})" if total else ""
    tell(f"downloading {what}{weight} from {endpoint()}")
    thread = threading.Thread(target=watch, name="download", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def refusal(error: BaseException, kind: Kind, name: str) -> str:
    """Return in one line why the hub does not give a model or data set, with a remedy."""
    page = f"{endpoint()}/{'datasets/' if kind == 'dataset' else ''}{name}"
    for each in _chain(error):
        response = getattr(each, "response", None)
        status = getattr(response, "status_code", 0)
        said = getattr(response, "headers", {}).get("x-error-message", "")
        if found := _by_type(type(each).__name__, status, said, page):
            return found
        if status == 429:
            wait = _asked_to_wait(each)
            when = f"in {duration(wait)}" if wait else "later"
            return f"it limits requests; try again {when}, or log in with `hf auth login` for a higher limit"
        if status >= 500:
            return f"it fails (HTTP status {status}); try again later"
        if isinstance(each, OSError) and each.errno == errno.ENOSPC:
            return f"the disk of {hub_cache()} is full; free some space, or set HF_HOME to another folder"
    if any(type(each).__name__ in _BROKEN or isinstance(each, ConnectionError) for each in _chain(error)):
        return "the connection broke off; run the same command again: files that have arrived are kept"
    lines = (line.strip() for line in str(error).splitlines())
    return next((line.rstrip(".") for line in lines if line), type(error).__name__)


_BROKEN = {
    *("ConnectError", "ReadError", "WriteError", "RemoteProtocolError", "ProxyError"),
    *("ConnectTimeout", "ReadTimeout", "WriteTimeout", "PoolTimeout"),
}


def _by_type(name: str, status: int, said: str, page: str) -> str:
    """Return why the hub's library raised an error of this type; "" if the type does not tell."""
    if status == 401 and "credentials" in said.lower():
        return "the hub refuses your token; log in again with `hf auth login`"
    if name == "GatedRepoError" and status == 403:
        return f"it is gated, and your account has no access to it yet; ask for access at {page}"
    if name == "GatedRepoError":
        return f"it is gated; ask for access at {page}, then log in with `hf auth login`"
    if name == "RepositoryNotFoundError" or status == 401:  # as the hub answers those who are not logged in
        return "there is none of this name, or it is private; check the name, or log in with `hf auth login`"
    if name == "RevisionNotFoundError":
        return f"it has no such revision; see {page}/commits/main"
    if status == 403:
        return f"the hub refuses access; check at {page} what your token may read"
    return ""


def _patiently(ask: Callable[[], T]) -> T:
    """Return the hub's answer; if it limits requests, wait as it asks for and try again."""
    for tries in range(1, _TRIES + 1):
        try:
            return ask()
        except Exception as error:  # of the hub, or of its client for HTTP
            limited = getattr(getattr(error, "response", None), "status_code", 0) == 429
            wait = (_asked_to_wait(error) or float(2**tries)) if limited else 0.0
            if not limited or wait > _WAIT_S or tries == _TRIES:
                raise
            if tell := _TELL.get():
                tell(f"the hub limits requests: trying again in {duration(wait)}")
            time.sleep(wait)
    raise AssertionError("the last try returned or raised")


def _asked_to_wait(error: BaseException) -> float:
    """Return the seconds that the hub asks to wait for; 0 if it does not say."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    limits = re.search(r"\bt=(\d+)", headers.get("ratelimit", ""))
    asked = limits[1] if limits else headers.get("retry-after", "")
    return float(asked) if re.fullmatch(r"\d{1,5}", asked) else 0.0


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it came from."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or each.__context__


def _bytes(folder: Path) -> int:
    """Return the bytes of the files in a folder."""
    total = 0
    for path in folder.glob("*"):
        try:
            total += path.stat().st_size
        except OSError:  # renamed at this moment
            continue
    return total
