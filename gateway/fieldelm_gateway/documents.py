"""The JSON objects that go to MQTT (docs/reference/mqtt.md). Each carries an integer `schema`."""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

from fieldelm import codes, payloads

from .clock import Instant, rfc3339
from .config import GatewayConfig
from .errors import PermanentError
from .ingress import Uplink
from .nodes import Card, Node
from .rows import Command
from .tables import Table
from .verify import Verified

SCHEMA = 1
DELAYED_S = 60
"""an event that reaches the gateway later than this after it happened is marked as delayed"""
_AT_LEAST_S = 0xFFFE
_AGE_UNKNOWN_S = 0xFFFF  # the node has lost power since
_UNKNOWN = -128  # of temperature and downlink SNR


class PayloadError(PermanentError):
    """An authentic frame whose payload has the wrong length or a code that does not exist."""


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))  # `json.dumps` would make one every time


def dump(document: Mapping[str, Any]) -> str:
    """A document as it goes out."""
    return _ENCODER.encode(document)


_DISPENSABLE = (
    *("location", "name", "policy", "age_saturated", "age_s", "delayed", "mode", "lost_before", "counter"),
    *("rssi", "snr", "bands", "score_ratio", "verdict", "clock", "received_time"),
)


def shortened(text: str, room: int) -> str | None:
    """A document that fits into so many bytes: without what can best be spared, and marked; None if that is not enough."""
    if len(text) * 4 <= room or len(text.encode("utf-8")) <= room:
        return text
    document = json.loads(text) if text.startswith("{") else {}
    if "schema" not in document:  # no document of ours: Home Assistant wants all of it
        return None
    document["shortened"] = True
    if isinstance(document.get("nodes"), list):
        document["nodes"] = [{name: node[name] for name in ("eui", "node_id", "name")} for node in document["nodes"]]
    for name in ("", *_DISPENSABLE):
        document.pop(name, None)
        if len(dump(document).encode("utf-8")) <= room:
            return dump(document)
    return None


class Topics:
    """Topics of one gateway."""

    def __init__(self, base: str) -> None:
        self.state = f"{base}/state"
        self.info = f"{base}/info"
        self.nodes = f"{base}/nodes"
        self.health = f"{base}/health"
        self.security = f"{base}/security"
        self.requests = f"{base}/request/+"
        self._base = base

    def event(self, eui: str) -> str:
        """Events of a node."""
        return f"{self._base}/node/{eui}/event"

    def node_state(self, eui: str) -> str:
        """Last status of a node."""
        return f"{self._base}/node/{eui}/state"

    def availability(self, eui: str) -> str:
        """Whether a node is heard."""
        return f"{self._base}/node/{eui}/availability"

    def trace(self, eui: str) -> str:
        """What a node showed on request."""
        return f"{self._base}/node/{eui}/trace"

    def alarm(self, eui: str) -> str:
        """State of a node's alarm."""
        return f"{self._base}/node/{eui}/alarm"

    def maintenance(self, eui: str) -> str:
        """What people did to a node."""
        return f"{self._base}/node/{eui}/maintenance"

    def request(self, command: str) -> str:
        """Where a command is asked for."""
        return f"{self._base}/request/{command}"

    def response(self, command: str) -> str:
        """Answers to a command."""
        return f"{self._base}/response/{command}"

    def requested(self, topic: str) -> str:
        """The command that a request topic names."""
        return topic.removeprefix(f"{self._base}/request/")


_ALERT, _STATUS = Table(payloads.ALERT), Table(payloads.STATUS)
_HELLO, _RESPONSE, _TRACE = Table(payloads.HELLO), Table(payloads.RESPONSE), Table(payloads.TRACE)
_ANSWERS = {command: Table(table) for command, table in payloads.ANSWERS.items()}


def _unpack(table: Table, plain: bytes) -> dict[str, int]:
    if len(plain) != table.size:
        raise PayloadError(f"{len(plain)} bytes of payload, not {table.size}")
    return table.unpack(plain)


