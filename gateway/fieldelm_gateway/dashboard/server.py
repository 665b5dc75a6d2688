"""The thread that serves the page. What goes wrong here never ends the gateway."""

import asyncio
import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from .. import database
from ..config import GatewayConfig
from ..errors import ConfigError, DamagedError, GatewayError
from ..live import Live
from ..requests import Request
from ..store import Store
from . import app
from .data import Data
from .hub import Hub

log = logging.getLogger(__name__)

_TRY_AGAIN_S = 10.0
_LOOK_S = 2.5  # a request takes no longer, and at most twice as long
_HEALTH_S = 2.0
_MOST = 100  # connections
_MOST_OF_ONE = 60
_MOST_BEYOND = 10


def token_path(config: GatewayConfig) -> Path:
    """Where the token is."""
    if config.dashboard.token_file:
        return Path(config.dashboard.token_file).expanduser()
    return config.database_path().with_name("dashboard.token")


def read_token(config: GatewayConfig) -> str:
    """The token that commands need; made if there is none. Raises ConfigError."""
    path = token_path(config)
    try:
        if not path.exists():
            with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(24) + "\n")
            database.hand_over(path)
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise ConfigError(
            f"{path}: cannot be read or made: give the gateway's user the right to, or set token_file"
        ) from None
    if len(token) < 16:
        raise ConfigError(
            f"{path}: the token must have 16 characters or more: delete the file, and the gateway makes one"
        )
    return token


class _Protocol(H11Protocol):
    """HTTP that nobody can keep from others: who asks nothing is hung up on, and one address has not all the connections.

    Whoever supervises is always answered: some connections more are taken, for `/healthz` only.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        others = [one.client for one in self.connections if isinstance(one, _Protocol)]
        neighbours = [one for one in others if one and self.client and one[0] == self.client[0]]
        beyond = max(len(others) - _MOST, len(neighbours) - _MOST_OF_ONE)
        if beyond > _MOST_BEYOND:
            transport.close()
        elif beyond > 0:
            self.app = _health_only(self.app)
            self.loop.call_later(_HEALTH_S, transport.close)
        else:
            self.loop.call_later(_LOOK_S, self._look)

    def _look(self, has_waited: bool = False) -> None:
        if self.transport.is_closing():
            return
        waits = True  # no request has come
        if (
            self.cycle is not None
        ):  # a part of one has, on a connection that was kept: that ends the time it is kept for
            waits = self.cycle.response_complete and self.timeout_keep_alive_task is None
        if waits and has_waited:
            self.transport.close()
        else:
            self.loop.call_later(_LOOK_S, self._look, waits)


_TOO_MANY = PlainTextResponse("too many connections: close some pages of this gateway\n", 503, {"connection": "close"})


def _health_only(app: ASGIApp) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await (app if scope["path"] == "/healthz" else _TOO_MANY)(scope, receive, send)

    return answer


class Dashboard:
    """Serves the page until it is stopped."""

    def __init__(
        self,
        config: GatewayConfig,
        live: Live,
        deliver: Callable[[Request | DamagedError], None],
        alive: Callable[[], bool],
    ) -> None:
        """`alive`: whether the core thread works. Raises ConfigError if there is no token."""
        self._config = config
        self._live = live
        self._deliver = deliver
        self._alive = alive
        self._token = read_token(config)
        self._stopping = threading.Event()
        self._server: uvicorn.Server | None = None
        self._hub: Hub | None = None
        self.address = ""
        """where it is, once it is there"""
        self._thread = threading.Thread(target=self._run, name="dashboard", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Hang up."""
        self._stopping.set()
        if self._server:
            self._server.should_exit = True
        self._thread.join(5)

    def _run(self) -> None:
        told = ""
        while not self._stopping.is_set():
            try:
                with self._bind() as listener:
                    asyncio.run(self._serve(listener))
                return
            except GatewayError as error:
                text = str(error)
            except OSError as error:
                mend = "set [dashboard] listen to a free port, or enabled = false"
                text = f"{self._config.dashboard.listen}: {error.strerror or error}: {mend}"
            if text != told:
                log.warning("dashboard: %s", text)
            told = text
            self._stopping.wait(_TRY_AGAIN_S)

    def _bind(self) -> socket.socket:
        host, _, port = self._config.dashboard.listen.rpartition(":")
        return socket.create_server(
            (host.strip("[]"), int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET, reuse_port=False
        )

    async def _serve(self, listener: socket.socket) -> None:
        store = Store(self._config.database_path(), read_only=True, on_damage=self._deliver)
        data = Data(self._config, store, self._live)
        hub = Hub(asyncio.get_running_loop(), self._config.base_topic(), data.add_spark)
        data.fill_sparks()
        self._live.listen(hub.hear)
        around = app.Surroundings(data, hub, self._token, self._deliver, self._alive, self._config.dashboard.listen)
        host, port = listener.getsockname()[:2]
        self.address = f"http://{host}:{port}/"
        log.info("dashboard: %s", self.address)
        self._server = server = uvicorn.Server(
            uvicorn.Config(
                app.make(around),
                http=_Protocol,
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=1,
            )
        )
        farewell = asyncio.create_task(self._watch(server, hub))
        try:
            await server.serve(sockets=[listener])
        finally:
            farewell.cancel()
            self._live.leave(hub.hear)
            data.close()

    async def _watch(self, server: uvicorn.Server, hub: Hub) -> None:
        while not server.should_exit and not self._stopping.is_set():
            await asyncio.sleep(0.2)
        server.should_exit = True
        hub.close()
