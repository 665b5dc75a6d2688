"""Home Assistant finds nodes and gateway by itself: device-based MQTT discovery, one message a device.

https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload. The messages are retained, published again when Home
Assistant says that it was born, and emptied when a node is removed.
"""

from typing import Any

from fieldelm import __version__, codes

from . import documents
from .config import GatewayConfig
from .documents import Topics
from .nodes import Node

_MAKER = "Fieldelm"
_UNLESS_STARTED = "{{ value_json.state }}"
SHELVE_HOURS = 8
SERVICE_MINUTES = 120
BY = "home assistant"


def status_topic(config: GatewayConfig) -> str:
    """Where Home Assistant says that it was born."""
    return f"{config.home_assistant.prefix}/status"


def node_topic(config: GatewayConfig, eui: str) -> str:
    """Where a node's device is announced."""
    return f"{config.home_assistant.prefix}/device/{eui}/config"


def gateway_topic(config: GatewayConfig) -> str:
    """Where the gateway's own device is announced."""
    return f"{config.home_assistant.prefix}/device/{_gateway_id(config)}/config"


def topics_left(config: GatewayConfig, topics: Topics, eui: str) -> list[str]:
    """Retained topics that a node leaves behind when it is removed."""
    left = [topics.node_state(eui), topics.alarm(eui), topics.availability(eui)]
    return [*left, node_topic(config, eui)] if config.home_assistant.discovery else left


def _gateway_id(config: GatewayConfig) -> str:
    return f"fieldelm_{config.gateway.name}"


def _origin() -> dict[str, str]:
    return {"name": "fieldelm", "sw_version": __version__}


class _Components:
    """The entities of one device."""

    def __init__(self, device: str, state_topic: str) -> None:
        self.all: dict[str, dict[str, Any]] = {}
        self._device = device
        self._state_topic = state_topic

    def add(self, platform: str, key: str, name: str | None, **more: Any) -> None:
        """One entity; `key` is its place in the message and part of its identity."""
        given = {"platform": platform, "unique_id": f"{self._device}_{key}", "name": name, **more}
        self.all[key] = {name: value for name, value in given.items() if value is not None or name == "name"}

    def value(self, key: str, name: str, path: str | None = None, *, platform: str = "sensor", **more: Any) -> None:
        """A value of the state document. Its null is unknown to Home Assistant."""
        template = f"{{{{ value_json.{path or key} }}}}"
        self.add(platform, key, name, **{"state_topic": self._state_topic, "value_template": template, **more})

    def flag(self, key: str, name: str, condition: str, **more: Any) -> None:
        """Something that is so or not."""
        template = f"{{{{ 'ON' if {condition} else 'OFF' }}}}"
        self.add("binary_sensor", key, name, **{"state_topic": self._state_topic, "value_template": template, **more})


_DIAGNOSTIC = {"entity_category": "diagnostic"}
_MEASURED = {"state_class": "measurement"}


