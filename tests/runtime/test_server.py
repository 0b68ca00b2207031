"""The HTTP server of `harness serve`: a real process, asked over a socket."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the extra serve is not installed")
pytest.importorskip("prometheus_client", reason="the extra serve is not installed")

from harness.runtime import load
from harness.runtime.answerer import Answerer
from harness.runtime.server import Batches, Bounds, Refused

MODEL = Path(__file__).parents[1] / "fixtures" / "earlier" / "bundles" / "classification"
TEXTS = ["a fine day", "what a sad and grey morning", "good", "bad", "the weather in town"]


def start(*options: str) -> tuple[subprocess.Popen[str], str]:
    """Start a server at a free port; return the process and the first line that it prints."""
    command = [sys.executable, "-m", "harness", "serve", str(MODEL), "--port", "0", *options]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    return running, running.stderr.readline()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    running, line = start("--most-texts", "20", "--most-bytes", "2000")
    try:
        assert line.startswith(f"serving {MODEL} at http://127.0.0.1:"), line
        yield line.partition(" at ")[2].partition(";")[0]
    finally:
        running.send_signal(signal.SIGTERM)
        _, error = running.communicate(timeout=20)
    assert running.returncode in (0, 143, -signal.SIGTERM) and "Traceback" not in error, error


def asked(url: str, given: Any = None) -> tuple[int, Any]:
    """Return the status and the JSON value, or text, of a response."""
    data = None if given is None else given if isinstance(given, bytes) else json.dumps(given).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data), timeout=30) as answer:
            body = answer.read().decode()
            kind = answer.headers["content-type"]
            return answer.status, json.loads(body) if kind == "application/json" else body
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


def test_a_text_gets_the_answer_of_predict(address: str) -> None:
    expected = Answerer(load(MODEL)).answers(TEXTS, None)
    assert asked(f"{address}/predict", {"text": TEXTS[0]}) == (200, expected[0])
    assert asked(f"{address}/predict", {"texts": TEXTS}) == (200, {"answers": expected})
    assert asked(f"{address}/predict", {"texts": []}) == (200, {"answers": []})
    top = Answerer(load(MODEL)).answers(TEXTS[:1], 2)[0]
    assert asked(f"{address}/predict", {"text": TEXTS[0], "top": 2}) == (200, top)


def test_concurrent_requests_get_their_own_answers(address: str) -> None:
    expected = Answerer(load(MODEL)).answers(TEXTS, None)
    with ThreadPoolExecutor(16) as pool:
        asks = [pool.submit(asked, f"{address}/predict", {"text": TEXTS[i % 5]}) for i in range(100)]
    assert [one.result() for one in asks] == [(200, expected[i % 5]) for i in range(100)]


@pytest.mark.parametrize(
    ("given", "status", "says"),
    [
        (b"{", 400, 'expected a JSON object, for example {"text": "a text"}'),
        (b"[1]", 400, 'expected a JSON object, for example {"text": "a text"}'),
        (b"[" * 1999, 400, 'expected a JSON object, for example {"text": "a text"}'),
        ({"txt": "a"}, 400, "unknown field 'txt'; allowed are text, texts, top"),
        ({}, 400, "expected either 'text' or 'texts'"),
        ({"text": "a", "texts": []}, 400, "expected either 'text' or 'texts'"),
        ({"text": 5}, 400, "expected text in 'text', got a number"),
        ({"texts": ["a", None]}, 400, "expected text in 'texts[1]', got null"),
        ({"texts": "a"}, 400, "expected a list as 'texts'"),
        ({"text": "a", "top": 0}, 400, "expected a positive number as 'top', got 0"),
        ({"text": "a", "top": True}, 400, "expected a positive number as 'top', got true"),
        ({"texts": ["a"] * 21}, 413, "expected at most 20 texts, got 21"),
        ({"text": "a" * 2000}, 413, "expected at most 2,000 bytes"),
    ],
)
def test_a_bad_request_is_refused_with_a_reason(address: str, given: Any, status: int, says: str) -> None:
    assert asked(f"{address}/predict", given) == (status, {"error": says})


def test_other_routes(address: str) -> None:
    assert asked(f"{address}/health") == (200, {"status": "ok"})
    status, about = asked(f"{address}/model")
    assert status == 200 and about["labels"] == load(MODEL).classes and about["limits"]["texts"] == 20
    before = asked(f"{address}/metrics")[1]
    asked(f"{address}/predict", {"texts": TEXTS})
    after = asked(f"{address}/metrics")[1]
    assert value(after, "harness_texts_total") == value(before, "harness_texts_total") + 5
    assert value(after, "harness_waiting_texts") == 0


def value(page: str, name: str) -> float:
    return float(next((line.split()[1] for line in page.splitlines() if line.startswith(f"{name} ")), 0))


def test_a_used_port_is_an_error_in_one_line(address: str) -> None:
    port = address.rpartition(":")[2]
    running, line = start("--port", port)
    assert running.wait(20) == 2
    assert line.startswith(f"error: cannot serve at 127.0.0.1:{port}: Address already in use"), line
    assert running.stderr is not None
    running.stderr.close()


def test_ctrl_c_ends_it() -> None:
    running, line = start()
    assert "stop with Ctrl-C" in line
    assert asked(f"{line.partition(' at ')[2].partition(';')[0]}/health")[0] == 200
    os.kill(running.pid, signal.SIGINT)
    _, error = running.communicate(timeout=20)
    assert running.returncode in (0, 130) and "Traceback" not in error


class _Sizes:
    """The sizes of batches."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def observe(self, size: int) -> None:
        """Note a size."""
        self.seen.append(size)


class _Held(Answerer):
    """A model that answers when it may."""

    may: threading.Event

    def answers(self, texts: Any, top: int | None) -> list[dict[str, Any]]:
        assert self.may.wait(20)
        return [{"label": text, "top": top} for text in texts]


def test_what_waits_is_answered_together_and_has_a_limit() -> None:
    async def scene() -> None:
        held, sizes = _Held(load(MODEL)), _Sizes()
        held.may = threading.Event()
        batches = Batches(held, Bounds(batch=4, waiting=7), sizes)
        running = asyncio.create_task(batches.run())
        first = asyncio.create_task(batches.answers(["0"], None))
        await asyncio.sleep(0.05)  # the model has the first one; the others wait
        asks = [(["1"], None), (["2", "3"], None), (["4"], 2), (["5", "6"], 2)]
        others = [asyncio.create_task(batches.answers(texts, top)) for texts, top in asks]
        await asyncio.sleep(0.05)
        with pytest.raises(Refused, match="7 texts wait already"):
            await batches.answers(["7"], None)
        others[0].cancel()  # a client has gone
        await asyncio.sleep(0.05)
        held.may.set()
        found = [await first, *[await one for one in others[1:]]]
        labels = [[(one["label"], one["top"]) for one in each] for each in found]
        assert labels == [
            [("0", None)],
            [("2", None), ("3", None)],
            [("4", 2)],
            [("5", 2), ("6", 2)],
        ]
        assert sizes.seen == [1, 2, 3] and batches.waiting == 0
        running.cancel()

    with ThreadPoolExecutor() as apart:  # the browser of other tests leaves a loop in this thread
        apart.submit(asyncio.run, scene()).result()