def _name(names: tuple[Any, ...], number: int, what: str) -> Any:
    if number >= len(names):
        raise PayloadError(f"{what} {number} does not exist")
    return names[number]


def received(uplink: Uplink) -> dict[str, Any]:
    """When and on what clock a frame came."""
    return {
        "received_time": rfc3339(uplink.received.epoch_ms),
        "clock": "synced" if uplink.received.synced else "unsynced",
    }


def band_hz(node: Node, band: int) -> dict[str, Any] | None:
    """A band with its limits; None for no band. Bands are equally wide, their edges rounded to bins by the node."""
    if band == payloads.NO_BAND:
        return None
    card = node.card
    if (
        not card.bands
        or card.band_low_hz is None
        or card.band_high_hz is None
        or band >= card.bands
        or card.band_high_hz == 0
    ):
        return {"band": band, "low_hz": None, "high_hz": None, "orders": None}
    width = (card.band_high_hz - card.band_low_hz) / card.bands
    low = card.band_low_hz + band * width
    orders = [round(low / node.shaft_hz, 2), round((low + width) / node.shaft_hz, 2)] if node.shaft_hz else None
    return {"band": band, "low_hz": round(low, 1), "high_hz": round(low + width, 1), "orders": orders}


@dataclasses.dataclass(frozen=True, slots=True)
class Alert:
    """An ALERT's payload."""

    type: str
    severity: str
    verdict: str
    policy: str
    mode: int
    score_ratio: float
    age_s: int
    bands: tuple[int, int]
    sequence: int
    """low 16 bits"""


def read_alert(plain: bytes) -> Alert:
    """Raises PayloadError."""
    values = _unpack(_ALERT, plain)
    return Alert(
        type=_name(codes.EVENTS, values["event"], "event"),
        severity=_name(codes.SEVERITIES, values["severity"], "severity"),
        verdict=_name(codes.VERDICTS, values["verdict"], "verdict"),
        policy=_name(codes.POLICIES, values["policy"], "policy"),
        mode=values["mode"],
        score_ratio=values["score_ratio"] / 256,
        age_s=values["age_s"],
        bands=(values["band_a"], values["band_b"]),
        sequence=values["sequence"],
    )


def severity(plain: bytes) -> str:
    """How grave an ALERT is. Raises PayloadError."""
    return str(_name(codes.SEVERITIES, _unpack(_ALERT, plain)["severity"], "severity"))


def event_ms(uplink: Uplink, alert: Alert) -> int:
    """When it happened: reception − airtime − age; at the latest, where the node does not know its age."""
    age_s = 0 if alert.age_s == _AGE_UNKNOWN_S else alert.age_s
    return uplink.received.epoch_ms - (uplink.airtime_us + 500) // 1000 - age_s * 1000


def event(verified: Verified, uplink: Uplink, alert: Alert, sequence: int) -> dict[str, Any]:
    """The event document; `sequence` has all 32 bits.

    A node that starts skips counters, so what a `boot` seems to miss if its HELLO was not heard may never have been sent.
    """
    node = verified.node
    known = alert.age_s != _AGE_UNKNOWN_S
    return {
        "schema": SCHEMA,
        "id": f"{node.eui}-{verified.slot.check}-{sequence}",
        "type": alert.type,
        "name": node.name,
        "location": node.location,
        "event_time": rfc3339(event_ms(uplink, alert)) if known else None,
        **received(uplink),
        "severity": alert.severity,
        "verdict": alert.verdict,
        "score_ratio": round(alert.score_ratio, 3),
        "bands": [band for number in alert.bands if (band := band_hz(node, number))],
        "mode": alert.mode,
        "policy": alert.policy,
        "age_s": alert.age_s if known else None,
        "age_saturated": alert.age_s >= _AT_LEAST_S,
        "delayed": alert.age_s > DELAYED_S,
        "rssi": uplink.rssi,
        "snr": uplink.snr,
        "counter": verified.counter,
        "lost_before": None if alert.type == "boot" and verified.lost_before else verified.lost_before,
    }