def node_device(config: GatewayConfig, topics: Topics, node: Node) -> str:
    """The discovery message of one node."""
    alarm_topic = topics.alarm(node.eui)
    of = _Components(f"fieldelm_{node.eui}", topics.node_state(node.eui))
    of.flag(
        "alarm",
        "Alarm",
        "value_json.shown",
        state_topic=alarm_topic,
        device_class="problem",
        json_attributes_topic=alarm_topic,
    )
    of.value("state", "State", device_class="enum", options=list(codes.STATES), icon="mdi:state-machine")
    of.value("score_ratio", "Score", **_MEASURED, suggested_display_precision=2, icon="mdi:chart-bell-curve")
    of.value(
        "rms_velocity",
        "RMS velocity",
        "rms_velocity_mm_s",
        **_MEASURED,
        device_class="speed",
        unit_of_measurement="mm/s",
    )
    of.value(
        "rms_g",
        "RMS acceleration",
        **_MEASURED,
        unit_of_measurement="g",
        icon="mdi:vibrate",
        suggested_display_precision=3,
    )
    of.value("mode", "Mode", icon="mdi:format-list-numbered")
    of.value(
        "last_event",
        "Last event",
        "last_event.type if value_json.last_event else None",
        state_topic=alarm_topic,
        device_class="enum",
        options=list(codes.EVENTS),
        json_attributes_topic=alarm_topic,
        json_attributes_template="{{ value_json.last_event | tojson if value_json.last_event else '{}' }}",
    )
    of.flag(
        "change_unconfirmed", "Unconfirmed change", "value_json.change_unconfirmed", icon="mdi:help-rhombus-outline"
    )
    of.flag("sensor_fault", "Sensor fault", "value_json.sensor_fault", device_class="problem", **_DIAGNOSTIC)
    of.value(
        "battery", "Battery", "battery_mv", **_MEASURED, device_class="voltage", unit_of_measurement="mV", **_DIAGNOSTIC
    )
    of.value(
        "temperature",
        "Temperature",
        "temperature_c",
        **_MEASURED,
        device_class="temperature",
        unit_of_measurement="°C",
        **_DIAGNOSTIC,
    )
    of.value("rssi", "RSSI", **_MEASURED, device_class="signal_strength", unit_of_measurement="dBm", **_DIAGNOSTIC)
    of.value("snr", "SNR", **_MEASURED, device_class="signal_strength", unit_of_measurement="dB", **_DIAGNOSTIC)
    of.value("last_seen", "Last status", "received_time", device_class="timestamp", **_DIAGNOSTIC)
    of.add(
        "binary_sensor",
        "available",
        "Available",
        state_topic=topics.availability(node.eui),
        payload_on="online",
        payload_off="offline",
        device_class="connectivity",
        availability=[{"topic": topics.state, "value_template": _UNLESS_STARTED}],
        **_DIAGNOSTIC,
    )
    _controls(of, topics, node)
    device = {
        "identifiers": [f"fieldelm_{node.eui}"],
        "name": node.name,
        "manufacturer": _MAKER,
        "model": "Sensor node",
        "serial_number": node.eui,
        "via_device": _gateway_id(config),
    }
    if node.card.firmware:
        device["sw_version"] = node.card.firmware
    if node.location:
        device["suggested_area"] = node.location
    return documents.dump(
        {
            "device": device,
            "origin": _origin(),
            "availability": [
                {"topic": topics.state, "value_template": _UNLESS_STARTED},
                {"topic": topics.availability(node.eui)},
            ],
            "availability_mode": "all",
            "qos": 1,
            "components": of.all,
        }
    )


def _request(node: Node, more: str = "") -> str:
    # a template, so that every press has an id of its own
    number = "ha-{{ (now().timestamp() * 1000) | int }}-{{ range(1000, 9999) | random }}"
    return f'{{"id":"{number}","node":"{node.eui}","by":"{BY}"{"," if more else ""}{more}}}'


