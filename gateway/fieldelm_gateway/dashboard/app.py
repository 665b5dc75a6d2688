"""What is served: pages, their data, a stream of what happens, requests, metrics."""

import asyncio
import csv
import hmac
import io
import ipaddress
import json
import math
import re
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request as WebRequest
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .. import commands, maintenance, metrics
from ..requests import Request
from .data import Data, Filter
from .hub import Hub

STATIC = Path(__file__).parent / "static"
_GATHER_S = 0.2
_KEEP_ALIVE_S = 15.0
_ANSWER_S = 2.0
_MOST_BYTES = 4096
_HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the app works with."""

    data: Data
    hub: Hub
    token: str
    deliver: Callable[[Request], None]
    alive: Callable[[], bool]
    """whether the core thread works"""
    listen: str


def make(around: Surroundings) -> Starlette:
    """The application."""
    handlers = _Handlers(around)
    return Starlette(
        routes=[
            Route("/", handlers.page),
            Route("/api/nodes", handlers.nodes),
            Route("/api/nodes/{eui}", handlers.node),
            Route("/api/nodes/{eui}/history", handlers.history),
            Route("/api/log", handlers.log),
            Route("/api/log.csv", handlers.csv),
            Route("/api/live", handlers.live),
            Route("/api/token", handlers.check_token),
            Route("/api/request/{command}", handlers.request, methods=["POST"]),
            Route("/metrics", handlers.metrics),
            Route("/healthz", handlers.healthz),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[
            Middleware(_Guard, host=around.listen.rpartition(":")[0]),
            Middleware(GZipMiddleware, minimum_size=2000, compresslevel=3),
        ],
    )


class _Guard:
    """Refuses names by which a foreign page could reach this one (DNS rebinding), and sets headers on every answer."""

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        name = socket.gethostname().lower()
        self._names = {"localhost", name, f"{name}.local", name.split(".", 1)[0], host.lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        host = next((value.decode("latin-1") for key, value in scope["headers"] if key == b"host"), "")
        if not self._is_ours(host):
            await PlainTextResponse("this name is not the gateway's: use its address\n", 421)(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    *((key.encode(), value.encode()) for key, value in _HEADERS.items()),
                ]
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _is_ours(self, host: str) -> bool:
        name = host.rsplit(":", 1)[0] if not host.endswith("]") and ":" in host else host
        name = name.strip("[]").lower()
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        return True


class _Handlers:
    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._data = around.data

    async def page(self, _request: WebRequest) -> Response:
        return Response(await run_in_threadpool((STATIC / "index.html").read_bytes), media_type="text/html")

    async def nodes(self, _request: WebRequest) -> Response:
        text = await run_in_threadpool(lambda: json.dumps(self._data.overview(), separators=(",", ":")))
        return Response(text, media_type="application/json")

    async def _row(self, request: WebRequest) -> int | None:
        return await run_in_threadpool(self._data.row, request.path_params["eui"])

    async def node(self, request: WebRequest) -> Response:
        row = await self._row(request)
        if row is None:
            return _problem(404, "there is no such node")

        def read() -> dict[str, Any]:
            wanted = Filter(node=request.path_params["eui"], limit=50)
            return {
                "last_alarm": self._data.last_alarm(row),
                "trace": self._data.trace(row),
                "models": self._data.models(row),
                "commands": self._data.commands(row),
                "log": self._data.log(wanted),
            }

        return JSONResponse(await run_in_threadpool(read))

    async def history(self, request: WebRequest) -> Response:
        row = await self._row(request)
        if row is None:
            return _problem(404, "there is no such node")
        try:
            hours = float(request.query_params.get("hours", 24))
        except ValueError:
            hours = math.nan
        if math.isnan(hours):
            return _problem(400, "hours must be a number")
        hours = min(max(hours, 0.1), 100_000)
        return JSONResponse(await run_in_threadpool(self._data.history, row, hours))

    def _filter(self, request: WebRequest) -> Filter:
        given = request.query_params
        return Filter(
            node=given.get("node", ""),
            kind=given.get("type", ""),
            severity=given.get("severity", ""),
            text=given.get("text", "")[:100],
            before_ms=_whole(given.get("before", "")),
            limit=_whole(given.get("limit", "")) or 100,
        )

    async def log(self, request: WebRequest) -> Response:
        return JSONResponse({"lines": await run_in_threadpool(self._data.log, self._filter(request))})

    async def csv(self, request: WebRequest) -> Response:
        lines = self._data.csv_lines(self._filter(request))
        headers = {"content-disposition": 'attachment; filename="fieldelm-events.csv"'}
        return StreamingResponse(_csv(lines), media_type="text/csv; charset=utf-8", headers=headers)

    async def live(self, _request: WebRequest) -> Response:
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(_stream(self._around.hub), media_type="text/event-stream", headers=headers)

    def _may_write(self, request: WebRequest) -> bool:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        return hmac.compare_digest(given.encode(), self._around.token.encode())

    async def check_token(self, request: WebRequest) -> Response:
        return Response(status_code=204) if self._may_write(request) else _problem(401, "the token is wrong")

    async def request(self, request: WebRequest) -> Response:
        if not self._may_write(request):
            await asyncio.sleep(0.5)  # guessing takes its time
            return _problem(401, "commands need the token: `fieldelm gateway token` on the gateway shows it")
        command = request.path_params["command"]
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _MOST_BYTES:
                return _problem(413, f"a request has {_MOST_BYTES} bytes at most")
        try:
            document = json.loads(body)
            json.dumps(document, ensure_ascii=False).encode()  # JSON can write halves of characters
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict) or command not in (*commands.COMMANDS, *maintenance.ACTIONS):
            return _problem(400, "no such request")
        number = f"dashboard-{secrets.token_hex(8)}"
        answer = self._around.hub.expect(number)
        document = {"by": "dashboard", **document, "id": number}
        self._around.deliver(Request(command, json.dumps(document).encode(), "dashboard"))
        try:
            return JSONResponse(await asyncio.wait_for(answer, _ANSWER_S))
        except TimeoutError:
            sentence = "waits until the node speaks"
            return JSONResponse({"id": number, "status": "waiting", "message": sentence}, 202)
        finally:
            self._around.hub.expect_no_more(number)

    async def metrics(self, _request: WebRequest) -> Response:
        text = await run_in_threadpool(lambda: metrics.document(self._data.overview(), self._around.hub.events))
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def healthz(self, _request: WebRequest) -> Response:
        alive = self._around.alive()
        health = self._data.live.get(self._data.topics.health)
        document = json.loads(health) if health else {}
        radios = document.get("radios", [])
        return JSONResponse(
            {
                "status": "ok" if alive else "stuck",
                "mqtt": bool(document.get("mqtt", {}).get("connected")),
                "radios_listening": sum(radio["listening"] for radio in radios),
                "radios": len(radios),
                "outbox_full": bool(document.get("queue", {}).get("full")),
            },
            200 if alive else 503,
        )


def _whole(text: str) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,15}", text) else None


def _problem(code: int, sentence: str) -> Response:
    return JSONResponse({"status": "error", "message": sentence}, code)


def _csv(lines: Iterator[list[object]]) -> Iterator[str]:
    for line in lines:
        buffer = io.StringIO()
        csv.writer(buffer).writerow([_cell(cell) for cell in line])
        yield buffer.getvalue()


def _cell(value: object) -> object:
    # a text that begins like a formula is a text to spreadsheets, too; numbers may be negative
    return f"'{value}" if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"} else value


async def _stream(hub: Hub) -> AsyncIterator[str]:
    with hub.client() as client:
        yield "retry: 1000\n\n"
        while True:
            try:
                await asyncio.wait_for(client.bell.wait(), _KEEP_ALIVE_S)
            except TimeoutError:
                yield ": still here\n\n"
                continue
            if hub.closing:
                return
            messages = client.take()
            yield f"data: {json.dumps(messages, separators=(',', ':'))}\n\n"
            await asyncio.sleep(_GATHER_S)
