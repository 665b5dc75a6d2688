"""The air server: TCP on loopback, one JSON object a line (docs/reference/interfaces.md, section 4).

One thread serves every client and moves simulated time. It takes the lines of a turn in the order of their senders'
names, so that a run does not depend on which client the operating system happened to serve first.
"""

import dataclasses
import datetime as dt
import json
import logging
import selectors
import socket
import threading
import time
from typing import Self

from . import messages
from .medium import Line, Medium
from .messages import Join, MessageError, Restart
from .propagation import Propagation

log = logging.getLogger("fieldelm.air")

EPOCH = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
_BACKLOG_BYTES = 4 << 20  # a client that lets more than this pile up is dropped
_READ_BYTES = 65536
_TICK_S = 0.1  # of `time` lines, and of looking after what is stuck
_CATCH_UP_S = 0.5  # how much of a delay is made up for when speed is limited


@dataclasses.dataclass(frozen=True)
class AirOptions:
    """How an air behaves."""

    conditions: Propagation = dataclasses.field(default_factory=Propagation)
    speed: float = 0.0
    """simulated seconds a wall second at most; 0: as fast as the clients allow"""
    expect_nodes: int = 0
    """time starts when this many nodes have joined"""
    expect_gateways: int = 0
    """and this many gateways have tuned in"""
    epoch: dt.datetime = EPOCH
    """the date at which simulated time starts"""
    answer_s: float = 10.0
    """wall seconds after which a silent gateway counts as having declined"""
    stall_s: float = 120.0
    """wall seconds of computing after which a node is dropped, so that the others can go on; 0: never"""
    restart_s: float = 30.0
    """wall seconds that time waits for a node that restarts"""


@dataclasses.dataclass(eq=False)
class _Client:
    connection: socket.socket
    join: Join | None = None
    received: bytearray = dataclasses.field(default_factory=bytearray)
    backlog: bytearray = dataclasses.field(default_factory=bytearray)
    ended: bool = False
    """it has hung up; what it said before is still carried out"""
    closing: bool = False
    """it is told what it did wrong and then dropped"""
    restarting: bool = False
    """it will be back"""
    flushing: bool = False
    """the selector waits until it can be told more"""
    heard_s: float = 0.0
    """wall time of its last line, or of the last one to it"""

    @property
    def name(self) -> str:
        """Its name, empty before it has joined."""
        return self.join.name if self.join else ""