def status(verified: Verified, uplink: Uplink) -> dict[str, Any]:
    """The document of a STATUS. Raises PayloadError."""
    values = _unpack(_STATUS, verified.plain)
    node = verified.node
    return {
        "schema": SCHEMA,
        "name": node.name,
        "location": node.location,
        **received(uplink),
        "state": _name(codes.STATES, values["state"], "state"),
        "policy": _name(codes.POLICIES, values["policy"], "policy"),
        "verdict": _name(codes.VERDICTS, values["verdict"], "verdict"),
        "mode": values["mode"],
        "change_unconfirmed": bool(values["change_unconfirmed"]),
        "sensor_fault": _name(codes.SENSOR_FAULTS, values["sensor_fault"], "sensor fault"),
        "score_ratio": round(values["score_ratio"] / 256, 3),
        "rms_g": values["rms_g"] / 10_000,
        "rms_velocity_mm_s": values["rms_velocity"] / 100,
        "learned_rows": values["learned_rows"],
        "battery_mv": values["battery_mv"] or None,
        "temperature_c": None if values["temperature_c"] == _UNKNOWN else values["temperature_c"],
        "waiting_events": values["waiting_events"],
        "lost_events": values["lost_events"],
        "kernels": "native" if values["kernels_native"] else "python",
        "heartbeat_s": values["heartbeat_s"],
        "window_period_s": values["window_period_s"],
        "threshold_factor": node.card.threshold_factor,
        "uptime_h": values["uptime_h"],
        "downlink_snr": None if values["downlink_snr"] == _UNKNOWN else values["downlink_snr"],
        "rssi": uplink.rssi,
        "snr": uplink.snr,
        "counter": verified.counter,
        "lost_before": verified.lost_before,
    }


def read_hello(node: Node, plain: bytes) -> tuple[Node, int]:
    """The node with what its HELLO tells, and the low 16 bits of its last event sequence. Raises PayloadError."""
    values = _unpack(_HELLO, plain)
    _name(codes.SENSOR_FAULTS, values["reports_fault"], "sensor fault")
    firmware = values["firmware"]
    card = dataclasses.replace(
        node.card,
        firmware=f"{firmware >> 16}.{firmware >> 8 & 255}.{firmware & 255}",
        boot_cause=_name(codes.BOOT_CAUSES, values["boot_cause"], "boot cause"),
        policy=_name(codes.POLICIES, values["policy"], "policy"),
        kernels="native" if values["kernels_native"] else "python",
        heartbeat_s=values["heartbeat_s"],
        window_period_s=values["window_period_s"],
        bands=values["bands"],
        band_low_hz=values["band_low_dhz"] / 10,
        band_high_hz=values["band_high_dhz"] / 10,
        threshold_factor=values["threshold_factor"] / 256,
        output_power=values["output_power"],
    )
    return dataclasses.replace(node, card=card), values["last_sequence"]


def read_response(plain: bytes) -> dict[str, int]:
    """A RESPONSE's own fields; data may follow them. Raises PayloadError."""
    return _unpack(_RESPONSE, plain[: _RESPONSE.size])


def read_answer(command: str, plain: bytes) -> dict[str, Any] | None:
    """What follows the fields of a RESPONSE whose result is ok. Raises PayloadError."""
    if command not in _ANSWERS:
        return None
    values = _unpack(_ANSWERS[command], plain[_RESPONSE.size :])
    known = _name(payloads.CONFIG_KEYS, values["key"], "key")
    if known is None:
        raise PayloadError("key 0 does not exist")
    _, _, scale, unit, strings = known
    value: Any = _name(strings, values["value"], "value") if strings else values["value"] / scale
    if not strings and scale == 1:
        value = values["value"]
    return {"key": payloads.config_key(values["key"]), "value": value, "unit": unit or None}


