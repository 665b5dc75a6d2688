"""The independent MQTT subscriber: writes every message it receives to `events.jsonl` and hands it on."""

import dataclasses
import datetime
import json
import os
import threading
import time
import urllib.parse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from ..errors import FieldelmError, UsageError

CONNECT_S = 15.0
FORGET_S = 1.0


@dataclasses.dataclass(frozen=True)
class BrokerAddress:
    """Where a broker is."""

    host: str
    port: int
    username: str = ""
    password: str = dataclasses.field(default="", repr=False)
    protocol: str = "auto"
    """for the gateway: `auto`, `5` or `3.1.1`"""

    @property
    def url(self) -> str:
        """Without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtt://{host}:{self.port}"


def parse_broker(url: str) -> BrokerAddress:
    """`mqtt://[user:password@]host[:port]` or `host[:port]`. Raises UsageError."""
    problem = f"--broker {url!r} is no broker's address: write mqtt://host:1883 or mqtt://user:password@host:1883"
    try:
        parts = urllib.parse.urlsplit(url if "://" in url else f"mqtt://{url}")
        port = parts.port or 1883
    except ValueError:
        raise UsageError(problem) from None
    if parts.scheme != "mqtt" or not parts.hostname or parts.path not in ("", "/"):
        raise UsageError(problem)
    username, password = (urllib.parse.unquote(part or "") for part in (parts.username, parts.password))
    return BrokerAddress(parts.hostname, port, username, password)


@dataclasses.dataclass(frozen=True)
class Message:
    """One message as it was received; `payload` is parsed JSON where it is JSON, else the text."""

    topic: str
    payload: Any
    retained: bool
    time: str


def try_broker(address: BrokerAddress, topic: str) -> None:
    """Raise FieldelmError if nobody may subscribe to this topic there."""
    Recorder(address, [topic], Path(os.devnull), lambda _message: None).close()


def parse_payload(payload: bytes | bytearray) -> Any:
    """JSON if it is an object, a list or a number; else the text."""
    text = payload.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except ValueError:
        return text


def utc_now() -> str:
    """RFC 3339 in UTC with milliseconds."""
    now = datetime.datetime.now(datetime.UTC)
    return now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03}Z"


class Recorder:
    """A paho-mqtt client of its own; `take` gets every message, from paho's thread."""

    def __init__(
        self, address: BrokerAddress, topics: Sequence[str], path: Path, take: Callable[[Message], None]
    ) -> None:
        """Connects and subscribes; returns when the broker has confirmed. Raises FieldelmError."""
        self._address = address
        self._topics = topics
        self._take = take
        self._forgetting = False
        self._file: IO[str] = path.open("w", encoding="utf-8")
        self._answered = threading.Event()
        self._welcome = False
        self._problem = "no answer"
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 5)
        if address.username:
            self._client.username_pw_set(address.username, address.password or None)
        try:
            self._connect()
        except FieldelmError:
            self.close()
            raise

    def _connect(self) -> None:
        try:
            self._client.connect(self._address.host, self._address.port)
        except OSError as error:
            raise FieldelmError(
                f"no broker answers at {self._address.url} ({error}): start one there, or leave --broker out"
            ) from None
        self._client.loop_start()
        self._answered.wait(CONNECT_S)
        if not self._welcome:
            raise FieldelmError(
                f"{self._address.url} lets nobody in ({self._problem}): check the broker's address, user and password"
            )

    def _on_connect(self, _client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._problem = str(reason)
        if reason.is_failure:
            self._answered.set()
        else:
            self._subscribe()

    def _on_subscribe(self, *_: Any) -> None:
        self._welcome = True
        self._answered.set()

    def _subscribe(self) -> None:
        self._client.subscribe([(topic, 1) for topic in self._topics])

    def _on_message(self, client: mqtt.Client, _data: Any, received: mqtt.MQTTMessage) -> None:
        if self._forgetting:
            if received.retain and received.payload:
                client.publish(received.topic, b"", qos=1, retain=True)
            return
        message = Message(received.topic, parse_payload(received.payload), bool(received.retain), utc_now())
        self._file.write(json.dumps(dataclasses.asdict(message), ensure_ascii=False) + "\n")
        self._file.flush()
        self._take(message)

    def publish(self, topic: str, payload: dict[str, Any]) -> None:
        """Publish as an operator would: QoS 1, not retained."""
        self._client.publish(topic, json.dumps(payload), qos=1)

    def subscribe_again(self) -> None:
        """Subscribe as one who comes late: the broker sends everything that it has retained."""
        self._subscribe()

    def forget_retained(self, more: Sequence[str] = ()) -> None:
        """Remove what the run has left retained, on these topics too, on a broker that outlives it."""
        self._forgetting = True
        self._topics = [*self._topics, *more]
        self._subscribe()
        time.sleep(FORGET_S)

    def close(self) -> None:
        """Hang up and close the file."""
        self._client.disconnect()
        self._client.loop_stop()
        self._file.close()
