"""`fieldelm bench gateway`: frames through the real path, from the serial line to a subscriber of a real Mosquitto.

    modem framing (a pty) → verify → SQLite, durable → answer on the serial line
                                                     → Mosquitto, QoS 1 → subscriber

Every frame is a new event that asks for an acknowledgement. Capacity is measured with many frames waiting, as after a broker's
absence; latency at 200 frames a second, each committed before its answer. The yardstick is the bare rate of the same Mosquitto,
client and payloads, with as many messages in flight, in the same run: right before and right after the frames, as what else a
machine does comes and goes.
"""

import argparse
import contextlib
import json
import os
import pty
import secrets
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import tty
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fieldelm import codes, frame, modem_framing as modem, payloads
from fieldelm_gateway import config as configuration, documents, serial_line
from fieldelm_gateway.broker import Arrived, Bell, Confirmed, Connection
from fieldelm_gateway.cipher import Ccm
from fieldelm_gateway.config import GatewayConfig
from fieldelm_gateway.store import Store
from fieldelm_gateway.tables import Table

from .. import debian
from ..errors import FieldelmError

_WINDOW = 1000  # frames handed over and not yet answered: two of the gateway's rounds
_AT_ONCE = 20  # put on the line together
_PATIENCE_S = 60.0
_WARM_UP = 500


@dataclass(frozen=True)
class Figures:
    """One gateway with so many nodes."""

    nodes: int
    bare_per_s: float
    frames_per_s: float
    ratio_to_bare: float
    ack_p50_ms: float
    ack_p99_ms: float
    subscriber_p50_ms: float
    subscriber_p99_ms: float
    cpu_ms_per_frame: float
    rss_mb: float
    bytes_per_event: float
    lost: int
    duplicate_ids: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `fieldelm bench gateway`."""
    parser.add_argument(
        "--nodes", type=int, nargs="+", default=[10, 1000, 10_000], metavar="N", help="default: 10 1000 10000"
    )
    parser.add_argument("--frames", type=int, default=10_000, metavar="N", help="at capacity; default: 10000")
    parser.add_argument("--seconds", type=float, default=10, metavar="S", help="at the given rate; default: 10")
    parser.add_argument(
        "--rate", type=float, default=200, metavar="N", help="frames a second for the latencies; default: 200"
    )
    parser.add_argument("--dashboard", action="store_true", help="with the dashboard on")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the database is; default: a temporary folder")
    parser.add_argument("--json", action="store_true", help="one JSON document")


def run(args: argparse.Namespace) -> int:
    """Measure and print; 1 if a frame was lost or an id came twice."""
    found = []
    with tempfile.TemporaryDirectory(dir=args.out) as folder, broker(Path(folder)) as port:
        if not args.json:
            print("bare: Mosquitto alone, QoS 1, one publisher, one subscriber, the gateway's client")
        for nodes in args.nodes:
            figures = measure(Path(folder) / str(nodes), port, nodes, args)
            found.append(figures)
            if not args.json:
                print(line(figures))
    if args.json:
        document = asdict(max(found, key=lambda one: one.nodes == 1000))
        print(json.dumps({**document, "by_nodes": [asdict(one) for one in found]}))
    return 1 if any(one.lost or one.duplicate_ids for one in found) else 0


def line(one: Figures) -> str:
    """Figures for people."""
    return (
        f"{one.nodes:>6} nodes: {one.frames_per_s:,.0f} frames/s, {one.ratio_to_bare:.0%} of {one.bare_per_s:,.0f} bare; "
        f"answer p50 {one.ack_p50_ms:.1f} ms, p99 {one.ack_p99_ms:.1f} ms; "
        f"subscriber p50 {one.subscriber_p50_ms:.1f} ms, p99 {one.subscriber_p99_ms:.1f} ms; "
        f"{one.cpu_ms_per_frame:.2f} ms of CPU a frame; {one.rss_mb:.0f} MB; {one.bytes_per_event:.0f} bytes an event; "
        f"{one.lost} lost, {one.duplicate_ids} ids twice"
    )


# the broker


@contextlib.contextmanager
def broker(folder: Path) -> Iterator[int]:
    """A Mosquitto of its own; its port. Raises FieldelmError."""
    executable = debian.program("mosquitto")
    if executable is None:
        raise FieldelmError(f"there is no mosquitto here: {debian.install_line(['mosquitto'])}")
    import socket

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    lines = [f"listener {port} 127.0.0.1", "allow_anonymous true", "max_queued_messages 0", "max_inflight_messages 0"]
    if os.geteuid() == 0:
        lines.append("user root")
    (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
    process = subprocess.Popen([executable, "-c", str(folder / "mosquitto.conf")], stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if time.monotonic() > until:
                raise FieldelmError("mosquitto does not start")
            time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait()


def _client_config(port: int, name: str) -> GatewayConfig:
    return configuration.read(
        f'[gateway]\nname = "bench"\n[mqtt]\nurl = "mqtt://127.0.0.1:{port}"\nclient_id = "{name}"\n', name
    )


class Subscriber:
    """Counts and times events, in a thread; the gateway's own client."""

    def __init__(self, port: int, topic: str) -> None:
        self.arrived: dict[str, float] = {}
        """when, by id"""
        self.twice = 0
        self._stopping = False
        self._connection = Connection(_client_config(port, f"subscriber-{secrets.token_hex(4)}"), "5", ("bench", ""))
        self._bell = Bell()
        self._connection.subscribe(topic)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping:
            self._connection.wait(self._bell, 0.2)
            now = time.perf_counter()
            for notice in self._connection.notices():
                if isinstance(notice, Arrived):
                    number = json.loads(notice.payload)["id"]
                    self.twice += number in self.arrived
                    self.arrived.setdefault(number, now)

    def wait_for(self, count: int) -> None:
        """Until so many have come, or nothing more comes."""
        seen, since = -1, time.monotonic()
        while len(self.arrived) < count and time.monotonic() - since < _PATIENCE_S:
            if len(self.arrived) != seen:
                seen, since = len(self.arrived), time.monotonic()
            time.sleep(0.002)

    def close(self) -> None:
        """Hang up."""
        self._stopping = True
        self._bell.ring()
        self._thread.join()
        self._connection.close()
        self._bell.close()


