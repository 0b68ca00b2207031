"""Answer texts over HTTP with an exported model: ``harness serve``.

Requests that wait while the model computes are answered together, in one batch.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness import __version__
from harness.api import HarnessError
from harness.runtime.streaming import BadLine, text_in

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    from harness.runtime.answerer import Answer, Answerer

FIELDS = ("text", "texts", "top")


@dataclass(frozen=True)
class Bounds:
    """The limits of the server."""

    batch: int = 256  # texts that the model answers at once
    texts: int = 1_000  # texts of a request
    size: int = 1_000_000  # bytes of a request
    waiting: int = 10_000  # texts that wait for an answer


class Refused(Exception):
    """A request that is not answered, with its HTTP status."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(eq=False)
class _Asked:
    """A request that waits."""

    texts: Sequence[str]
    top: int | None
    answers: asyncio.Future[list[Answer]]


@dataclass
class Batches:
    """The requests that wait for a model, which answers one batch after another."""

    answerer: Answerer
    bounds: Bounds
    sizes: Any  # a histogram of prometheus_client, for the texts of a batch
    waiting: int = 0  # number of texts
    queue: deque[_Asked] = field(default_factory=deque)
    more: asyncio.Event = field(default_factory=asyncio.Event)

    async def answers(self, texts: Sequence[str], top: int | None) -> list[Answer]:
        """Return an answer for each text; raise Refused if too many wait."""
        if self.waiting and self.waiting + len(texts) > self.bounds.waiting:
            raise Refused(503, f"{self.waiting:,} texts wait already; ask again later")
        one = _Asked(texts, top, asyncio.get_running_loop().create_future())
        self.waiting += len(texts)
        self.queue.append(one)
        self.more.set()
        return await one.answers

    async def run(self) -> None:
        """Answer batches, until this is cancelled."""
        while True:
            await self.more.wait()
            batch = self._next()
            if not batch:
                self.more.clear()
                continue
            texts = [text for one in batch for text in one.texts]
            self.sizes.observe(len(texts))
            found = await asyncio.to_thread(self.answerer.answers, texts, batch[0].top)
            answers = iter(found)
            for one in batch:
                own = [next(answers) for _ in one.texts]
                self.waiting -= len(own)
                if not one.answers.done():  # the client may have gone
                    one.answers.set_result(own)

    def _next(self) -> list[_Asked]:
        """Take requests with the same `top` from the queue: one, or as many as fit a batch of texts."""
        batch: list[_Asked] = []
        count = 0
        while self.queue:
            one = self.queue[0]
            if one.answers.done():  # cancelled, because the client has gone
                self.waiting -= len(one.texts)
            elif batch and (one.top != batch[0].top or count + len(one.texts) > self.bounds.batch):
                break
            else:
                batch.append(one)
                count += len(one.texts)
            self.queue.popleft()
        return batch


def application(answerer: Answerer, name: str, bounds: Bounds) -> Starlette:
    """Return an ASGI application with the routes ``/predict``, ``/model``, ``/health`` and ``/metrics``."""
    from prometheus_client import (
        CONTENT_TYPE_LATEST,
        CollectorRegistry,
        Counter,
        Gauge,
        Histogram,
        generate_latest,
    )
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    registry = CollectorRegistry()
    requests = Counter("harness_requests", "Requests to /predict.", ["status"], registry=registry)
    texts = Counter("harness_texts", "Texts that were answered.", registry=registry)
    seconds = Histogram(
        "harness_request_seconds",
        "Time to answer a request.",
        registry=registry,
        buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
    )
    sizes = Histogram(
        "harness_batch_texts",
        "Texts that the model answered at once.",
        registry=registry,
        buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
    )
    batches = Batches(answerer, bounds, sizes)
    Gauge("harness_waiting_texts", "Texts that wait for an answer.", registry=registry).set_function(
        lambda: batches.waiting
    )
    model = answerer.model

    async def predict(request: Request) -> Response:
        clock = time.perf_counter()
        status, content, headers = 200, {}, {}
        try:
            content = await _predicted(request, batches)
        except Refused as refused:
            status, content = refused.status, {"error": str(refused)}
            if status == 503:
                headers = {"Retry-After": "1"}
        requests.labels(str(status)).inc()
        if status == 200:
            texts.inc(len(content.get("answers", [content])))
            seconds.observe(time.perf_counter() - clock)
        return JSONResponse(content, status, headers)

    async def about(request: Request) -> Response:
        return JSONResponse(
            {
                "model": name,
                "task_type": model.task_type.name,
                "labels": list(model.classes),
                "form": model.form,
                "harness": __version__,
                "limits": {"texts": bounds.texts, "bytes": bounds.size},
            }
        )

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def metrics(request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        running = asyncio.create_task(batches.run())
        yield
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    routes = [
        Route("/predict", predict, methods=["POST"]),
        Route("/model", about),
        Route("/health", health),
        Route("/metrics", metrics),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


async def _predicted(request: Request, batches: Batches) -> dict[str, Any]:
    """Return the answer to a text, or the answers to texts; raise Refused for a request that is not valid."""
    given = await _object(request, batches.bounds.size)
    if odd := sorted(set(given) - set(FIELDS)):
        raise Refused(400, f"unknown field '{odd[0]}'; allowed are {', '.join(FIELDS)}")
    if ("text" in given) == ("texts" in given):
        raise Refused(400, "expected either 'text' or 'texts'")
    top = given.get("top")
    if top is not None and (not isinstance(top, int) or isinstance(top, bool) or top < 1):
        raise Refused(400, f"expected a positive number as 'top', got {json.dumps(top)}")
    values = [given["text"]] if "text" in given else given["texts"]
    if not isinstance(values, list):
        raise Refused(400, "expected a list as 'texts'")
    if len(values) > batches.bounds.texts:
        raise Refused(413, f"expected at most {batches.bounds.texts:,} texts, got {len(values):,}")
    texts = []
    for number, value in enumerate(values):
        where = "text" if "text" in given else f"texts[{number}]"
        try:
            texts.append(text_in(value, where, batches.answerer.model.task_type))
        except BadLine as error:
            raise Refused(400, str(error)) from None
    answers = await batches.answers(texts, top) if texts else []
    if "texts" in given:
        return {"answers": answers}
    if "error" in answers[0]:
        raise Refused(422, answers[0]["error"])
    return answers[0]


async def _object(request: Request, most: int) -> dict[str, Any]:
    """Return the JSON object that a request has; raise Refused if it has none, or is too large."""
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > most:
            raise Refused(413, f"expected at most {most:,} bytes")
    try:
        given = json.loads(bytes(data))
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise Refused(400, 'expected a JSON object, for example {"text": "a text"}')
    return given


def serve(
    answerer: Answerer, name: str, bounds: Bounds, host: str, port: int, told: Callable[[str], None]
) -> None:
    """Answer requests until the process is interrupted or terminated.

    `told` is called with the address; port 0 is any free one. Raise HarnessError if the address cannot be
    used, or a package is missing.
    """
    import socket

    try:
        import uvicorn

        app = application(answerer, name, bounds)
    except ModuleNotFoundError as error:
        raise HarnessError(f"cannot serve: {error}; run: pip install 'distil-harness[serve]'") from None
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        raise HarnessError(f"cannot serve at {host}:{port}: {error.strerror or error}") from None
    with listening:
        shown = f"[{host}]" if ":" in host else host
        told(f"http://{shown}:{listening.getsockname()[1]}")
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="on")
        uvicorn.Server(config).run(sockets=[listening])
