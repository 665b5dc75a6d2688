"""A gateway's core on the bench: real database, real codec, a clock that the test sets, and a radio that the test is."""

from __future__ import annotations

import dataclasses
import json
import queue
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fieldelm import codes, frame, payloads
from fieldelm_gateway import config as configuration
from fieldelm_gateway.cipher import Ccm, check_value
from fieldelm_gateway.clock import Instant
from fieldelm_gateway.config import GatewayConfig
from fieldelm_gateway.core import Core, Item
from fieldelm_gateway.ingress import RadioCounters, Uplink, airtime_us
from fieldelm_gateway.publisher import Publisher
from fieldelm_gateway.requests import Request
from fieldelm_gateway.store import Store
from fieldelm_tools.provision import Provisioned, provision

START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z


class ScriptedNode:
    """A node as the gateway hears it: its identity, its key and its counters."""

    def __init__(self, made: Provisioned) -> None:
        self.eui = made.eui
        self.node_id = made.node_id
        self.name = made.name
        self.key = bytes.fromhex(made.config["keys"]["0"])
        self.key_check = check_value(self.key)
        self.cipher = Ccm(self.key)
        self.key_id = 0
        self.counter = 0
        self.sequence = 0
        self.tag_bytes = made.config.get("link", {}).get("tag_bytes", 4)

    def seal(
        self, kind: int, plain: bytes, *, ack: bool = False, key_id: int | None = None, cipher: Ccm | None = None
    ) -> bytes:
        """A new frame with the next counter."""
        self.counter += 1
        buffer = bytearray(300)
        start = frame.header_into(
            buffer, kind, ack, self.key_id if key_id is None else key_id, self.node_id, self.counter
        )
        buffer[start : start + len(plain)] = plain
        end = frame.seal_into(
            buffer,
            start + len(plain),
            cipher or self.cipher,
            bytearray(13),
            bytes.fromhex(self.eui),
            self.counter,
            frame.UPLINK,
            self.tag_bytes,
        )
        return bytes(buffer[:end])

    def _pack(self, table: Any, values: dict[str, int]) -> bytes:
        buffer = bytearray(64)
        return bytes(buffer[: payloads.pack_into(table, buffer, 0, values)])

    def hello(self, **changes: int) -> bytes:
        values = {
            "firmware": 0x000100,
            "boot_cause": 1,
            "policy": 0,
            "kernels_native": 1,
            "model_restored": 0,
            "reports_fault": 0,
            "heartbeat_s": 900,
            "window_period_s": 60,
            "bands": 64,
            "band_low_dhz": 10,
            "band_high_dhz": 6410,
            "last_sequence": self.sequence & 0xFFFF,
            "threshold_factor": 256,
            "output_power": 14,
        }
        return self.seal(frame.HELLO, self._pack(payloads.HELLO, values | changes), ack=True)

    def alert(
        self, event: str = "machine_alarm", *, sequence: int | None = None, ack: bool = True, **changes: int
    ) -> bytes:
        if sequence is None:
            self.sequence += 1
            sequence = self.sequence
        values = {
            "event": codes.EVENTS.index(event),
            "severity": codes.SEVERITIES.index(codes.SEVERITY_OF_EVENT[event]),
            "verdict": 2,
            "policy": 0,
            "mode": 1,
            "score_ratio": 640,
            "age_s": 0,
            "band_a": 12,
            "band_b": 255,
            "sequence": sequence & 0xFFFF,
        }
        return self.seal(frame.ALERT, self._pack(payloads.ALERT, values | changes), ack=ack)

    def status(self, *, ack: bool = False, **changes: int) -> bytes:
        values = {
            "state": codes.STATES.index("watching"),
            "policy": 0,
            "verdict": 0,
            "mode": 1,
            "change_unconfirmed": 0,
            "kernels_native": 1,
            "reserved": 0,
            "sensor_fault": 0,
            "score_ratio": 100,
            "rms_g": 250,
            "rms_velocity": 180,
            "learned_rows": 1000,
            "battery_mv": 2950,
            "temperature_c": 21,
            "waiting_events": 0,
            "lost_events": 0,
            "heartbeat_s": 900,
            "window_period_s": 60,
            "uptime_h": 5,
            "downlink_snr": -128,
        }
        return self.seal(frame.STATUS, self._pack(payloads.STATUS, values | changes), ack=ack)

    def response(self, command: dict[str, Any], result: str = "ok", *, gateway: int = 1, ack: bool = True) -> bytes:
        values = {
            "command": command["command"],
            "command_sequence": command["command_sequence"],
            "gateway": gateway,
            "result": codes.RESULTS.index(result),
        }
        table = payloads.RESPONSE
        name = codes.COMMANDS[command["command"]]
        if result == "ok" and name in payloads.ANSWERS:
            table += payloads.ANSWERS[name]
            values |= {"value": 900, **command["arguments"]}
        return self.seal(frame.RESPONSE, self._pack(table, values), ack=ack)

    def use_key(self, key_id: int, key: bytes) -> None:
        """Go on under another key."""
        self.key_id, self.key, self.cipher = key_id, key, Ccm(key)

    def open(self, data: bytes | None, *, counter: int | None = None, gateway: int = 1) -> tuple[int, bytes]:
        """An answer's type and plain payload, as the node opens it. Raises FrameError."""
        assert data is not None, "no answer"
        header = frame.parse(data, gateway)
        counter = self.counter if counter is None else counter
        assert (header.node_id, header.counter) == (self.node_id, counter & 0xFFFF)
        buffer = bytearray(data)
        start, end = frame.open_into(
            buffer, len(data), self.cipher, bytearray(13), bytes.fromhex(self.eui), counter, gateway
        )
        return header.kind, bytes(buffer[start:end])

    def open_command(self, data: bytes | None) -> dict[str, Any]:
        """An answer that must be a COMMAND: its fields, its name and its arguments."""
        kind, plain = self.open(data)
        assert kind == frame.COMMAND, kind
        head: dict[str, Any] = payloads.unpack(payloads.COMMAND, plain)
        head["name"] = codes.COMMANDS[head["command"]]
        table = payloads.ARGUMENTS[head["name"]]
        rest = plain[payloads.size(payloads.COMMAND) :]
        assert len(rest) == payloads.size(table)
        return {**head, "arguments": payloads.unpack(table, rest)}