def bare_rate(port: int, count: int) -> float:
    """Messages a second through the broker alone, to a subscriber, with the gateway's client and payloads."""
    payload = json.dumps({"schema": 1, "id": "02a1b2c3d4e5f607-c6a1-00000000", "filler": "x" * 520})
    subscriber = Subscriber(port, "bench/bare")
    config = _client_config(port, "bare")
    connection = Connection(config, "5", ("bench", ""))
    bell = Bell()
    on_the_way, sent, began = 0, 0, time.perf_counter()
    while sent < count or on_the_way:
        while sent < count and on_the_way < config.mqtt.in_flight:
            connection.publish("bench/bare", payload.replace("00000000", f"{sent:08}"), retain=False)
            on_the_way, sent = on_the_way + 1, sent + 1
        connection.wait(bell, 1)
        on_the_way -= sum(isinstance(notice, Confirmed) for notice in connection.notices())
    subscriber.wait_for(count)
    took = time.perf_counter() - began
    connection.close()
    bell.close()
    subscriber.close()
    return count / took


# the modem and its nodes


class Nodes:
    """Identities, keys and counters; makes sealed ALERTs."""

    def __init__(self, database: Path, count: int) -> None:
        self._nodes: list[tuple[int, bytes, Ccm]] = []
        self._counters = [0] * count
        self.ids: list[str] = []
        store = Store(database, create=True)
        with store.transaction():
            for number in range(1, count + 1):
                eui, key = f"02a1b2c3{number:08x}", secrets.token_bytes(16)
                store.add_node(eui, number, f"node {number}", "bench", 4, key, 0)
                self._nodes.append((number, bytes.fromhex(eui), Ccm(key)))
        self._checks = [node.keys[0].check for node in sorted(store.nodes(), key=lambda node: node.node_id)]
        store.close()
        self._made = 0

    def alerts(self, count: int) -> list[tuple[str, bytes]]:
        """Event ids and frames, from one node after the other."""
        made = []
        for _ in range(count):
            index = self._made % len(self._nodes)
            self._made += 1
            node_id, eui, cipher = self._nodes[index]
            self._counters[index] += 1
            counter = self._counters[index]
            buffer = bytearray(64)
            start = frame.header_into(buffer, frame.ALERT, 1, 0, node_id, counter)
            values = {
                "event": codes.EVENTS.index("machine_alarm"),
                "severity": 2,
                "verdict": 2,
                "policy": 0,
                "mode": 1,
                "score_ratio": 640,
                "age_s": 0,
                "band_a": 12,
                "band_b": 25,
                "sequence": counter & 0xFFFF,
            }
            end = payloads.pack_into(payloads.ALERT, buffer, start, values)
            end = frame.seal_into(buffer, end, cipher, bytearray(13), eui, counter, frame.UPLINK, 4)
            made.append((f"{eui.hex()}-{self._checks[index]}-{counter}", bytes(buffer[:end])))
        return made


