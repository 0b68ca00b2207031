"""What is told about downloads and refusals of the hub, without a hub."""

from __future__ import annotations

import errno
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.sources import downloads
from harness.sources.downloads import cached_repository, downloading, known_to_hub, refusal, telling


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.test/")
    return tmp_path


class GatedRepoError(Exception):
    """As the hub's library calls it."""


def answered(kind: type[Exception], status: int, text: str = "no", **headers: str) -> Exception:
    """An error of HTTP."""
    error = kind(text)
    error.response = SimpleNamespace(status_code=status, headers=headers)  # type: ignore[attr-defined]
    return error


def from_cause(error: Exception, cause: Exception) -> Exception:
    try:
        raise error from cause
    except Exception as raised:
        return raised


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (answered(Exception, 401), "there is none of this name, or it is private; check the name, or log in"),
        (
            answered(Exception, 401, **{"x-error-message": "Invalid credentials in Authorization header"}),
            "the hub refuses your token; log in again with `hf auth login`",
        ),
        (
            answered(Exception, 403),
            "the hub refuses access; check at http://hub.test/a/b what your token may read",
        ),
        (answered(Exception, 502), "it fails (HTTP status 502); try again later"),
        (
            answered(Exception, 429),
            "it limits requests; try again later, or log in with `hf auth login` for a",
        ),
        (
            answered(Exception, 429, ratelimit='"api";r=0;t=120'),
            "it limits requests; try again in 2 min, or log",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "is full; free some space, or set HF_HOME to another",
        ),
        (
            ConnectionResetError("reset"),
            "the connection broke off; run the same command again: files that",
        ),
        (
            from_cause(ValueError("Got: x"), answered(GatedRepoError, 401)),
            "it is gated; ask for access at http://",
        ),
        (
            from_cause(ValueError("Got: x"), answered(GatedRepoError, 403)),
            "your account has no access to it yet",
        ),
        (ValueError("\n odd data.\nmore"), "odd data"),
        (KeyError(), "KeyError"),
    ],
    ids=lambda value: value if isinstance(value, str) else repr(value),
)
def test_a_refusal_is_one_line_with_a_remedy(error: Exception, says: str) -> None:
    found = refusal(error, "model", "a/b")
    assert says in found and "\n" not in found


def test_the_page_of_a_data_set_is_another() -> None:
    found = refusal(answered(GatedRepoError, 401), "dataset", "a/b")
    assert (
        found
        == "it is gated; ask for access at http://hub.test/datasets/a/b, then log in with `hf auth login`"
    )


def test_a_download_is_told_while_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "_EVERY_S", 0.02)
    blobs = cached_repository("model", "a/b") / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "old").write_bytes(bytes(500))
    (blobs / "new.incomplete").write_bytes(bytes(1000))
    told: list[str] = []
    with telling(told.append), downloading("model", "a/b", 4000):
        time.sleep(0.1)
        assert len(told) == 1  # nothing arrives
        with (blobs / "new.incomplete").open("ab") as stream:
            stream.write(bytes(1500))
        until = time.monotonic() + 5
        while len(told) < 2 and time.monotonic() < until:
            time.sleep(0.01)
    assert told == [
        "downloading model 'a/b' (4.00 kB) from http://hub.test",
        "downloading model 'a/b': 1.50 kB of 4.00 kB",
    ]
    with telling(told.append), downloading("dataset", "c"):
        pass
    assert told[2:] == ["downloading data set 'c' from http://hub.test"]


def test_nobody_needs_to_listen() -> None:
    with downloading("model", "a/b", 10):
        pass


class Api:
    """A hub that limits some requests."""

    def __init__(self, limited: list[Exception], gated: Any = False) -> None:
        self.limited = limited
        self.gated = gated
        self.checked = 0

    def repo_info(self, name: str, **options: Any) -> Any:
        assert options["revision"] == "v1" and options["repo_type"] == "model"
        if self.limited:
            raise self.limited.pop(0)
        return SimpleNamespace(sha="1", siblings=[], gated=self.gated)

    def auth_check(self, name: str, repo_type: str) -> None:
        self.checked += 1


def test_it_is_waited_as_long_as_the_hub_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(downloads.time, "sleep", waits.append)
    busy = [answered(Exception, 429, **{"retry-after": "7"}), answered(Exception, 429)]
    api = Api(busy, gated="auto")
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: api)
    assert known_to_hub("model", "a/b", "v1").sha == "1"
    assert waits == [7, 4] and api.checked == 1
    for error in (answered(Exception, 429, **{"retry-after": "31"}), answered(Exception, 500)):
        api.limited = [error]
        with pytest.raises(Exception, match="no") as caught:
            known_to_hub("model", "a/b", "v1")
        assert caught.value is error
    api.limited = [answered(Exception, 429) for _ in range(9)]
    with pytest.raises(Exception, match="no"):
        known_to_hub("model", "a/b", "v1")
    assert len(api.limited) == 5 and len(waits) == 5