class BenchRadio:
    """The radio's place is taken by the test: it hands in frames and looks at the answers."""

    def __init__(self, config: configuration.Radio) -> None:
        self.config = config
        self.counters = RadioCounters(problem="")
        self.answers: list[tuple[int, bytes | None]] = []
        self.before_answer = lambda: None

    def start(self, deliver: Any) -> None:
        pass

    def answer(self, token: int, data: bytes | None) -> None:
        self.before_answer()
        self.answers.append((token, data))

    def flush(self) -> None:
        pass

    def stop(self) -> None:
        pass


class BenchClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.ms = 0
        self.synced = True
        self.wrong_by_ms = 0

    def now(self) -> Instant:
        return Instant(START_MS + self.ms + self.wrong_by_ms, self.ms, self.synced)


class Bench:
    """A core without its thread: `hear` is one round with these frames."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.path = folder / "gateway.db"
        base = GatewayConfig()
        self.config = dataclasses.replace(
            base,
            database=dataclasses.replace(base.database, path=str(self.path), **settings.get("database", {})),
            gateway=dataclasses.replace(base.gateway, **settings.get("gateway", {})),
            commands=dataclasses.replace(base.commands, **settings.get("commands", {})),
            home_assistant=dataclasses.replace(base.home_assistant, **settings.get("home_assistant", {})),
            retention=dataclasses.replace(base.retention, **settings.get("retention", {})),
            radio=(dataclasses.replace(base.radio[0], **settings.get("radio", {})),),
        )
        self.clock = BenchClock()
        self.token = 0
        self.inbox: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self.start()

    def start(self) -> None:
        """Start, or start again with what is in the database."""
        self.store = Store(self.path, create=True)
        self.radio = BenchRadio(self.config.radio[0])
        # never connected: the tests of the publisher have a broker
        self.publisher = Publisher(self.config, Store(self.path, read_only=True), self.inbox.put)
        self.core = Core(self.config, "0", self.store, [self.radio], self.publisher, self.clock, self.inbox)

    def close(self) -> None:
        self.publisher._store.close()
        self.publisher._bell.close()
        self.store.close()

    def restart(self) -> None:
        self.close()
        self.start()

    def node(self, name: str = "fan", **sections: Any) -> ScriptedNode:
        """Provision a node."""
        made = provision(
            self.path, self.folder / "nodes", name, location="roof", gateway=self.config, sections=sections
        )
        return ScriptedNode(made)

    def uplink(self, data: bytes) -> Uplink:
        self.token += 1
        return Uplink(
            radio=self.radio.config.name,
            token=self.token,
            data=data,
            rssi=-97,
            snr=7.25,
            airtime_us=airtime_us(self.radio.config, len(data)) if len(data) < 256 else 0,
            received=self.clock.now(),
        )

    def hear_all(self, frames: Sequence[bytes]) -> list[bytes | None]:
        """All in one round; their answers."""
        self.radio.answers.clear()
        uplinks = [self.uplink(data) for data in frames]
        self.core.step(list(uplinks))
        answers = dict(self.radio.answers)
        assert len(self.radio.answers) == len(uplinks), "every uplink is answered or declined, once"
        return [answers[uplink.token] for uplink in uplinks]

    def hear(self, data: bytes) -> bytes | None:
        return self.hear_all([data])[0]

    def request(self, command: str, **document: Any) -> None:
        self.core.step([Request(command, json.dumps(document).encode())])

    def tick(self, ms: int = 1000) -> None:
        """Let time pass."""
        self.clock.ms += ms
        self.core.step([])

    # what was written

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self.path)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def outbox(self, ending: str = "") -> list[dict[str, Any]]:
        """Documents waiting for the broker, in order."""
        rows = self.rows("SELECT topic, payload FROM outbox ORDER BY id")
        return [json.loads(payload) for topic, payload in rows if topic.endswith(ending)]

    def current(self, ending: str) -> Any:
        """A document that describes the present."""
        for topic, payload in self.publisher._current.items():
            if topic.endswith(ending):
                return json.loads(payload) if payload.startswith("{") else payload
        return None

    @property
    def drops(self) -> dict[str, int]:
        return {reason: count for reason, count in self.core.tally.drops.items() if count}
