"""What `fieldelm bench gateway` puts around a gateway: a broker, a subscriber, the bare rate, nodes, a modem on a serial line."""

import contextlib
import json
import os
import pty
import secrets
import select
import subprocess
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path

from fieldelm import codes, frame, modem_framing as modem, payloads
from fieldelm_gateway import config as configuration, serial_line
from fieldelm_gateway.broker import Arrived, Bell, Confirmed, Connection
from fieldelm_gateway.cipher import Ccm
from fieldelm_gateway.config import GatewayConfig
from fieldelm_gateway.store import Store
from fieldelm_gateway.tables import Table

from .. import debian
from ..errors import FieldelmError

PATIENCE_S = 60.0


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
        while len(self.arrived) < count and time.monotonic() - since < PATIENCE_S:
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


def bare_s(port: int, count: int) -> float:
    """Seconds for so many messages through the broker alone, to a subscriber, with the gateway's client and payloads."""
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
    return took


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
