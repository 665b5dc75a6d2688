"""Metrics in Prometheus' text format, version 0.0.4."""

from collections.abc import Iterable, Mapping
from typing import Any

from fieldelm import codes

_PREFIX = "fieldelm_"


class _Text:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def family(self, name: str, kind: str, help_text: str, values: Iterable[tuple[Mapping[str, str], Any]]) -> None:
        """One metric with its samples; what is not known is left out."""
        told = False
        for labels, value in values:
            if value is None:
                continue
            if not told:
                told = True
                self.lines += [f"# HELP {_PREFIX}{name} {help_text}", f"# TYPE {_PREFIX}{name} {kind}"]
            inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
            number = int(value) if isinstance(value, bool) else value
            self.lines.append(f"{_PREFIX}{name}{{{inner}}} {number}" if inner else f"{_PREFIX}{name} {number}")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


_OF_NODE = (
    ("score_ratio", "score_ratio", 1, "score divided by its threshold"),
    ("rms_acceleration_g", "rms_g", 1, "RMS acceleration of the last window, g"),
    ("rms_velocity_mm_per_second", "rms_velocity_mm_s", 1, "RMS velocity of the last window, mm/s"),
    ("battery_volts", "battery_mv", 0.001, "battery"),
    ("temperature_celsius", "temperature_c", 1, "temperature of the chip"),
    ("rssi_dbm", "rssi", 1, "signal strength of the last STATUS"),
    ("snr_decibels", "snr", 1, "signal to noise ratio of the last STATUS"),
    ("events_waiting", "waiting_events", 1, "events that no gateway has acknowledged"),
    ("change_unconfirmed", "change_unconfirmed", 1, "1: a change waits for somebody's word"),
)


def document(overview: Mapping[str, Any], events: Mapping[str, int]) -> str:
    """All metrics."""
    text = _Text()
    health: Mapping[str, Any] = overview["health"] or {}
    if health:
        _gateway(text, health)
    text.family(
        "events_total",
        "counter",
        "events since the start of the gateway",
        [({"type": kind}, events.get(kind, 0)) for kind in codes.EVENTS],
    )
    nodes = [
        ({"eui": node["eui"], "name": node["name"], "location": node["location"]}, node) for node in overview["nodes"]
    ]
    text.family(
        "node_online", "gauge", "1: it was heard in time", [(labels, node["available"]) for labels, node in nodes]
    )
    for key, title in (("active", "1: its alarm is active"), ("shown", "1: active and neither shelved nor in service")):
        text.family(
            f"node_alarm_{key}",
            "gauge",
            title,
            [(labels, node["alarm"][key]) for labels, node in nodes if node["alarm"]],
        )
    for name, key, factor, title in _OF_NODE:
        values = [(labels, (node["state"] or {}).get(key)) for labels, node in nodes]
        told = [
            (labels, value if factor == 1 or value is None else round(value * factor, 3)) for labels, value in values
        ]
        text.family(f"node_{name}", "gauge", title, told)
    text.family(
        "node_state",
        "gauge",
        "1 for the state that the node is in",
        [({**labels, "state": node["state"]["state"]}, 1) for labels, node in nodes if node["state"]],
    )
    return "\n".join(text.lines) + "\n"


def _gateway(text: _Text, health: Mapping[str, Any]) -> None:
    none: Mapping[str, str] = {}
    queue, mqtt, nodes = health["queue"], health["mqtt"], health["nodes"]
    text.family("uptime_seconds", "gauge", "since the start of the gateway", [(none, health["uptime_s"])])
    text.family("clock_synchronised", "gauge", "1: the gateway knows the time", [(none, health["clock"] == "synced")])
    text.family(
        "outbox_messages",
        "gauge",
        "messages that wait for the broker",
        [({"lane": lane}, queue[lane]) for lane in ("events", "rest")],
    )
    text.family("outbox_limit", "gauge", "messages that may wait", [(none, queue["limit"])])
    text.family("outbox_oldest_seconds", "gauge", "how long the oldest waits", [(none, queue["oldest_age_s"])])
    text.family("mqtt_connected", "gauge", "1: connected to the broker", [(none, mqtt["connected"])])
    text.family(
        "mqtt_published_total", "counter", "messages that the broker has confirmed", [(none, mqtt["published"])]
    )
    text.family("mqtt_too_long_total", "counter", "messages longer than the broker takes", [(none, mqtt["too_long"])])
    text.family(
        "frames_total", "counter", "frames", [({"what": key}, count) for key, count in health["frames"].items()]
    )
    text.family(
        "frames_dropped_total",
        "counter",
        "frames dropped, by reason",
        [({"reason": key}, count) for key, count in health["drops"].items()],
    )
    text.family(
        "status_dropped_total",
        "counter",
        "STATUS not queued because the outbox was full",
        [(none, health["status_dropped"])],
    )
    text.family(
        "database_failures_total", "counter", "rounds that could not be written", [(none, health["database_failures"])]
    )
    for name, key, title in (
        ("radio_listening", "listening", "1: the radio listens"),
        ("radio_airtime_last_hour_milliseconds", "airtime_last_hour_ms", "how long it has transmitted"),
        ("radio_airtime_limit_milliseconds", "airtime_limit_ms", "how long it may transmit in an hour"),
    ):
        text.family(name, "gauge", title, [({"radio": radio["name"]}, radio[key]) for radio in health["radios"]])
    text.family(
        "radio_crc_errors_total",
        "counter",
        "damaged frames",
        [({"radio": radio["name"]}, radio["crc_errors"]) for radio in health["radios"]],
    )
    text.family("nodes", "gauge", "nodes", [({"what": key}, nodes[key]) for key in ("known", "online")])
    text.family("commands_waiting", "gauge", "commands that wait for their node", [(none, nodes["commands_waiting"])])
