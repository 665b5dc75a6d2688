"""Real brokers, a subscriber that keeps what it gets, and the gateway as a process of its own."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: Callable[[], Any], seconds: float = 15, why: str = "") -> Any:
    """What `what` returns once it is true."""
    until = time.monotonic() + seconds
    while not (result := what()):
        if time.monotonic() > until:
            raise AssertionError(f"waited {seconds} s in vain {why}")
        time.sleep(0.01)
    return result


class Mosquitto:
    """Debian's broker, on a port and with a configuration of its own."""

    def __init__(self, folder: Path, *lines: str) -> None:
        executable = shutil.which(
            "mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/sbin"
        )
        if executable is None:
            pytest.fail("mosquitto is not installed: sudo apt-get install mosquitto mosquitto-clients")
        self.port = free_port()
        self.folder = folder / f"mosquitto-{self.port}"
        self.folder.mkdir()
        self._command = [executable, "-c", str(self.folder / "mosquitto.conf")]
        # a queue without bound and on disk, so that what a test's subscriber misses is the gateway's fault
        self.lines = [
            f"listener {self.port} 127.0.0.1",
            f"persistence_location {self.folder}/",
            "max_queued_messages 0",
            *(["user root"] if Path("/").owner() == "root" and _is_root() else []),
            *lines,
        ]
        if not any(line.startswith("allow_anonymous") for line in lines):
            self.lines.append("allow_anonymous true")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> Mosquitto:
        (self.folder / "mosquitto.conf").write_text("\n".join(self.lines) + "\n")
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        wait_for_port(self.port)
        return self

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process:
            self._process.send_signal(how)
            self._process.wait(10)
            self._process = None

    def reload(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGHUP)


def _is_root() -> bool:
    import os

    return os.geteuid() == 0


def wait_for_port(port: int) -> None:
    def reached() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_for(reached, why=f"for port {port}")


@dataclass(frozen=True)
class Heard:
    topic: str
    payload: Any
    retained: bool


class Subscriber:
    """Keeps every message; its session outlives the connection."""

    def __init__(self, port: int, topics: str = "fieldelm/#", *, protocol: str = "5", name: str = "test") -> None:
        self.heard: list[Heard] = []
        self._topics = topics
        self._subscribed = threading.Event()
        v5 = protocol == "5"
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=name,
            protocol=MQTTProtocolVersion.MQTTv5 if v5 else MQTTProtocolVersion.MQTTv311,
            clean_session=None if v5 else True,
        )
        client.reconnect_delay_set(0.05, 0.2)
        client.on_connect = self._on_connect
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.on_message = self._on_message
        arguments: dict[str, Any] = {}
        if v5:
            lasting = Properties(PacketTypes.CONNECT)
            lasting.SessionExpiryInterval = 3600
            arguments = {"clean_start": False, "properties": lasting}
        client.connect("127.0.0.1", port, **arguments)
        client.loop_start()
        assert self._subscribed.wait(10)

    def _on_connect(self, client: Any, *_: Any) -> None:
        client.subscribe(self._topics, qos=1)

    def _on_message(self, _client: Any, _data: Any, message: Any) -> None:
        text = message.payload.decode()
        payload = json.loads(text) if text.startswith("{") else text
        self.heard.append(Heard(message.topic, payload, bool(message.retain)))

    def publish(self, topic: str, payload: str, *, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def of(self, ending: str) -> list[Any]:
        """Payloads on topics with this ending, in order."""
        return [heard.payload for heard in self.heard if heard.topic.endswith(ending)]

    def ids(self) -> list[str]:
        return [payload["id"] for payload in self.of("/event")]

    def wait_for(self, ending: str, count: int = 1, seconds: float = 15) -> list[Any]:
        wait_for(lambda: len(self.of(ending)) >= count, seconds, f"for {count} × {ending}")
        return self.of(ending)


class GatewayProcess:
    """`fieldelm gateway run`."""

    def __init__(self, config: Path) -> None:
        self.log = config.with_suffix(".log")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fieldelm_tools.cli", "gateway", "run", "--config", str(config)],
                stdout=log,
                stderr=log,
            )

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(20)

    def said(self) -> str:
        return self.log.read_text()
