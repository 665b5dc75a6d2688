"""The gateway's configuration and database, and the nodes' identities, made anew for a run."""

import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fieldelm_gateway.clock import parse_rfc3339
from fieldelm_gateway.store import Store

from .plans import NodePlan
from .recorder import BrokerAddress

GATEWAY = "demo"
LOGIN_FILE = "broker-login"  # gone when the run has ended
BASE = f"fieldelm/v1/{GATEWAY}"


def _private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def write_gateway(
    folder: Path, parts: Path, broker: BrokerAddress, air: str, *, dashboard: str = "", discovery: bool = False
) -> Path:
    """Write gateway.toml and return its path. `dashboard`: where it listens; `discovery`: tell Home Assistant."""
    lines = [
        "# Written by `fieldelm demo`; `fieldelm gateway config` explains every key.",
        "[gateway]",
        f"name = {json.dumps(GATEWAY)}",
        "[database]",
        f"path = {json.dumps(str(folder / 'gateway.db'))}",
        "[mqtt]",
        f"url = {json.dumps(broker.url)}",
        f"protocol = {json.dumps(broker.protocol)}",
    ]
    if broker.username:
        lines.append(f"username = {json.dumps(broker.username)}")
    if broker.password:
        _private(parts / LOGIN_FILE, broker.password + "\n")
        lines.append(f"password_file = {json.dumps(str(parts / LOGIN_FILE))}")
    lines += ["[dashboard]", f"listen = {json.dumps(dashboard)}" if dashboard else "enabled = false"]
    lines += ["[home_assistant]", f"discovery = {str(discovery).lower()}"]
    lines += ["[[radio]]", 'kind = "air"', f"address = {json.dumps(air)}"]
    path = folder / "gateway.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def register(database: Path, nodes: Sequence[NodePlan], epoch: str) -> dict[str, str]:
    """Give every node a key that nobody else has and tell the gateway's database; returns key by EUI, in hex."""
    keys = {}
    store = Store(database, create=True)
    try:
        with store.transaction():
            for plan in nodes:
                key = secrets.token_bytes(16)
                actor = plan.actor
                store.add_node(actor.eui, actor.node_id, actor.asset, "", 4, key, parse_rfc3339(epoch))
                keys[actor.eui] = key.hex()
    finally:
        store.close()
    return keys


def discovery_topics(nodes: Sequence[NodePlan]) -> list[str]:
    """What Home Assistant was told of, on a broker that outlives the run."""
    devices = [f"fieldelm_{GATEWAY}", *(plan.actor.eui for plan in nodes)]
    return [f"homeassistant/device/{device}/config" for device in devices]


def node_config(plan: NodePlan, key: str, air: str) -> dict[str, Any]:
    """The configuration of a node (docs/reference/interfaces.md, section 6)."""
    return {
        "schema": 1,
        "role": "node",
        "board": "sim",
        "name": plan.actor.asset,
        "eui": plan.actor.eui,
        "node_id": plan.actor.node_id,
        "keys": {"0": key},
        "console": "rows",
        "sense": plan.sense,
        "learn": plan.learn,
        "link": plan.link,
        "options": {**plan.options, "air": air},
    }