def _encoded(kind: int, fields: dict[str, int], data: bytes = b"") -> bytes:
    return serial_line.encode(bytes((kind,)) + Table(modem.TABLES[kind]).pack(fields) + data)


class Modem:
    """The other end of the serial line."""

    def __init__(self, port: Path) -> None:
        self.answered: dict[int, float] = {}
        """when the gateway's answer came, by token (of 16 bits)"""
        self.answers = 0
        self.configured = threading.Event()
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        port.symlink_to(os.ttyname(self._slave))
        self._token = 0
        self._writing = threading.Lock()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def send(self, encoded: bytes) -> None:
        """Put messages on the line."""
        with self._writing:
            while encoded:
                encoded = encoded[os.write(self._master, encoded) :]

    def uplinks(self, frames: list[tuple[str, bytes]]) -> list[tuple[str, int, bytes]]:
        """What the modem will say of these frames: event id, token of the answer, encoded message.

        Made beforehand, since a real modem does that on a processor of its own.
        """
        made = []
        for event, data in frames:
            self._token = self._token + 1 & 0xFFFF
            fields = {"token": self._token, "ticks_ms": self._token, "rssi": -97, "snr": 29}
            made.append((event, self._token, _encoded(modem.UPLINK, fields, data)))
        return made

    def _run(self) -> None:
        decoder = serial_line.Decoder()
        while not self._stopping:
            if not select.select([self._master], [], [], 0.1)[0]:
                continue
            chunk = os.read(self._master, 65536)
            now = time.perf_counter()
            for message in decoder.push(chunk):
                self._take(message, now)

    def _take(self, message: bytes, now: float) -> None:
        kind = message[0]
        if kind == modem.TRANSMIT:
            self.answers += 1
            self.answered[payloads.unpack(modem.TABLES[kind], message, 1)["token"]] = now
        elif kind == modem.CONFIGURE:
            self.send(_encoded(modem.CONFIGURED, {"result": 0}))
            self.configured.set()
        elif kind == modem.PING:
            hello = {"protocol": modem.PROTOCOL, "firmware": 0x100, "boot_cause": 1}
            self.send(_encoded(modem.HELLO, {**hello, "configured": int(self.configured.is_set())}))
            self.send(_encoded(modem.STATUS, dict.fromkeys((field[0] for field in modem.TABLES[modem.STATUS]), 0)))

    def close(self) -> None:
        """Unplug it."""
        self._stopping = True
        self._thread.join()
        os.close(self._slave)
        os.close(self._master)


# one gateway