class AirServer:
    """The air, served from a thread of its own.

    >>> with AirServer(AirOptions(expect_nodes=1)) as air:
    ...     print(air.address)
    """

    def __init__(self, options: AirOptions | None = None, host: str = "127.0.0.1", port: int = 0) -> None:
        """Binds the port at once (0: any free one). Raises `OSError` if it is taken."""
        self.options = options or AirOptions()
        self.medium = Medium(self.options.conditions, self._deliver, self._observe)
        self._listener = socket.create_server((host, port), backlog=512)
        self._listener.settimeout(0)
        self.host, self.port = self._listener.getsockname()[:2]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._alarm_in, self._alarm_out = socket.socketpair()
        self._alarm_in.settimeout(0)
        self._alarm_out.settimeout(0)
        self._selector.register(self._alarm_out, selectors.EVENT_READ)
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._paused = False
        self._speed = self.options.speed
        self._clients: dict[socket.socket, _Client] = {}
        self._named: dict[str, _Client] = {}
        self._tuned: set[str] = set()
        self._started = not (self.options.expect_nodes or self.options.expect_gateways)
        self._restarting: dict[str, float] = {}
        self._pace: tuple[float, int] = (time.monotonic(), 0)
        self._told_us = -1
        self._tick_s = 0.0
        self._owed_since: float | None = None
        self._slow: set[str] = set()

    # for the program that runs it

    def start(self) -> None:
        """Serve from a thread until `stop`."""
        self._thread = threading.Thread(target=self.serve, name="air", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Hang up on everybody and end the thread."""
        self._stopping = True
        self._ring()
        if self._thread:
            self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """host:port, as clients take it."""
        return f"{self.host}:{self.port}"

    @property
    def now_us(self) -> int:
        """Simulated microseconds since the start."""
        return self.medium.now_us

    @property
    def date(self) -> dt.datetime:
        """Simulated date."""
        return self.options.epoch + dt.timedelta(microseconds=self.medium.now_us)

    def set_speed(self, speed: float) -> None:
        """Limit simulated seconds a wall second from now on; 0: no limit."""
        self._pace = (time.monotonic(), self.medium.now_us)
        self._speed = speed
        self._ring()

    def pause(self) -> None:
        """Stop time."""
        self._paused = True

    def resume(self) -> None:
        """Let time go on after `pause`."""
        self._pace = (time.monotonic(), self.medium.now_us)
        self._paused = False
        self._ring()

    def _ring(self) -> None:
        try:
            self._alarm_in.send(b"!")
        except OSError:
            pass  # it rings already, or the server has stopped

    # the loop

    def serve(self) -> None:
        """Serve in this thread until `stop`."""
        try:
            while not self._stopping:
                delay_s = self._advance()
                self._look_after()
                self._turn(self._selector.select(min(delay_s, _TICK_S)))
        finally:
            for client in list(self._clients.values()):
                self._drop(client)
            self._selector.close()
            for end in (self._listener, self._alarm_in, self._alarm_out):
                end.close()

    def _advance(self) -> float:
        """Move time as far as it may go; returns the wall seconds until it may go further."""
        while not self._held():
            due_us = self.medium.due_us()
            if due_us is None:
                return _TICK_S
            if self._speed > 0:
                since_s, since_us = self._pace
                now_s = time.monotonic()
                late_s = now_s - since_s - (self.medium.now_us - since_us) / 1e6 / self._speed
                if late_s > _CATCH_UP_S:
                    self._pace = since_s, since_us = now_s - _CATCH_UP_S, self.medium.now_us
                allowed_us = since_us + int((now_s - since_s) * self._speed * 1e6)
                if due_us > allowed_us:
                    self.medium.idle_until(allowed_us)
                    return (due_us - allowed_us) / 1e6 / self._speed
            self.medium.step()
        return _TICK_S

    def _held(self) -> bool:
        return self._paused or not self._started or bool(self._restarting) or self.medium.held()

    def _turn(self, ready: list[tuple[selectors.SelectorKey, int]]) -> None:
        talking = []
        for key, events in ready:
            if key.fileobj is self._listener:
                self._accept()
            elif key.fileobj is self._alarm_out:
                self._alarm_out.recv(_READ_BYTES)
            elif isinstance(key.fileobj, socket.socket) and (client := self._clients.get(key.fileobj)):
                if events & selectors.EVENT_WRITE:
                    self._flush(client)
                if events & selectors.EVENT_READ:
                    self._read(client)
                    talking.append(client)
        # whoever has hung up gives its name free first: it may be back already
        for client in sorted(talking, key=lambda client: (not client.ended, client.name)):
            self._obey(client)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        connection.settimeout(0)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._clients[connection] = _Client(connection, heard_s=time.monotonic())
        self._selector.register(connection, selectors.EVENT_READ)

    def _read(self, client: _Client) -> None:
        while not client.ended and len(client.received) < _READ_BYTES:
            try:
                piece = client.connection.recv(_READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                piece = b""
            client.ended = not piece
            if not client.closing:
                client.received += piece

    def _obey(self, client: _Client) -> None:
        client.heard_s = time.monotonic()
        while not client.closing:
            line, newline, _ = client.received.partition(b"\n")
            if len(line) > messages.LINE_BYTES:
                self._refuse(client, f"a line has at most {messages.LINE_BYTES} bytes")
            elif not newline:
                break
            else:
                del client.received[: len(line) + 1]
                try:
                    self._do(client, messages.parse(bytes(line)))
                except MessageError as error:
                    self._refuse(client, str(error))
        if client.ended:
            self._drop(client)

    def _do(self, client: _Client, message: messages.Message) -> None:
        if not client.join:
            if not isinstance(message, Join):
                raise MessageError("join first")
            self._join(client, message)
        elif client.join.role == "observer":
            raise MessageError("an observer only listens")
        elif isinstance(message, Restart):
            client.restarting = client.join.role == "node"
        else:
            self.medium.handle(client.name, message)
            if isinstance(message, messages.Tune):
                self._tuned.add(client.name)
                self._raise_barrier()

    def _join(self, client: _Client, join: Join) -> None:
        if join.name in self._named:
            raise MessageError(f"the name {join.name} is taken")
        if join.role != "observer":
            self.medium.join(join)
        client.join = join
        self._named[join.name] = client
        self._restarting.pop(join.name, None)
        epoch = self.options.epoch.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._tell(client, {"op": "joined", "now_us": self.medium.now_us, "epoch": epoch})
        self._raise_barrier()

    def _raise_barrier(self) -> None:
        if not self._started:
            nodes = sum(1 for station in self.medium.stations.values() if station.role in ("node", "radio"))
            ready = nodes >= self.options.expect_nodes and len(self._tuned) >= self.options.expect_gateways
            if ready:
                self._started = True
                self._pace = (time.monotonic(), self.medium.now_us)

    # what is sent

    def _deliver(self, name: str, line: Line) -> None:
        self._tell(self._named[name], line)

    def _observe(self, line: Line) -> None:
        for client in list(self._named.values()):
            if client.join and client.join.role == "observer":
                self._tell(client, line)

    def _tell(self, client: _Client, line: Line) -> None:
        client.heard_s = time.monotonic()
        client.backlog += json.dumps(line, separators=(",", ":")).encode() + b"\n"
        if len(client.backlog) > _BACKLOG_BYTES:
            log.warning("%s does not read what it is told and was dropped", client.name or "a client")
            self._drop(client)
        elif not client.flushing:
            self._flush(client)

    def _flush(self, client: _Client) -> None:
        try:
            sent = client.connection.send(client.backlog)
            del client.backlog[:sent]
        except BlockingIOError:
            pass
        except OSError:  # it has hung up: reading says so too
            client.backlog.clear()
        if client.flushing != bool(client.backlog):
            client.flushing = bool(client.backlog)
            events = selectors.EVENT_READ | selectors.EVENT_WRITE if client.flushing else selectors.EVENT_READ
            self._selector.modify(client.connection, events)
        if client.closing and not client.backlog:
            self._drop(client)

    def _refuse(self, client: _Client, why: str) -> None:
        log.warning("%s was dropped: %s", client.name or "a client", why)
        client.closing = True
        client.received.clear()
        self._leave(client)
        self._tell(client, {"op": "error", "why": why})

    def _leave(self, client: _Client) -> None:
        if client.join and self._named.get(client.name) is client:
            del self._named[client.name]
            self._tuned.discard(client.name)
            self._slow.discard(client.name)
            if client.join.role != "observer":
                self.medium.leave(client.name)
            if client.restarting:
                self._restarting[client.name] = time.monotonic()

    def _drop(self, client: _Client) -> None:
        client.closing = True
        client.received.clear()
        if self._clients.pop(client.connection, None):
            self._leave(client)
            self._selector.unregister(client.connection)
            client.connection.close()

    # what is stuck

    def _look_after(self) -> None:
        now_s = time.monotonic()
        if now_s - self._tick_s < _TICK_S:
            return
        self._tick_s = now_s
        if self.medium.now_us != self._told_us:
            self._told_us = self.medium.now_us
            for client in list(self._named.values()):
                if client.join and client.join.role in ("gateway", "observer"):
                    self._tell(client, {"op": "time", "now_us": self._told_us})
        self._look_after_gateways(now_s)
        self._look_after_nodes(now_s)

    def _look_after_gateways(self, now_s: float) -> None:
        if self._paused or self.medium.computing or not (debtors := self.medium.debtors()):
            self._owed_since = None
            return
        if self._owed_since is None:
            self._owed_since = now_s
        for station in debtors:
            silent_s = now_s - max(self._owed_since, self._named[station.name].heard_s)
            if silent_s >= self.options.answer_s:
                count = self.medium.give_up(station)
                log.warning(
                    "%s has not answered %d uplink(s) for %.0f s: taken as declined", station.name, count, silent_s
                )

    def _look_after_nodes(self, now_s: float) -> None:
        for name, since_s in list(self._restarting.items()):
            if now_s - since_s >= self.options.restart_s:
                del self._restarting[name]
                log.warning("%s did not come back after its restart: time goes on without it", name)
        for name in sorted(self.medium.computing):
            client = self._named[name]
            busy_s = now_s - client.heard_s
            if self.options.stall_s and busy_s >= self.options.stall_s:
                self._refuse(client, f"no word for {busy_s:.0f} s")
            elif self.options.stall_s and busy_s >= min(10.0, self.options.stall_s) and name not in self._slow:
                self._slow.add(name)
                log.warning("%s holds time: it has been computing for %.0f s", name, busy_s)