@dataclasses.dataclass(frozen=True, slots=True)
class TracePart:
    """One TRACE frame."""

    name: str
    number: int
    first: int
    total: int
    values: tuple[float, ...]
    """in dB or standard deviations"""


def read_trace(plain: bytes) -> TracePart:
    """Raises PayloadError."""
    size = _TRACE.size
    if len(plain) <= size:
        raise PayloadError(f"{len(plain)} bytes of payload, not more than {size}")
    head: dict[str, int] = _TRACE.unpack(plain)
    data = plain[size : size + max(head["total"] - head["first"], 0)]
    if not data:
        raise PayloadError(f"band {head['first']} of {head['total']}")
    return TracePart(
        name=_name(codes.TRACES, head["trace"], "trace"),
        number=head["trace_id"],
        first=head["first"],
        total=head["total"],
        values=tuple((head["low"] + head["step"] * byte) / 100 for byte in data),
    )


def trace(node: Node, part: TracePart, values: Iterable[float], uplink: Uplink) -> dict[str, Any]:
    """The document of a whole trace."""
    card = node.card
    in_hz = card.bands == part.total and card.band_low_hz is not None and bool(card.band_high_hz)
    edges = None
    if in_hz and card.band_low_hz is not None and card.band_high_hz is not None:
        width = (card.band_high_hz - card.band_low_hz) / part.total
        edges = [round(card.band_low_hz + band * width, 1) for band in range(part.total + 1)]
    return {
        "schema": SCHEMA,
        "name": node.name,
        "location": node.location,
        **received(uplink),
        "trace": part.name,
        "trace_id": part.number,
        "unit": "dB" if in_hz and part.name == "bands" else "sigma",
        "edges_hz": edges,
        "values": [round(value, 2) for value in values],
    }


def response(command: Command, node: Node, status_word: str, message: str, now: Instant) -> dict[str, Any]:
    """The answer to a request whose node has answered, or has not."""
    return {
        "schema": SCHEMA,
        "id": command.request_id,
        "command": command.command,
        "node": node.eui,
        "name": node.name,
        "status": status_word,
        "message": message,
        **(command.answer or {}),
        "time": rfc3339(now.epoch_ms),
    }


def refusal(request_id: str | None, command: str, message: str, now: Instant) -> dict[str, Any]:
    """The answer to a request that cannot be carried out."""
    return {
        "schema": SCHEMA,
        "id": request_id,
        "command": command,
        "status": "error",
        "message": message,
        "time": rfc3339(now.epoch_ms),
    }


def gateway_state(state: str) -> str:
    """`online`, or `offline` as the last will."""
    return dump({"schema": SCHEMA, "state": state})


def info(config: GatewayConfig, version: str, started: Instant) -> str:
    """The gateway's card."""
    radio_keys = ("name", "kind", "freq_khz", "sf", "bw", "coding_rate", "preamble_len", "output_power", "duty_cycle")
    return dump(
        {
            "schema": SCHEMA,
            "name": config.gateway.name,
            "number": config.gateway.number,
            "location": config.gateway.location,
            "version": version,
            "started": rfc3339(started.epoch_ms),
            "radios": [{key: getattr(radio, key) for key in radio_keys} for radio in config.radio],
        }
    )


_CARD = tuple(field.name for field in dataclasses.fields(Card))


def node_list(nodes: Iterable[Node]) -> str:
    """The nodes' cards."""
    cards = [
        {
            "eui": node.eui,
            "node_id": node.node_id,
            "name": node.name,
            "location": node.location,
            "shaft_hz": node.shaft_hz,
            **{name: getattr(node.card, name) for name in _CARD},
        }
        for node in nodes
    ]
    return dump({"schema": SCHEMA, "nodes": cards})