def _controls(of: _Components, topics: Topics, node: Node) -> None:
    def button(key: str, name: str, command: str, more: str = "", **details: Any) -> None:
        topic = topics.request(command)
        of.add("button", key, name, command_topic=topic, command_template=_request(node, more), **details)

    button("acknowledge", "Acknowledge alarm", "acknowledge", icon="mdi:check")
    button(
        "shelve",
        f"Shelve alarm for {SHELVE_HOURS} h",
        "shelve",
        f'"minutes":{60 * SHELVE_HOURS}',
        icon="mdi:bell-sleep",
    )
    button("unshelve", "Show shelved alarm", "shelve", '"minutes":0', icon="mdi:bell-ring")
    button("confirm_change", "Confirm change", "confirm_change", icon="mdi:thumb-up-outline")
    button("call_fault", "Call it a fault", "call_fault", icon="mdi:alert")
    configuring = {"entity_category": "config"}
    button("retrain", "Retrain here", "retrain", icon="mdi:school", **configuring)
    button("commission", "Commission again", "commission", icon="mdi:wrench-check", **configuring)
    button("identify", "Identify", "identify", device_class="identify", **configuring)
    button("reboot", "Restart", "reboot", device_class="restart", **configuring)
    of.value(
        "policy",
        "Policy",
        platform="select",
        options=list(codes.POLICIES),
        command_topic=topics.request("policy"),
        command_template=_request(node, '"policy":"{{ value }}"'),
        icon="mdi:call-split",
        **configuring,
    )
    for key, name, low in (("heartbeat_s", "Heartbeat", 10), ("window_period_s", "Window period", 1)):
        of.value(
            key,
            name,
            platform="number",
            min=low,
            max=65535,
            mode="box",
            unit_of_measurement="s",
            device_class="duration",
            command_topic=topics.request("interval"),
            command_template=_request(node, f'"{key}":{{{{ value | int }}}}'),
            **configuring,
        )
    of.value(
        "threshold_factor",
        "Threshold factor",
        platform="number",
        min=0.25,
        max=4,
        step=0.05,
        mode="box",
        command_topic=topics.request("threshold"),
        command_template=_request(node, '"factor":{{ value | float }}'),
        icon="mdi:tune-vertical",
        **configuring,
    )
    service = topics.request("service")
    press = _request(node, '"minutes":{{ ' + str(SERVICE_MINUTES) + " if value == 'ON' else 0 }}")
    of.add(
        "switch",
        "service",
        "In service",
        state_topic=topics.alarm(node.eui),
        value_template="{{ 'ON' if value_json.service else 'OFF' }}",
        command_topic=service,
        command_template=press,
        icon="mdi:account-hard-hat",
    )


def gateway_device(config: GatewayConfig, topics: Topics) -> str:
    """The discovery message of the gateway."""
    of = _Components(_gateway_id(config), topics.health)
    of.add(
        "binary_sensor",
        "connected",
        "Connected",
        state_topic=topics.state,
        value_template=_UNLESS_STARTED,
        payload_on="online",
        payload_off="offline",
        device_class="connectivity",
    )
    of.flag("radio", "Radio", "value_json.radios | rejectattr('listening') | list", device_class="problem")
    of.flag("clock", "Clock", "value_json.clock != 'synced'", device_class="problem", **_DIAGNOSTIC)
    of.flag("security", "Security", "value_json.security.suspicions", device_class="safety", **_DIAGNOSTIC)
    of.flag("outbox", "Outbox full", "value_json.queue.full", device_class="problem", **_DIAGNOSTIC)
    of.value("nodes_known", "Nodes", "nodes.known", icon="mdi:access-point", **_DIAGNOSTIC)
    of.value("nodes_online", "Nodes online", "nodes.online", icon="mdi:access-point-check")
    of.value("commands_waiting", "Commands waiting", "nodes.commands_waiting", **_DIAGNOSTIC)
    of.value("queue", "Messages waiting", "queue.events + value_json.queue.rest", **_DIAGNOSTIC)
    counted = {"state_class": "total_increasing", **_DIAGNOSTIC}
    of.value("frames_received", "Frames received", "frames.received", **counted)
    of.value("frames_dropped", "Frames dropped", "drops.values() | sum", **counted)
    of.all["connected"]["availability"] = []
    return documents.dump(
        {
            "device": {
                "identifiers": [_gateway_id(config)],
                "name": config.gateway.name,
                "manufacturer": _MAKER,
                "model": "Gateway",
                "sw_version": __version__,
                **({"suggested_area": config.gateway.location} if config.gateway.location else {}),
            },
            "origin": _origin(),
            "availability": [{"topic": topics.state, "value_template": _UNLESS_STARTED}],
            "qos": 1,
            "components": of.all,
        }
    )
