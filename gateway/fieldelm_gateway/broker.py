"""One connection to the broker. When it is lost a new one is made, so that nothing waits in the client's memory.

Everything happens in the thread that calls `wait`: it is paho's network loop as well, and other threads only wake it.
"""

import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from paho.mqtt import client as paho
from paho.mqtt.client import DisconnectFlags
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from . import tls
from .config import GatewayConfig, Mqtt
from .errors import BrokerLostError, ConfigError

_CONNECT_S = 5.0
GREETING_S = 3.0
"""patience with a broker that does not greet: some take what they do not understand for a reason to say nothing"""
_LOOK_S = 0.2
_UNSUPPORTED_PROTOCOL = 132
_ANY_NUMBER = 65535
_ANY_SIZE = 268_435_455
_PUBACK = 0x40
_LAST_WORDS = 1_000_000
_FAILURES = 128  # reason codes from here on (MQTT 5, 2.4)
_VERSIONS = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}


class ProtocolRefusedError(BrokerLostError):
    """Something is there, but it does not speak this version of MQTT."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The broker has answered a publication; `problem` is empty when it has it."""

    mid: int
    problem: str


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message came."""

    topic: str
    payload: bytes
    retained: bool = False
    """the broker has kept it from some time or other"""


def address(config: Mqtt) -> tuple[str, int]:
    """Host and port."""
    parts = urlsplit(config.url)
    return parts.hostname or "localhost", parts.port or (8883 if parts.scheme == "mqtts" else 1883)


def read_password(config: Mqtt) -> str | None:
    """The password, if a file is configured. Raises ConfigError."""
    if not config.password_file:
        return None
    path = Path(config.password_file).expanduser()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise ConfigError(
            f"{path}: cannot be read: put the broker's password there, readable by the gateway's user"
        ) from None
    return lines[0] if lines else ""


def _doubt(config: Mqtt) -> str:
    # in TLS 1.3 a broker tells that it misses a certificate by hanging up
    if tls.wanted(config) and not config.cert_file:
        return "does it want a certificate of the gateway ([mqtt] cert_file and key_file)?"
    return "is it an MQTT broker?"


def confirmations(data: bytes) -> list[Confirmed]:
    """The PUBACKs (MQTT 5, 3.4) in what a broker has sent last; what is no whole packet is left out."""
    found = []
    at = 0
    while at + 2 <= len(data):
        kind, length, shift, at = data[at], 0, 0, at + 1
        while at < len(data) and shift < 28:
            length |= (data[at] & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if not data[at - 1] & 0x80:
                break
        body, at = data[at : at + length], at + length
        if kind == _PUBACK and len(body) == length >= 2:
            found.append(Confirmed(int.from_bytes(body[:2], "big"), _refusal(body[2]) if length > 2 else ""))
    return found


def _refusal(code: int) -> str:
    if code < _FAILURES:
        return ""
    try:
        return str(ReasonCode(PacketTypes.PUBACK, identifier=code))
    except (KeyError, ValueError):  # paho knows only those that MQTT 5 allows here
        return f"reason {code}"


class HasFileno(Protocol):
    """A socket, plain or wrapped."""

    def fileno(self) -> int:
        """Its number for `select`."""
        ...


class Bell:
    """Wakes a thread that waits in `select`."""

    def __init__(self) -> None:
        self._ear, self._mouth = socket.socketpair()
        self._ear.settimeout(0)
        self._mouth.settimeout(0)
        self._lock = threading.Lock()
        self._rings = False

    def ring(self) -> None:
        """Wake it, or let it not fall asleep."""
        with self._lock:
            if self._rings:
                return
            try:
                self._mouth.send(b"\0")
                self._rings = True
            except OSError:  # it is closed
                pass

    def wait(self, seconds: float, *others: HasFileno) -> bool:
        """Sleep until the bell rings, one of the others can be read, or time is up. Returns whether one can be read."""
        readable = select.select([self._ear, *others], [], [], max(seconds, 0))[0]
        if self._ear in readable:
            with self._lock:
                self._ear.recv(1)
                self._rings = False
        return any(one is not self._ear for one in readable)

    def close(self) -> None:
        """Let go of it."""
        self._ear.close()
        self._mouth.close()


class Connection:
    """A live connection; used by one thread."""

    def __init__(
        self,
        config: GatewayConfig,
        protocol: str,
        will: tuple[str, str],
        *,
        greeting_s: float = GREETING_S,
        give_up: Callable[[], bool] = lambda: False,
        client_id_suffix: str = "",
    ) -> None:
        """Connect, or raise BrokerLostError, ProtocolRefusedError or ConfigError with the reason.

        Waiting for the broker's greeting ends when `give_up` says so, too.
        """
        self.protocol = protocol
        self.receive_maximum = _ANY_NUMBER
        """publications that the broker wants to have unconfirmed at most"""
        self.maximum_packet_size = _ANY_SIZE
        """bytes of the longest packet that the broker takes"""
        self._notices: list[Confirmed | Arrived] = []
        self._greeting: ReasonCode | None = None
        self._lost = ""
        mqtt = config.mqtt
        self._host, self._port = address(mqtt)
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=(mqtt.client_id or f"fieldelm-{config.gateway.name}") + client_id_suffix,
            protocol=_VERSIONS[protocol],
            clean_session=None if protocol == "5" else True,
            reconnect_on_failure=False,
        )
        client.max_inflight_messages_set(0)  # the publisher counts
        client.connect_timeout = _CONNECT_S
        if mqtt.username:
            client.username_pw_set(mqtt.username, read_password(mqtt))
        if tls.wanted(mqtt):
            client.tls_set_context(tls.context(mqtt))
        client.will_set(will[0], will[1], qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_socket_close = self._on_socket_close
        try:
            self._connect(mqtt, greeting_s, give_up)
        except BrokerLostError:
            self.close()
            raise

    def _connect(self, mqtt: Mqtt, greeting_s: float, give_up: Callable[[], bool]) -> None:
        where = f"{self._host}:{self._port}"
        arguments: dict[str, Any] = {"clean_start": True} if self.protocol == "5" else {}
        try:
            self._client.connect(self._host, self._port, mqtt.keepalive_s, **arguments)
        except ssl.SSLError as error:
            raise BrokerLostError(tls.explain(where, error)) from None
        except ConnectionResetError:
            raise BrokerLostError(
                f"{where} hung up: does it speak MQTT there, with TLS if [mqtt] url says mqtts?"
            ) from None
        except OSError as error:
            raise BrokerLostError(
                f"no broker at {where} ({error.strerror or error}): is it running, and is [mqtt] url right?"
            ) from None
        until = time.monotonic() + greeting_s
        bell = Bell()
        try:
            while self._greeting is None and time.monotonic() < until and not give_up():
                self.wait(bell, min(until - time.monotonic(), _LOOK_S))
        except BrokerLostError as error:
            if self._greeting is None:
                raise ProtocolRefusedError(f"{where} hung up without a greeting ({error}): {_doubt(mqtt)}") from None
        finally:
            bell.close()
        if self._greeting is None:
            raise ProtocolRefusedError(f"{where} takes the connection but does not answer: is it an MQTT broker?")
        if self._greeting.is_failure:
            if self._greeting.value == _UNSUPPORTED_PROTOCOL:
                raise ProtocolRefusedError(f"{where} does not speak MQTT {self.protocol}")
            raise BrokerLostError(
                f"{where} refuses the gateway ({self._greeting}): check [mqtt] username and password_file"
            )

    # paho's callbacks, in the thread that is in `wait` or `publish`

    def _on_connect(
        self, _client: Any, _data: Any, _flags: Any, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self.receive_maximum = getattr(properties, "ReceiveMaximum", _ANY_NUMBER)
        self.maximum_packet_size = getattr(properties, "MaximumPacketSize", _ANY_SIZE)
        self._greeting = reason

    def _on_disconnect(
        self, _client: Any, _data: Any, flags: DisconnectFlags, reason: ReasonCode, _properties: Any
    ) -> None:
        self._lost = str(reason) if flags.is_disconnect_packet_from_server else "the broker hung up"

    def _on_publish(self, _client: Any, _data: Any, mid: int, reason: ReasonCode, _properties: Any) -> None:
        self._notices.append(Confirmed(mid, str(reason) if reason.is_failure else ""))

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        self._notices.append(Arrived(message.topic, bytes(message.payload), message.retain))

    def _on_socket_close(self, _client: Any, _data: Any, wire: Any) -> None:
        # A broker that refuses a message may hang up right behind its refusal, and then it is a write that fails first.
        left = b""
        try:
            while len(left) < _LAST_WORDS and (chunk := wire.recv(65536)):
                left += chunk
        except OSError:
            pass
        self._notices += confirmations(left)

    # for the publisher

    def wait(self, bell: Bell, seconds: float) -> None:
        """Exchange data with the broker until something happens, the bell rings or time is up.

        Raises BrokerLostError.
        """
        client = self._client
        wire = client.socket()
        if wire is None:
            raise BrokerLostError(self._lost or "the connection was closed")
        if client.want_write() and select.select([], [wire], [], 0.05)[1]:
            self._check(client.loop_write())
        pending = tls.pending(wire)  # decrypted already, so select does not see it
        pause = 0.0 if self._notices or client.want_write() or pending else min(seconds, 1.0)
        if bell.wait(pause, wire) or pending:
            try:
                self._check(client.loop_read())
            except BrokerLostError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a foreign broker sends must not end the gateway
                raise BrokerLostError(f"it sends what cannot be read: {error}") from None
        self._check(client.loop_misc())

    def _check(self, code: MQTTErrorCode) -> None:
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise BrokerLostError(self._lost or paho.error_string(code))

    def notices(self) -> list[Confirmed | Arrived]:
        """What has happened since this was asked last."""
        notices, self._notices = self._notices, []
        return notices

    def publish(self, topic: str, payload: str, *, retain: bool) -> int:
        """Send with QoS 1 and return the number that its confirmation will carry. Raises BrokerLostError."""
        sent = self._client.publish(topic, payload.encode("utf-8"), qos=1, retain=retain)
        self._check(sent.rc)
        return sent.mid

    def room(self, topic: str) -> int:
        """Bytes of payload that the broker takes on this topic."""
        # 1 for the type, 4 at most for the length, 2 for the topic's length, 2 for the number, 1 for no properties
        return self.maximum_packet_size - 10 - len(topic.encode("utf-8"))

    def subscribe(self, topic: str) -> None:
        """Ask for a topic with QoS 1. Raises BrokerLostError."""
        self._check(self._client.subscribe(topic, qos=1)[0])

    def close(self) -> None:
        """Say goodbye, which keeps the last will from being sent."""
        self._client.disconnect()
