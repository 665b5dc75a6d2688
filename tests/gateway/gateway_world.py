"""Everything around a gateway: broker, modem, subscriber, nodes; the gateway runs as a process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway_bench import ScriptedNode
from gateway_brokers import GatewayProcess, Mosquitto, Subscriber
from gateway_modem import ScriptedModem

from fieldelm_tools.provision import provision


class World:
    """One gateway's surroundings."""

    def __init__(self, folder: Path, broker: Mosquitto) -> None:
        self.folder = folder
        self.broker = broker
        self.modem = ScriptedModem(folder / "modem")
        self.database = folder / "gateway.db"
        self.config = folder / "gateway.toml"
        self.dashboard = ["enabled = false"]
        self.write_config()
        self.gateway: GatewayProcess | None = None
        self._subscribers: list[Subscriber] = []

    def write_config(self, *more: str, url: str = "") -> None:
        """`more`: lines of [mqtt]."""
        lines = [
            "[gateway]",
            'name = "hall"',
            "[database]",
            f'path = "{self.database}"',
            "[mqtt]",
            f'url = "{url or self.broker.url}"',
            "retry_max_s = 0.5",
            *more,
            "[dashboard]",
            *self.dashboard,
            "[[radio]]",  # last: tests append keys to it
            f'port = "{self.modem.port}"',
            'duty_cycle = "unlimited"',
        ]
        self.config.write_text("\n".join(lines) + "\n")

    def node(self, name: str = "fan", **sections: Any) -> ScriptedNode:
        return ScriptedNode(provision(self.database, self.folder / "nodes", name, sections=sections))

    def start_gateway(self) -> GatewayProcess:
        self.modem.is_configured = False
        self.gateway = GatewayProcess(self.config)
        self.modem.wait_until_configured()
        return self.gateway

    def subscribe(self, **options: Any) -> Subscriber:
        self._subscribers.append(Subscriber(self.broker.port, **options))
        return self._subscribers[-1]

    def close(self) -> None:
        if self.gateway:
            self.gateway.stop()
        for subscriber in self._subscribers:
            subscriber.close()
        if self.modem._master >= 0:
            self.modem.unplug()