def measure(folder: Path, port: int, count: int, args: argparse.Namespace) -> Figures:
    """Start a gateway with so many nodes and send frames through it."""
    folder.mkdir()
    database = folder / "gateway.db"
    nodes = Nodes(database, count)
    serial = Modem(folder / "modem")
    name = f"bench-{count}"
    config = folder / "gateway.toml"
    config.write_text(
        f'[gateway]\nname = "{name}"\n[database]\npath = "{database}"\n[mqtt]\nurl = "mqtt://127.0.0.1:{port}"\n'
        f"[home_assistant]\ndiscovery = false\n[dashboard]\nenabled = {str(args.dashboard).lower()}\n"
        f'listen = "127.0.0.1:8094"\n[[radio]]\nport = "{folder / "modem"}"\nduty_cycle = "unlimited"\n'
    )
    subscriber = Subscriber(port, documents.Topics(f"fieldelm/v1/{name}").event("+"))
    command = [
        sys.executable,
        "-m",
        "fieldelm_tools.cli",
        "gateway",
        "run",
        "--config",
        str(config),
        "--log-level",
        "warning",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log)
    try:
        if not serial.configured.wait(30):
            raise FieldelmError(f"the gateway does not start: {(folder / 'log').read_text().strip()[-300:]}")
        warm = nodes.alerts(_WARM_UP)
        _at_capacity(serial, subscriber, warm)
        size = _database_bytes(database)
        frames = nodes.alerts(args.frames)
        before = bare_rate(port, args.frames)
        cpu = _cpu_s(process.pid)
        took = _at_capacity(serial, subscriber, frames)
        cpu = _cpu_s(process.pid) - cpu
        bare = (before + bare_rate(port, args.frames)) / 2
        grown = _database_bytes(database) - size
        paced = nodes.alerts(int(args.rate * args.seconds))
        acks, ways = _at_rate(serial, subscriber, paced, args.rate)
        rss_mb = _rss_mb(process.pid)
    finally:
        process.terminate()
        process.wait(20)
        serial.close()
        subscriber.close()
    sent = {number for number, _ in (*warm, *frames, *paced)}
    figures = Figures(
        nodes=count,
        bare_per_s=round(bare, 1),
        frames_per_s=round(args.frames / took, 1),
        ratio_to_bare=round(args.frames / took / bare, 3),
        ack_p50_ms=_percentile(acks, 50),
        ack_p99_ms=_percentile(acks, 99),
        subscriber_p50_ms=_percentile(ways, 50),
        subscriber_p99_ms=_percentile(ways, 99),
        cpu_ms_per_frame=round(cpu / args.frames * 1000, 3),
        rss_mb=round(rss_mb, 1),
        bytes_per_event=round(grown / args.frames, 1),
        lost=len(sent - subscriber.arrived.keys()),
        duplicate_ids=subscriber.twice,
    )
    shutil.rmtree(folder)
    return figures


def _at_capacity(serial: Modem, subscriber: Subscriber, frames: list[tuple[str, bytes]]) -> float:
    messages = [message for _, _, message in serial.uplinks(frames)]
    target = len(subscriber.arrived) + len(frames)
    answered = serial.answers
    began = time.perf_counter()
    sent, seen, since = 0, answered, time.monotonic()
    while sent < len(messages):
        room = _WINDOW - (sent - (serial.answers - answered))
        if room < _AT_ONCE and len(messages) - sent > room:
            time.sleep(0.0005)
            if serial.answers != seen:
                seen, since = serial.answers, time.monotonic()
            elif time.monotonic() - since > _PATIENCE_S:
                raise FieldelmError(f"the gateway answers no more after {sent} frames")
            continue
        serial.send(b"".join(messages[sent : sent + _AT_ONCE]))
        sent += min(_AT_ONCE, len(messages) - sent)
    subscriber.wait_for(target)
    return time.perf_counter() - began


def _at_rate(
    serial: Modem, subscriber: Subscriber, frames: list[tuple[str, bytes]], rate: float
) -> tuple[list[float], list[float]]:
    serial.answered.clear()
    messages = serial.uplinks(frames)
    sent: list[tuple[str, int, float]] = []
    target = len(subscriber.arrived) + len(frames)
    began = time.perf_counter()
    for number, (event, token, message) in enumerate(messages):
        pause = began + number / rate - time.perf_counter()
        if pause > 0:
            time.sleep(pause)
        sent.append((event, token, time.perf_counter()))
        serial.send(message)
    subscriber.wait_for(target)
    acks = [(serial.answered[token] - at) * 1000 for _, token, at in sent if token in serial.answered]
    ways = [(subscriber.arrived[event] - at) * 1000 for event, _, at in sent if event in subscriber.arrived]
    return acks, ways


def _percentile(values: list[float], percent: int) -> float:
    return round(statistics.quantiles(values, n=100)[percent - 1], 2)


def _database_bytes(path: Path) -> int:
    # pages in use, whether they are in the file yet or in its log
    import sqlite3

    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
    return int((pages - free) * size)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mb(pid: int) -> float:
    status: dict[str, Any] = dict(
        entry.split(":", 1) for entry in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in entry
    )
    return int(status["VmRSS"].split()[0]) / 1024
